//! Recovery (`docs/protocol.md`, 3.5): the heads of the voters, until enough have spoken to know the newest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ASK_AGAIN, AskError};
use crate::clock::Boot;
use crate::lease::Head;
use crate::peer::message::HeadsAnswer;
use crate::record::{Hash, Record};

pub(super) struct Recovery {
    set: String,
    pub fence: u64,
    /// What stood in the Lease when it began.
    pub base: Head,
    /// Records known, here or from others: the newest names the voters.
    known: Vec<Arc<Record>>,
    /// N, where no record says otherwise.
    own_voters: u16,
    /// What each voter answered: its head, or that it has none.
    answers: BTreeMap<u16, Option<Arc<Record>>>,
    pending: BTreeMap<u16, (u64, Boot)>,
    told: Option<Vec<u16>>,
}

pub(super) enum Found {
    /// These voters have to answer before anything can be said.
    Missing(Vec<u16>),
    /// All voters answered, none has a record, and nobody else is known to have one.
    Nothing,
    Newest(Arc<Record>),
}

impl Recovery {
    pub fn new(
        set: &str,
        fence: u64,
        base: Head,
        own: Option<Arc<Record>>,
        heard: Option<Arc<Record>>,
        own_voters: u16,
    ) -> Recovery {
        let known = [own, heard, base.valid().cloned()].into_iter().flatten();
        Recovery {
            set: set.to_owned(),
            fence,
            known: known.collect(),
            base,
            own_voters,
            answers: BTreeMap::new(),
            pending: BTreeMap::new(),
            told: None,
        }
    }

    /// The voters whose word counts: those that the newest head names.
    fn voters(&self) -> u16 {
        self.newest().map_or(self.own_voters, |newest| newest.voters)
    }

    fn newest(&self) -> Option<&Arc<Record>> {
        self.known.iter().max_by_key(|record| record.age())
    }

    pub fn to_ask(&self, now: Boot, published: &[u16]) -> Vec<u16> {
        let idle = |ordinal: &u16| self.pending.get(ordinal).is_none_or(|(_, again)| now >= *again);
        let open = |ordinal: &u16| !self.answers.contains_key(ordinal) && idle(ordinal);
        (0..self.voters())
            .filter(|o| published.contains(o) && open(o))
            .collect()
    }

    pub fn asked(&mut self, ordinal: u16, ask: u64, now: Boot) {
        // Asked again in time even if no answer to this one ever came.
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

    pub fn found(&self) -> Found {
        let voters = self.voters();
        let counted = || self.answers.range(..voters);
        let with_head = counted().filter(|(_, head)| head.is_some()).count();
        let all = counted().count() == usize::from(voters);
        if 2 * with_head > usize::from(voters) || all {
            let heads = counted().filter_map(|(_, head)| head.as_ref());
            let Some(newest) = heads.chain(self.base.valid()).max_by_key(|head| head.age()) else {
                // The voters lost theirs, and somebody without a vote still has the chain.
                return self.newest().cloned().map_or(Found::Nothing, Found::Newest);
            };
            // What others know of this chain counts as well: of two final records the newer has the older in its past. Another
            // chain that no voter has is from before the voters lost theirs.
            let of_its_chain = self.known.iter().filter(|known| known.chain == newest.chain);
            let newest = of_its_chain.chain([newest]).max_by_key(|record| record.age());
            return newest.cloned().map_or(Found::Nothing, Found::Newest);
        }
        Found::Missing(
            (0..voters)
                .filter(|ordinal| !self.answers.contains_key(ordinal))
                .collect(),
        )
    }

    /// Records newer than the one that is taken, of chains that no voter has: whoever holds them is to let go of them.
    pub fn passed_over(&self, taken: &Record) -> impl Iterator<Item = Hash> {
        let newer = |known: &&Arc<Record>| known.chain != taken.chain && known.age() > taken.age();
        self.known.iter().filter(newer).map(|known| known.hash)
    }

    /// Whether it was not said before that these are missing.
    pub fn is_news(&mut self, missing: &[u16]) -> bool {
        let news = self.told.as_deref() != Some(missing);
        if news {
            self.told = Some(missing.to_vec());
        }
        news
    }

    pub fn wake_at(&self, published: &[u16]) -> Boot {
        let open = |ordinal: &u16| published.contains(ordinal) && !self.answers.contains_key(ordinal);
        let asked = (0..self.voters())
            .filter(open)
            .filter_map(|ordinal| self.pending.get(&ordinal));
        asked.map(|(_, again)| *again).min().unwrap_or(Boot(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::message::VERSION;

    /// A recovery of three voters that know of no record, all asked.
    fn recovery() -> Recovery {
        let mut recovery = Recovery::new("rg", 1, Head::Absent, None, None, 3);
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
}
