//! Events that the elector takes, and actions that it asks for.

use std::sync::Arc;
use std::time::Duration;

use crate::leadership::LeaseSnapshot;
use crate::payload::Stored;
use crate::store::{LeaseChange, LeaseObject, StoreError, WatchEvent, WriteOutcome};

/// Asks to put `payload` into the Lease, in place of `base`, by compare-and-swap. The write also renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest<P> {
    /// Comes back with the outcome.
    pub ticket: u64,
    pub payload: Arc<P>,
    /// The write happens on a version that has exactly this, or not at all.
    pub base: Stored<P>,
    /// The fence under which the payload was made: the write happens under it, or not at all.
    pub fence: u64,
}

/// What became of a [`CommitRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The payload is, or was, in the Lease.
    Committed,
    /// It was not, and by this write never will be.
    NotCommitted,
    /// The write may still land; the next one on the same version decides.
    Undecided,
}

/// Something that happened, or that someone asks for.
#[derive(Clone, Debug)]
pub enum Event<P> {
    /// Time passed.
    Tick,
    /// The answer to [`Action::Read`].
    Read {
        op: u64,
        result: Result<Option<Arc<LeaseObject<P>>>, StoreError>,
    },
    /// The answer to [`Action::Write`].
    Wrote {
        op: u64,
        outcome: WriteOutcome<P>,
    },
    Watched(WatchEvent<P>),
    Commit(CommitRequest<P>),
    /// Lead only under a greater fence than this from now on.
    RequireFenceAbove(u64),
    /// Read the Lease now.
    Refresh,
    /// Whether this process may stand for election.
    Stand(bool),
    /// Release, and don't acquire for this long.
    StayOut(Duration),
    /// Release, and don't acquire again.
    Resign,
}

/// What the elector asks for. `op` numbers reads and writes, and comes back with the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<P> {
    Read {
        op: u64,
    },
    /// Replace `base` with `change`, by compare-and-swap.
    Write {
        op: u64,
        base: Arc<LeaseObject<P>>,
        change: LeaseChange<P>,
    },
    /// Something changed that others watch.
    Publish(LeaseSnapshot<P>),
    /// What became of a [`CommitRequest`].
    Commit {
        ticket: u64,
        outcome: CommitOutcome,
    },
    /// The lease is released, or was not held, after [`Event::Resign`].
    Resigned,
}
