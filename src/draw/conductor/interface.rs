//! What the conductor is told, and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use lease_election::CommitOutcome;

use crate::draw::ledger::LedgerSnapshot;
use crate::lease::{CommitRequest, LeaseSnapshot};
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal};
use crate::record::schedule::Schedule;
use crate::record::{Record, Slot};

#[derive(Clone, Debug)]
pub struct ConductorConfig {
    pub set: String,
    pub ordinal: u16,
    /// The lease identity.
    pub identity: String,
    /// N, 1 to 32.
    pub voters: u16,
    pub schedule: Schedule,
    /// How long after its instant a slot may be drawn; none for half the period, at most 30 s.
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

/// Why a member's answer didn't come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    Refused(Refusal),
    Unreachable,
    Timeout,
    /// What came was no answer to this question.
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
    /// A person wants a new chain.
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
    /// The lease must be acquired anew, with a greater fence than this.
    Floor(u64),
    /// The Lease may have moved.
    Look,
    StayOut(Duration),
    Report(Report),
}

/// What became of a slot, or what stands in the way: for the log, the metrics and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Drawn(Arc<Record>),
    /// This member led, and the slot's deadline passed without a draw.
    Missed {
        slot: Slot,
        obstacle: Obstacle,
    },
    /// The slot's record was sent and may stand in the Lease yet.
    Undecided {
        slot: Slot,
    },
    /// An older head was brought back into the Lease.
    Restored(Arc<Record>),
    /// Recovery can't go on: these voters' heads are missing.
    Waiting {
        missing: Vec<u16>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Fewer than a majority answered; these voters did not.
    NoMajority { missing: Vec<u16> },
    /// The chain's head has to be recovered first.
    Recovering,
    /// The write came to nothing.
    NotCommitted,
}
