//! Ledgers of schema 1, which are converted when they are opened.

use super::*;

/// A file that a program with schema 1 wrote, in two chains, as the sqlite3 tool prints it.
fn of_schema_1(path: &Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch("PRAGMA page_size = 4096; PRAGMA user_version = 1")
        .unwrap();
    db.execute_batch(include_str!("../ledger_before/schema_1.sql")).unwrap();
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
    open(&path).unwrap();
}

#[test]
fn a_conversion_killed_at_any_moment_is_completed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    // More than one step.
    let chain = of_schema_1_with(&path, 1_100);
    let before = fs::read(&path).unwrap();
    let journal = path.with_file_name("ledger.db-journal");
    let start = || {
        child("conversion::child_opens", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    assert!(start().wait().unwrap().success());
    demand_converted(&path, &chain, "without a crash");
    // How far it is shows in how large the files have become.
    let written = || {
        [&path, &journal]
            .map(|file| fs::metadata(file).map_or(0, |file| file.len()))
            .iter()
            .sum::<u64>()
    };
    let (from, to) = (before.len() as u64, written());
    assert!(from < to);
    for turn in 0..12 {
        fs::remove_file(&journal).unwrap();
        fs::write(&path, &before).unwrap();
        let mut killed = start();
        waiting::until("so much of the conversion", || {
            let grown = written() >= from + (to - from) * turn / 12;
            (grown || killed.try_wait().unwrap().is_some()).then_some(())
        });
        killed.kill().unwrap();
        killed.wait().unwrap();
        demand_converted(&path, &chain, &format!("killed after {turn}/12 of its growth"));
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
