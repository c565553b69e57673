//! What the members of a set show of their draws, held against each other, against what they showed before, and verified.

use std::collections::{BTreeMap, HashMap};

use random_generator::record::Record;
use random_generator::record::chain::Verifier;

use crate::cluster::until;
use crate::set::Set;

/// Every record that was ever seen, at any member: one for a round, one for a slot.
#[derive(Debug, Default)]
pub struct Seen {
    by_round: BTreeMap<u64, String>,
    by_slot: HashMap<String, u64>,
}

impl Seen {
    fn take(&mut self, record: &Record) {
        let hash = record.hash.to_string();
        let of_round = self.by_round.entry(record.round).or_insert_with(|| hash.clone());
        assert_eq!(*of_round, hash, "a second record for round {}", record.round);
        let of_slot = *self.by_slot.entry(record.slot.to_string()).or_insert(record.round);
        assert_eq!(of_slot, record.round, "a second record for the slot {}", record.slot);
    }
}

impl Set {
    /// Everything that a member keeps, verified.
    pub async fn verified(&self, ordinal: u16) -> Vec<Record> {
        let name = self.member(ordinal);
        let read = async || self.text(ordinal, "/draws?format=jsonl").await;
        let lines = until(&format!("the draws of {name}"), read).await;
        let mut verifier = Verifier::new();
        let mut records = Vec::new();
        for line in lines.split_inclusive('\n') {
            let record = verifier.push_line(line.as_bytes());
            records.push(record.unwrap_or_else(|error| panic!("{name}: {error}")).clone());
        }
        verifier.finish(None).unwrap_or_else(|error| panic!("{name}: {error}"));
        records
    }

    /// One chain from its first round on, verified, the same at each of these members, with every record that was ever seen in
    /// it, and none beside it. Returns it.
    pub async fn check_chain(&self, ordinals: &[u16]) -> Vec<Record> {
        self.until_draws_go_on(ordinals, 1).await;
        let mut seen = self.seen.lock().await;
        let mut longest: Vec<Record> = Vec::new();
        for ordinal in ordinals {
            // Older records are fetched from the others, in the member's own time.
            let whole = async || {
                let records = self.verified(*ordinal).await;
                match records[0].round {
                    1 => Ok(records),
                    from => Err(format!("rounds from {from}")),
                }
            };
            let records = until(&format!("the whole chain at {}", self.member(*ordinal)), whole).await;
            for record in &records {
                seen.take(record);
            }
            if records.len() > longest.len() {
                longest = records;
            }
        }
        let rounds: Vec<u64> = seen.by_round.keys().copied().collect();
        assert_eq!(
            rounds,
            (1..=longest.len() as u64).collect::<Vec<_>>(),
            "a record that was shown is gone"
        );
        assert!(longest.iter().all(|record| record.chain == longest[0].chain));
        longest
    }
}

/// The longest time in which nothing was drawn, from a round on, in seconds.
pub fn longest_gap(records: &[Record], from: u64) -> u64 {
    let slots: Vec<i64> = records
        .iter()
        .filter(|record| record.round >= from)
        .map(|record| record.slot.0)
        .collect();
    slots
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).unsigned_abs())
        .max()
        .unwrap_or(0)
}
