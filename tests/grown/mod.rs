//! Ledgers with a long history, made at once.

use std::path::Path;
use std::sync::Arc;

use random_generator::draw::ledger::storage::{Storage, StorageConfig};
use random_generator::draw::ledger::{Run, Write};
use random_generator::record::secrets::{Seed, commitment};
use random_generator::record::{Contribution, Draft, Hash, Hex, Record, Slot};

/// The slot of round 1; the others follow every second.
pub const START: i64 = 1_700_000_000;
/// Records in one commit.
const BATCH: u64 = 500;

/// The record after `previous`, to which each of `members` members contributes. It verifies.
pub fn following(previous: Option<&Record>, members: u16) -> Record {
    let chain = Hex(*b"a chain of draws");
    let round = previous.map_or(1, |previous| previous.round + 1);
    let contributions = (0..members).map(|ordinal| {
        let secret = |round| Seed([ordinal.to_be_bytes()[1]; 32]).secret("rg", &chain, round);
        Contribution {
            member: format!("rg-{ordinal}"),
            next_commitment: commitment(ordinal, &secret(round + 1)),
            ordinal,
            reveal: (round > 1).then(|| secret(round)),
        }
    });
    Draft {
        set: "rg".into(),
        chain,
        round,
        schedule: "@every 1s".into(),
        slot: Slot(START + i64::try_from(round).unwrap()),
        missed: 0,
        holder: "rg-0_0b1c3f3e-2e0c-4b3a-9f59-0d9fb4b2b0a1-5f0e".into(),
        fence: 1,
        voters: members.into(),
        previous: previous.map(|previous| previous.hash),
        contributions: contributions.collect(),
        missing: Vec::new(),
    }
    .seal()
}

/// Makes a ledger of rounds 1 to `rounds`, and returns the newest.
pub fn grow(path: &Path, rounds: u64, members: u16, max_bytes: u64) -> Arc<Record> {
    let (mut storage, _) = Storage::open(path, StorageConfig { max_bytes }, [7; 32]).unwrap();
    let mut newest: Option<Arc<Record>> = None;
    while newest.as_ref().map_or(0, |newest| newest.round) < rounds {
        let mut batch: Vec<Arc<Record>> = Vec::new();
        let begins = newest.as_ref().map_or(0, |newest| newest.round);
        for _ in begins..rounds.min(begins + BATCH) {
            let record = Arc::new(following(newest.as_deref(), members));
            batch.push(record.clone());
            newest = Some(record);
        }
        storage.commit(&appended(&batch)).unwrap();
    }
    newest.expect("at least one")
}

/// What a ledger writes for records that follow its head, in a chain from round 1 on.
pub fn appended(records: &[Arc<Record>]) -> Vec<Write> {
    let tip = records.last().expect("at least one");
    let run = Run {
        low: 1,
        high: tip.round,
        tip: tip.hash,
        base: None::<Hash>,
    };
    let mut writes: Vec<Write> = records.iter().cloned().map(Write::Record).collect();
    writes.extend([
        Write::Head(tip.hash),
        Write::Link(records.to_vec()),
        Write::Runs(vec![run]),
    ]);
    writes
}
