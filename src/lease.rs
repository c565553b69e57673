//! The lease of a set: which member conducts the draw. The record of the newest final draw travels with it.
//!
//! The election itself is the crate [`lease_election`]; here is what a draw adds to it.

use lease_election::{Annotations, Payload, Stored};

use crate::record::Record;

pub type LeaseObject = lease_election::LeaseObject<Record>;
pub type LeaseSnapshot = lease_election::LeaseSnapshot<Record>;
pub type LeaseHandle = lease_election::LeaseHandle<Record>;
pub type CommitRequest = lease_election::CommitRequest<Record>;
/// What the record annotation holds.
pub type Head = Stored<Record>;

/// Our two annotations of a Lease.
pub fn annotations() -> Annotations {
    Annotations {
        fence: "random-generator/fence".to_owned(),
        payload: "random-generator/record".to_owned(),
    }
}

/// Order and place of records in a chain: L4, L10 and 3.4 of `docs/protocol.md`.
impl Payload for Record {
    fn parse(text: &str) -> Option<Record> {
        Record::parse(text).ok()
    }

    fn to_text(&self) -> String {
        self.canonical()
    }

    fn fence(&self) -> u64 {
        self.fence
    }

    fn supersedes(&self, earlier: &Record) -> bool {
        self.age() > earlier.age()
    }

    fn directly_follows(&self, earlier: &Record) -> bool {
        self.previous == Some(earlier.hash)
    }

    /// Another record of its round or of the next one has taken its place in the chain.
    fn excludes(&self, other: &Record) -> bool {
        self.chain == other.chain && (other.round..=other.round + 1).contains(&self.round)
    }
}
