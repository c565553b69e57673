//! The ledger's file, on real file systems: what it keeps, what it refuses, and that its space is its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use random_generator::clock::Clock;
use random_generator::draw::ledger::logic::{Ledger, WINDOW};
use random_generator::draw::ledger::storage::{DEFAULT_MAX_BYTES, InspectError, Storage, StorageConfig, StorageError};
use random_generator::draw::ledger::{Aside, Condition, LedgerSnapshot, MAX_ASIDE, Promise, Stored, Write};
use random_generator::record::{Contribution, Draft, Hash, Hex, Record, Slot};
use sha2::{Digest, Sha256};

mod small_disk;
use small_disk::SmallDisk;

const SEED: [u8; 32] = [42; 32];
const SCHEMA_1_SEED: &str = "5e20854476326b031b84507c02b0163156f9fabc70c6b87c48f63004317801be";
const SCHEMA_1_HEAD: &str = "6825a65276705b0905dd8e5aea006bfb4518c33422cc887be29f0e59d3b908a3";

/// For what needs no disk: thousands of commits take their time in fsync.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn open(path: &Path) -> Result<(Storage, Stored), StorageError> {
    Storage::open(path, StorageConfig::default(), SEED)
}

/// A valid record that stands at the end of no chain in particular; `members` sets its size, 170 bytes each.
fn record(round: u64, members: u16) -> Arc<Record> {
    let previous = (round > 1).then_some(Hex([u8::try_from(round % 251).unwrap(); 32]));
    let record = Draft {
        set: "rg".to_owned(),
        chain: Hex([7; 16]),
        round,
        schedule: "@every 1m".to_owned(),
        slot: Slot(60 * i64::try_from(round).unwrap()),
        missed: 0,
        holder: "rg-0_0b1c3f3e-2e0c-4b3a-9f59-0d9fb4b2b0a1-5f0e".to_owned(),
        fence: 3,
        voters: members.into(),
        previous,
        contributions: (0..members)
            .map(|ordinal| Contribution {
                member: format!("rg-{ordinal}"),
                next_commitment: Hex([9; 32]),
                ordinal,
                reveal: (round > 1).then_some(Hex([8; 32])),
            })
            .collect(),
        missing: vec![],
    }
    .seal();
    Record::parse(&record.canonical()).expect("a record that any reader accepts");
    Arc::new(record)
}

fn aside(n: u64) -> Aside {
    let mut head = [0; 32];
    head[..8].copy_from_slice(&n.to_be_bytes());
    Aside {
        chain: Hex([6; 16]),
        head: Hex(head),
        from_round: n,
        to_round: n + 4,
    }
}

fn promise(fence: u64) -> Promise {
    Promise {
        fence,
        holder: format!("rg-1_u-{fence}"),
    }
}

/// In an order of its own.
fn sorted(mut stored: Stored) -> Stored {
    stored.records.sort_by_key(|record| record.hash);
    stored
}

fn empty() -> Stored {
    Stored {
        seed: random_generator::record::secrets::Seed(SEED),
        records: vec![],
        runs: vec![],
        head: None,
        promise: None,
        aside: vec![],
    }
}

fn size(path: &Path) -> u64 {
    let journal = path.with_file_name("ledger.db-journal");
    fs::metadata(path).unwrap().len() + fs::metadata(journal).unwrap().len()
}

/// What the ledger's owner does: the oldest go when there is no room. Returns what it pruned.
fn commit_pruning(storage: &mut Storage, kept: &mut Vec<Arc<Record>>, new: Arc<Record>) -> Result<(), StorageError> {
    let need = Storage::cost(new.canonical().len());
    let (mut freed, mut pruned) = (0, 0);
    while storage.used() + need > storage.capacity() + freed {
        freed += Storage::cost(kept[pruned].canonical().len());
        pruned += 1;
    }
    let prune = kept[..pruned].iter().map(|record| record.hash).collect();
    storage.commit(&[
        Write::Prune(prune),
        Write::Record(new.clone()),
        Write::Head(new.hash),
        Write::Promise(promise(new.round)),
    ])?;
    kept.drain(..pruned);
    kept.push(new);
    Ok(())
}

#[test]
fn a_new_ledger_is_empty_private_and_exactly_as_large_as_reserved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let (storage, stored) = open(&path).unwrap();
    assert_eq!(stored, empty());
    for name in ["ledger.db", "ledger.db-journal"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let bytes = size(&path);
    assert!(
        (DEFAULT_MAX_BYTES - 2 * 4096..=DEFAULT_MAX_BYTES).contains(&bytes),
        "{bytes}"
    );
    assert!(storage.used() < 8 * 4096 && storage.capacity() > 1200 * 1024);
    drop(storage);
    // The seed of the first time stays, whatever is offered.
    let (_, again) = Storage::open(&path, StorageConfig::default(), [1; 32]).unwrap();
    assert_eq!(again, empty());
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ledger.db", "ledger.db-journal"]);
}

/// A file that a program with schema 1 wrote, in two chains, as the sqlite3 tool prints it.
fn of_schema_1(path: &Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch("PRAGMA page_size = 4096; PRAGMA user_version = 1")
        .unwrap();
    db.execute_batch(include_str!("ledger_before/schema_1.sql")).unwrap();
}

#[test]
fn a_ledger_of_schema_1_opens_with_the_same_records_head_seed_and_promise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    of_schema_1(&path);
    let config = StorageConfig { max_bytes: 512 * 1024 };
    // Reading it does not change it.
    let before = fs::read(&path).unwrap();
    let inspected = Storage::inspect(&path).unwrap();
    assert!(fs::read(&path).unwrap() == before);
    for _ in 0..2 {
        let (mut storage, stored) = Storage::open(&path, config, SEED).unwrap();
        assert_eq!((&stored.promise, &stored.aside), (&inspected.promise, &inspected.aside));
        let chain = inspected.chain.as_ref().unwrap();
        assert_eq!((chain.from_round, chain.to_round, chain.records), (1, 9, 9));
        assert_eq!((chain.head, inspected.records), (stored.head.unwrap(), 32));
        assert_eq!(hex::encode(stored.seed.0), SCHEMA_1_SEED);
        assert_eq!(stored.head.unwrap().to_string(), SCHEMA_1_HEAD);
        assert_eq!(
            stored.promise,
            Some(Promise {
                fence: 1_048_579,
                holder: "rg-0_local-2001aa29".to_owned()
            })
        );
        assert_eq!((stored.records.len(), storage.len()), (32, 32));
        let aside: Vec<_> = stored
            .aside
            .iter()
            .map(|aside| (aside.from_round, aside.to_round))
            .collect();
        assert_eq!(aside, [(1, 23)]);
        assert_eq!(
            (stored.runs[0].low, stored.runs[0].high, stored.runs[0].base),
            (1, 9, None)
        );
        // The oldest slots are those of the chain that was left.
        let oldest = storage.oldest(24).unwrap();
        let rounds: Vec<_> = oldest.iter().map(|old| (old.round, old.linked)).collect();
        assert_eq!(rounds[..2], [(1, false), (2, false)]);
        assert_eq!(rounds[22..], [(23, false), (1, true)]);
        assert_eq!(storage.ancestors(&stored.head.unwrap(), 100).unwrap().len(), 9);
        storage.commit(&[]).unwrap();
    }
    assert!(size(&path) <= 512 * 1024);
}

#[test]
fn a_ledger_of_schema_1_that_finds_no_space_stays_as_it_was() {
    let disk = SmallDisk::new(10);
    let path = disk.path().join("ledger.db");
    of_schema_1(&path);
    let before = fs::read(&path).unwrap();
    disk.fill();
    assert_eq!(open(&path).unwrap_err(), StorageError::Full);
    assert_eq!(fs::read(&path).unwrap().len(), before.len());
    disk.free();
    let (storage, stored) = open(&path).unwrap();
    assert_eq!(
        (storage.len(), stored.head.unwrap().to_string()),
        (32, SCHEMA_1_HEAD.to_owned())
    );
}

/// A ledger of schema 1 with that many rounds of a chain, as the program of then sealed it.
fn of_schema_1_with(path: &Path, rounds: u64) -> Vec<Arc<Record>> {
    let mut chain: Vec<Arc<Record>> = Vec::new();
    let mut digest = [0; 32];
    for round in 1..=rounds {
        let next = drawn_after(chain.last().map(|last| &**last), 7, 1, 1_800_000_000 + round as i64);
        digest
            .iter_mut()
            .zip(next.hash.0)
            .for_each(|(byte, with)| *byte ^= with);
        chain.push(next);
    }
    let head = chain.last().unwrap().hash;
    let parts: [&[u8]; 7] = [
        b"random-generator/ledger/1",
        &SEED,
        &head.0,
        &5_u64.to_be_bytes(),
        b"rg-1_u-5",
        &rounds.to_be_bytes(),
        &digest,
    ];
    let sealed: Vec<u8> = parts
        .iter()
        .flat_map(|part| [&(part.len() as u64).to_be_bytes(), *part].concat())
        .collect();
    let seal: [u8; 32] = Sha256::digest(sealed).into();
    of_schema_1(path);
    let mut db = rusqlite::Connection::open(path).unwrap();
    let transaction = db.transaction().unwrap();
    transaction
        .execute_batch("DELETE FROM records; DELETE FROM aside; DELETE FROM ledger")
        .unwrap();
    for record in &chain {
        let row = [record.canonical()];
        transaction
            .execute("INSERT INTO records (record) VALUES (?1)", row)
            .unwrap();
    }
    transaction
        .execute(
            "INSERT INTO ledger VALUES (1, ?1, ?2, 5, 'rg-1_u-5', ?3, ?4, ?5)",
            rusqlite::params![SEED, head.to_string(), rounds as i64, digest, seal],
        )
        .unwrap();
    transaction.commit().unwrap();
    chain
}

/// Everything, once, and in its place.
fn demand_converted(path: &Path, chain: &[Arc<Record>], when: &str) {
    let (mut storage, stored) = open(path).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!(
        (storage.len(), stored.promise),
        (chain.len() as u64, Some(promise(5))),
        "{when}"
    );
    storage.verify(usize::MAX).unwrap();
    assert!(storage.is_verified(), "{when}");
    let linked = storage.oldest(usize::MAX).unwrap();
    assert!(linked.iter().all(|old| old.linked), "{when}");
    assert!(
        linked
            .iter()
            .map(|old| old.hash)
            .eq(chain.iter().map(|record| record.hash)),
        "{when}"
    );
    drop(storage);
    let inspected = Storage::inspect(path).unwrap();
    assert_eq!(inspected.chain.unwrap().records, chain.len() as u64, "{when}");
}

/// Not a test of its own: the process that another test kills.
#[test]
fn child_opens() {
    let Some(path) = child_argument() else { return };
    println!("\nbegins");
    open(&path).unwrap();
    println!("has opened");
}

#[test]
fn a_conversion_killed_at_any_moment_is_completed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    // More than one step.
    let chain = of_schema_1_with(&path, 1_100);
    let before = fs::read(&path).unwrap();
    let began = |child: &mut std::process::Child| {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "begins"));
        (lines, Clock::system())
    };
    let start = || child("child_opens", &path).stdout(Stdio::piped()).spawn().unwrap();
    let mut whole = start();
    let (mut lines, clock) = began(&mut whole);
    let since = clock.boot();
    assert!(lines.any(|line| line.unwrap() == "has opened"));
    let all = clock.boot().since(since);
    assert!(whole.wait().unwrap().success());
    demand_converted(&path, &chain, "without a crash");
    let journal = path.with_file_name("ledger.db-journal");
    for turn in 0..12 {
        fs::remove_file(&journal).unwrap();
        fs::write(&path, &before).unwrap();
        let mut killed = start();
        let (_lines, clock) = began(&mut killed);
        let since = clock.boot();
        while clock.boot().since(since) < all * turn / 12 {
            thread::sleep(Duration::from_millis(1));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        demand_converted(&path, &chain, &format!("killed after {turn}/12 of {all:?}"));
    }
}

#[test]
fn a_conversion_that_dies_just_before_its_commit_is_undone_and_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let chain = of_schema_1_with(&path, 20);
    let journal = path.with_file_name("ledger.db-journal");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update_and_check(None, "journal_mode", "persist", |_| Ok(()))
        .unwrap();
    db.execute_batch(
        "BEGIN IMMEDIATE; DROP TABLE ledger; CREATE TABLE ledger (id INTEGER PRIMARY KEY);
         CREATE TABLE places (id INTEGER PRIMARY KEY); PRAGMA user_version = 2",
    )
    .unwrap();
    db.cache_flush().unwrap();
    // What undoes it is whole now. A commit writes the last pages, and ends when the journal is void.
    let undoes = fs::read(&journal).unwrap();
    db.execute_batch("COMMIT").unwrap();
    drop(db);
    fs::write(&journal, undoes).unwrap();
    assert_eq!(
        fs::read(&path).unwrap()[60..64],
        [0, 0, 0, 2],
        "the file says that it is converted"
    );
    demand_converted(&path, &chain, "before its commit");
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Write>),
    Reopen,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => (1..40u64, 1..33u16).prop_map(|(round, members)| Write::Record(record(round, members))),
        2 => (1..40u64).prop_map(|round| Write::Head(record(round, 3).hash)),
        2 => (1..1000u64).prop_map(|fence| Write::Promise(promise(fence))),
        1 => (1..90u64).prop_map(|n| Write::Aside(aside(n))),
        2 => prop::collection::vec((1..40u64, 1..33u16), 0..4)
            .prop_map(|list| Write::Prune(list.into_iter().map(|(round, n)| record(round, n).hash).collect())),
    ]
}

fn apply(model: &mut Stored, writes: &[Write]) {
    for write in writes {
        match write {
            Write::Record(record) => {
                if !model.records.contains(record) {
                    model.records.push(record.clone());
                }
            }
            Write::Head(hash) => model.head = Some(*hash),
            Write::Promise(promise) => model.promise = Some(promise.clone()),
            Write::Aside(aside) => {
                model.aside.retain(|known| known.head != aside.head);
                model.aside.push(aside.clone());
                if model.aside.len() > MAX_ASIDE {
                    model.aside.remove(0);
                }
            }
            Write::Prune(hashes) => model.records.retain(|record| !hashes.contains(&record.hash)),
            Write::Link(_) | Write::Unlink(_) | Write::Renew | Write::Runs(_) => unreachable!("none is made"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_list_of_commits_is_found_again_as_it_was_given(steps in prop::collection::vec(
        prop_oneof![
            5 => prop::collection::vec(write(), 0..8).prop_map(Step::Commit),
            1 => Just(Step::Reopen),
        ],
        1..12,
    )) {
        let dir = in_memory();
        let path = dir.path().join("ledger.db");
        let (mut storage, stored) = open(&path).unwrap();
        let mut model = stored;
        for step in steps {
            match step {
                Step::Commit(writes) => {
                    storage.commit(&writes).unwrap();
                    apply(&mut model, &writes);
                }
                Step::Reopen => {
                    drop(storage);
                    let (reopened, stored) = open(&path).unwrap();
                    prop_assert_eq!(sorted(stored), sorted(model.clone()));
                    storage = reopened;
                }
            }
        }
        drop(storage);
        prop_assert_eq!(sorted(open(&path).unwrap().1), sorted(model));
    }
}

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

/// A valid record of one member.
fn drawn_after(previous: Option<&Record>, chain: u8, fence: u64, slot: i64) -> Arc<Record> {
    let contribution = Contribution {
        member: "rg-0".to_owned(),
        next_commitment: Hex([9; 32]),
        ordinal: 0,
        reveal: None,
    };
    let draft = Draft {
        set: "rg".to_owned(),
        chain: Hex([chain; 16]),
        round: previous.map_or(1, |previous| previous.round + 1),
        schedule: "@every 1s".to_owned(),
        slot: Slot(slot),
        missed: previous.map_or(0, |previous| (slot - previous.slot.0 - 1) as u64),
        holder: "rg-0_uid-00000001".to_owned(),
        fence,
        voters: 1.into(),
        previous: previous.map(|previous| previous.hash),
        contributions: vec![contribution],
        missing: Vec::new(),
    };
    let record = draft.seal();
    record.check().unwrap();
    Arc::new(record)
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

#[test]
fn a_list_that_does_not_fit_is_refused_whole_and_room_is_made_by_pruning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let (mut storage, _) = open(&path).unwrap();
    let all: Vec<_> = (1..=200).map(|round| record(round, 32)).collect();
    let mut list = vec![Write::Promise(promise(7))];
    list.extend(all.iter().cloned().map(Write::Record));
    assert_eq!(storage.commit(&list), Err(StorageError::Full));
    storage.commit(&list[1..100]).unwrap();
    assert_eq!(storage.commit(&list), Err(StorageError::Full));
    let prune = Write::Prune(all[..90].iter().map(|record| record.hash).collect());
    storage.commit(&[prune, list[150].clone()]).unwrap();
    let used = storage.used();
    drop(storage);
    let (storage, stored) = open(&path).unwrap();
    assert_eq!(stored.promise, None);
    assert_eq!(stored.records.len(), 10);
    assert_eq!(storage.used(), used);
    assert!(size(&path) <= DEFAULT_MAX_BYTES);
}

#[test]
fn pruning_by_the_estimate_never_meets_the_bound_whatever_the_records_sizes() {
    let sizes: [fn(u64) -> u16; 4] = [|_| 3, |_| 32, |_| 1, |round| 1 + u16::try_from(round * 7 % 32).unwrap()];
    for members in sizes {
        let dir = in_memory();
        let path = dir.path().join("ledger.db");
        let config = StorageConfig { max_bytes: 512 * 1024 };
        let (mut storage, _) = Storage::open(&path, config, SEED).unwrap();
        let mut kept = Vec::new();
        for round in 1..=600 {
            commit_pruning(&mut storage, &mut kept, record(round, members(round))).unwrap();
            // What pruning frees is an estimate too; the next commit starts from what it was.
            assert!(storage.used() <= storage.capacity() + 4 * 4096);
        }
        let bytes: usize = kept.iter().map(|record| record.canonical().len()).sum();
        assert!(
            bytes as u64 * 2 > storage.capacity() || kept.len() == 600,
            "{bytes} of {}",
            storage.capacity()
        );
        assert!(size(&path) <= 512 * 1024);
        drop(storage);
        assert_eq!(Storage::open(&path, config, SEED).unwrap().1.records.len(), kept.len());
    }
}

#[test]
fn on_a_disk_that_others_filled_to_the_last_byte_commits_go_on() {
    let disk = SmallDisk::new(10);
    let path = disk.path().join("ledger.db");
    let (mut storage, _) = open(&path).unwrap();
    disk.fill();
    let mut kept = Vec::new();
    for round in 1..=700 {
        // Sometimes a large one, and sometimes a reopen.
        let members = if round % 50 == 0 { 32 } else { 3 };
        commit_pruning(&mut storage, &mut kept, record(round, members)).unwrap();
        if round % 100 == 0 {
            drop(storage);
            storage = open(&path).unwrap().0;
            assert_eq!(Storage::inspect(&path).unwrap().records, kept.len() as u64);
        }
    }
    // The largest that the journal is made for.
    let largest = storage.largest_commit();
    let (mut list, mut bytes) = (Vec::new(), 0);
    for old in &kept {
        bytes += 2 * old.canonical().len() as u64;
        if bytes > largest {
            break;
        }
        list.push(old.clone());
    }
    assert!(list.len() > 20, "{}", list.len());
    let mut writes = vec![Write::Prune(list.iter().map(|record| record.hash).collect())];
    writes.extend((0..list.len() as u64).map(|n| Write::Record(record(10_000 + n, 3))));
    storage.commit(&writes).unwrap();
    assert!(size(&path) <= DEFAULT_MAX_BYTES);
    drop(storage);
    open(&path).unwrap();
    assert_eq!(Storage::inspect(&path).unwrap().records, kept.len() as u64);
}

#[test]
fn a_crash_within_a_transaction_on_a_full_disk_is_rolled_back_and_leaves_the_reserve_whole() {
    let disk = SmallDisk::new(10);
    let path = disk.path().join("ledger.db");
    let journal = disk.path().join("ledger.db-journal");
    let (mut storage, _) = open(&path).unwrap();
    storage
        .commit(&[Write::Promise(promise(5)), Write::Record(record(1, 3))])
        .unwrap();
    drop(storage);
    disk.fill();
    // Held open, so that its inode can't be given to another.
    let reserved = fs::File::open(&journal).unwrap();
    for round in 2..5 {
        let died = child("child_dies_within_a_transaction", &path).output().unwrap();
        assert!(!died.status.success());
        assert_ne!(fs::read(&journal).unwrap()[0], 0, "a hot journal");
        let (mut storage, stored) = open(&path).unwrap();
        // Deleted and made again, it would have been without its space in between.
        assert_eq!(reserved.metadata().unwrap().nlink(), 1);
        assert_eq!(stored.promise, Some(promise(5)));
        assert_eq!(stored.records.len() as u64, round - 1);
        storage.commit(&[Write::Record(record(round, 3))]).unwrap();
        assert!(size(&path) >= DEFAULT_MAX_BYTES - 2 * 4096);
    }
}

#[test]
fn a_volume_without_room_for_the_reserve_is_full_and_a_later_attempt_succeeds() {
    let disk = SmallDisk::new(10);
    let path = disk.path().join("ledger.db");
    disk.fill();
    assert_eq!(open(&path).unwrap_err(), StorageError::Full);
    let left: Vec<_> = fs::read_dir(disk.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("ledger"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    disk.free();
    open(&path).unwrap();
}

#[test]
fn a_commit_that_fails_for_the_disk_succeeds_once_it_is_writable() {
    let disk = SmallDisk::new(10);
    let path = disk.path().join("ledger.db");
    let (mut storage, _) = open(&path).unwrap();
    drop(storage.commit(&[Write::Promise(promise(1))]));
    drop(storage);
    disk.remount("ro");
    match open(&path) {
        // It may be read, and not written.
        Ok((mut storage, _)) => {
            assert!(matches!(
                storage.commit(&[Write::Promise(promise(2))]),
                Err(StorageError::Io(_))
            ));
        }
        Err(error) => assert!(matches!(error, StorageError::Io(_)), "{error}"),
    }
    disk.remount("rw");
    let (mut storage, stored) = open(&path).unwrap();
    assert_eq!(stored.promise, Some(promise(1)));
    storage.commit(&[Write::Promise(promise(2))]).unwrap();
}

#[test]
fn a_growing_bound_is_reserved_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let (mut storage, _) = open(&path).unwrap();
    storage.commit(&[Write::Promise(promise(1))]).unwrap();
    let before = storage.capacity();
    drop(storage);
    let (storage, stored) = Storage::open(&path, StorageConfig { max_bytes: 3 << 20 }, SEED).unwrap();
    assert_eq!(stored.promise, Some(promise(1)));
    assert!(storage.capacity() > 19 * before / 10);
    assert!(size(&path) <= 3 << 20 && size(&path) >= (3 << 20) - 2 * 4096);
}

#[test]
fn what_is_no_ledger_is_corrupt_and_left_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let whole = {
        let (mut storage, _) = open(&path).unwrap();
        storage
            .commit(&[Write::Record(record(1, 3)), Write::Promise(promise(3))])
            .unwrap();
        drop(storage);
        fs::read(&path).unwrap()
    };
    let change = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let foreign = {
        let path = dir.path().join("foreign");
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1")
            .unwrap();
        fs::read(path).unwrap()
    };
    let text = String::from_utf8_lossy(&whole).find("rg-1_u-3");
    assert!(text.is_some());
    let holder = whole.windows(8).position(|bytes| bytes == b"rg-1_u-3").unwrap();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("empty", vec![], "0 bytes"),
        ("text", b"{}".to_vec(), "2 bytes"),
        ("garbage", vec![b'x'; 8192], "no database"),
        ("truncated", whole[..whole.len() / 2].to_vec(), ""),
        ("another's", foreign, "not a ledger's"),
        ("newer", change(60, &[0, 0, 0, 9]), "newer version"),
        ("in WAL mode", change(18, &[2, 2]), "no database"),
        ("another promise", change(holder, b"rg-2"), "seal"),
    ];
    for (what, content, says) in cases {
        fs::write(&path, &content).unwrap();
        match open(&path) {
            Err(StorageError::Corrupt(detail)) => assert!(detail.contains(says), "{what}: {detail}"),
            other => panic!("{what}: {other:?}"),
        }
        assert!(fs::read(&path).unwrap() == content, "{what} was touched");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(
        open(&path),
        Err(StorageError::Io(_) | StorageError::Corrupt(_))
    ));
}

#[test]
fn damage_anywhere_is_noticed_or_harmless() {
    let dir = in_memory();
    let path = dir.path().join("ledger.db");
    let config = StorageConfig { max_bytes: 512 * 1024 };
    let (mut storage, _) = Storage::open(&path, config, SEED).unwrap();
    for round in 1..=60 {
        let members = if round % 7 == 0 { 30 } else { 3 };
        storage
            .commit(&[
                Write::Record(record(round, members)),
                Write::Promise(promise(round)),
                Write::Aside(aside(round)),
            ])
            .unwrap();
    }
    let in_use = usize::try_from(storage.used()).unwrap();
    drop(storage);
    let whole = fs::read(&path).unwrap();
    let truth = sorted(Storage::open(&path, config, SEED).unwrap().1);
    let inspected = Storage::inspect(&path).unwrap();
    assert_eq!(inspected.records, 60);
    let used_pages: Vec<usize> = (0..whole.len() / 4096)
        .filter(|page| whole[page * 4096..(page + 1) * 4096].iter().any(|byte| *byte != 0))
        .collect();
    assert!(used_pages.len() * 4096 >= in_use);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64; // xorshift: the same damage each time
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut noticed = 0;
    for turn in 0..800 {
        let mut damaged = whole.clone();
        // One flipped bit, or a few bytes of something else; the head of a page more often than its share.
        let page = used_pages[random(used_pages.len())] * 4096;
        let at = page + if random(3) == 0 { random(120) } else { random(4096) };
        if random(2) == 0 {
            damaged[at] ^= 1 << random(8);
        } else {
            let end = (at + 1 + random(64)).min(damaged.len());
            damaged[at..end].fill_with(|| u8::try_from(random(256)).unwrap());
        }
        // In place: a file that is made new would have no journal's name to meet.
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&damaged, 0)
            .unwrap();
        let is_noticed = (turn % 4 == 0).then(|| match Storage::inspect(&path) {
            Ok(found) => {
                assert_eq!(found, inspected, "damage at {at}");
                false
            }
            Err(InspectError::Storage(StorageError::Corrupt(_))) => true,
            Err(other) => panic!("damage at {at}: {other}"),
        });
        match Storage::open(&path, config, SEED) {
            Ok((_, stored)) => {
                assert_eq!(sorted(stored), truth, "damage at {at}");
                assert_ne!(is_noticed, Some(true), "damage at {at}");
            }
            Err(StorageError::Corrupt(_)) => {
                assert_ne!(is_noticed, Some(false), "damage at {at}");
                noticed += 1;
            }
            Err(other) => panic!("damage at {at}: {other}"),
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(noticed > 150, "{noticed}");
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

#[test]
fn damage_under_a_running_ledger_fails_the_commit_and_not_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let (mut storage, _) = open(&path).unwrap();
    storage.commit(&[Write::Record(record(1, 3))]).unwrap();
    // Another writer, so that SQLite reads the pages anew.
    fs::write(&path, vec![b'x'; 8192]).unwrap();
    match storage.commit(&[Write::Record(record(2, 3))]) {
        Err(StorageError::Corrupt(_)) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        storage.commit(&[Write::Promise(promise(1))]),
        Err(StorageError::Corrupt(_))
    ));
}

#[test]
fn a_removed_file_is_reported_and_never_created_again_by_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let (mut storage, _) = open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(
            storage.commit(&[Write::Promise(promise(1))]),
            Err(StorageError::Io(_))
        ));
        assert!(!path.exists());
    }
}

#[test]
fn what_is_set_aside_is_whole_and_only_the_newest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let clock = Clock::system();
    let mut kept = PathBuf::new();
    for round in 1..=3 {
        let (mut storage, stored) = open(&path).unwrap();
        assert_eq!(stored.records, vec![]);
        storage.commit(&[Write::Record(record(round, 3))]).unwrap();
        drop(storage);
        kept = Storage::set_aside(&path, &clock).unwrap();
        assert!(
            kept.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("ledger.db.corrupt-20")
        );
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 2, "the file and its journal");
    }
    assert_eq!(open(&kept).unwrap().1.records, vec![record(3, 3)]);
    assert!(matches!(Storage::set_aside(&path, &clock), Err(StorageError::Io(_))));
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
fn a_thousand_records_are_opened_and_verified_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let config = StorageConfig { max_bytes: 2 << 20 };
    let clock = Clock::system();
    let since = clock.boot();
    let (mut storage, _) = Storage::open(&path, config, SEED).unwrap();
    eprintln!("made in {:?}", clock.boot().since(since));
    for first in (1..=1000).step_by(50) {
        let list: Vec<_> = (first..first + 50)
            .map(|round| Write::Record(record(round, 3)))
            .collect();
        storage.commit(&list).unwrap();
    }
    drop(storage);
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let since = processor_time();
            let (storage, _) = Storage::open(&path, config, SEED).unwrap();
            let time = processor_time() - since;
            assert_eq!(storage.len(), 1000);
            time
        })
        .collect();
    times.sort();
    eprintln!("opened in {:?}", times[4]);
    // A release build takes a fraction of this. The processors are shared by all tests, so the clock on the wall says little.
    assert!(times[0] < Duration::from_millis(200), "{times:?}");
}

const CHILD: &str = "LEDGER_STORAGE_TEST_CHILD";

/// Not a test of its own: the process that other tests kill.
#[test]
fn child_commits_until_killed() {
    let Some(path) = child_argument() else { return };
    let (mut storage, stored) = open(&path).unwrap();
    let mut kept = stored.records;
    kept.sort_by_key(|record| record.round);
    for round in kept.last().map_or(0, |record| record.round) + 1.. {
        commit_pruning(&mut storage, &mut kept, record(round, 3)).unwrap();
        println!("acknowledged {round}");
    }
}

/// Not a test of its own: the process that another test lets crash.
#[test]
fn child_dies_within_a_transaction() {
    let Some(path) = child_argument() else { return };
    let db = rusqlite::Connection::open(path).unwrap();
    db.pragma_update_and_check(None, "journal_mode", "persist", |_| Ok(()))
        .unwrap();
    db.execute_batch("BEGIN IMMEDIATE; UPDATE ledger SET fence = 999, seed = zeroblob(32); DELETE FROM records")
        .unwrap();
    db.cache_flush().unwrap();
    std::process::abort();
}

fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, path);
    command
}

#[allow(clippy::disallowed_methods)] // the argument of a child process that a test harness starts
fn child_argument() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Kills a committing process after it has said so often that a commit is done; the last round that it acknowledged.
fn kill_while_committing(path: &Path, commits: u64) -> u64 {
    let mut child = child("child_commits_until_killed", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let round = |line: String| {
        line.strip_prefix("acknowledged ")
            .and_then(|round| round.parse::<u64>().ok())
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .split(b'\n')
        .map_while(|line| {
            let line = line.ok()?;
            Some(String::from_utf8_lossy(&line).into_owned())
        });
    let mut last = 0;
    for _ in 0..commits {
        last = lines.by_ref().find_map(round).expect("the child commits");
    }
    child.kill().unwrap();
    let rest = lines.filter_map(round).last();
    child.wait().unwrap();
    rest.unwrap_or(last)
}

#[test]
fn a_process_killed_while_it_commits_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    for turn in 0..12 {
        let acknowledged = kill_while_committing(&path, 20 + turn);
        let (_, stored) = open(&path).unwrap();
        let rounds: Vec<u64> = {
            let mut rounds: Vec<u64> = stored.records.iter().map(|record| record.round).collect();
            rounds.sort_unstable();
            rounds
        };
        let last = *rounds.last().unwrap();
        assert!(
            last >= acknowledged && last <= acknowledged + 1,
            "{last} after {acknowledged}"
        );
        assert_eq!(rounds, (1..=last).collect::<Vec<_>>());
        // All parts of one commit, or none.
        assert_eq!(stored.promise, Some(promise(last)));
        let head: Hash = record(last, 3).hash;
        assert_eq!(stored.head, Some(head));
    }
}
