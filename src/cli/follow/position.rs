//! How far a follower is in a chain, and whether a record is new to it.

use std::cmp::Reverse;

use crate::record::Record;

#[derive(Debug, Default)]
pub(in crate::cli) struct Position {
    /// The round to continue from; none for the next that is drawn.
    pub(in crate::cli) next: Option<u64>,
    /// The last one shown.
    pub(in crate::cli) last: Option<Box<Record>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It continues the chain that was shown.
    New,
    /// It is newer, and of another chain, or of one that changed after the last record shown.
    OtherChain,
    /// It was shown, or is of a chain that was given up.
    Old,
}

impl Position {
    /// Where a record stands relative to what was shown. A member that is asked again, or that lags, repeats old records.
    ///
    /// Of two chains of one set the later one was drawn later; of two draws of one slot, the one of the newer chain has the
    /// lower round. Fences can't decide: a chain that a person started has greater ones (docs/protocol.md, 3.5), but one that
    /// started with neither volumes nor lease counts from 1 again.
    /// In one chain, a round comes again with a greater fence where the Lease continued without some records.
    pub(super) fn compare(&self, record: &Record) -> Order {
        let Some(last) = &self.last else {
            return match self.next.is_none_or(|next| record.round >= next) {
                true => Order::New,
                false => Order::Old,
            };
        };
        if last.chain != record.chain {
            return match (record.slot, Reverse(record.round)) > (last.slot, Reverse(last.round)) {
                true => Order::OtherChain,
                false => Order::Old,
            };
        }
        let follows = record.round == last.round + 1;
        match record.round > last.round {
            true if follows && record.previous != Some(last.hash) => Order::OtherChain,
            true => Order::New,
            false if record.fence > last.fence => Order::OtherChain,
            false => Order::Old,
        }
    }

    /// Whether the next request continues right after the last record shown. A member with another chain then leaves out the
    /// rounds before.
    pub(super) fn resumes(&self) -> bool {
        self.last.as_ref().is_some_and(|last| self.next == Some(last.round + 1))
    }

    pub(super) fn advance(&mut self, record: Box<Record>) {
        self.next = Some(record.round + 1);
        self.last = Some(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Draft, Hex, Slot};

    fn record(chain: u8, round: u64, slot: i64, fence: u64, previous: Option<&Record>) -> Record {
        Draft {
            set: "rg".into(),
            chain: Hex([chain; 16]),
            round,
            schedule: "@every 10s".into(),
            slot: Slot(slot),
            missed: 0,
            holder: "rg-0_uid-nonce".into(),
            fence,
            voters: 1.into(),
            previous: previous.map(|record| record.hash),
            contributions: Vec::new(),
            missing: Vec::new(),
        }
        .seal()
    }

    #[test]
    fn newer_is_decided_by_round_in_a_chain_and_by_slot_between_chains() {
        let shown = record(1, 7, 70, 5, None);
        let mut position = Position::default();
        assert_eq!(position.compare(&shown), Order::New);
        position.advance(Box::new(shown.clone()));
        assert!(position.resumes());
        for (other, order) in [
            (record(1, 8, 80, 5, Some(&shown)), Order::New),
            (record(1, 9, 90, 6, None), Order::New),
            (shown.clone(), Order::Old),
            (record(1, 6, 60, 4, None), Order::Old),
            // The Lease continued without the round that was shown.
            (record(1, 8, 80, 6, Some(&record(1, 7, 75, 6, None))), Order::OtherChain),
            (record(1, 6, 65, 6, None), Order::OtherChain),
            // Started by a person, and after everything was lost.
            (record(2, 1, 70, 1_048_600, None), Order::OtherChain),
            (record(2, 1, 70, 1, None), Order::OtherChain),
            (record(2, 1, 80, 1, None), Order::OtherChain),
            // Older.
            (record(2, 100, 60, 9, None), Order::Old),
            (record(2, 100, 70, 4, None), Order::Old),
        ] {
            assert_eq!(position.compare(&other), order, "{other:?}");
        }
    }

    #[test]
    fn a_requested_round_is_the_first() {
        let position = Position {
            next: Some(7),
            last: None,
        };
        assert_eq!(position.compare(&record(1, 6, 60, 1, None)), Order::Old);
        assert_eq!(position.compare(&record(1, 9, 90, 1, None)), Order::New);
        assert!(!position.resumes());
    }
}
