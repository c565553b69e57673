//! The ledger's state machine: rules D1 to D3 of `docs/protocol.md`.
//!
//! A function returns what to write; [`Ledger::apply`] changes the state once that is on the volume. So no snapshot and no answer
//! has anything that a crash could take back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Aside, Condition, LedgerSnapshot, Promise, Stored, Write};
use crate::record::secrets::Seed;
use crate::record::{Hash, Record};

/// Never pruned: the head and the record before it, which the protocol needs.
const KEPT_AT_LEAST: usize = 2;

#[derive(Clone, Debug)]
pub struct Ledger {
    seed: Seed,
    records: BTreeMap<Hash, Arc<Record>>,
    head: Option<Arc<Record>>,
    promise: Option<Promise>,
    aside: Vec<Aside>,
    /// All records from the head backwards, in ascending order.
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
        // The hash only makes the choice deterministic: no two final records have the same age.
        self.records.values().max_by_key(|record| (record.age(), record.hash))
    }

    /// D1, D2: what to write after `record` was seen in the Lease. Nothing if it is older than the head: then the Lease was set back,
    /// and its holder will restore the head.
    pub fn seen(&self, record: &Arc<Record>) -> Vec<Write> {
        let known = |head: &Arc<Record>| head.hash == record.hash || head.age() > record.age();
        if self.head.as_ref().is_some_and(known) {
            return Vec::new();
        }
        self.with_asides(vec![Write::Record(record.clone()), Write::Head(record.hash)])
    }

    /// D3: what to write for records that a peer sent, newest first, in answer to `asked`.
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

    /// What to delete so that at most `count` records remain: the oldest slots first.
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

    /// From `tip` back through `previous` as far as records are stored; ascending.
    fn walk(&self, tip: Arc<Record>) -> Vec<Arc<Record>> {
        let mut chain = self.ancestors(&tip.hash, usize::MAX);
        chain.reverse();
        chain
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
            // A tip newer than the head may be final: the Lease will show. One older than the oldest here may join once the gap is
            // filled.
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

    /// Applies a write that is durable.
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

    /// Updates `chain` from `records` and `head`, without walking all of it for each new head.
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
            .chain
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
        let writes = ledger.with_asides(vec![Write::Record(second.clone())]);
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
        let ledger = ledger();
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
        let stored = |records: &[&Arc<Record>]| {
            let records: Vec<_> = records.iter().map(|record| Arc::clone(record)).collect();
            ledger.fill(asked.hash, &records).len()
        };
        assert_eq!(stored(&[&asked, &first]), 2);
        assert_eq!(stored(&[&other]), 0);
        assert_eq!(stored(&[&first]), 0, "an ancestor was not asked for");
        assert_eq!(
            stored(&[&asked, &other, &first]),
            1,
            "not what came before the one before it"
        );
        // Without contributions it breaks a rule, though its hash is right.
        let hollow = after(Some(&first), 1);
        assert!(ledger.fill(hollow.hash, std::slice::from_ref(&hollow)).is_empty());
    }

    #[test]
    fn pruning_takes_the_oldest_and_never_the_head() {
        let mut ledger = ledger();
        let mut last: Option<Arc<Record>> = None;
        for _ in 0..10 {
            let next = after(last.as_ref(), 1);
            see(&mut ledger, &next);
            last = Some(next);
        }
        ledger.prune(4).iter().for_each(|write| ledger.apply(write));
        assert_eq!(rounds(&ledger).first(), Some(&(7, 1)));
        ledger.prune(0).iter().for_each(|write| ledger.apply(write));
        assert_eq!(rounds(&ledger), [(9, 1), (10, 1)]);

        // One that was stored for a holder, and isn't in the Lease yet, or was there for a moment.
        let newest = after(None, 2);
        ledger.apply(&Write::Record(newest.clone()));
        ledger.prune(0).iter().for_each(|write| ledger.apply(write));
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
        ledger
            .with_asides(vec![Write::Record(stored.clone())])
            .iter()
            .for_each(|write| ledger.apply(write));
        let aside = |ledger: &Ledger| ledger.snapshot(Condition::Writable).aside.len();
        assert_eq!(aside(&ledger), 0);
        see(&mut ledger, &stored);
        assert_eq!(rounds(&ledger), [(1, 1), (2, 2)]);
        assert_eq!(aside(&ledger), 1, "the one that it replaced");
    }
}
