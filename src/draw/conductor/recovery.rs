//! Recovery (`docs/protocol.md`, 3.5): collects the voters' heads until the newest record is certain.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ASK_AGAIN, AskError, Report};
use crate::clock::Boot;
use crate::lease::Head;
use crate::peer::message::HeadsAnswer;
use crate::record::{Hash, Record, Voters};

pub(super) struct Recovery {
    set: String,
    pub fence: u64,
    /// The Lease's head when this began.
    pub base: Head,
    /// All known records; the newest decides who the voters are.
    known: Vec<Arc<Record>>,
    /// The voters if there is no record.
    own_voters: Voters,
    /// Each voter's head, or none if its ledger is empty.
    answers: BTreeMap<u16, Option<Arc<Record>>>,
    pending: BTreeMap<u16, (u64, Boot)>,
    reported: Option<(Vec<u16>, bool, bool)>,
}

pub(super) enum Found {
    /// These voters have to answer first.
    Missing(Vec<u16>),
    /// All voters answered, and no member has a record.
    Nothing,
    Newest(Arc<Record>),
}

impl Recovery {
    pub fn new(
        set: &str,
        fence: u64,
        base: Head,
        own: Option<Arc<Record>>,
        reported: Option<Arc<Record>>,
        own_voters: Voters,
    ) -> Recovery {
        let known = [own, reported, base.valid().cloned()].into_iter().flatten();
        Recovery {
            set: set.to_owned(),
            fence,
            known: known.collect(),
            base,
            own_voters,
            answers: BTreeMap::new(),
            pending: BTreeMap::new(),
            reported: None,
        }
    }

    /// The voters that the newest record names.
    fn voters(&self) -> Voters {
        self.newest().map_or(self.own_voters, |newest| newest.voters)
    }

    fn newest(&self) -> Option<&Arc<Record>> {
        self.known.iter().max_by_key(|record| record.age())
    }

    pub fn to_ask(&self, now: Boot, published: &[u16]) -> Vec<u16> {
        let idle = |ordinal: &u16| self.pending.get(ordinal).is_none_or(|(_, again)| now >= *again);
        let open = |ordinal: &u16| !self.answers.contains_key(ordinal) && idle(ordinal);
        self.voters()
            .ordinals()
            .filter(|o| published.contains(o) && open(o))
            .collect()
    }

    pub fn asked(&mut self, ordinal: u16, ask: u64, now: Boot) {
        // Ask again even if no answer ever comes.
        self.pending.insert(ordinal, (ask, now + 25 * ASK_AGAIN));
    }

    pub fn on_answer(&mut self, ask: u64, ordinal: u16, result: Result<HeadsAnswer, AskError>, now: Boot) {
        if self.pending.get(&ordinal).is_none_or(|(pending, _)| *pending != ask) {
            return;
        }
        match result {
            Ok(answer)
                if answer.ordinal == ordinal
                    && answer.head.as_ref().is_none_or(|head| self.is_sound(head, &answer)) =>
            {
                self.known.extend(answer.head.clone());
                self.answers.insert(ordinal, answer.head);
            }
            _ => {
                self.pending.insert(ordinal, (ask, now + ASK_AGAIN));
            }
        }
    }

    fn is_sound(&self, head: &Record, answer: &HeadsAnswer) -> bool {
        answer.set == self.set && head.set == self.set && head.check().is_ok()
    }

    /// The result so far.
    pub fn found(&self) -> Found {
        let voters = self.voters();
        let counted = || self.answers.range(voters.ordinals());
        let with_head = counted().filter(|(_, head)| head.is_some()).count();
        let all = counted().count() == usize::from(voters.count);
        if voters.is_majority(with_head) || all {
            let heads = counted().filter_map(|(_, head)| head.as_ref());
            let Some(newest) = heads.chain(self.base.valid()).max_by_key(|head| head.age()) else {
                // The voters lost the chain; a member without a vote may still have it.
                return self.newest().cloned().map_or(Found::Nothing, Found::Newest);
            };
            // Records that other members know of this chain count too: of two final records the newer follows the older. A chain
            // that no voter has is one that the voters lost.
            let of_its_chain = self.known.iter().filter(|known| known.chain == newest.chain);
            let newest = of_its_chain.chain([newest]).max_by_key(|record| record.age());
            return newest.cloned().map_or(Found::Nothing, Found::Newest);
        }
        Found::Missing(
            voters
                .ordinals()
                .filter(|ordinal| !self.answers.contains_key(ordinal))
                .collect(),
        )
    }

    /// Records newer than `taken`, of chains that no voter has: members are to replace them.
    pub fn passed_over(&self, taken: &Record) -> impl Iterator<Item = Hash> {
        let newer = |known: &&Arc<Record>| known.chain != taken.chain && known.age() > taken.age();
        self.known.iter().filter(newer).map(|known| known.hash)
    }

    /// What to report of these missing voters, if it differs from the last report.
    pub fn waiting(&mut self, missing: Vec<u16>, published: &[u16]) -> Option<Report> {
        let unpublished = !missing.iter().any(|ordinal| published.contains(ordinal));
        let first = self.newest().is_none();
        let now = Some((missing.clone(), unpublished, first));
        (self.reported != now).then(|| {
            self.reported = now;
            Report::Waiting {
                missing,
                unpublished,
                first,
            }
        })
    }

    pub fn wake_at(&self, published: &[u16]) -> Boot {
        let open = |ordinal: &u16| published.contains(ordinal) && !self.answers.contains_key(ordinal);
        let asked = self
            .voters()
            .ordinals()
            .filter(open)
            .filter_map(|ordinal| self.pending.get(&ordinal));
        asked.map(|(_, again)| *again).min().unwrap_or(Boot(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::message::VERSION;
    use crate::record::{Contribution, Draft, Hex, Slot};

    /// A recovery of three voters that know of no record, all asked.
    fn recovery() -> Recovery {
        let mut recovery = Recovery::new("rg", 1, Head::Absent, None, None, 3.into());
        for ordinal in recovery.to_ask(Boot(0), &[0, 1, 2]) {
            recovery.asked(ordinal, u64::from(ordinal), Boot(0));
        }
        recovery
    }

    fn empty(recovery: &mut Recovery, ordinal: u16) {
        let answer = HeadsAnswer {
            version: VERSION,
            set: "rg".to_owned(),
            member: format!("rg-{ordinal}"),
            ordinal,
            head: None,
            fence: 1,
        };
        recovery.on_answer(u64::from(ordinal), ordinal, Ok(answer), Boot(0));
    }

    #[test]
    fn a_majority_of_empty_ledgers_says_nothing_of_what_the_others_have() {
        let mut recovery = recovery();
        empty(&mut recovery, 0);
        empty(&mut recovery, 1);
        assert!(matches!(recovery.found(), Found::Missing(missing) if missing == [2]));
        empty(&mut recovery, 2);
        assert!(matches!(recovery.found(), Found::Nothing), "all have answered");
    }

    #[test]
    fn an_answer_to_another_question_does_not_count() {
        let mut recovery = recovery();
        empty(&mut recovery, 0);
        recovery.on_answer(7, 1, Err(AskError::Timeout), Boot(0));
        recovery.on_answer(1, 1, Err(AskError::Timeout), Boot(0));
        assert!(matches!(recovery.found(), Found::Missing(missing) if missing == [1, 2]));
        assert!(recovery.to_ask(Boot(0), &[0, 1, 2]).is_empty(), "not at once again");
        assert_eq!(recovery.to_ask(Boot(0) + ASK_AGAIN, &[0, 1, 2]), [1]);
    }

    fn record(chain: u8, fence: u64, voters: u16) -> Arc<Record> {
        let contributions = (0..voters).map(|ordinal| Contribution {
            member: format!("rg-{ordinal}"),
            next_commitment: Hex([9; 32]),
            ordinal,
            reveal: None,
        });
        let draft = Draft {
            chain: Hex([chain; 16]),
            contributions: contributions.collect(),
            voters: voters.into(),
            schedule: "@every 10s".to_owned(),
            slot: Slot(1_700_000_000),
            ..Draft::after(None, fence)
        };
        Arc::new(draft.seal())
    }

    fn has(recovery: &mut Recovery, ordinal: u16, head: &Arc<Record>) {
        let answer = HeadsAnswer {
            version: VERSION,
            set: "rg".to_owned(),
            member: format!("rg-{ordinal}"),
            ordinal,
            head: Some(head.clone()),
            fence: 1,
        };
        recovery.on_answer(u64::from(ordinal), ordinal, Ok(answer), Boot(0));
    }

    #[test]
    fn a_newer_head_that_names_other_voters_changes_whose_answers_are_needed() {
        let (older, newer) = (record(7, 1, 3), record(7, 2, 5));
        let mut recovery = recovery();
        has(&mut recovery, 0, &older);
        has(&mut recovery, 1, &newer);
        assert!(matches!(recovery.found(), Found::Missing(missing) if missing == [2, 3, 4]));
        assert_eq!(
            recovery.to_ask(Boot(0), &[0, 1, 2, 3, 4]),
            [3, 4],
            "what came still counts"
        );
        has(&mut recovery, 2, &older);
        assert!(matches!(recovery.found(), Found::Newest(found) if found == newer));
    }

    #[test]
    fn a_head_that_does_not_verify_or_is_of_another_set_does_not_count() {
        let good = record(7, 1, 3);
        let altered = Record {
            fence: 9,
            ..Record::clone(&good)
        };
        let mut of_another_set = Record {
            set: "web".to_owned(),
            ..Record::clone(&good)
        };
        for contribution in &mut of_another_set.contributions {
            contribution.member = contribution.member.replace("rg", "web");
        }
        of_another_set.hash = of_another_set.computed_hash();
        assert_eq!(of_another_set.check(), Ok(()));
        for bad in [altered, of_another_set] {
            let mut recovery = recovery();
            has(&mut recovery, 0, &Arc::new(bad));
            has(&mut recovery, 1, &good);
            assert!(matches!(recovery.found(), Found::Missing(missing) if missing == [0, 2]));
        }
    }

    #[test]
    fn the_lease_and_members_without_a_vote_count_when_what_they_have_is_newer() {
        let (older, newer) = (record(7, 1, 3), record(7, 2, 3));
        let bases = [Head::Valid(newer.clone()), Head::Absent];
        for (base, ahead) in bases.into_iter().zip([None, Some(newer.clone())]) {
            let mut recovery = Recovery::new("rg", 1, base, None, ahead, 3.into());
            for ordinal in recovery.to_ask(Boot(0), &[0, 1, 2]) {
                recovery.asked(ordinal, u64::from(ordinal), Boot(0));
            }
            has(&mut recovery, 0, &older);
            has(&mut recovery, 1, &older);
            assert!(matches!(recovery.found(), Found::Newest(found) if found == newer));
        }
        // Of another chain it counts only in the Lease.
        let lost = record(8, 2, 3);
        let mut recovery = Recovery::new("rg", 1, Head::Valid(lost.clone()), None, None, 3.into());
        for ordinal in recovery.to_ask(Boot(0), &[0, 1, 2]) {
            recovery.asked(ordinal, u64::from(ordinal), Boot(0));
        }
        has(&mut recovery, 0, &older);
        has(&mut recovery, 1, &older);
        assert!(matches!(recovery.found(), Found::Newest(found) if found == lost));
        let mut recovery = Recovery::new("rg", 1, Head::Absent, None, Some(lost.clone()), 3.into());
        for ordinal in recovery.to_ask(Boot(0), &[0, 1, 2]) {
            recovery.asked(ordinal, u64::from(ordinal), Boot(0));
        }
        has(&mut recovery, 0, &older);
        has(&mut recovery, 1, &older);
        assert!(matches!(recovery.found(), Found::Newest(found) if found == older));
        assert_eq!(recovery.passed_over(&older).collect::<Vec<_>>(), [lost.hash]);
    }

    #[test]
    fn the_newest_known_record_says_who_is_asked_and_without_one_this_members_own_voters_are() {
        let asked = |own: Option<Arc<Record>>, base, reported| {
            let recovery = Recovery::new("rg", 1, base, own, reported, 2.into());
            recovery.to_ask(Boot(0), &[0, 1, 2, 3, 4]).len()
        };
        let (older, newer) = (record(7, 1, 3), record(7, 2, 5));
        assert_eq!(asked(None, Head::Absent, None), 2);
        assert_eq!(asked(Some(newer.clone()), Head::Valid(older.clone()), None), 5);
        assert_eq!(asked(Some(older.clone()), Head::Valid(newer.clone()), None), 5);
        assert_eq!(asked(Some(older.clone()), Head::Absent, Some(newer)), 5);
        assert_eq!(asked(Some(older), Head::Absent, None), 3);
    }
}
