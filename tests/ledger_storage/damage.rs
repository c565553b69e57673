//! What is no ledger, is damaged, or was removed.

use super::*;

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
