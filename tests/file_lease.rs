//! The file lease store against real files, threads and processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod lease_writes;
mod waiting;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lease_election::file::{FileLeaseError, FileLeaseStore};
use lease_election::{LeaseChange, LeaseSpec, LeaseStore, StoreError, WatchEvent, WriteOutcome};
use random_generator::clock::Clock;
use random_generator::lease::{Head, LeaseObject, annotations};
use random_generator::record::{Contribution, Draft, Hex, Record, Slot};
use random_generator::shutdown;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use lease_writes::{change, written};
use waiting::{PATIENCE, eventually};

struct Opened {
    store: FileLeaseStore<Record>,
    trigger: shutdown::Trigger,
    tasks: JoinSet<Result<(), FileLeaseError>>,
}

impl Opened {
    async fn at(path: &Path) -> Opened {
        let (store, task) = FileLeaseStore::open(path.to_owned(), annotations()).await.unwrap();
        let (trigger, mut signal) = shutdown::stage();
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(async move { signal.requested().await }));
        Opened { store, trigger, tasks }
    }

    async fn read(&self) -> Arc<LeaseObject> {
        self.store.read().await.unwrap().expect("a Lease")
    }

    async fn close(mut self) {
        self.trigger.pull();
        timeout(PATIENCE, self.tasks.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

fn record() -> Record {
    Draft {
        set: "rg".to_owned(),
        chain: Hex([7; 16]),
        round: 1,
        schedule: "@every 1m".to_owned(),
        slot: Slot(1_800_000_000),
        missed: 0,
        holder: "rg-0_u-n".to_owned(),
        fence: 3,
        voters: 1,
        previous: None,
        contributions: vec![Contribution {
            member: "rg-0".to_owned(),
            next_commitment: Hex([9; 32]),
            ordinal: 0,
            reveal: None,
        }],
        missing: vec![],
    }
    .seal()
}

fn sqlite(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lease_has_neither_holder_nor_annotations() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease.db")).await;
    let object = opened.read().await;
    assert_eq!(object.spec, LeaseSpec::default());
    assert_eq!((object.fence, &object.payload), (0, &Head::Absent));
    assert!(object.version > 0);
    assert_eq!(object.uid.len(), 36);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_by_another_process_view_and_by_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let (one, two) = (Opened::at(&path).await, Opened::at(&path).await);
    sqlite(
        &path,
        r#"UPDATE lease SET labels = '{"app":"rg"}', annotations = '{"example.com/note":"keep me"}'"#,
    );
    let time: jiff::Timestamp = "2026-11-21T05:38:34.5Z".parse().unwrap();
    let wanted = LeaseChange {
        spec: LeaseSpec {
            holder: Some("rg-0_u-n".to_owned()),
            duration_seconds: Some(15),
            acquire_time: Some(time),
            renew_time: Some(time),
            transitions: 4,
        },
        fence: 3,
        payload: Head::Valid(Arc::new(record())),
    };
    let before = one.read().await;
    let after = written(one.store.write(&before, &wanted).await);
    assert_eq!(after, two.read().await);
    assert_eq!(
        (&after.spec, after.fence, &after.payload),
        (&wanted.spec, 3, &wanted.payload)
    );
    assert_eq!(after.uid, before.uid);
    assert_eq!(after.carried["labels"]["app"], "rg");
    assert_eq!(after.carried["annotations"]["example.com/note"], "keep me");
    let db = rusqlite::Connection::open(&path).unwrap();
    let row: (String, String) = db
        .query_row("SELECT renew_time, annotations FROM lease", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(row.0, "2026-11-21T05:38:34.500000Z");
    let annotations: serde_json::Value = serde_json::from_str(&row.1).unwrap();
    assert_eq!(annotations["random-generator/fence"], "3");
    assert_eq!(annotations["random-generator/record"], record().canonical());
    assert_eq!(annotations["example.com/note"], "keep me");
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_or_a_column_damaged_by_hand_is_told_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let opened = Opened::at(&path).await;
    sqlite(
        &path,
        r#"UPDATE lease SET lease_duration_seconds = -1, renew_time = 'noon',
           annotations = '{"random-generator/fence":"many","random-generator/record":"{}"}'"#,
    );
    let object = opened.read().await;
    assert_eq!(object.payload, Head::Invalid("{}".into()));
    assert_eq!(
        (object.fence, object.spec.duration_seconds, object.spec.renew_time),
        (0, None, None)
    );
    let after = written(opened.store.write(&object, &change("rg-0_u-n", 8)).await);
    assert_eq!((after.fence, &after.payload), (8, &Head::Absent));
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_on_one_version_exactly_one_wins() {
    const WRITERS: u64 = 6;
    const EACH: u64 = 12;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let path = path.clone();
        writers.spawn(async move {
            let opened = Opened::at(&path).await;
            let mut won = Vec::new();
            while (won.len() as u64) < EACH {
                let base = opened.read().await;
                match opened
                    .store
                    .write(&base, &change(&format!("rg-{writer}_u-n"), base.fence + 1))
                    .await
                {
                    WriteOutcome::Written(object) => {
                        assert_eq!(object.version, base.version + 1);
                        won.push((object.version, object.fence));
                    }
                    WriteOutcome::Conflict => {}
                    other => panic!("{other:?}"),
                }
            }
            opened.close().await;
            won
        });
    }
    let mut all = BTreeMap::new();
    while let Some(won) = timeout(PATIENCE, writers.join_next()).await.unwrap() {
        for (version, fence) in won.unwrap() {
            assert_eq!(all.insert(version, fence), None, "two writers won version {version}");
        }
    }
    let fences: Vec<u64> = all.values().copied().collect();
    assert_eq!(
        fences,
        (1..=WRITERS * EACH).collect::<Vec<_>>(),
        "each write was based on the one before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_an_old_version_or_another_uid_conflicts_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease.db")).await;
    let first = opened.read().await;
    let second = written(opened.store.write(&first, &change("a", 1)).await);
    assert_eq!(
        opened.store.write(&first, &change("b", 2)).await,
        WriteOutcome::Conflict
    );
    let other = LeaseObject {
        uid: "another".to_owned(),
        ..(*second).clone()
    };
    assert_eq!(
        opened.store.write(&other, &change("b", 2)).await,
        WriteOutcome::Conflict
    );
    assert_eq!(opened.read().await, second);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_reads_as_absent_and_is_made_anew_by_exactly_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let (one, two) = (Opened::at(&path).await, Opened::at(&path).await);
    for _ in 0..20 {
        let old = one.read().await;
        assert_eq!(two.read().await, old);
        std::fs::remove_file(&path).unwrap();
        let (a, b) = tokio::join!(one.store.read(), two.store.read());
        let absences = [&a, &b].into_iter().filter(|found| **found == Ok(None)).count();
        assert!(absences >= 1, "{a:?} {b:?}");
        let new = one.read().await;
        assert_ne!(new.uid, old.uid);
        assert_eq!(new.spec, LeaseSpec::default());
        assert_eq!(two.read().await, new, "one Lease for both");
        // Through a handle that had the removed file open.
        assert_eq!(two.store.write(&old, &change("stale", 9)).await, WriteOutcome::Conflict);
        written(two.store.write(&new, &change("rg-1_u-n", 1)).await);
    }
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_never_makes_a_lease() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let opened = Opened::at(&path).await;
    let object = opened.read().await;
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        opened.store.write(&object, &change("a", 1)).await,
        WriteOutcome::Conflict
    );
    assert!(!path.exists());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_row_is_a_deleted_lease_and_versions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let opened = Opened::at(&path).await;
    let old = written(opened.store.write(&*opened.read().await, &change("a", 1)).await);
    sqlite(&path, "DELETE FROM lease");
    assert_eq!(opened.store.write(&old, &change("a", 1)).await, WriteOutcome::Conflict);
    assert_eq!(opened.store.read().await, Ok(None));
    let new = opened.read().await;
    assert_ne!(new.uid, old.uid);
    assert!(new.version > old.version);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_left_by_a_removed_file_does_not_reach_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let journal = dir.path().join("lease.db-journal");
    let opened = Opened::at(&path).await;
    let mut object = opened.read().await;
    for fence in 1..4 {
        object = written(opened.store.write(&object, &change("a", fence)).await);
    }
    // The journal of a transaction that is killed before its commit, with pages written already: hot.
    let killed = rusqlite::Connection::open(&path).unwrap();
    killed
        .execute_batch("BEGIN IMMEDIATE; UPDATE lease SET holder_identity = 'killed'")
        .unwrap();
    killed.cache_flush().unwrap();
    let hot = std::fs::read(&journal).unwrap();
    assert!(hot.starts_with(&[0xd9, 0xd5, 0x05, 0xf9]));
    killed.execute_batch("ROLLBACK").unwrap();
    drop(killed);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&journal, &hot).unwrap();
    assert_eq!(opened.store.read().await, Ok(None));
    let new = opened.read().await;
    assert_ne!(new.uid, object.uid);
    assert_eq!(new.spec, LeaseSpec::default());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_put_back_is_read_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let backup = dir.path().join("backup");
    let opened = Opened::at(&path).await;
    let old = written(opened.store.write(&*opened.read().await, &change("a", 1)).await);
    for rename in [true, false] {
        std::fs::copy(&path, &backup).unwrap();
        let new = written(opened.store.write(&old, &change("b", 2)).await);
        if rename {
            std::fs::rename(&backup, &path).unwrap();
        } else {
            // Into the same inode, as `cp` does.
            std::fs::write(&path, std::fs::read(&backup).unwrap()).unwrap();
        }
        assert_eq!(opened.store.write(&new, &change("c", 3)).await, WriteOutcome::Conflict);
        assert_eq!(opened.read().await, old);
    }
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_told_and_left_as_it_is_until_a_person_moves_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let garbage = vec![b'x'; 9000];
    std::fs::write(&path, &garbage).unwrap();
    let opened = Opened::at(&path).await;
    match opened.store.read().await {
        Err(StoreError::Refused(text)) => {
            assert!(text.contains("lease.db is damaged") && text.contains("move"), "{text}")
        }
        other => panic!("{other:?}"),
    }
    let base = LeaseObject {
        uid: String::new(),
        version: 1,
        spec: LeaseSpec::default(),
        fence: 0,
        payload: Head::Absent,
        carried: Arc::default(),
    };
    assert!(matches!(
        opened.store.write(&base, &change("a", 1)).await,
        WriteOutcome::Failed(StoreError::Refused(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
    std::fs::rename(&path, dir.path().join("away")).unwrap();
    assert_eq!(opened.store.read().await, Ok(None));
    opened.read().await;
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_and_a_foreign_database_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, sql, says) in [
        ("newer", "CREATE TABLE t (x); PRAGMA user_version = 2", "newer version"),
        ("foreign", "CREATE TABLE t (x)", "no lease"),
    ] {
        let path = dir.path().join(name);
        sqlite(&path, sql);
        let opened = Opened::at(&path).await;
        match opened.store.read().await {
            Err(StoreError::Refused(text)) => assert!(text.contains(says), "{text}"),
            other => panic!("{other:?}"),
        }
        opened.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = FileLeaseStore::<Record>::open(dir.path().join("none/lease.db"), annotations())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("none") && error.contains("must exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_a_persons_lock_no_longer_than_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let opened = Opened::at(&path).await;
    let object = opened.read().await;
    let person = rusqlite::Connection::open(&path).unwrap();
    person.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let outcome = timeout(Duration::from_secs(3), opened.store.write(&object, &change("a", 1)))
        .await
        .unwrap();
    assert!(
        matches!(outcome, WriteOutcome::Failed(StoreError::Unreachable(_))),
        "{outcome:?}"
    );
    person.execute_batch("ROLLBACK").unwrap();
    written(opened.store.write(&object, &change("a", 1)).await);
    opened.close().await;
}

async fn next(events: &mut mpsc::Receiver<WatchEvent<Record>>) -> WatchEvent<Record> {
    timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("an open watch")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_each_change_of_another_within_a_tenth_of_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let (writer, watcher) = (Opened::at(&path).await, Opened::at(&path).await);
    let (sender, mut events) = mpsc::channel(4);
    let store = watcher.store.clone();
    let mut watches = JoinSet::new();
    watches.spawn(async move { store.watch(sender).await });
    let mut object = writer.read().await;
    assert_eq!(next(&mut events).await, WatchEvent::Seen(object.clone()));
    let clock = Clock::system();
    let mut delays = Vec::new();
    for fence in 1..=20 {
        object = written(writer.store.write(&object, &change("a", fence)).await);
        let since = clock.boot();
        assert_eq!(next(&mut events).await, WatchEvent::Seen(object.clone()));
        delays.push(clock.boot().since(since));
    }
    delays.sort();
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut events).await, WatchEvent::Gone);
    match next(&mut events).await {
        WatchEvent::Seen(new) => assert_ne!(new.uid, object.uid),
        WatchEvent::Gone => panic!("told twice"),
    }
    writer.close().await;
    watcher.close().await;
    timeout(PATIENCE, watches.join_next())
        .await
        .expect("a watch ends with its store")
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_with_a_full_queue_is_told_the_last_state_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease.db")).await;
    let (sender, mut events) = mpsc::channel(1);
    let store = opened.store.clone();
    let mut watches = JoinSet::new();
    watches.spawn(async move { store.watch(sender).await });
    let mut object = opened.read().await;
    for fence in 1..=10 {
        object = written(opened.store.write(&object, &change("a", fence)).await);
    }
    let last = WatchEvent::Seen(object);
    while next(&mut events).await != last {}
    drop(events);
    timeout(PATIENCE, watches.join_next())
        .await
        .expect("a watch ends with its receiver")
        .unwrap()
        .unwrap();
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_watch_closes_its_channel() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease.db")).await;
    let (sender, mut events) = mpsc::channel(4);
    tokio::select! {
        biased;
        () = opened.store.watch(sender) => panic!("a watch ended by itself"),
        event = next(&mut events) => assert!(matches!(event, WatchEvent::Seen(_))),
    }
    assert_eq!(timeout(PATIENCE, events.recv()).await.unwrap(), None);
    opened.close().await;
}

/// Not a test of its own: the process that the next test measures.
#[tokio::test(flavor = "multi_thread")]
async fn child_watches() {
    let Some(path) = child_argument() else { return };
    let opened = Opened::at(&path).await;
    let (sender, mut events) = mpsc::channel(4);
    tokio::select! {
        biased;
        () = opened.store.watch(sender) => {}
        () = async {
            while let Some(event) = events.recv().await {
                println!("seen {event:?}");
            }
        } => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_watch_costs_less_than_half_a_hundredth_of_a_core() {
    if child_argument().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut watching = child(&dir.path().join("lease.db"), "child_watches");
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("seen")));
    let clock = Clock::system();
    let (since, before) = (clock.boot(), cpu_time(watching.id()));
    tokio::time::sleep(Duration::from_secs(2)).await; // what is measured is a span of time
    let share = (cpu_time(watching.id()) - before).as_secs_f64() / clock.boot().since(since).as_secs_f64();
    watching.kill().unwrap();
    watching.wait().unwrap();
    eprintln!("idle share of a core: {:.3} %", share * 100.0);
    assert!(share > 0.0 && share < 0.005, "{share}");
}

/// Of all threads of a process.
fn cpu_time(process: u32) -> Duration {
    let spent = |task: PathBuf| {
        let text = std::fs::read_to_string(task.join("schedstat")).unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    Duration::from_nanos(tasks.map(|task| spent(task.unwrap().path())).sum())
}

const CHILD: &str = "FILE_LEASE_TEST_CHILD";

/// Not a test of its own: the process that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_writes_until_killed() {
    let Some(path) = child_argument() else { return };
    let opened = Opened::at(&path).await;
    loop {
        let Ok(Some(base)) = opened.store.read().await else {
            continue;
        };
        let mut change = change("child", base.fence + 1);
        change.payload = Head::Valid(Arc::new(record()));
        if let WriteOutcome::Written(object) = opened.store.write(&base, &change).await {
            // The parent reads what was acknowledged.
            println!("acknowledged {} {}", object.version, object.fence);
        }
    }
}

#[allow(clippy::disallowed_methods)] // the argument of a child process that a test harness starts
fn child_argument() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

fn child(path: &Path, test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_killed_at_any_moment_leave_a_lease_with_all_that_was_acknowledged() {
    if child_argument().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease.db");
    let opened = Opened::at(&path).await;
    let uid = opened.read().await.uid.clone();
    for turn in 0..10u64 {
        let before = opened.read().await.fence;
        let mut children = [
            child(&path, "child_writes_until_killed"),
            child(&path, "child_writes_until_killed"),
        ];
        eventually("children write", async || {
            // Each turn at another moment of theirs.
            (opened.read().await.fence > before + 4 + turn).then_some(())
        })
        .await;
        let mut acknowledged = 0;
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in children {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            // The last line may be cut.
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                if let Some(rest) = line.trim().strip_prefix("acknowledged ") {
                    acknowledged = acknowledged.max(rest.split(' ').nth(1).unwrap().parse::<u64>().unwrap());
                }
            }
        }
        let object = opened.read().await;
        assert_eq!(object.uid, uid);
        assert!(
            object.fence >= acknowledged && acknowledged > 0,
            "{} < {acknowledged}",
            object.fence
        );
        assert!(matches!(object.payload, Head::Valid(_)));
    }
    let object = opened.read().await;
    assert_eq!(object.version, object.fence + 1, "each version was written once");
    opened.close().await;
}
