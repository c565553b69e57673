//! The ledger: the records of draws on this member's volume, and what it reports of them.
//!
//! [`logic`] is the state machine, [`storage`] the SQLite file, [`task`] the thread that owns both and the contributor, [`handle`] what others ask of it.

pub mod handle;
pub mod logic;
mod metrics;
pub mod storage;
pub mod task;

use std::sync::Arc;

use crate::record::{ChainId, Hash, Record};

/// A tail of records that the Lease left behind: kept, counted and listed, never reported as the chain.
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
    /// The last write failed; it is tried again.
    Unwritable(Arc<str>),
    /// What stands there is not a ledger, or not a true one. Never discarded by itself.
    Corrupt(Arc<str>),
}

/// What the ledger publishes: everything that readers need, without asking its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSnapshot {
    /// The unbroken chain, ascending; the last one is the head. Empty before the first record.
    pub chain: Arc<[Arc<Record>]>,
    /// The newest record held by (fence, round), final for this member or not.
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

/// The greatest (fence, holder) that this member has answered: it refuses lower ones, and another holder with the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    pub fence: u64,
    pub holder: String,
}

/// What a ledger finds on its volume when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub seed: crate::record::secrets::Seed,
    /// All records kept, in no order. Each verified alone (`Record::parse`) when it was read.
    pub records: Vec<Arc<Record>>,
    /// The newest record final for this member.
    pub head: Option<Hash>,
    pub promise: Option<Promise>,
    pub aside: Vec<Aside>,
}

/// A change of the ledger. A list of them is stored in one transaction, durable when the call returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Record(Arc<Record>),
    Head(Hash),
    Promise(Promise),
    Aside(Aside),
    /// Deletes records: the oldest, when the ledger's share of the volume is used up.
    Prune(Vec<Hash>),
}
