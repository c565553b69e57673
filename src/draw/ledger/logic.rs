//! The ledger's state machine: rules D1 to D3 of `docs/protocol.md`.
//!
//! A function returns what to write; [`Ledger::apply`] changes the state once that is on the volume. So no snapshot and no answer
//! has anything that a crash could take back.
//!
//! Only the newest records are in memory: what it does costs the same however long the history is.

mod chain;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Aside, Condition, LedgerSnapshot, MAX_ASIDE, Promise, Run, Stored, Write};
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
    /// Newest records of tails that are in memory and no longer listed.
    forgotten: BTreeSet<Hash>,
    newly_forgotten: u64,
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
            forgotten: BTreeSet::new(),
            newly_forgotten: 0,
        };
        if let Some(head) = stored.head.and_then(|head| ledger.loose.remove(&head)) {
            if ledger.runs.is_empty() {
                ledger.runs.extend(Run::of(std::slice::from_ref(&head)));
            }
            ledger.recent.push_back(head);
            ledger.take_joined();
        }
        // Else all that was left behind is listed.
        if ledger.aside.len() >= MAX_ASIDE {
            ledger.forgotten = ledger.left_behind().iter().map(|aside| aside.head).collect();
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
            // At once: an empty one must not stand for another that begins there.
            runs.retain(|run| run.low <= run.high);
        }
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

    /// Tails that are not on the chain, can't join it any longer, and weren't listed yet.
    fn left_behind(&self) -> Vec<Aside> {
        let (Some(head), Some(run)) = (self.head(), self.runs.last()) else {
            return Vec::new();
        };
        let parents: BTreeSet<Hash> = self.loose.values().filter_map(|record| record.previous).collect();
        let mut known: BTreeSet<Hash> = self.aside.iter().map(|aside| aside.head).collect();
        known.extend(&self.forgotten);
        let mut tips: Vec<_> = self
            .loose
            .values()
            .filter(|tip| !parents.contains(&tip.hash) && !known.contains(&tip.hash))
            // A tip newer than the head may be final: the Lease will show. One older than the oldest here may join once the gap is
            // filled.
            .filter(|tip| tip.age() <= head.age() && (tip.chain != head.chain || tip.round >= run.low))
            .collect();
        tips.sort_by_key(|tip| (tip.slot, tip.hash));
        // Of a fork longer than the window, what is in memory.
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
            Write::Aside(aside) => {
                if let Some(oldest) = aside.clone().list(&mut self.aside) {
                    self.newly_forgotten += 1;
                    self.forgotten.insert(oldest.head);
                    self.forgotten.retain(|head| self.loose.contains_key(head));
                }
            }
            Write::Prune(hashes) => hashes.iter().for_each(|hash| drop(self.loose.remove(hash))),
            Write::Link(records) => self.link(records),
            Write::Unlink(records) => self.unlink(records),
            Write::Renew => {}
            Write::Runs(runs) => self.set_runs(runs),
        }
    }

    /// How many tails are no longer listed, since this was asked last.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.newly_forgotten)
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
mod tests;
