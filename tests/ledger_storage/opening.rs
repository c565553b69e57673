//! A new ledger, one of a thousand records, and what is set aside.

use super::*;

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

#[test]
fn of_more_than_a_thousand_records_the_newest_are_there_at_once_and_the_rest_is_verified_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let config = StorageConfig { max_bytes: 4 << 20 };
    let (mut storage, _) = Storage::open(&path, config, SEED).unwrap();
    for first in (1..=1001).step_by(77) {
        let list: Vec<_> = (first..first + 77)
            .map(|round| Write::Record(record(round, 3)))
            .collect();
        storage.commit(&list).unwrap();
    }
    drop(storage);
    let (mut storage, stored) = Storage::open(&path, config, SEED).unwrap();
    let mut rounds: Vec<u64> = stored.records.iter().map(|record| record.round).collect();
    rounds.sort_unstable();
    assert_eq!(rounds, (1001 - 511..=1001).collect::<Vec<u64>>());
    assert!(!storage.is_verified());
    storage.verify(1001).unwrap();
    assert!(storage.is_verified());
    drop(storage);
    // A row that nothing needs at once is verified as well.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute(
        "UPDATE records SET record = replace(record, 'rg', 'gr') WHERE id = 489",
        [],
    )
    .unwrap();
    drop(db);
    let (mut storage, _) = Storage::open(&path, config, SEED).unwrap();
    assert!(matches!(storage.verify(1001), Err(StorageError::Corrupt(_))));
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
    eprintln!("opened in {times:?}");
    // A release build takes a fraction of this. The processors are shared by all tests, so the clock on the wall says little.
    assert!(times[0] < Duration::from_millis(200), "{times:?}");
}
