//! Writes to a lease store, and what comes of them.
#![allow(clippy::panic)] // a test fails by panicking

use std::sync::Arc;

use random_generator::lease::{Head, LeaseChange, LeaseObject, LeaseSpec, WriteOutcome};

/// That of a holder with a lease of 15 s, and no record yet.
pub fn change(holder: &str, fence: u64) -> LeaseChange {
    LeaseChange {
        spec: LeaseSpec {
            holder: Some(holder.to_owned()),
            duration_seconds: Some(15),
            ..LeaseSpec::default()
        },
        fence,
        head: Head::Absent,
    }
}

/// What the store made of a write that must succeed.
pub fn written(outcome: WriteOutcome) -> Arc<LeaseObject> {
    match outcome {
        WriteOutcome::Written(object) => object,
        other => panic!("expected Written, got {other:?}"),
    }
}
