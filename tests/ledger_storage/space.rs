//! The bound, full disks, and the space that is reserved.

use super::*;

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
        let died = child("crashes::child_dies_within_a_transaction", &path)
            .output()
            .unwrap();
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
