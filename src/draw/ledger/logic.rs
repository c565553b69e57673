//! The ledger's state machine: rules D1 to D3 of `docs/protocol.md`.
//!
//! A function returns what to write; [`Ledger::apply`] changes the state once that is on the volume. So no snapshot and no answer
//! has anything that a crash could take back.
//!
//! Only the newest records are in memory: what it does costs the same however long the history is.

mod chain;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Aside, Condition, LedgerSnapshot, Promise, Run, Stored, Write};
use crate::record::secrets::Seed;
use crate::record::{Hash, Record, Slot};

/// Records of the chain in memory, and at most as many others.
pub const WINDOW: usize = 512;

#[derive(Clone, Debug)]
pub struct Ledger {
    seed: Seed,
    window: usize,
    /// The newest records of the chain, ascending and without a gap.
    recent: VecDeque<Arc<Record>>,
    /// All of the chain, and what may join it below a gap; the last one ends with the head.
    runs: Vec<Run>,
    /// Others that are stored: newer than the head, left behind, or below a gap.
    loose: BTreeMap<Hash, Arc<Record>>,
    newest: Option<Arc<Record>>,
    promise: Option<Promise>,
    aside: Vec<Aside>,
}

/// A stored record that may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Old {
    pub hash: Hash,
    pub round: u64,
    pub slot: Slot,
    /// Whether it has its place in the chain, or below a gap in it.
    pub linked: bool,
}

impl Ledger {
    pub fn new(stored: Stored) -> Ledger {
        Ledger::with_window(stored, WINDOW)
    }

    /// With up to `window` records of the chain in memory; at least the head and the one before it, which the protocol needs.
    pub fn with_window(stored: Stored, window: usize) -> Ledger {
        let mut ledger = Ledger {
            seed: stored.seed,
            window: window.max(2),
            recent: VecDeque::new(),
            newest: stored
                .records
                .iter()
                .max_by_key(|record| (record.age(), record.hash))
                .cloned(),
            loose: stored.records.into_iter().map(|record| (record.hash, record)).collect(),
            runs: stored.runs,
            promise: stored.promise,
            aside: stored.aside,
        };
        if let Some(head) = stored.head.and_then(|head| ledger.loose.remove(&head)) {
            if ledger.runs.is_empty() {
                ledger.runs.extend(Run::of(std::slice::from_ref(&head)));
            }
            ledger.recent.push_back(head);
            ledger.take_joined();
        }
        ledger
    }

    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    pub fn promise(&self) -> Option<&Promise> {
        self.promise.as_ref()
    }

    pub fn head(&self) -> Option<&Arc<Record>> {
        self.recent.back()
    }

    /// Whether it is in memory, exactly so.
    pub fn knows(&self, record: &Record) -> bool {
        let linked = self.at(record.round).filter(|linked| linked.hash == record.hash);
        linked
            .or_else(|| self.loose.get(&record.hash))
            .is_some_and(|known| **known == *record)
    }

    /// The newest by (fence, round), final for this member or not.
    pub fn newest(&self) -> Option<&Arc<Record>> {
        self.newest.as_ref()
    }

    /// The hash of the record before the chain's oldest.
    pub fn wanted(&self) -> Option<Hash> {
        self.runs.last().and_then(|run| run.base)
    }

    /// D1, D2: what to write after `record` was seen in the Lease. Nothing if it is older than the head: then the Lease was set back,
    /// and its holder will restore the head.
    pub fn seen(&self, record: &Arc<Record>) -> Vec<Write> {
        let known = |head: &Arc<Record>| head.hash == record.hash || head.age() > record.age();
        if self.head().is_some_and(known) {
            return Vec::new();
        }
        let mut writes = vec![Write::Record(record.clone()), Write::Head(record.hash)];
        self.link_head(record, &mut writes);
        self.with_asides(writes)
    }

    /// D3: what to write for records that a peer sent, newest first, in answer to `asked`.
    pub fn fill(&self, asked: Hash, records: &[Arc<Record>]) -> Vec<Write> {
        if self.wanted() != Some(asked) {
            return Vec::new();
        }
        let mut wanted = Some(asked);
        let mut taken = Vec::new();
        for record in records {
            if wanted != Some(record.hash) || record.check().is_err() {
                break;
            }
            wanted = record.previous;
            taken.push(record.clone());
        }
        let mut writes = taken.iter().cloned().map(Write::Record).collect();
        self.link_below(taken, &mut writes);
        self.with_asides(writes)
    }

    /// As [`fill`](Ledger::fill), for records that are on the volume already.
    pub fn recall(&self, records: Vec<Arc<Record>>) -> Vec<Write> {
        let mut writes = Vec::new();
        if records.first().map(|record| record.hash) == self.wanted() {
            self.link_below(records, &mut writes);
        }
        self.with_asides(writes)
    }

    /// What to delete of these, the oldest stored: never the head, the one before it, or the newest, which the protocol needs.
    pub fn prune(&self, oldest: &[Old]) -> Vec<Write> {
        let kept = self.recent.iter().rev().take(2).chain(&self.newest);
        let kept: BTreeSet<Hash> = kept.map(|record| record.hash).collect();
        let pruned: Vec<&Old> = oldest.iter().filter(|old| !kept.contains(&old.hash)).collect();
        let mut runs = self.runs.clone();
        for old in pruned.iter().filter(|old| old.linked) {
            // A chain is deleted from its oldest on, and so is what lies below a gap in it.
            if let Some(run) = runs.iter_mut().find(|run| run.low == old.round) {
                run.low += 1;
                run.base = Some(old.hash);
            }
        }
        runs.retain(|run| run.low <= run.high);
        let mut writes = match pruned.is_empty() {
            true => Vec::new(),
            false => vec![Write::Prune(pruned.into_iter().map(|old| old.hash).collect())],
        };
        if runs != self.runs {
            writes.push(Write::Runs(runs));
        }
        writes
    }

    /// D2: adds the tails that `writes` leave off the chain.
    fn with_asides(&self, mut writes: Vec<Write>) -> Vec<Write> {
        if writes.is_empty() {
            return writes;
        }
        let mut after = self.clone();
        writes.iter().for_each(|write| after.apply(write));
        let left_behind = after.left_behind();
        writes.extend(left_behind.into_iter().map(Write::Aside));
        writes
    }

    /// Tails that are not on the chain, can't join it any more, and aren't listed yet.
    fn left_behind(&self) -> Vec<Aside> {
        let (Some(head), Some(run)) = (self.head(), self.runs.last()) else {
            return Vec::new();
        };
        let parents: BTreeSet<Hash> = self.loose.values().filter_map(|record| record.previous).collect();
        let listed: BTreeSet<Hash> = self.aside.iter().map(|aside| aside.head).collect();
        let mut tips: Vec<_> = self
            .loose
            .values()
            .filter(|tip| !parents.contains(&tip.hash) && !listed.contains(&tip.hash))
            // A tip newer than the head may be final: the Lease will show. One older than the oldest here may join once the gap is
            // filled.
            .filter(|tip| tip.age() <= head.age() && (tip.chain != head.chain || tip.round >= run.low))
            .collect();
        tips.sort_by_key(|tip| (tip.slot, tip.hash));
        // Of a tail longer than the window, what is in memory.
        let first_off = |tip: &Arc<Record>| self.tail(tip).last().map_or(tip.round, |record| record.round);
        tips.into_iter()
            .map(|tip| Aside {
                chain: tip.chain,
                head: tip.hash,
                from_round: first_off(tip),
                to_round: tip.round,
            })
            .collect()
    }

    /// Applies a write that is durable.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::Record(record) => {
                let age = |record: &Arc<Record>| (record.age(), record.hash);
                // The hash only makes the choice deterministic: no two final records have the same age.
                if self.newest.as_ref().is_none_or(|newest| age(newest) < age(record)) {
                    self.newest = Some(record.clone());
                }
                if self.at(record.round).is_none_or(|linked| linked.hash != record.hash) {
                    self.loose.insert(record.hash, record.clone());
                }
            }
            // It comes with the links that make it the end of the chain.
            Write::Head(_) => {}
            Write::Promise(promise) => self.promise = Some(promise.clone()),
            Write::Aside(aside) => self.aside.push(aside.clone()),
            Write::Prune(hashes) => hashes.iter().for_each(|hash| drop(self.loose.remove(hash))),
            Write::Link(records) => self.link(records),
            Write::Unlink(records) => self.unlink(records),
            Write::Renew => {}
            Write::Runs(runs) => self.set_runs(runs),
        }
    }

    pub fn snapshot(&self, condition: Condition) -> LedgerSnapshot {
        let oldest = self.recent.front().map_or(0, |record| record.round);
        LedgerSnapshot {
            recent: self.recent.iter().cloned().collect(),
            below: oldest.saturating_sub(self.lowest()),
            newest: self.newest.clone(),
            wanted: self.wanted(),
            aside: self.aside.as_slice().into(),
            condition,
            promised_fence: self.promise.as_ref().map_or(0, |promise| promise.fence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Contribution, Draft, Hex};

    fn after(previous: Option<&Arc<Record>>, fence: u64) -> Arc<Record> {
        Arc::new(Draft::after(previous.map(|record| &**record), fence).seal())
    }

    fn ledger() -> Ledger {
        Ledger::new(Stored {
            seed: Seed([0; 32]),
            records: Vec::new(),
            runs: Vec::new(),
            head: None,
            promise: None,
            aside: Vec::new(),
        })
    }

    fn see(ledger: &mut Ledger, record: &Arc<Record>) {
        ledger.seen(record).iter().for_each(|write| ledger.apply(write));
    }

    fn rounds(ledger: &Ledger) -> Vec<(u64, u64)> {
        let snapshot = ledger.snapshot(Condition::Writable);
        snapshot
            .recent
            .iter()
            .map(|record| (record.round, record.fence))
            .collect()
    }

    #[test]
    fn a_head_that_does_not_link_starts_a_chain_of_its_own_until_the_gap_is_filled() {
        let mut ledger = ledger();
        let first = after(None, 1);
        let lost = after(Some(&first), 1);
        let second = after(Some(&first), 2);
        let third = after(Some(&second), 2);
        see(&mut ledger, &first);
        see(&mut ledger, &lost);
        see(&mut ledger, &third);
        assert_eq!(
            rounds(&ledger),
            [(3, 2)],
            "its round follows the head's, and it doesn't"
        );
        assert_eq!(ledger.snapshot(Condition::Writable).wanted, Some(second.hash));
        assert!(
            ledger.snapshot(Condition::Writable).aside.is_empty(),
            "the gap may hide that it joins"
        );

        // What peers give is checked as well; these records have no contributions, so they are put in as they stand.
        ledger.apply(&Write::Record(second.clone()));
        let writes = ledger.recall(vec![second.clone()]);
        writes.iter().for_each(|write| ledger.apply(write));
        assert_eq!(rounds(&ledger), [(1, 1), (2, 2), (3, 2)]);
        let aside = ledger.snapshot(Condition::Writable).aside;
        assert_eq!(aside.len(), 1);
        assert_eq!(
            (aside[0].head, aside[0].from_round, aside[0].to_round),
            (lost.hash, 2, 2)
        );
    }

    #[test]
    fn a_lease_that_was_set_back_takes_nothing_from_the_chain() {
        let mut ledger = ledger();
        let first = after(None, 1);
        let second = after(Some(&first), 1);
        see(&mut ledger, &first);
        see(&mut ledger, &second);
        assert!(ledger.seen(&first).is_empty());
        assert!(ledger.seen(&after(None, 1)).is_empty());
        assert_eq!(rounds(&ledger), [(1, 1), (2, 1)]);
    }

    #[test]
    fn a_record_that_was_not_asked_for_is_not_taken() {
        let mut ledger = ledger();
        let complete = |draft: Draft| {
            let contribution = Contribution {
                member: "rg-0".to_owned(),
                next_commitment: Hex([9; 32]),
                ordinal: 0,
                reveal: None,
            };
            let draft = Draft {
                contributions: vec![contribution],
                ..draft
            };
            Arc::new(draft.seal())
        };
        let first = complete(Draft::after(None, 1));
        let asked = complete(Draft::after(Some(&first), 1));
        let other = complete(Draft::after(None, 2));
        see(&mut ledger, &complete(Draft::after(Some(&asked), 1)));
        let stored = |records: &[&Arc<Record>]| {
            let records: Vec<_> = records.iter().map(|record| Arc::clone(record)).collect();
            let writes = ledger.fill(asked.hash, &records);
            writes.iter().filter(|write| matches!(write, Write::Record(_))).count()
        };
        assert_eq!(stored(&[&asked, &first]), 2);
        assert_eq!(stored(&[&other]), 0);
        assert_eq!(stored(&[&first]), 0, "an ancestor was not asked for");
        assert_eq!(
            stored(&[&asked, &other, &first]),
            1,
            "not what came before the one before it"
        );
        assert!(ledger.fill(first.hash, &[first]).is_empty(), "that is not wanted");
        // Without contributions it breaks a rule, though its hash is right.
        let hollow = after(None, 3);
        see(&mut ledger, &complete(Draft::after(Some(&hollow), 4)));
        assert_eq!(ledger.wanted(), Some(hollow.hash));
        assert!(ledger.fill(hollow.hash, std::slice::from_ref(&hollow)).is_empty());
    }

    #[test]
    fn pruning_takes_the_oldest_and_never_the_head() {
        let mut ledger = ledger();
        let mut stored: Vec<Old> = Vec::new();
        let mut last: Option<Arc<Record>> = None;
        let old = |record: &Record, linked| Old {
            hash: record.hash,
            round: record.round,
            slot: record.slot,
            linked,
        };
        for _ in 0..10 {
            let next = after(last.as_ref(), 1);
            see(&mut ledger, &next);
            stored.push(old(&next, true));
            last = Some(next);
        }
        let prune = |ledger: &mut Ledger, oldest: &[Old]| {
            ledger.prune(oldest).iter().for_each(|write| ledger.apply(write));
        };
        prune(&mut ledger, &stored[..6]);
        assert_eq!(rounds(&ledger).first(), Some(&(7, 1)));
        assert_eq!(ledger.wanted(), Some(stored[5].hash));
        prune(&mut ledger, &stored[6..]);
        assert_eq!(rounds(&ledger), [(9, 1), (10, 1)]);

        // One that was stored for a holder, and isn't in the Lease yet, or was there for a moment.
        let newest = after(None, 2);
        ledger.apply(&Write::Record(newest.clone()));
        assert!(ledger.prune(&[old(&newest, false)]).is_empty());
        assert_eq!(ledger.newest().map(|record| record.hash), Some(newest.hash));
    }

    #[test]
    fn a_record_that_is_newer_than_the_head_may_be_final_and_is_not_set_aside() {
        let mut ledger = ledger();
        let first = after(None, 1);
        let second = after(Some(&first), 1);
        let stored = after(Some(&first), 2);
        see(&mut ledger, &first);
        see(&mut ledger, &second);
        ledger.apply(&Write::Record(stored.clone()));
        assert!(ledger.left_behind().is_empty());
        let aside = |ledger: &Ledger| ledger.snapshot(Condition::Writable).aside.len();
        assert_eq!(aside(&ledger), 0);
        see(&mut ledger, &stored);
        assert_eq!(rounds(&ledger), [(1, 1), (2, 2)]);
        assert_eq!(aside(&ledger), 1, "the one that it replaced");
    }

    /// Records of rounds 1 to `count`.
    fn linked(count: u64) -> Vec<Arc<Record>> {
        let mut records: Vec<Arc<Record>> = Vec::new();
        for _ in 0..count {
            records.push(after(records.last(), 1));
        }
        records
    }

    #[test]
    fn only_the_newest_records_are_in_memory_and_the_chain_is_as_long_as_it_is() {
        let stored = Stored {
            seed: Seed([0; 32]),
            records: Vec::new(),
            runs: Vec::new(),
            head: None,
            promise: None,
            aside: Vec::new(),
        };
        let mut ledger = Ledger::with_window(stored, 4);
        let all = linked(20);
        all[..9].iter().for_each(|record| see(&mut ledger, record));
        let shape = |ledger: &Ledger| {
            let snapshot = ledger.snapshot(Condition::Writable);
            (
                snapshot.oldest(),
                snapshot.recent.len(),
                snapshot.rounds(),
                snapshot.wanted,
            )
        };
        assert_eq!(shape(&ledger), (Some(1), 4, 9, None));
        // A gap: what lies below it joins at once when it is filled, though it isn't read.
        see(&mut ledger, &all[14]);
        see(&mut ledger, &all[15]);
        assert_eq!(shape(&ledger), (Some(15), 2, 2, Some(all[13].hash)));
        let back = |range: std::ops::Range<usize>| all[range].iter().rev().cloned().collect();
        let fill = |ledger: &mut Ledger, records| {
            ledger.recall(records).iter().for_each(|write| ledger.apply(write));
        };
        fill(&mut ledger, back(11..14));
        assert_eq!(shape(&ledger), (Some(12), 4, 5, Some(all[10].hash)));
        fill(&mut ledger, back(9..11));
        assert_eq!(shape(&ledger), (Some(1), 4, 16, None));
        assert!(ledger.snapshot(Condition::Writable).aside.is_empty());
        // It is pruned below what is in memory.
        let old = |at: usize| Old {
            hash: all[at].hash,
            round: at as u64 + 1,
            slot: all[at].slot,
            linked: true,
        };
        let writes = ledger.prune(&[old(0), old(1)]);
        writes.iter().for_each(|write| ledger.apply(write));
        assert_eq!(shape(&ledger), (Some(3), 4, 14, Some(all[1].hash)));
    }

    #[test]
    fn a_chain_that_leaves_another_within_a_gap_joins_it_where_both_are_one() {
        let mut ledger = ledger();
        let all = linked(6);
        all.iter().for_each(|record| see(&mut ledger, record));
        let fourth = after(Some(&all[2]), 2);
        let fifth = after(Some(&fourth), 2);
        let sixth = after(Some(&fifth), 2);
        let seventh = after(Some(&sixth), 2);
        see(&mut ledger, &after(Some(&seventh), 2));
        for record in [&seventh, &sixth, &fifth, &fourth] {
            let writes = ledger.recall(vec![record.clone()]);
            writes.iter().for_each(|write| ledger.apply(write));
        }
        let rounds = rounds(&ledger);
        assert_eq!(rounds[..4], [(1, 1), (2, 1), (3, 1), (4, 2)]);
        assert_eq!(rounds.len(), 8);
        let aside = ledger.snapshot(Condition::Writable).aside;
        assert_eq!(aside.len(), 1);
        assert_eq!((aside[0].head, aside[0].to_round), (all[5].hash, 6));
    }
}
