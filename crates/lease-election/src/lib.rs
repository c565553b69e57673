#![doc = include_str!("../README.md")]
//!
//! # The modules
//!
//! In the order in which to read them:
//!
//! - [`clock`]: boot time and wall time, from one place that tests can hold.
//! - [`payload`]: what travels with the lease by compare-and-swap.
//! - [`store`]: a Lease as a store returns it, and the [`LeaseStore`] trait.
//! - [`leadership`]: who leads, as this process knows it.
//! - [`elector`]: the state machine. It decides, and does no I/O.
//! - [`task`]: the I/O that the elector asks for, over any [`LeaseStore`].
//! - `object`: a Lease as JSON, for every store.
//! - [`kubernetes`], [`directory`]: the two stores.
//! - [`metrics`]: the lease, as numbers.

pub mod clock;
pub mod directory;
pub mod elector;
pub mod kubernetes;
pub mod leadership;
pub mod metrics;
mod object;
pub mod payload;
pub mod store;
pub mod task;

pub use elector::{CommitOutcome, CommitRequest, ConfigError, Elector, ElectorConfig};
pub use leadership::{Leadership, LeaseSnapshot, LeaseTrouble};
pub use payload::{Annotations, FENCE_MAX, Payload, Stored};
pub use store::{LeaseChange, LeaseObject, LeaseSpec, LeaseStore, StoreError, WatchEvent, WriteOutcome};
pub use task::{LeaseHandle, LeaseTask};
