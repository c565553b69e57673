//! What a ledger knows and what follows from a record it sees: rules D1 to D3 of `docs/protocol.md`.
//!
//! A function first says what to write; only when the volume has it does [`Ledger::apply`] make it true here. So nothing is
//! reported, and no answer given, that a crash could take back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Aside, Condition, LedgerSnapshot, Promise, Stored, Write};
use crate::draw::record::{Hash, Record};
use crate::draw::secrets::Seed;

/// Records this close to the head are never pruned: the protocol needs the head and the one before.
const KEPT_AT_LEAST: usize = 2;

#[derive(Clone, Debug)]
pub struct Ledger {
    seed: Seed,
    records: BTreeMap<Hash, Arc<Record>>,
    head: Option<Arc<Record>>,
    promise: Option<Promise>,
    aside: Vec<Aside>,
    /// The walk from head, ascending: kept because every reader and every rule wants it.
    chain: Vec<Arc<Record>>,
}

impl Ledger {
    pub fn new(stored: Stored) -> Ledger {
        let records: BTreeMap<_, _> = stored.records.into_iter().map(|r| (r.hash, r)).collect();
        let head = stored.head.and_then(|hash| records.get(&hash).cloned());
        let mut ledger = Ledger {
            seed: stored.seed,
            records,
            head,
            promise: stored.promise,
            aside: stored.aside,
            chain: Vec::new(),
        };
        ledger.chain = ledger.head.clone().map(|head| ledger.walk(head)).unwrap_or_default();
        ledger
    }

    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    pub fn promise(&self) -> Option<&Promise> {
        self.promise.as_ref()
    }

    pub fn get(&self, hash: &Hash) -> Option<&Arc<Record>> {
        self.records.get(hash)
    }

    /// The newest by (fence, round), final for this member or not.
    pub fn newest(&self) -> Option<&Arc<Record>> {
        // The hash only makes the choice the same everywhere; no two final records are of the same age.
        self.records.values().max_by_key(|record| (record.age(), record.hash))
    }

    /// D1, D2: what to write because the Lease was seen to hold `record`. Nothing when it is older than the head: then the
    /// Lease was set back, and its holder will bring the head back.
    pub fn seen(&self, record: &Arc<Record>) -> Vec<Write> {
        let known = |head: &Arc<Record>| head.hash == record.hash || head.age() > record.age();
        if self.head.as_ref().is_some_and(known) {
            return Vec::new();
        }
        self.with_asides(vec![Write::Record(record.clone()), Write::Head(record.hash)])
    }

    /// D3: what to write for the records that peers gave, newest first, when `asked` was asked for.
    pub fn fill(&self, asked: Hash, records: &[Arc<Record>]) -> Vec<Write> {
        let mut wanted = Some(asked);
        let mut writes = Vec::new();
        for record in records {
            if wanted != Some(record.hash) || record.check().is_err() {
                break;
            }
            wanted = record.previous;
            if self.get(&record.hash).is_none() {
                writes.push(Write::Record(record.clone()));
            }
        }
        self.with_asides(writes)
    }

    /// Up to `count` records from `hash` backwards, newest first.
    pub fn ancestors(&self, hash: &Hash, count: usize) -> Vec<Arc<Record>> {
        let mut found = Vec::new();
        let mut next = self.records.get(hash);
        while let Some(record) = next.filter(|_| found.len() < count) {
            found.push(record.clone());
            next = record.previous.and_then(|previous| self.records.get(&previous));
        }
        found
    }

    /// What to delete so that at most `count` records stay: the oldest slots first.
    pub fn prune(&self, count: usize) -> Vec<Write> {
        let keep: BTreeSet<Hash> = self.chain.iter().rev().take(KEPT_AT_LEAST).map(|r| r.hash).collect();
        let newest = self.newest().map(|record| record.hash);
        let mut oldest: Vec<_> = self
            .records
            .values()
            .filter(|record| !keep.contains(&record.hash) && Some(record.hash) != newest)
            .collect();
        oldest.sort_by_key(|record| (record.slot, record.hash));
        let surplus = self.records.len().saturating_sub(count);
        match oldest
            .iter()
            .take(surplus)
            .map(|record| record.hash)
            .collect::<Vec<_>>()
        {
            none if none.is_empty() => Vec::new(),
            hashes => vec![Write::Prune(hashes)],
        }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// From `tip` back through `previous` as far as records are here; ascending.
    fn walk(&self, tip: Arc<Record>) -> Vec<Arc<Record>> {
        let mut chain = self.ancestors(&tip.hash, usize::MAX);
        chain.reverse();
        chain
    }

    /// Adds what `writes` leave behind: D2.
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

    /// Tails that are not on the chain, certainly never will be, and aren't listed yet.
    fn left_behind(&self) -> Vec<Aside> {
        let (Some(head), Some(oldest)) = (&self.head, self.chain.first()) else {
            return Vec::new();
        };
        let on_chain: BTreeSet<Hash> = self.chain.iter().map(|record| record.hash).collect();
        let parents: BTreeSet<Hash> = self.records.values().filter_map(|record| record.previous).collect();
        let listed: BTreeSet<Hash> = self.aside.iter().map(|aside| aside.head).collect();
        let mut tips: Vec<_> = self
            .records
            .values()
            .filter(|tip| !on_chain.contains(&tip.hash) && !parents.contains(&tip.hash) && !listed.contains(&tip.hash))
            // Newer than the head: kept for a holder, and perhaps final; the Lease will tell. Older than the oldest here:
            // it may join once the gap between is filled.
            .filter(|tip| tip.age() <= head.age() && (tip.chain != head.chain || tip.round >= oldest.round))
            .collect();
        tips.sort_by_key(|tip| (tip.slot, tip.hash));
        let first_off = |tip: &Arc<Record>| {
            let tail = self.ancestors(&tip.hash, usize::MAX);
            let off = tail.iter().take_while(|record| !on_chain.contains(&record.hash));
            off.last().map_or(tip.round, |record| record.round)
        };
        tips.into_iter()
            .map(|tip| Aside {
                chain: tip.chain,
                head: tip.hash,
                from_round: first_off(tip),
                to_round: tip.round,
            })
            .collect()
    }

    /// Makes a write true that is durable.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::Record(record) => {
                self.records.insert(record.hash, record.clone());
            }
            Write::Head(hash) => self.head = self.records.get(hash).cloned(),
            Write::Promise(promise) => self.promise = Some(promise.clone()),
            Write::Aside(aside) => self.aside.push(aside.clone()),
            Write::Prune(hashes) => {
                for hash in hashes {
                    self.records.remove(hash);
                }
            }
        }
        if !matches!(write, Write::Promise(_) | Write::Aside(_)) {
            self.extend_chain();
        }
    }

    /// Brings `chain` to what `records` and `head` say, without walking it all for each new head.
    fn extend_chain(&mut self) {
        let Some(head) = self.head.clone() else {
            self.chain.clear();
            return;
        };
        let whole = self.chain.first().is_none_or(|oldest| {
            self.records.contains_key(&oldest.hash) && oldest.previous.is_none_or(|p| !self.records.contains_key(&p))
        });
        match self.chain.last().map(|last| last.hash) {
            Some(last) if last == head.hash && whole => {}
            Some(last) if head.previous == Some(last) && whole => self.chain.push(head),
            _ => self.chain = self.walk(head),
        }
    }

    pub fn snapshot(&self, condition: Condition) -> LedgerSnapshot {
        let oldest = self.chain.first();
        LedgerSnapshot {
            chain: self.chain.clone().into(),
            newest: self.newest().cloned(),
            wanted: oldest.and_then(|record| record.previous),
            aside: self
                .aside
                .iter()
                .filter(|a| !self.chain.iter().any(|r| r.hash == a.head))
                .cloned()
                .collect(),
            condition,
            promised_fence: self.promise.as_ref().map_or(0, |promise| promise.fence),
        }
    }
}
