//! The clustered random generator: the reference workload for Kubernetes StatefulSets.
//!
//! The modules, in the order in which to read them:
//!
//! - [`clock`]: boot time and wall time, from one place that tests can hold.
//! - [`identity`]: who this member is; the owner mark and lock of its volume.
//! - [`config`]: the only reader of arguments and environment.
//! - [`generator`]: random numbers, ranges without bias, ids from ordinals.
//! - [`journal`]: what was given out, on the volume; one writer thread.
//! - [`discovery`]: SRV records become a watch of peer lists.
//! - [`lease`]: the elector, a state machine over a lease store.
//! - [`draw`]: the scheduled job: schedule, record, conductor, contributor, ledger.
//! - [`http`]: the four listeners: public, peer, admin, metrics.
//! - [`member`]: the composition root: builds the parts, starts and stops them in order.
//! - [`readiness`], [`shutdown`], [`telemetry`], [`metrics`]: what every part needs to say how it is, and to stop.
//! - [`local`]: `cluster`, a set of real members on this machine.
//! - [`cli`]: one file a subcommand.
//! - [`database`]: opens a SQLite file properly.

pub mod cli;
pub mod clock;
pub mod config;
pub mod database;
pub mod discovery;
pub mod draw;
pub mod generator;
pub mod http;
pub mod identity;
pub mod journal;
pub mod lease;
pub mod local;
pub mod member;
pub mod metrics;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
