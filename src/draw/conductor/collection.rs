//! Collects the members' answers for one slot, and makes the record from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{ASK_AGAIN, AskError, ConductorConfig, MOST_PATIENCE};
use crate::clock::Boot;
use crate::lease::Head;
use crate::peer::message::{KeepAnswer, KeepRequest, Refusal, VERSION};
use crate::record::secrets::commitment;
use crate::record::{ChainId, Contribution, Draft, Hash, MAX_CONTRIBUTIONS, Missing, Reason, Record, Slot, Voters};

pub(super) struct Collection {
    pub fence: u64,
    /// The Lease's head when this began.
    pub base: Head,
    head: Option<Arc<Record>>,
    /// Voters of the record before the head, once the ledger has it.
    voters_before: Option<Voters>,
    set: String,
    voters: Voters,
    chain: ChainId,
    round: u64,
    restart: bool,
    passed_over: Vec<Hash>,
    slot: Slot,
    /// From then on a majority is enough.
    patience: Boot,
    members: BTreeMap<u16, Member>,
}

/// One member of the collection.
struct Member {
    /// False beyond 32: such a member only stores the head.
    contributes: bool,
    ask: Option<u64>,
    state: State,
}

enum State {
    Waiting,
    Failed { reason: Reason, again: Boot },
    Kept(Option<Contribution>),
}

impl Collection {
    pub fn new(
        config: &ConductorConfig,
        fence: u64,
        base: &Head,
        new_chain: Option<(ChainId, bool)>,
        slot: Slot,
    ) -> Collection {
        let restart = new_chain.is_some_and(|(_, restart)| restart);
        let head = base.valid().filter(|_| !restart).cloned();
        let chain = head.as_ref().map(|head| head.chain).or(new_chain.map(|(id, _)| id));
        Collection {
            fence,
            base: base.clone(),
            round: head.as_ref().map_or(1, |head| head.round + 1),
            chain: chain.unwrap_or(crate::record::Hex([0; 16])),
            head,
            voters_before: None,
            set: config.set.clone(),
            voters: config.voters,
            restart,
            passed_over: Vec::new(),
            slot,
            patience: Boot(u64::MAX),
            members: BTreeMap::from([(config.ordinal, Member::new())]),
        }
    }

    /// Members may replace these records by the head.
    pub fn passing_over(mut self, passed_over: &[Hash]) -> Collection {
        self.passed_over = passed_over.to_vec();
        self
    }

    pub fn beginning(mut self, now: Boot, deadline: Duration, published: &[u16]) -> Collection {
        self.patience = now
            + match self.begins_anew() {
                true => deadline / 2,
                false => (deadline / 4).min(MOST_PATIENCE),
            };
        self.publish(published);
        self
    }

    /// Nobody who was asked knows a record. A member that answers late may still know one, and refuse as `ahead`.
    fn begins_anew(&self) -> bool {
        self.head.is_none() && !self.restart
    }

    /// Looks for the record before the head, which a new volume gets only from peers.
    pub fn find_previous(&mut self, chain: &[Arc<Record>]) {
        let previous = self.head.as_ref().and_then(|head| head.previous);
        if let Some(known) = chain.iter().rev().find(|record| Some(record.hash) == previous) {
            self.voters_before = Some(known.voters);
        }
    }

    /// Adds newly published members. 32 contribute: voters first, because a record needs a majority of them, then the lowest.
    pub fn publish(&mut self, published: &[u16]) {
        for ordinal in published {
            self.members.entry(*ordinal).or_insert_with(Member::new);
        }
        let before = self.head.as_ref().map(|head| head.voters);
        let rank = |ordinal: &u16| match before {
            _ if self.voters.contains(*ordinal) => 0,
            Some(before) if before.contains(*ordinal) => 1,
            _ => 2,
        };
        let mut order: Vec<u16> = self.members.keys().copied().collect();
        order.sort_by_key(|ordinal| (rank(ordinal), *ordinal));
        for (place, ordinal) in order.iter().enumerate() {
            if let Some(member) = self.members.get_mut(ordinal) {
                member.contributes = place < MAX_CONTRIBUTIONS;
            }
        }
    }

    pub fn to_ask(&self, now: Boot) -> Vec<u16> {
        let due = |member: &Member| match member.state {
            State::Waiting => member.ask.is_none(),
            State::Failed { again, .. } => now >= again,
            State::Kept(_) => false,
        };
        self.members
            .iter()
            .filter(|(_, member)| due(member))
            .map(|(o, _)| *o)
            .collect()
    }

    pub fn asked(&mut self, ordinal: u16, ask: u64, now: Boot) {
        if let Some(member) = self.members.get_mut(&ordinal) {
            member.ask = Some(ask);
            if let State::Failed { again, .. } = &mut member.state {
                // The reason stays until the answer, which always comes: the shell bounds each request.
                *again = now + Duration::from_secs(3600);
            }
        }
    }

    pub fn request(&self, ordinal: u16, config: &ConductorConfig) -> Arc<KeepRequest> {
        Arc::new(KeepRequest {
            version: VERSION,
            set: config.set.clone(),
            from: config.member(),
            holder: config.identity.clone(),
            fence: self.fence,
            voters: config.voters,
            chain: self.chain,
            round: self.round,
            slot: self.slot,
            head: self.head.clone(),
            contribute: self.members.get(&ordinal).is_some_and(|member| member.contributes),
            restart: self.restart,
            passed_over: self.passed_over.clone(),
        })
    }

    pub fn on_answer(&mut self, ask: u64, ordinal: u16, result: Result<KeepAnswer, AskError>, now: Boot) {
        let failed = |reason| State::Failed {
            reason,
            again: now + ASK_AGAIN,
        };
        let state = match result {
            Ok(answer) => match self.accept(ordinal, answer) {
                Some(contribution) => State::Kept(contribution),
                None => failed(Reason::Invalid),
            },
            Err(AskError::Refused(Refusal::Ledger { .. })) => failed(Reason::Ledger),
            Err(AskError::Refused(_)) => failed(Reason::Refused),
            Err(AskError::Unreachable) => failed(Reason::Unreachable),
            Err(AskError::Timeout) => failed(Reason::Timeout),
            Err(AskError::Invalid) => failed(Reason::Invalid),
        };
        if let Some(member) = self.members.get_mut(&ordinal).filter(|member| member.ask == Some(ask)) {
            member.state = state;
        }
    }

    /// The contribution in a valid answer to our request; none if it is invalid.
    fn accept(&self, ordinal: u16, answer: KeepAnswer) -> Option<Option<Contribution>> {
        let member = self.members.get(&ordinal)?;
        let ours = answer.version == VERSION
            && answer.set == self.set
            && answer.ordinal == ordinal
            && answer.chain == self.chain
            && answer.round == self.round
            && answer.kept == self.head.as_ref().map(|head| head.hash);
        if !ours || answer.contribution.is_some() != member.contributes {
            return None;
        }
        let Some(offer) = answer.contribution else {
            return Some(None);
        };
        if let Some(reveal) = &offer.reveal {
            let before = self.head.as_ref().and_then(|head| head.contribution(ordinal))?;
            if before.next_commitment != commitment(ordinal, reveal) {
                return None;
            }
        }
        Some(Some(Contribution {
            member: format!("{}-{ordinal}", answer.set),
            next_commitment: offer.next_commitment,
            ordinal,
            reveal: offer.reveal,
        }))
    }

    /// The voters that are missing, as long as a majority is. A verifier demands contributions from a majority of today's voters and
    /// of the head's. Of the voters before the head a majority must keep it: a member that knows only that older record would ask
    /// them in a recovery.
    pub fn lacks_majority(&self, voters: Voters) -> Option<Vec<u16>> {
        let contributors = |of: Voters| lacking(of, |ordinal| self.has_contributed(ordinal));
        let keepers = |of: Voters| lacking(of, |ordinal| self.has_kept(ordinal));
        let head = self.head.as_ref().map(|head| head.voters);
        contributors(voters)
            .or_else(|| contributors(head?))
            .or_else(|| keepers(self.voters_before?))
    }

    /// The contributors to the head that haven't answered, as long as the record before the head is unknown. Its voters are unknown
    /// then, but a majority of them is among these contributors. None if so many volumes were lost that perhaps nobody has that
    /// record.
    pub fn lacks_previous(&self) -> Option<Vec<u16>> {
        let head = self.head.as_ref().filter(|head| head.previous.is_some())?;
        if self.voters_before.is_some() {
            return None;
        }
        let contributors = head.contributions.iter().map(|contribution| contribution.ordinal);
        let missing: Vec<u16> = contributors
            .clone()
            .filter(|ordinal| !self.has_kept(*ordinal))
            .collect();
        let wiped = contributors.filter(|ordinal| head.voters.contains(*ordinal) && self.lost_its_volume(*ordinal));
        (!missing.is_empty() && !head.voters.is_majority(wiped.count())).then_some(missing)
    }

    /// Whether this contributor to the head can't reveal what it committed to there: its seed was on its volume.
    fn lost_its_volume(&self, contributor: u16) -> bool {
        let state = self.members.get(&contributor).map(|member| &member.state);
        matches!(state, Some(State::Kept(Some(contribution))) if contribution.reveal.is_none())
    }

    fn has_contributed(&self, ordinal: u16) -> bool {
        let state = self.members.get(&ordinal).map(|member| &member.state);
        matches!(state, Some(State::Kept(Some(_))))
    }

    fn has_kept(&self, ordinal: u16) -> bool {
        matches!(
            self.members.get(&ordinal),
            Some(Member {
                state: State::Kept(_),
                ..
            })
        )
    }

    /// Given a majority: every member has answered, or the wait is over.
    pub fn is_ripe(&self, now: Boot) -> bool {
        now >= self.patience
            || self
                .members
                .values()
                .all(|member| matches!(member.state, State::Kept(_)))
    }

    pub fn wake_at(&self, now: Boot) -> Boot {
        let again = self.members.values().filter_map(|member| match member.state {
            State::Failed { again, .. } => Some(again),
            _ => None,
        });
        let patience = (self.patience > now).then_some(self.patience);
        again.chain(patience).min().unwrap_or(Boot(u64::MAX))
    }

    pub fn record(&self, config: &ConductorConfig) -> Record {
        let mut contributions = Vec::new();
        let mut missing: BTreeMap<u16, Reason> = BTreeMap::new();
        for ordinal in config.voters.ordinals() {
            missing.insert(ordinal, Reason::Unpublished);
        }
        for (ordinal, member) in &self.members {
            match &member.state {
                State::Kept(Some(contribution)) => {
                    contributions.push(contribution.clone());
                    missing.remove(ordinal);
                }
                State::Kept(None) => {
                    missing.remove(ordinal);
                }
                State::Failed { reason, .. } if member.contributes => {
                    missing.insert(*ordinal, *reason);
                }
                State::Waiting if member.contributes => {
                    missing.insert(*ordinal, Reason::Timeout);
                }
                State::Failed { .. } | State::Waiting => {}
            }
        }
        let before = self.head.as_ref();
        Draft {
            set: config.set.clone(),
            chain: self.chain,
            round: self.round,
            schedule: config.schedule.to_string(),
            slot: self.slot,
            missed: before.map_or(0, |head| config.schedule.missed_between(head.slot, self.slot)),
            holder: config.identity.clone(),
            fence: self.fence,
            voters: config.voters,
            previous: before.map(|head| head.hash),
            contributions,
            missing: missing
                .into_iter()
                .map(|(ordinal, reason)| Missing { ordinal, reason })
                .collect(),
        }
        .seal()
    }
}

impl Member {
    fn new() -> Member {
        Member {
            contributes: false,
            ask: None,
            state: State::Waiting,
        }
    }
}

/// The voters for which `does` is false, unless a majority does.
fn lacking(voters: Voters, does: impl Fn(u16) -> bool) -> Option<Vec<u16>> {
    let missing: Vec<u16> = voters.ordinals().filter(|ordinal| !does(*ordinal)).collect();
    (!voters.is_majority(usize::from(voters.count) - missing.len())).then_some(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_contribute_first_and_then_the_lowest() {
        let contributors = |voters: &str, published: std::ops::Range<u16>| {
            let config = ConductorConfig {
                set: "rg".to_owned(),
                ordinal: 0,
                identity: "rg-0_u-01234567".to_owned(),
                voters: voters.parse().unwrap(),
                schedule: "@every 1s".parse().unwrap(),
                deadline: None,
                lease_duration: Duration::from_secs(15),
            };
            let mut collection = Collection::new(&config, 1, &Head::Absent, None, Slot(0));
            collection.publish(&published.collect::<Vec<_>>());
            let contribute = collection.members.iter().filter(|(_, member)| member.contributes);
            contribute.map(|(ordinal, _)| *ordinal).collect::<Vec<_>>()
        };
        assert_eq!(contributors("3", 0..40), (0..32).collect::<Vec<_>>());
        assert_eq!(contributors("37-39", 0..40), (0..29).chain(37..40).collect::<Vec<_>>());
    }
}
