//! How far a follower is in a chain, and what of that which comes is new to it.

use std::cmp::Reverse;

use crate::record::Record;

#[derive(Debug, Default)]
pub(in crate::cli) struct Position {
    /// The round to go on from; none for whatever comes next.
    pub(in crate::cli) next: Option<u64>,
    /// The last one told.
    pub(in crate::cli) last: Option<Box<Record>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It goes on where the last one ended.
    New,
    /// It is newer, and of a chain that is another, or goes on otherwise than was told.
    Another,
    /// It was told, or is of a chain that was given up.
    Old,
}

impl Position {
    /// A member that was asked again, or one that lags behind, gives what was told already.
    ///
    /// Two chains of one set: the later one was drawn later, and of two draws of one slot the one that began anew has the lower
    /// round. Fences don't tell: a chain that a person began has greater ones (docs/protocol.md, 3.5), but one that began with
    /// no volume and no lease left counts from 1 again.
    /// In one chain, a round that was told comes again with a greater fence where the Lease went on without some records.
    pub(super) fn sees(&self, record: &Record) -> Seen {
        let Some(last) = &self.last else {
            return match self.next.is_none_or(|next| record.round >= next) {
                true => Seen::New,
                false => Seen::Old,
            };
        };
        if last.chain != record.chain {
            return match (record.slot, Reverse(record.round)) > (last.slot, Reverse(last.round)) {
                true => Seen::Another,
                false => Seen::Old,
            };
        }
        let follows = record.round == last.round + 1;
        match record.round > last.round {
            true if follows && record.previous != Some(last.hash) => Seen::Another,
            true => Seen::New,
            false if record.fence > last.fence => Seen::Another,
            false => Seen::Old,
        }
    }

    /// Whether the next question is for what comes after the last one told. Where that was asked of another chain, rounds of it
    /// may lie before the answer.
    pub(super) fn resumes(&self) -> bool {
        self.last.as_ref().is_some_and(|last| self.next == Some(last.round + 1))
    }

    pub(super) fn take(&mut self, record: Box<Record>) {
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
            voters: 1,
            previous: previous.map(|record| record.hash),
            contributions: Vec::new(),
            missing: Vec::new(),
        }
        .seal()
    }

    #[test]
    fn what_is_newer_is_told_by_round_in_a_chain_and_by_slot_between_chains() {
        let told = record(1, 7, 70, 5, None);
        let mut position = Position::default();
        assert_eq!(position.sees(&told), Seen::New);
        position.take(Box::new(told.clone()));
        assert!(position.resumes());
        for (other, seen) in [
            (record(1, 8, 80, 5, Some(&told)), Seen::New),
            (record(1, 9, 90, 6, None), Seen::New),
            (told.clone(), Seen::Old),
            (record(1, 6, 60, 4, None), Seen::Old),
            // The Lease went on without the round that was told.
            (record(1, 8, 80, 6, Some(&record(1, 7, 75, 6, None))), Seen::Another),
            (record(1, 6, 65, 6, None), Seen::Another),
            // Begun by a person, and begun after everything was lost.
            (record(2, 1, 70, 1_048_600, None), Seen::Another),
            (record(2, 1, 70, 1, None), Seen::Another),
            (record(2, 1, 80, 1, None), Seen::Another),
            // Of before.
            (record(2, 100, 60, 9, None), Seen::Old),
            (record(2, 100, 70, 4, None), Seen::Old),
        ] {
            assert_eq!(position.sees(&other), seen, "{other:?}");
        }
    }

    #[test]
    fn a_round_asked_for_is_the_first() {
        let position = Position {
            next: Some(7),
            last: None,
        };
        assert_eq!(position.sees(&record(1, 6, 60, 1, None)), Seen::Old);
        assert_eq!(position.sees(&record(1, 9, 90, 1, None)), Seen::New);
        assert!(!position.resumes());
    }
}
