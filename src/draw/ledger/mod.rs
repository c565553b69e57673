//! The ledger: the records of draws on this member's volume, and the snapshots of them.
//!
//! [`logic`] is the state machine, [`storage`] the SQLite file, [`open`] both together, [`task`] the thread that owns them
//! and the contributor, [`handle`] its interface for other parts, [`history`] the thread that reads what is no longer in memory.

pub mod handle;
pub mod history;
pub mod logic;
mod metrics;
mod open;
pub mod storage;
pub mod task;

use std::sync::Arc;

use crate::record::{ChainId, Hash, Record};

/// A tail of records that the Lease went on without: stored, counted and listed, but never part of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    pub chain: ChainId,
    /// Hash of its newest record.
    pub head: Hash,
    pub from_round: u64,
    pub to_round: u64,
}

/// The most tails that are listed, each in about 200 bytes. No rule needs them: they tell people what was left behind, and each is
/// the result of a loss or a restart, so that more of them say nothing new.
pub const MAX_ASIDE: usize = 64;

impl Aside {
    /// Lists it as the newest; the same tail is listed once. Returns the oldest, if there is no room for it any longer.
    pub(crate) fn list(self, tails: &mut Vec<Aside>) -> Option<Aside> {
        tails.retain(|known| known.head != self.head);
        tails.push(self);
        (tails.len() > MAX_ASIDE).then(|| tails.remove(0))
    }
}

/// Whether this ledger can take part in draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not read yet.
    Opening,
    Writable,
    /// The last write failed, and is tried again.
    Unwritable(Arc<str>),
    /// The file is not a valid ledger. It is never discarded automatically.
    Corrupt(Arc<str>),
}

/// Everything that readers need, without a request to the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSnapshot {
    /// The newest records of the unbroken chain, ascending; the last one is the head. Empty before the first record.
    pub recent: Arc<[Arc<Record>]>,
    /// Records of the chain before these, which only the volume has.
    pub below: u64,
    /// The newest stored record by (fence, round), final for this member or not.
    pub newest: Option<Arc<Record>>,
    /// The record just below the chain's oldest, if it should be fetched from peers.
    pub wanted: Option<Hash>,
    pub aside: Arc<[Aside]>,
    pub condition: Condition,
    /// The greatest fence promised to a holder.
    pub promised_fence: u64,
}

impl LedgerSnapshot {
    pub fn head(&self) -> Option<&Arc<Record>> {
        self.recent.last()
    }

    /// The oldest round of the chain.
    pub fn oldest(&self) -> Option<u64> {
        self.recent
            .first()
            .map(|record| record.round.saturating_sub(self.below))
    }

    /// Records of the chain.
    pub fn rounds(&self) -> u64 {
        self.below + self.recent.len() as u64
    }

    /// The record of a round, if it is a recent one.
    pub fn get(&self, round: u64) -> Option<&Arc<Record>> {
        let place = round.checked_sub(self.recent.first()?.round)?;
        self.recent.get(usize::try_from(place).ok()?)
    }
}

/// The highest fence that this member has answered, and its holder: it refuses lower fences, and another holder with the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    pub fence: u64,
    pub holder: String,
}

/// The content of a ledger when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub seed: crate::record::secrets::Seed,
    /// Those that are read at once, unordered, each verified by itself (`Record::parse`): the newest of the chain, and of the
    /// others.
    pub records: Vec<Arc<Record>>,
    /// All of the chain.
    pub runs: Vec<Run>,
    /// The newest record final for this member.
    pub head: Option<Hash>,
    pub promise: Option<Promise>,
    pub aside: Vec<Aside>,
}

/// A change of the ledger. A list of them is one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Record(Arc<Record>),
    Head(Hash),
    Promise(Promise),
    Aside(Aside),
    /// Deletes the oldest records, when the reserved space is full.
    Prune(Vec<Hash>),
    /// These stored records are a part of the chain, or of a run below a gap in it; ascending. Another of the same round no longer is.
    Link(Vec<Arc<Record>>),
    /// These are no longer.
    Unlink(Vec<Arc<Record>>),
    /// No record is any longer.
    Renew,
    /// The chain as it is then.
    Runs(Vec<Run>),
}

/// Linked records without a gap, of one chain. The last of a ledger's runs ends with its head; those before it may join it once the
/// gap is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub low: u64,
    pub high: u64,
    /// Hash of the record of round `high`.
    pub tip: Hash,
    /// The record before that of round `low`.
    pub base: Option<Hash>,
}

impl Run {
    /// All of it as a tail that was left behind.
    pub(crate) fn aside(&self, chain: ChainId) -> Aside {
        Aside {
            chain,
            head: self.tip,
            from_round: self.low,
            to_round: self.high,
        }
    }

    /// Of linked records, ascending.
    pub(crate) fn of(records: &[Arc<Record>]) -> Option<Run> {
        let (first, last) = (records.first()?, records.last()?);
        Some(Run {
            low: first.round,
            high: last.round,
            tip: last.hash,
            base: first.previous,
        })
    }
}
