//! `cluster`: a set of real members on this machine, with what Kubernetes would give them.
//!
//! - [`layout`]: each member's ports and files, and the checks before anything starts.
//! - [`dns`]: the DNS server that lists the members; [`zone`]: its records.
//! - [`supervisor`]: starts the members, restarts those that die, stops all; [`process`]: one of them.
//! - [`observer`]: asks the members who leads and what was drawn; [`output`]: lines for people or programs.
//! - [`parent`]: how a member notices that its supervisor is gone.

pub mod dns;
pub mod layout;
pub mod observer;
pub mod output;
pub mod parent;
pub mod process;
pub mod supervisor;
pub mod zone;
