//! Linked records of a set with one voter, each sealed as a conductor seals it.
#![allow(dead_code)] // not every program that includes this has a chain

use std::ops::RangeInclusive;

use random_generator::record::{Contribution, Draft, Hex, Record, Slot};

/// The records of these rounds, ten seconds apart, of the chain with this id; `slot` is that of round 0, in Unix seconds.
pub fn linked(chain: u8, slot: i64, rounds: RangeInclusive<u64>) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for round in rounds {
        let draft = Draft {
            set: "rg".into(),
            chain: Hex([chain; 16]),
            round,
            schedule: "@every 10s".into(),
            slot: Slot(slot + 10 * round as i64),
            missed: 0,
            holder: "rg-0_uid-nonce".into(),
            fence: 1,
            voters: 1.into(),
            previous: records.last().map(|record| record.hash),
            contributions: vec![Contribution {
                member: "rg-0".into(),
                next_commitment: Hex([1; 32]),
                ordinal: 0,
                reveal: None,
            }],
            missing: Vec::new(),
        };
        records.push(draft.seal());
    }
    records
}
