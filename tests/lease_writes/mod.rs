//! Writes to a lease store, and what comes of them.
#![allow(clippy::panic)] // a test fails by panicking

use std::sync::Arc;

use lease_election::{LeaseChange, LeaseSpec, WriteOutcome};
use random_generator::lease::{Head, LeaseObject};
use random_generator::record::Record;

/// That of a holder with a lease of 15 s, and no record yet.
pub fn change(holder: &str, fence: u64) -> LeaseChange<Record> {
    LeaseChange {
        spec: LeaseSpec {
            holder: Some(holder.to_owned()),
            duration_seconds: Some(15),
            ..LeaseSpec::default()
        },
        fence,
        payload: Head::Absent,
    }
}

/// What the store made of a write that must succeed.
pub fn written(outcome: WriteOutcome<Record>) -> Arc<LeaseObject> {
    match outcome {
        WriteOutcome::Written(object) => object,
        other => panic!("expected Written, got {other:?}"),
    }
}
