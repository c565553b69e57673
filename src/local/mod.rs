//! `cluster`: a set of real members on this machine, with what Kubernetes would give them.
//!
//! - [`layout`]: which ports and files are whose; what must be so before anything starts.
//! - [`dns`]: the DNS server that lists the members; [`zone`]: what it answers.
//! - [`supervisor`]: starts the members, starts again those that die, ends all; [`process`]: one of them.
//! - [`observer`]: asks the members who leads and what was drawn; [`output`]: the lines that people or programs read.
//! - [`parent`]: the other end of what keeps members from outliving their supervisor.

pub mod dns;
pub mod layout;
pub mod observer;
pub mod output;
pub mod parent;
pub mod process;
pub mod supervisor;
pub mod zone;
