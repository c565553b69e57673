//! What must hold, checked at every step by someone who sees everything.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use random_generator::draw::conductor::Report;
use random_generator::lease::{Head, LeaseObject};
use random_generator::peer::message::{Given, KeepRequest};
use random_generator::record::chain;
use random_generator::record::{ChainId, Hash, Record, Slot, Voters};

use crate::process::{Process, Volume};

pub type Verdict = Result<(), String>;

/// Ordinal, its seed, chain, round, and the head that was to be kept.
type Question = (u16, [u8; 32], ChainId, u64, Option<Hash>);

#[derive(Default)]
pub struct Oracle {
    /// Every record that was ever in the Lease, in the order in which it came there first.
    pub finals: HashMap<Hash, Arc<Record>>,
    pub newest: Option<Arc<Record>>,
    /// Pairs of records that were found to follow each other.
    links: HashSet<(Hash, Hash)>,
    /// What each (ordinal, seed) gave for (chain, round, head).
    given: HashMap<Question, Given>,
    /// The Lease was deleted, set back or damaged, and its head hasn't been valid and newest since.
    pub lost: bool,
    pub losses: u64,
    /// Records that had to survive when the Lease was lost last, with who held them.
    secured: Vec<(Arc<Record>, BTreeSet<u16>)>,
    pub wiped: BTreeSet<u16>,
    pub drawn: u64,
    pub restored: u64,
    /// When the Lease was last deleted, set back or damaged; terms begun before are their own affair.
    pub lost_at: u64,
}

fn majority_holds(voters: Voters, holders: &BTreeSet<u16>) -> bool {
    voters.is_majority(count(voters, holders))
}

fn count(voters: Voters, members: &BTreeSet<u16>) -> usize {
    members.iter().filter(|ordinal| voters.contains(**ordinal)).count()
}

pub fn holders(record: &Record, volumes: &[Volume]) -> BTreeSet<u16> {
    let has = |volume: &Volume| volume.records.contains_key(&record.hash);
    (0u16..)
        .zip(volumes)
        .filter(|(_, volume)| has(volume))
        .map(|(ordinal, _)| ordinal)
        .collect()
}

impl Oracle {
    /// The Lease is about to be deleted, set back or damaged.
    pub fn lease_lost(&mut self, volumes: &[Volume], now: u64) {
        self.losses += 1;
        self.lost_at = now;
        self.lost = true;
        let followed: HashSet<Hash> = self.finals.values().filter_map(|record| record.previous).collect();
        let held = |record: &Arc<Record>| (record.clone(), holders(record, volumes));
        let secured = |(record, holders): &(Arc<Record>, BTreeSet<u16>)| {
            majority_holds(record.voters, holders)
                && (followed.contains(&record.hash) || self.majority_before_holds(record, holders))
        };
        // What the newest record has not in its past was given up before, and judged then.
        let stands = |record: &&Arc<Record>| {
            let newest = self.newest.as_ref();
            newest.is_some_and(|newest| self.is_past_of(record, newest))
        };
        self.secured = self.finals.values().filter(stands).map(held).filter(secured).collect();
        self.secured.sort_by_key(|(record, _)| record.age());
    }

    /// Whether a majority of the voters of the record before holds this one: who knows only that record asks them.
    fn majority_before_holds(&self, record: &Record, holders: &BTreeSet<u16>) -> bool {
        let before = record.previous.and_then(|previous| self.finals.get(&previous));
        before.is_none_or(|before| majority_holds(before.voters, holders))
    }

    /// A member's write took effect in the store.
    pub fn written(
        &mut self,
        before: Option<&LeaseObject>,
        after: &LeaseObject,
        by: &Process,
        volumes: &[Volume],
    ) -> Verdict {
        let Some(before) = before else {
            return Err(format!("{} created the Lease by an update", by.identity));
        };
        let held_before = before.spec.held_by();
        let held_after = after.spec.held_by();
        if held_after.is_some_and(|holder| holder != by.identity) {
            return Err(format!("{} wrote the name of {held_after:?}", by.identity));
        }
        if held_after.is_none() && held_before.is_some_and(|holder| holder != by.identity) {
            return Err(format!("{} released the lease of {held_before:?}", by.identity));
        }
        if after.fence < before.fence
            || (held_after.is_some() && held_after != held_before && after.fence == before.fence)
        {
            return Err(format!(
                "fence {} after {} for {held_after:?}",
                after.fence, before.fence
            ));
        }
        if before.payload != after.payload {
            self.head_changed(before, after, by, volumes)?;
        }
        Ok(())
    }

    fn head_changed(&mut self, before: &LeaseObject, after: &LeaseObject, by: &Process, volumes: &[Volume]) -> Verdict {
        let Head::Valid(record) = &after.payload else {
            return Err(format!("{} took the record away", by.identity));
        };
        record
            .check()
            .map_err(|error| format!("a record that breaks a rule: {error}"))?;
        if let Head::Valid(previous) = &before.payload
            && record.slot <= previous.slot
            && !self.lost
        {
            return Err(format!("slot {} was drawn again, after {}", record.slot, previous.slot));
        }
        if self.finals.contains_key(&record.hash) {
            if !self.lost {
                return Err(format!("round {} was put back though the Lease stood", record.round));
            }
            self.restored += 1;
            return self.goes_on(record, by, volumes);
        }
        match &before.payload {
            Head::Valid(previous) => {
                chain::follows(previous, record).map_err(|error| format!("a record that doesn't follow: {error}"))?;
                // A volume lost after it answered is the claim's own exception.
                let lost = |voters| count(voters, &self.wiped);
                let before = previous.previous.and_then(|before| self.finals.get(&before));
                // What a majority of its voters lost may be given up.
                let before = before.filter(|_| !previous.voters.is_majority(lost(previous.voters)));
                let before = before.map(|before| before.voters);
                for voters in [record.voters, previous.voters].into_iter().chain(before) {
                    let keep = count(voters, &holders(previous, volumes));
                    if !voters.is_majority(keep + lost(voters)) {
                        return Err(format!(
                            "round {} was drawn, and only {keep} keep the one before",
                            record.round
                        ));
                    }
                }
            }
            Head::Absent | Head::Invalid(_) if record.round == 1 => {}
            Head::Absent | Head::Invalid(_) => return Err(format!("round {} came from nowhere", record.round)),
        }
        if record.holder != by.identity || record.fence != after.fence {
            return Err("the record names another holder or fence than the Lease".into());
        }
        let taken = self
            .finals
            .values()
            .find(|old| old.chain == record.chain && (old.slot == record.slot || old.round == record.round));
        if let Some(old) = taken.filter(|_| self.losses == 0) {
            return Err(format!(
                "slot {} or round {} was drawn twice: {}",
                record.slot, record.round, old.hash
            ));
        }
        self.finals.insert(record.hash, record.clone());
        self.newest = Some(record.clone());
        self.drawn += 1;
        if self.lost {
            self.goes_on(record, by, volumes)?;
        }
        self.lost = false;
        Ok(())
    }

    /// Final stays: what a majority of its voters held at the loss, on volumes that were never lost, must be in the past of
    /// what stands in the Lease now, if another record followed it or a majority of the voters before held it too.
    fn goes_on(&self, record: &Record, by: &Process, volumes: &[Volume]) -> Verdict {
        for (secured, had) in &self.secured {
            let have = holders(secured, volumes);
            let kept: BTreeSet<u16> = had
                .intersection(&have)
                .filter(|o| !self.wiped.contains(o))
                .copied()
                .collect();
            let kept_or_wiped = kept.union(&self.wiped).copied().collect();
            let gone =
                !self.majority_before_holds(secured, &kept) && self.majority_before_holds(secured, &kept_or_wiped);
            // Who knows no record asks the voters of its own configuration.
            let begins_anew = record.round == 1 && record.chain != secured.chain;
            let unasked = begins_anew && !majority_holds(by.voters, &kept);
            let must_stay = majority_holds(secured.voters, &kept) && !gone && !unasked;
            if must_stay && !self.is_past_of(secured, record) {
                return Err(format!(
                    "round {} (fence {}) came in place of round {} (fence {}), which the majority {kept:?} kept",
                    record.round, record.fence, secured.round, secured.fence
                ));
            }
        }
        Ok(())
    }

    fn is_past_of(&self, past: &Record, record: &Record) -> bool {
        let mut previous = record.previous;
        let mut hash = record.hash;
        while hash != past.hash {
            let Some(next) = previous else {
                return false;
            };
            hash = next;
            previous = self.finals.get(&next).and_then(|record| record.previous);
        }
        true
    }

    /// The same request gets the same answer.
    pub fn given(&mut self, ordinal: u16, seed: [u8; 32], request: &KeepRequest, given: &Given) -> Verdict {
        let head = request.head.as_ref().map(|head| head.hash);
        let key = (ordinal, seed, request.chain, request.round, head);
        match self.given.insert(key, given.clone()) {
            Some(before) if before != *given => {
                Err(format!("rg-{ordinal} gave two answers for round {}", request.round))
            }
            _ => Ok(()),
        }
    }

    /// What a member shows its readers now, against what its ordinal showed before.
    pub fn shows(&mut self, ordinal: u16, before: &[Arc<Record>], chain: &[Arc<Record>]) -> Verdict {
        for record in chain
            .iter()
            .rev()
            .take_while(|record| before.last().is_none_or(|last| last.hash != record.hash))
        {
            if !self.finals.contains_key(&record.hash) {
                return Err(format!(
                    "rg-{ordinal} shows round {}, which was never in the Lease",
                    record.round
                ));
            }
        }
        for pair in chain.windows(2) {
            if !self.links.insert((pair[0].hash, pair[1].hash)) {
                continue;
            }
            if let Err(error) = chain::follows(&pair[0], &pair[1]) {
                return Err(format!("rg-{ordinal} shows a chain that doesn't hold: {error}"));
            }
        }
        let (Some(last), Some(now)) = (before.last(), chain.last()) else {
            return match before.last() {
                Some(last) if !self.wiped.contains(&ordinal) => {
                    Err(format!("rg-{ordinal} shows round {} no more", last.round))
                }
                _ => Ok(()),
            };
        };
        let back = before.iter().any(|record| record.hash == now.hash) && last.hash != now.hash;
        if back && !self.wiped.contains(&ordinal) {
            return Err(format!(
                "rg-{ordinal} went back from round {} to {}",
                last.round, now.round
            ));
        }
        if self.losses == 0 && now.age() < last.age() && !self.wiped.contains(&ordinal) {
            return Err(format!("rg-{ordinal} shows another, older round {}", now.round));
        }
        Ok(())
    }

    /// What a holder says became of a slot.
    pub fn said(&self, by: &Process, report: &Report) -> Verdict {
        match report {
            Report::Drawn(record) if !self.finals.contains_key(&record.hash) => Err(format!(
                "{} calls round {} final, which it isn't",
                by.identity, record.round
            )),
            Report::Missed { slot, .. } if self.drawn_by(&by.identity, *slot) && self.losses == 0 => {
                Err(format!("{} calls slot {slot} missed, which it drew", by.identity))
            }
            _ => Ok(()),
        }
    }

    fn drawn_by(&self, identity: &str, slot: Slot) -> bool {
        self.finals
            .values()
            .any(|record| record.holder == identity && record.slot == slot)
    }

    /// A process conducts: asks, or sends a record. What it saw takes `grace` to get from one of its tasks to the other.
    pub fn conducts(&self, by: &Process, t: u64, renew_deadline: std::time::Duration, grace: u64) -> Verdict {
        let now = by.now(t).boot;
        match by.last_success_sent {
            None => Err(format!("{} conducts without ever having led", by.identity)),
            Some(sent) if now.since(sent) > renew_deadline => Err(format!(
                "{} conducts {:?} after its last renewal was sent",
                by.identity,
                now.since(sent)
            )),
            Some(_) if by.saw_other.is_some_and(|at| t > at + grace) => {
                Err(format!("{} conducts though it saw another holder", by.identity))
            }
            Some(_) => Ok(()),
        }
    }
}
