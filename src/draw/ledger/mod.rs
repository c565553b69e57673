//! The ledger: the records of draws on this member's volume, and the snapshots of them.
//!
//! [`logic`] is the state machine, [`storage`] the SQLite file, [`open`] both together, [`task`] the thread that owns them
//! and the contributor, [`handle`] its interface for other parts.

pub mod handle;
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
    /// The unbroken chain, ascending; the last one is the head. Empty before the first record.
    pub chain: Arc<[Arc<Record>]>,
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
        self.chain.last()
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
    /// All records, unordered, each verified by itself (`Record::parse`).
    pub records: Vec<Arc<Record>>,
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
}
