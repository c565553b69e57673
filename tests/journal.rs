#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
//! The journal keeps what it acknowledged, keeps within its share, and gets over what happens to its files.

mod journaled;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use journaled::{Running, bytes, entry, rows, values, within};
use prometheus_client::registry::Registry;
use random_generator::clock::{Clock, Wall};
use random_generator::journal::{
    Durability, Entry, Journal, JournalConfig, JournalError, JournalFailure, JournalMetrics, JournalState, MIN_BYTES,
};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn an_acknowledged_entry_can_be_read_at_once() {
    for durability in [Durability::Crash, Durability::Power] {
        let dir = tempfile::tempdir().unwrap();
        let journal = Running::start(dir.path(), durability, 8 * MIB);
        let entry = Entry {
            time: Wall(1_790_000_000_123_456),
            request: "0b1c".into(),
            duration: Duration::from_micros(77),
            method: "integers".into(),
            parameters: "min=1&max=6&count=2".into(),
            count: 2,
            value: None,
        };
        journal.handle.record(entry.clone()).await.unwrap();
        let rows = rows(&journal.path);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].id, rows[0].time, &rows[0].request),
            (1, entry.time, &entry.request)
        );
        assert_eq!(
            (rows[0].duration, rows[0].count, rows[0].value),
            (entry.duration, 2, None)
        );
        assert_eq!(
            (rows[0].method.as_str(), &rows[0].parameters),
            ("integers", &entry.parameters)
        );
        journal.stop().await;
    }
}

#[tokio::test]
async fn what_waits_in_the_queue_is_committed_when_the_journal_stops() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::None, 8 * MIB);
    for value in 0..5_000 {
        journal.handle.record(entry(value)).await.unwrap();
    }
    let (path, handle) = (journal.path.clone(), journal.handle.clone());
    journal.stop().await;
    assert_eq!(values(&path), (0..5_000).collect());
    assert_eq!(
        handle.record(entry(0)).await,
        Ok(()),
        "without durability nobody is refused"
    );
}

#[tokio::test]
async fn a_stopped_journal_refuses_in_a_durable_mode() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 8 * MIB);
    let handle = journal.handle.clone();
    journal.stop().await;
    assert_eq!(handle.record(entry(0)).await, Err(JournalError::Stopped));
}

#[tokio::test]
async fn many_entries_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 8 * MIB);
    let acknowledged = journal.record_all(0..20_000).await;
    assert_eq!(acknowledged.len(), 20_000);
    assert_eq!(values(&journal.path), acknowledged);
    assert!(journal.metric("journal_commits_total") < 10_000.0);
    assert_eq!(journal.metric("journal_rows"), 20_000.0);
    journal.stop().await;
}

#[tokio::test]
async fn entries_that_nobody_waits_for_are_committed_together_though_each_comes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::None, 8 * MIB);
    journal.working().await;
    let (clock, began) = (Clock::system(), Clock::system().boot());
    for value in 0..500 {
        journal.handle.record(entry(value)).await.unwrap();
        // Time enough to take and to commit this one before the next comes.
        while clock.boot() < began + Duration::from_micros(200) * (value as u32 + 1) {
            std::thread::yield_now();
        }
    }
    let path = journal.path.clone();
    let (commits, took) = (journal.metric("journal_commits_total"), clock.boot().since(began));
    // One in 10 ms.
    let most = took.as_millis() as f64 / 10.0 + 2.0;
    assert!(commits <= most, "{commits} commits in {took:?}");
    journal.stop().await;
    assert_eq!(values(&path), (0..500).collect());
}

#[tokio::test]
async fn texts_that_are_too_long_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 8 * MIB);
    let long = Entry {
        parameters: "ü".repeat(5_000),
        ..entry(1)
    };
    journal.handle.record(long).await.unwrap();
    assert_eq!(rows(&journal.path)[0].parameters, "ü".repeat(512));
    journal.stop().await;
}

/// Not a test of its own: the process that the test below kills. It writes each value once the journal acknowledged it.
#[tokio::test]
#[allow(clippy::disallowed_methods)] // how the parent passes the directory to itself run again
async fn child_records_until_it_is_killed() {
    let Some(dir) = std::env::var_os("JOURNAL_OF_CHILD") else {
        return;
    };
    let journal = Running::start(dir.as_ref(), Durability::Crash, 8 * MIB);
    for value in 0.. {
        journal.handle.record(entry(value)).await.unwrap();
        println!("acknowledged {value}");
    }
}

#[test]
fn every_acknowledged_entry_survives_kill_9() {
    for after in [1, 100, 3_000] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_records_until_it_is_killed", "--nocapture"])
            .env("JOURNAL_OF_CHILD", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = HashSet::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            // The test harness writes the beginning of the first line.
            let line = line.unwrap();
            if let Some((_, value)) = line.split_once("acknowledged ") {
                acknowledged.insert(value.parse::<i64>().unwrap());
            }
            if acknowledged.len() == after {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= after);
        let kept = values(&dir.path().join("journal.db"));
        assert!(
            acknowledged.is_subset(&kept),
            "{} of {} kept",
            kept.len(),
            acknowledged.len()
        );
    }
}

#[tokio::test]
async fn the_oldest_rows_go_first_and_the_share_holds() {
    for share in [MIN_BYTES, 4 * MIB] {
        let dir = tempfile::tempdir().unwrap();
        let journal = Running::start(dir.path(), Durability::Crash, share);
        let mut largest = 0;
        for thousand in 0..80 {
            let acknowledged = journal.record_all(thousand * 1_000..(thousand + 1) * 1_000).await;
            assert_eq!(acknowledged.len(), 1_000);
            largest = largest.max(bytes(&journal.path));
            assert!(largest <= share, "{largest} of {share} bytes");
        }
        let rows = rows(&journal.path);
        assert_eq!(rows.last().unwrap().id, 80_000, "row ids go on");
        assert!(
            rows.windows(2).all(|pair| pair[1].id == pair[0].id + 1),
            "no row is missing in between"
        );
        assert!(rows.len() > 1_000 && rows.len() < 80_000, "{} rows", rows.len());
        assert_eq!(journal.metric("journal_rows"), rows.len() as f64);
        assert_eq!(journal.metric("journal_oldest_row"), rows[0].id as f64);
        assert!(journal.metric("journal_fill_ratio") > 0.7);
        assert_eq!(journal.metric("journal_working"), 1.0);
        journal.stop().await;
    }
}

#[tokio::test]
async fn rows_that_are_much_larger_than_those_before_find_room() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, MIN_BYTES);
    for round in 0..3 {
        assert_eq!(journal.record_all(0..20_000).await.len(), 20_000, "round {round}");
        for value in 0..2_000 {
            let large = Entry {
                parameters: "p".repeat(1_024),
                request: "r".repeat(1_024),
                ..entry(value)
            };
            journal.handle.record(large).await.unwrap();
            assert!(bytes(&journal.path) <= MIN_BYTES);
        }
    }
    assert_eq!(journal.metric("journal_working"), 1.0);
    journal.stop().await;
}

#[tokio::test]
async fn a_share_that_was_lowered_is_kept_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 16 * MIB);
    journal.record_all(0..150_000).await;
    let path = journal.path.clone();
    assert!(bytes(&path) > 8 * MIB);
    journal.stop().await;

    let journal = Running::start(dir.path(), Durability::Crash, 4 * MIB);
    journal.handle.record(entry(150_000)).await.unwrap();
    assert!(bytes(&path) <= 4 * MIB, "{} bytes", bytes(&path));
    let rows = rows(&path);
    assert_eq!(rows.last().unwrap().value, Some(150_000));
    assert!(rows.len() > 5_000, "{} rows", rows.len());
    journal.stop().await;
}

#[tokio::test]
async fn a_share_too_small_to_work_in_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        path: dir.path().join("journal.db"),
        durability: Durability::Crash,
        max_bytes: MIN_BYTES - 1,
    };
    let metrics = JournalMetrics::register(&mut Registry::default());
    let error = Journal::start(config, Clock::system(), metrics).unwrap_err();
    assert!(matches!(error, JournalFailure::TooSmall(_)) && error.to_string().contains("--journal-max"));
}

fn moved_aside(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("journal.db.corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_journal_that_is_corrupt_at_the_start_is_moved_aside() {
    for damage in [0..100, 0..4_096_usize] {
        let dir = tempfile::tempdir().unwrap();
        let journal = Running::start(dir.path(), Durability::Crash, 8 * MIB);
        journal.record_all(0..1_000).await;
        let path = journal.path.clone();
        journal.stop().await;
        let mut file = fs::read(&path).unwrap();
        file[damage].fill(0xa5);
        fs::write(&path, &file).unwrap();

        let journal = Running::start(dir.path(), Durability::Crash, 8 * MIB);
        journal.handle.record(entry(7)).await.unwrap();
        assert_eq!(values(&path), HashSet::from([7]));
        let aside = moved_aside(dir.path());
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(fs::read(dir.path().join(&aside[0])).unwrap(), file);
        assert_eq!(journal.metric("journal_corruptions_total"), 1.0);
        journal.stop().await;
    }
}

#[tokio::test]
async fn a_journal_that_becomes_corrupt_is_moved_aside_and_the_entry_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 6 * MIB);
    // To the share's end, which is more than SQLite caches: the next rows to be deleted are read from the file.
    let mut next = journal.record_all(0..100_000).await.len() as i64;
    // Every page but the first, in place, so that it is the same file.
    let file = fs::File::options().write(true).open(&journal.path).unwrap();
    let noise = vec![0xa5; file.metadata().unwrap().len() as usize - 4_096];
    std::os::unix::fs::FileExt::write_all_at(&file, &noise, 4_096).unwrap();
    within(async {
        while moved_aside(dir.path()).is_empty() {
            assert_eq!(journal.record_all(next..next + 100).await.len(), 100);
            next += 100;
        }
    })
    .await;
    journal.handle.record(entry(-1)).await.unwrap();
    assert!(values(&journal.path).contains(&-1));
    journal.working().await;
    journal.stop().await;
}

#[tokio::test]
async fn a_disk_that_damages_every_journal_does_not_fill_itself_with_them() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        fs::write(dir.path().join("journal.db"), vec![0xa5; 8_192]).unwrap();
        let journal = Running::start(dir.path(), Durability::Crash, 8 * MIB);
        journal.handle.record(entry(1)).await.unwrap();
        journal.stop().await;
    }
    assert_eq!(moved_aside(dir.path()).len(), 2);
}

#[tokio::test]
async fn a_journal_removed_by_somebody_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 8 * MIB);
    journal.handle.record(entry(1)).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", journal.path.display())).unwrap();
    }
    journal.handle.record(entry(2)).await.unwrap();
    assert_eq!(values(&journal.path), HashSet::from([2]));
    journal.stop().await;
}

/// A reader that keeps a transaction open.
#[tokio::test]
async fn rows_that_somebody_deletes_change_no_row_id_and_leave_no_full_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, MIN_BYTES);
    assert_eq!(journal.record_all(0..3_000).await.len(), 3_000);
    let other = rusqlite::Connection::open(&journal.path).unwrap();
    other.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    assert!(other.execute("DELETE FROM entry", []).unwrap() > 1_000);
    drop(other);
    assert_eq!(journal.record_all(3_000..3_100).await.len(), 100);
    let found = rows(&journal.path);
    assert_eq!(found.first().map(|row| row.id), Some(3_001), "an id is used once");
    assert_eq!(
        journal.record_all(3_100..60_000).await.len(),
        56_900,
        "the share is used again and again"
    );
    journal.stop().await;
}

fn reading(path: &std::path::Path) -> rusqlite::Connection {
    let reader = rusqlite::Connection::open(path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entry;").unwrap();
    reader
}

#[tokio::test]
async fn a_reader_that_keeps_the_log_costs_journalling_and_never_the_share() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 4 * MIB);
    journal.record_all(0..1_000).await;
    let reader = reading(&journal.path);

    let acknowledged = within(journal.record_all(1_000..60_000)).await;
    assert!(acknowledged.len() < 59_000, "the log can't take them all");
    assert!(bytes(&journal.path) <= 4 * MIB, "{} bytes", bytes(&journal.path));
    let state = journal
        .wait_for(|state| matches!(state, JournalState::Degraded { .. }))
        .await;
    let JournalState::Degraded {
        journalling, reason, ..
    } = state
    else {
        unreachable!();
    };
    assert!(!journalling && reason.contains("reader"), "{reason}");

    drop(reader);
    journal.working().await;
    journal.handle.record(entry(-1)).await.unwrap();
    assert!(values(&journal.path).is_superset(&acknowledged));
    assert_eq!(journal.metric("journal_recoveries_total"), 1.0);
    journal.stop().await;
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_grows_while_there_is_room_and_that_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::Crash, 16 * MIB);
    journal.record_all(0..1_000).await;
    let reader = reading(&journal.path);
    let log = || fs::metadata(dir.path().join("journal.db-wal")).unwrap().len() as i64;
    // Each of these is a commit of its own.
    let mut value = 1_000;
    while log() < 6 * MIB as i64 {
        within(journal.handle.record(entry(value))).await.unwrap();
        value += 1;
    }
    let state = journal
        .wait_for(|state| matches!(state, JournalState::Degraded { .. }))
        .await;
    let JournalState::Degraded {
        journalling, reason, ..
    } = state
    else {
        unreachable!();
    };
    assert!(journalling && reason.contains("end that reader"), "{reason}");
    drop(reader);
    journal.working().await;
    within(journal.handle.record(entry(value))).await.unwrap();
    assert!(log() < 2 * MIB as i64, "{} bytes", log());
    assert!(values(&journal.path).is_superset(&(0..=value).collect()));
    journal.stop().await;
}

#[tokio::test]
async fn a_volume_that_cannot_be_written_costs_journalling_and_not_the_service() {
    let dir = tempfile::tempdir().unwrap();
    // A directory in the journal's place: no database can be opened there.
    let path = dir.path().join("journal.db");
    fs::create_dir(&path).unwrap();
    let durable = Running::start(dir.path(), Durability::Crash, 8 * MIB);
    let refused = within(durable.handle.record(entry(1))).await.unwrap_err();
    assert!(
        matches!(&refused, JournalError::Volume(reason) if reason.contains("journal.db")),
        "{refused:?}"
    );
    assert_eq!(durable.metric("journal_dropped_total{reason=\"volume\"}"), 1.0);
    durable.stop().await;

    let journal = Running::start(dir.path(), Durability::None, 8 * MIB);
    journal
        .wait_for(|state| matches!(state, JournalState::Degraded { journalling: false, .. }))
        .await;
    assert_eq!(journal.handle.record(entry(1)).await, Ok(()));
    fs::remove_dir(&path).unwrap();
    journal.working().await;
    journal.handle.record(entry(2)).await.unwrap();
    journal.stop().await;
    assert_eq!(values(&path), HashSet::from([2]));
}

#[tokio::test]
async fn without_durability_a_full_queue_drops_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Running::start(dir.path(), Durability::None, 8 * MIB);
    journal.working().await;
    // Another process holds the database's write lock, so the thread waits and the queue fills.
    let lock = rusqlite::Connection::open(&journal.path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let full = async {
        let mut value = 0;
        while !dropped(&journal) {
            for _ in 0..1_000 {
                journal.handle.record(entry(value)).await.unwrap();
                value += 1;
            }
        }
    };
    within(full).await;
    drop(lock);
    journal.working().await;
    journal.stop().await;
}

fn dropped(journal: &Running) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        journal.metric("journal_dropped_total{reason=\"queue\"}")
    }))
    .is_ok()
}
