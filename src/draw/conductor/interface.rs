//! The conductor's configuration, events and actions.

use std::sync::Arc;
use std::time::Duration;

use lease_election::CommitOutcome;

use crate::draw::ledger::LedgerSnapshot;
use crate::lease::{CommitRequest, LeaseSnapshot};
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal};
use crate::record::schedule::Schedule;
use crate::record::{Record, Slot, Voters};

#[derive(Clone, Debug)]
pub struct ConductorConfig {
    pub set: String,
    pub ordinal: u16,
    /// The lease identity.
    pub identity: String,
    pub voters: Voters,
    pub schedule: Schedule,
    /// How long after its scheduled time a slot may be drawn; none for half the period, at most 30 s.
    pub deadline: Option<Duration>,
    pub lease_duration: Duration,
}

impl ConductorConfig {
    pub fn member(&self) -> String {
        format!("{}-{}", self.set, self.ordinal)
    }

    pub(super) fn deadline(&self, slot: Slot) -> Duration {
        self.deadline
            .unwrap_or_else(|| (self.schedule.period_hint(slot.0) / 2).min(Duration::from_secs(30)))
    }
}

/// Why there is no answer from a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    Refused(Refusal),
    Unreachable,
    Timeout,
    /// The answer doesn't fit the request.
    Invalid,
}

#[derive(Clone, Debug)]
pub enum Event {
    Tick,
    Lease(Arc<LeaseSnapshot>),
    Ledger(Arc<LedgerSnapshot>),
    /// Ordinals that SRV publishes, ascending.
    Published(Arc<[u16]>),
    Kept {
        ask: u64,
        ordinal: u16,
        result: Result<KeepAnswer, AskError>,
    },
    Heads {
        ask: u64,
        ordinal: u16,
        result: Result<HeadsAnswer, AskError>,
    },
    Committed {
        ticket: u64,
        outcome: CommitOutcome,
    },
    /// An operator wants a new chain.
    Restart,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Keep {
        ask: u64,
        ordinal: u16,
        request: Arc<KeepRequest>,
    },
    Heads {
        ask: u64,
        ordinal: u16,
        request: Arc<HeadsRequest>,
    },
    Commit(CommitRequest),
    /// Acquire the lease again, with a greater fence than this.
    Floor(u64),
    /// The Lease may have changed: read it.
    Look,
    /// Release the lease, and don't stand for election for this long.
    StayOut(Duration),
    Report(Report),
}

/// The outcome of a slot or a recovery, for the log, the metrics and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Drawn(Arc<Record>),
    /// This member led, and the slot's deadline passed without a draw.
    Missed {
        slot: Slot,
        obstacle: Obstacle,
    },
    /// The slot's record was sent, and may be in the Lease.
    Undecided {
        slot: Slot,
    },
    /// The head was restored to the Lease.
    Restored(Arc<Record>),
    /// Recovery waits for these voters.
    Waiting {
        missing: Vec<u16>,
        /// DNS lists none of them.
        unpublished: bool,
        /// Nobody is known to have a record: a first chain needs every voter.
        first: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No majority answered; these voters are missing.
    NoMajority { missing: Vec<u16> },
    /// The record before the head isn't here, and these contributors to the head didn't answer.
    NoPrevious { missing: Vec<u16> },
    /// The chain's head must be recovered first.
    Recovering,
    /// The write failed.
    NotCommitted,
}
