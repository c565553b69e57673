//! The logic over the file: which records are the chain, whatever happened.

use super::*;

/// What happens to a chain, as a member sees it.
#[derive(Clone, Debug)]
enum Fate {
    /// So many are drawn after the one that lies so far below the newest, under a greater fence; the member sees the last of them.
    Drawn {
        back: usize,
        count: usize,
    },
    /// A person starts a new chain.
    Restarted,
    /// A peer gives up to so many of the records that are wanted.
    Fetched(usize),
    Pruned(usize),
    Reopened,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (1..4usize).prop_map(|count| Fate::Drawn { back: 0, count }),
        2 => (0..9usize, 1..12usize).prop_map(|(back, count)| Fate::Drawn { back, count }),
        1 => Just(Fate::Restarted),
        4 => (1..6usize).prop_map(Fate::Fetched),
        1 => (1..9usize).prop_map(Fate::Pruned),
        2 => Just(Fate::Reopened),
    ]
}

/// The logic over the file, as the ledger's thread has them.
struct Both {
    path: PathBuf,
    window: usize,
    storage: Storage,
    ledger: Ledger,
}

impl Both {
    fn open(path: &Path) -> Both {
        Both::with_window(path, WINDOW)
    }

    /// With so many records of the chain in memory.
    fn with_window(path: &Path, window: usize) -> Both {
        let (storage, stored) = open(path).unwrap();
        Both {
            path: path.to_owned(),
            window,
            storage,
            ledger: Ledger::with_window(stored, window),
        }
    }

    fn write(&mut self, writes: &[Write]) {
        self.storage.commit(writes).unwrap();
        writes.iter().for_each(|write| self.ledger.apply(write));
        // What the volume has below the chain joins it.
        while let Some(hash) = self.ledger.wanted()
            && let records = self.storage.ancestors(&hash, 2).unwrap()
            && !records.is_empty()
        {
            let writes = self.ledger.recall(records);
            self.storage.commit(&writes).unwrap();
            writes.iter().for_each(|write| self.ledger.apply(write));
        }
    }

    /// The hashes of the chain by their rounds, as the file has them; the logic has the newest of them.
    fn chain(&mut self) -> Vec<(u64, Hash)> {
        let snapshot = self.ledger.snapshot(Condition::Writable);
        let mut chain = Vec::new();
        if let Some(head) = snapshot.head() {
            chain = self.storage.ancestors(&head.hash, usize::MAX).unwrap();
            chain.reverse();
        }
        let below = chain.len() - snapshot.recent.len();
        assert_eq!(snapshot.below, below as u64, "all that follows is a part of the chain");
        assert_eq!(chain[below..], *snapshot.recent);
        assert!(snapshot.recent.len() <= self.window, "{}", snapshot.recent.len());
        assert_eq!(snapshot.oldest(), chain.first().map(|oldest| oldest.round));
        let chain: Vec<_> = chain.iter().map(|record| (record.round, record.hash)).collect();
        let all = self.storage.oldest(usize::MAX).unwrap();
        let low = snapshot.oldest().unwrap_or(0);
        let linked = all.iter().filter(|old| old.linked && old.round >= low);
        assert_eq!(linked.map(|old| (old.round, old.hash)).collect::<Vec<_>>(), chain);
        chain
    }

    fn reopen(self) -> Both {
        let Both {
            path,
            window,
            mut storage,
            ..
        } = self;
        storage.verify(usize::MAX).unwrap();
        drop(storage);
        Both::with_window(&path, window)
    }
}

/// Without what may be in memory or not.
fn whole(ledger: &Ledger) -> LedgerSnapshot {
    let mut snapshot = ledger.snapshot(Condition::Writable);
    snapshot.below = snapshot.rounds();
    snapshot.recent = snapshot.recent.last().cloned().into_iter().collect();
    snapshot
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_chain_is_what_follows_from_the_head_whatever_happened_and_stays_so_when_it_is_opened_again(
        // So few that the chain is longer nearly all the time.
        window in prop_oneof![3 => 2..6_usize, 1 => Just(WINDOW)],
        fates in prop::collection::vec(fate(), 1..40),
    ) {
        let dir = in_memory();
        let mut both = Both::with_window(&dir.path().join("ledger.db"), window);
        let mut all: BTreeMap<Hash, Arc<Record>> = BTreeMap::new();
        let (mut tip, mut fence, mut chain, mut slot) = (None::<Arc<Record>>, 1, 1, 1_800_000_000);
        let mut next = |previous: Option<&Record>, chain, fence, all: &mut BTreeMap<Hash, Arc<Record>>| {
            slot += 1;
            let record = drawn_after(previous, chain, fence, slot);
            all.insert(record.hash, record.clone());
            record
        };
        for fate in fates {
            match fate {
                Fate::Drawn { back, count } => {
                    let before = |record: &Arc<Record>| record.previous.and_then(|hash| all.get(&hash)).cloned();
                    for _ in 0..back {
                        tip = tip.as_ref().map(|tip| before(tip).unwrap_or(tip.clone()));
                        fence += 1;
                    }
                    for _ in 0..count {
                        tip = Some(next(tip.as_deref(), chain, fence, &mut all));
                    }
                    let writes = both.ledger.seen(tip.as_ref().unwrap());
                    both.write(&writes);
                    prop_assert_eq!(both.ledger.head(), tip.as_ref());
                }
                Fate::Restarted => {
                    (chain, fence) = (chain + 1, fence + 1);
                    tip = Some(next(None, chain, fence, &mut all));
                    let writes = both.ledger.seen(tip.as_ref().unwrap());
                    both.write(&writes);
                }
                Fate::Fetched(count) => {
                    if let Some(hash) = both.ledger.wanted() {
                        let walk = std::iter::successors(all.get(&hash), |record| all.get(&record.previous?));
                        let sent: Vec<_> = walk.take(count).cloned().collect();
                        let writes = both.ledger.fill(hash, &sent);
                        both.write(&writes);
                    }
                }
                Fate::Pruned(count) => {
                    let oldest = both.storage.oldest(count).unwrap();
                    let writes = both.ledger.prune(&oldest);
                    both.write(&writes);
                }
                Fate::Reopened => {
                    let before = both.chain();
                    let snapshot = whole(&both.ledger);
                    both = both.reopen();
                    prop_assert_eq!(both.chain(), before.clone());
                    let inspected = Storage::inspect(&both.path).unwrap();
                    prop_assert_eq!(inspected.chain.map_or(0, |chain| chain.records), before.len() as u64);
                    prop_assert_eq!((inspected.records, inspected.aside.as_slice()), (both.storage.len(), &*snapshot.aside));
                    prop_assert_eq!(whole(&both.ledger), snapshot);
                }
            }
            both.chain();
        }
    }
}

/// A ledger of these rounds of a chain, which is pruned to so many.
fn write_and_prune(both: &mut Both, rounds: std::ops::Range<u64>, keep: u64) {
    for round in rounds {
        let next = drawn_after(
            both.ledger.head().map(|head| &**head),
            1,
            1,
            1_800_000_000 + round as i64,
        );
        let writes = both.ledger.seen(&next);
        both.write(&writes);
        if both.storage.len() > keep {
            let oldest = both.storage.oldest(1).unwrap();
            let writes = both.ledger.prune(&oldest);
            both.write(&writes);
        }
    }
}

#[test]
fn a_ledger_that_is_written_and_pruned_all_the_time_is_inspected_and_its_commits_go_on() {
    let dir = in_memory();
    let path = dir.path().join("ledger.db");
    let mut both = Both::open(&path);
    write_and_prune(&mut both, 1..900, 800);
    let end = AtomicBool::new(false);
    let inspections: Vec<_> = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 900;
            while !end.load(Ordering::Relaxed) {
                write_and_prune(&mut both, round..round + 1, 800);
                round += 1;
            }
            round
        });
        let found = (0..8).map(|_| Storage::inspect(&path)).collect();
        end.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 908);
        found
    });
    for found in inspections {
        let found = found.unwrap();
        let chain = found.chain.unwrap();
        // Before or after it was pruned.
        assert!((800..=801).contains(&found.records), "{}", found.records);
        assert_eq!(chain.records, found.records);
        assert_eq!(chain.to_round - chain.from_round + 1, found.records);
    }
}
