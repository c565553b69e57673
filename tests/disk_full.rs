#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
//! A real file system of 10 MiB, which fills at the worst moments. The journal costs itself and nothing else, says so, loses
//! nothing that it acknowledged, and is back by itself when there is space.

mod journaled;
mod small_disk;

use std::collections::HashSet;
use std::time::Duration;

use journaled::{Running, bytes, entry, rows, values, within};
use random_generator::clock::Clock;
use random_generator::database::DatabaseError;
use random_generator::generator::ids::{self, IdsConfig, IdsError};
use random_generator::identity::{Facts, Identity, Volume};
use random_generator::journal::{self, Durability, JournalError, JournalState, default_max_bytes};
use random_generator::shutdown;
use small_disk::SmallDisk;

/// The share that the journal has of this disk by default.
fn share(disk: &SmallDisk) -> u64 {
    let identity = Identity::new(Facts {
        pod_name: "rg-0".parse().unwrap(),
        namespace: "default".into(),
        ..Facts::default()
    });
    let volume = Volume::claim(&disk.path(), &identity.unwrap(), &Clock::system()).unwrap();
    let share = default_max_bytes(&volume).unwrap();
    assert!((4 << 20..7 << 20).contains(&share), "{share} bytes");
    share
}

fn degraded(state: &JournalState) -> bool {
    matches!(state, JournalState::Degraded { .. })
}

#[tokio::test]
async fn a_journal_that_finds_the_disk_full_refuses_and_comes_back() {
    let disk = SmallDisk::new(10);
    let share = share(&disk);
    disk.fill();
    let journal = Running::start(&disk.path(), Durability::Crash, share);
    let error = within(journal.handle.record(entry(1))).await.unwrap_err();
    assert!(matches!(&error, JournalError::Volume(_)), "{error:?}");
    let state = journal.wait_for(degraded).await;
    assert!(
        matches!(state, JournalState::Degraded { journalling: false, .. }),
        "{state:?}"
    );

    disk.free();
    journal.working().await;
    journal.handle.record(entry(2)).await.unwrap();
    assert_eq!(values(&journal.path), HashSet::from([2]));
    journal.stop().await;
}

#[tokio::test]
async fn a_disk_that_fills_at_any_moment_loses_nothing_that_was_acknowledged() {
    for (round, before) in [0, 1, 10, 100, 1_000, 5_000, 20_000, 60_000].into_iter().enumerate() {
        let disk = SmallDisk::new(10);
        let share = share(&disk);
        let journal = Running::start(&disk.path(), Durability::Crash, share);
        journal.working().await;
        let mut acknowledged = within(journal.record_all(0..before)).await;
        disk.fill();
        // Again after the journal gave its ballast away: now it has nothing but its own rows.
        for part in 0..3 {
            let from = before + part * 4_000;
            acknowledged.extend(within(journal.record_all(from..from + 4_000)).await);
            disk.fill();
        }
        journal.wait_for(degraded).await;
        assert!(bytes(&journal.path) <= share);
        check_kept(&journal, &acknowledged);

        disk.free();
        journal.working().await;
        let after = within(journal.record_all(100_000..101_000)).await;
        assert_eq!(after.len(), 1_000, "round {round}: it works again");
        acknowledged.extend(after);
        check_kept(&journal, &acknowledged);
        assert!(journal.metric("journal_recoveries_total") >= 1.0);
        journal.stop().await;
    }
}

#[tokio::test]
async fn a_journal_with_rows_to_spare_goes_on_when_others_fill_the_disk() {
    let disk = SmallDisk::new(10);
    let share = share(&disk);
    let journal = Running::start(&disk.path(), Durability::Crash, share);
    let mut acknowledged = journal.record_all(0..20_000).await;
    disk.fill();
    for part in 1..11 {
        let more = within(journal.record_all(part * 20_000..(part + 1) * 20_000)).await;
        assert_eq!(more.len(), 20_000, "part {part}");
        acknowledged.extend(more);
    }
    let state = journal.handle.state().borrow().clone();
    assert!(
        matches!(state, JournalState::Degraded { journalling: true, .. }),
        "{state:?}"
    );
    assert_eq!(
        journal.metric("journal_recoveries_total"),
        0.0,
        "the ballast isn't made of its own space"
    );
    check_kept(&journal, &acknowledged);
    disk.free();
    journal.working().await;
    assert_eq!(journal.metric("journal_recoveries_total"), 1.0);
    journal.stop().await;
}

/// The log's index is memory mapped from a file, and a store into a part of it that has no blocks yet kills the process.
#[tokio::test]
async fn a_disk_that_fills_before_the_first_entry_does_not_kill_the_member() {
    let disk = SmallDisk::new(10);
    let share = share(&disk);
    let journal = Running::start(&disk.path(), Durability::Crash, share);
    journal.handle.record(entry(0)).await.unwrap();
    journal.stop().await;
    // The log and its index are gone with the last one that had them open; this makes new ones, and writes nothing.
    let journal = Running::start(&disk.path(), Durability::Crash, share);
    journal.working().await;
    disk.fill();
    within(journal.record_all(1..100)).await;
    disk.free();
    journal.working().await;
    journal.handle.record(entry(100)).await.unwrap();
    assert!(values(&journal.path).is_superset(&HashSet::from([0, 100])));
    journal.stop().await;
}

/// What a crash, or a failed write, leaves of a journal.
async fn leave_behind(disk: &SmallDisk, share: u64) -> HashSet<i64> {
    let journal = Running::start(&disk.path(), Durability::Crash, share);
    journal.working().await;
    let acknowledged = journal.record_all(0..500).await;
    // A copy of the files of a running journal is what a crash leaves.
    let saved = tempfile::tempdir().unwrap();
    let files = ["", "-wal", "-shm", ".ballast"].map(|suffix| format!("journal.db{suffix}"));
    for name in &files {
        std::fs::copy(disk.path().join(name), saved.path().join(name)).unwrap();
    }
    journal.stop().await;
    for name in &files {
        std::fs::copy(saved.path().join(name), disk.path().join(name)).unwrap();
    }
    acknowledged
}

/// SQLite empties an index that nobody uses, and on a full disk storing into it kills the process.
#[tokio::test]
async fn a_reader_of_what_a_crash_left_on_a_full_disk_lives() {
    for _ in 0..5 {
        let disk = SmallDisk::new(10);
        let share = share(&disk);
        let acknowledged = leave_behind(&disk, share).await;
        disk.fill();
        match journal::read(&disk.path().join("journal.db"), 0, 10_000) {
            Ok(rows) => assert_eq!(rows.len(), acknowledged.len()),
            Err(error) => assert!(matches!(error, DatabaseError::Full { .. }), "{error}"),
        }
    }
}

/// Every acknowledged value is in the journal, or older than its oldest row.
fn check_kept(journal: &Running, acknowledged: &HashSet<i64>) {
    let rows = rows(&journal.path);
    assert!(rows.windows(2).all(|pair| pair[1].id == pair[0].id + 1));
    let kept: HashSet<i64> = rows.iter().filter_map(|row| row.value).collect();
    let lost = acknowledged.difference(&kept).count() as i64;
    let deleted = rows.first().map_or(0, |row| row.id - 1);
    assert!(lost <= deleted, "{lost} lost, {deleted} deleted as the oldest");
}

#[tokio::test]
async fn without_durability_nobody_waits_for_a_full_disk() {
    let disk = SmallDisk::new(10);
    let share = share(&disk);
    disk.fill();
    let journal = Running::start(&disk.path(), Durability::None, share);
    journal.wait_for(degraded).await;
    for value in 0..5_000 {
        let recorded = tokio::time::timeout(Duration::from_secs(1), journal.handle.record(entry(value)));
        recorded.await.expect("it waits").unwrap();
    }
    disk.free();
    journal.working().await;
    assert!(journal.metric("journal_dropped_total{reason=\"volume\"}") > 0.0);
    journal.handle.record(entry(-1)).await.unwrap();
    let path = journal.path.clone();
    journal.stop().await;
    assert!(values(&path).contains(&-1));
}

#[tokio::test]
async fn a_log_left_by_a_crash_on_a_full_disk_is_taken_over_with_every_row() {
    let disk = SmallDisk::new(10);
    let share = share(&disk);
    let journal = Running::start(&disk.path(), Durability::Crash, share);
    journal.working().await;
    let acknowledged = journal.record_all(0..500).await;
    // A copy of the files of a running journal is what a crash leaves.
    let saved = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal", ".ballast"] {
        let name = format!("journal.db{suffix}");
        std::fs::copy(disk.path().join(&name), saved.path().join(&name)).unwrap();
    }
    journal.stop().await;
    for suffix in ["", "-wal", ".ballast"] {
        let name = format!("journal.db{suffix}");
        std::fs::copy(saved.path().join(&name), disk.path().join(&name)).unwrap();
    }
    disk.fill();

    let journal = Running::start(&disk.path(), Durability::Crash, share);
    journal.wait_for(|state| *state != JournalState::Starting).await;
    let more = within(journal.record_all(1_000..1_100)).await;
    assert!(values(&journal.path).is_superset(&more));
    disk.free();
    journal.working().await;
    assert!(values(&journal.path).is_superset(&acknowledged));
    journal.stop().await;
}

/// The index of such a log has a second region. With blocks of 1 KiB, SQLite leaves holes in it, and storing into one on a full
/// disk kills the process.
#[tokio::test]
async fn a_long_log_left_by_a_crash_on_a_full_disk_is_taken_over_with_every_row() {
    let disk = SmallDisk::new(64);
    let journal = Running::start(&disk.path(), Durability::Crash, 40 << 20);
    journal.working().await;
    let mut acknowledged = journal.record_all(0..100).await;
    let reader = rusqlite::Connection::open(&journal.path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entry;").unwrap();
    let log = disk.path().join("journal.db-wal");
    while std::fs::metadata(&log).unwrap().len() < 18 << 20 {
        let from = acknowledged.len() as i64;
        // Each of these is a commit of its own.
        within(journal.handle.record(entry(from))).await.unwrap();
        acknowledged.insert(from);
    }
    let saved = tempfile::tempdir().unwrap();
    let files = ["", "-wal", ".ballast"].map(|suffix| format!("journal.db{suffix}"));
    for name in &files {
        std::fs::copy(disk.path().join(name), saved.path().join(name)).unwrap();
    }
    drop(reader);
    journal.stop().await;
    for name in &files {
        std::fs::copy(saved.path().join(name), disk.path().join(name)).unwrap();
    }
    disk.fill();

    let path = disk.path().join("journal.db");
    match journal::read(&path, 0, 10_000) {
        Ok(rows) => assert_eq!(rows.len(), acknowledged.len()),
        Err(error) => assert!(matches!(error, DatabaseError::Full { .. }), "{error}"),
    }
    let journal = Running::start(&disk.path(), Durability::Crash, 40 << 20);
    journal.wait_for(|state| *state != JournalState::Starting).await;
    disk.free();
    journal.working().await;
    assert!(values(&path).is_superset(&acknowledged));
    journal.stop().await;
}

#[tokio::test]
async fn an_hour_of_full_load_keeps_within_the_share() {
    let disk = SmallDisk::new(10);
    let share = share(&disk);
    let journal = Running::start(&disk.path(), Durability::Crash, share);
    let mut largest = 0;
    for part in 0..150 {
        let from = part * 2_000;
        let acknowledged = within(journal.record_all(from..from + 2_000)).await;
        assert_eq!(acknowledged.len(), 2_000);
        largest = largest.max(bytes(&journal.path));
        assert!(largest <= share, "{largest} of {share} bytes");
        assert_eq!(*journal.handle.state().borrow(), JournalState::Working);
    }
    assert!(largest > share / 2);
    let rows = rows(&journal.path);
    assert_eq!(rows.last().unwrap().id, 300_000);
    assert!(rows.len() > 20_000, "{} rows", rows.len());
    journal.stop().await;
}

#[tokio::test]
async fn ids_need_no_space_once_their_floor_is_there() {
    let disk = SmallDisk::new(10);
    let config = IdsConfig {
        path: disk.path().join("ids.floor"),
        ordinal: Some(0),
        patience: Duration::from_secs(5),
    };
    disk.fill();
    let (source, keeper) = ids::start(config.clone(), Clock::system()).unwrap();
    let (stop, stopping) = shutdown::stage();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(keeper.run(stopping));
    assert!(matches!(source.take(1).await, Err(IdsError::Floor(_))));
    assert!(source.trouble().is_some());

    disk.free();
    let first = within(async {
        loop {
            match source.take(1).await {
                Ok(ids) => return ids[0],
                Err(error) => assert!(matches!(error, IdsError::Floor(_)), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(source.trouble().is_none());
    stop.pull();
    within(tasks.join_next()).await.unwrap().unwrap().unwrap();

    disk.fill();
    let (source, keeper) = ids::start(config, Clock::system()).unwrap();
    let (stop, stopping) = shutdown::stage();
    tasks.spawn(keeper.run(stopping));
    assert!(source.take(1).await.unwrap()[0] > first);
    stop.pull();
    within(tasks.join_next()).await.unwrap().unwrap().unwrap();
}
