//! How records become a part of the chain, and cease to be one.

use std::iter::successors;
use std::sync::Arc;

use super::super::{Run, Write};
use super::Ledger;
use crate::record::{Hash, Record};

/// Runs below gaps that may join the chain; the lowest is forgotten first.
const MOST_RUNS: usize = 16;

impl Ledger {
    /// The record of the chain, if it is in memory.
    pub(super) fn at(&self, round: u64) -> Option<&Arc<Record>> {
        let place = round.checked_sub(self.recent.front()?.round)?;
        self.recent.get(usize::try_from(place).ok()?)
    }

    fn is_linked(&self, round: u64, hash: &Hash) -> bool {
        self.at(round).is_some_and(|record| record.hash == *hash)
    }

    /// From `tip` backwards, as far as they are in memory and not linked.
    pub(super) fn tail<'a>(&'a self, tip: &'a Arc<Record>) -> impl Iterator<Item = &'a Arc<Record>> {
        successors(Some(tip), |record| self.loose.get(&record.previous?))
    }

    /// D2: makes `head` the end of the chain.
    pub(super) fn link_head(&self, head: &Arc<Record>, writes: &mut Vec<Write>) {
        let mut path: Vec<_> = self.tail(head).cloned().collect();
        path.reverse();
        let Some(new) = Run::of(&path) else { return };
        let joins = new.base.is_some_and(|base| self.is_linked(new.low - 1, &base));
        let mut runs = self.runs.clone();
        match (runs.last_mut(), self.head()) {
            (Some(run), _) if joins => {
                let left = self.recent.iter().filter(|record| record.round >= new.low);
                unlink(left.cloned().collect(), writes);
                (run.high, run.tip) = (new.high, new.tip);
            }
            // What was the chain may join this one once the gap is filled.
            (Some(run), Some(before)) if before.chain == head.chain && new.low > run.high => runs.push(new),
            (_, before) => {
                if let Some(before) = before {
                    unlink(self.recent.iter().cloned().collect(), writes);
                    writes.push(Write::Renew);
                    // Of another chain nothing is shared, whatever is in memory.
                    let whole = runs.iter().filter(|_| before.chain != head.chain);
                    writes.extend(whole.map(|run| Write::Aside(run.aside(before.chain))));
                }
                runs = vec![new];
            }
        }
        if runs.len() > MOST_RUNS {
            runs.remove(0);
        }
        writes.push(Write::Link(path));
        writes.push(Write::Runs(runs));
    }

    /// Puts `records`, newest first, below the chain, and what they join.
    pub(super) fn link_below(&self, records: Vec<Arc<Record>>, writes: &mut Vec<Write>) {
        let mut runs = self.runs.clone();
        let Some(mut run) = runs.pop().filter(|_| !records.is_empty()) else {
            return;
        };
        let mut linked = records;
        while let Some(lowest) = linked.last() {
            (run.low, run.base) = (lowest.round, lowest.previous);
            let Some(next) = run.base.and_then(|base| self.loose.get(&base)) else {
                break;
            };
            // A part of what lies below the gap: then so is all that it follows.
            let below = runs.pop_if(|below| self.tail_of(below).any(|record| record.hash == next.hash));
            if let Some(below) = below {
                let off = self.tail_of(&below).take_while(|record| record.hash != next.hash);
                unlink(off.cloned().collect(), writes);
                linked.extend(self.tail(next).cloned());
                (run.low, run.base) = (below.low, below.base);
                break;
            }
            linked.push(next.clone());
        }
        let cut = runs.into_iter().filter_map(|below| self.cut(below, run.low));
        let mut runs: Vec<Run> = cut.collect();
        // Its newest records may no longer be in memory.
        if let Some(below) = runs.pop_if(|below| run.base == Some(below.tip)) {
            (run.low, run.base) = (below.low, below.base);
        }
        runs.push(run);
        linked.reverse();
        writes.push(Write::Link(linked));
        writes.push(Write::Runs(runs));
    }

    /// What is left of a run below the round `low` of another: none if memory doesn't show where it ends then. The volume has its
    /// records, and they join the chain a few at a time.
    fn cut(&self, run: Run, low: u64) -> Option<Run> {
        if run.high < low {
            return Some(run);
        }
        let first_off = self.tail_of(&run).find(|record| record.round == low)?;
        let tip = first_off.previous.filter(|_| run.low < low)?;
        Some(Run {
            high: low - 1,
            tip,
            ..run
        })
    }

    fn tail_of(&self, run: &Run) -> impl Iterator<Item = &Arc<Record>> {
        self.loose.get(&run.tip).into_iter().flat_map(|tip| self.tail(tip))
    }

    pub(super) fn link(&mut self, records: &[Arc<Record>]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return;
        };
        for record in records {
            self.loose.remove(&record.hash);
            self.aside.retain(|aside| aside.head != record.hash);
            self.forgotten.remove(&record.hash);
        }
        let oldest = self.recent.front().map(|oldest| (oldest.round, oldest.previous));
        let head = self.recent.back().map(|head| (head.round, head.hash));
        if oldest.is_some_and(|(_, previous)| previous == Some(last.hash)) {
            for record in records.iter().rev() {
                self.recent.push_front(record.clone());
            }
        } else if head.is_none_or(|(_, hash)| first.previous == Some(hash)) {
            self.recent.extend(records.iter().cloned());
        } else if head.is_some_and(|(round, _)| round < first.round) {
            let below = self.recent.drain(..).map(|record| (record.hash, record));
            self.loose.extend(below);
            self.recent.extend(records.iter().cloned());
        }
    }

    /// `records` are not linked below the chain's recent ones.
    pub(super) fn unlink(&mut self, records: &[Arc<Record>]) {
        for record in records {
            if self.is_linked(record.round, &record.hash) {
                while let Some(off) = self.recent.pop_back_if(|last| last.round >= record.round) {
                    self.loose.insert(off.hash, off);
                }
            }
        }
    }

    pub(super) fn set_runs(&mut self, runs: &[Run]) {
        self.runs = runs.to_vec();
        let low = self.lowest();
        while self.recent.pop_front_if(|oldest| oldest.round < low).is_some() {}
        self.take_joined();
    }

    /// Completes the recent records with what they join, as far as it is in memory, and forgets the oldest beyond the window.
    pub(super) fn take_joined(&mut self) {
        let low = self.lowest();
        while let Some(oldest) = self.recent.front().filter(|oldest| oldest.round > low)
            && let Some(joined) = oldest.previous.and_then(|previous| self.loose.remove(&previous))
        {
            self.recent.push_front(joined);
        }
        let surplus = self.recent.len().saturating_sub(self.window);
        self.recent.drain(..surplus);
        let surplus = self.loose.len().saturating_sub(self.window);
        if surplus > 0 {
            let mut oldest: Vec<_> = self.loose.values().map(|record| (record.slot, record.hash)).collect();
            oldest.sort_unstable();
            oldest.truncate(surplus);
            for (_, hash) in oldest {
                self.loose.remove(&hash);
            }
        }
    }

    /// The oldest round of the chain.
    pub(super) fn lowest(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.low)
    }
}

fn unlink(records: Vec<Arc<Record>>, writes: &mut Vec<Write>) {
    if !records.is_empty() {
        writes.push(Write::Unlink(records));
    }
}
