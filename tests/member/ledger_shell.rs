//! The ledger's thread over a real file.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lease_election::{Leadership, LeaseSpec};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use random_generator::clock::Clock;
use random_generator::draw::contributor::Contributor;
use random_generator::draw::ledger::storage::{Storage, StorageConfig};
use random_generator::draw::ledger::task::{LedgerConfig, LedgerError, LedgerHandle, LedgerMetrics, start};
use random_generator::draw::ledger::{Condition, LedgerSnapshot, MAX_ASIDE};
use random_generator::lease::{Head, LeaseObject, LeaseSnapshot};
use random_generator::peer::message::{HeadsRequest, KeepRequest, Refusal};
use random_generator::record::secrets::{Seed, commitment};
use random_generator::record::{Contribution, Draft, Hash, Hex, Record, Slot};
use random_generator::shutdown::{self, Trigger};
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::grown::grow;
use crate::harness::PATIENCE;

struct Running {
    ledger: LedgerHandle,
    lease: watch::Sender<Arc<LeaseSnapshot>>,
    stop: Trigger,
    tasks: JoinSet<Result<(), LedgerError>>,
    metrics: Registry,
}

fn view(head: Head) -> Arc<LeaseSnapshot> {
    Arc::new(LeaseSnapshot {
        leadership: Leadership::Follower { holder: None },
        object: Some(Arc::new(LeaseObject {
            uid: "u".into(),
            version: 1,
            spec: LeaseSpec::default(),
            fence: 1,
            payload: head,
            carried: Arc::new(serde_json::Value::Null),
        })),
        confirmed_at: None,
        expires_at: None,
        trouble: None,
    })
}

fn running(path: &Path) -> Running {
    running_with(path, None)
}

fn running_with(path: &Path, keep: Option<Duration>) -> Running {
    let config = LedgerConfig {
        path: path.to_owned(),
        storage: StorageConfig::default(),
        keep,
        contributor: Contributor {
            set: "rg".into(),
            ordinal: 0,
        },
    };
    let mut metrics = Registry::default();
    let (task, ledger) = start(config, Clock::system(), LedgerMetrics::register(&mut metrics)).unwrap();
    let (lease, views) = watch::channel(view(Head::Absent));
    let (stop, stopped) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(views, stopped));
    Running {
        ledger,
        lease,
        stop,
        tasks,
        metrics,
    }
}

/// As [`running`], and open.
async fn writable(path: &Path) -> Running {
    let running = running(path);
    running
        .until(|snapshot| snapshot.condition == Condition::Writable)
        .await;
    running
}

impl Running {
    fn failures(&self) -> u64 {
        self.counted("ledger_write_failures_total ")
    }

    fn counted(&self, name: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.metrics).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect("it is counted").parse().unwrap()
    }

    async fn until(&self, condition: impl FnMut(&Arc<LedgerSnapshot>) -> bool) -> Arc<LedgerSnapshot> {
        let mut snapshots = self.ledger.snapshots();
        let found = timeout(PATIENCE, snapshots.wait_for(condition))
            .await
            .expect("waited in vain");
        found.unwrap().clone()
    }

    async fn stop(mut self) {
        self.stop.pull();
        let ended = timeout(PATIENCE, self.tasks.join_next()).await.expect("it ends");
        ended.unwrap().unwrap().unwrap();
    }
}

fn record() -> Record {
    following(1, None)
}

/// The slot of round 1; the others follow every second, however long a test takes.
static BEGAN: LazyLock<i64> = LazyLock::new(|| Clock::system().wall().seconds());

/// The record of `round` whose predecessor has the hash `previous`.
fn following(round: u64, previous: Option<Hash>) -> Record {
    let chain = Hex(*b"a chain of draws");
    let draft = Draft {
        set: "rg".into(),
        chain,
        round,
        schedule: "@every 1s".into(),
        slot: Slot(*BEGAN + i64::try_from(round).unwrap() - 1),
        missed: 0,
        holder: "rg-0_uid-00000001".into(),
        fence: 1,
        voters: 1.into(),
        previous,
        contributions: vec![Contribution {
            member: "rg-0".into(),
            next_commitment: commitment(0, &Seed([7; 32]).secret("rg", &chain, round + 1)),
            ordinal: 0,
            reveal: None,
        }],
        missing: Vec::new(),
    };
    let record = draft.seal();
    record.check().unwrap();
    record
}

fn keep(record: &Record) -> Arc<KeepRequest> {
    Arc::new(KeepRequest {
        version: 1,
        set: "rg".into(),
        from: "rg-0".into(),
        holder: record.holder.clone(),
        fence: 1,
        voters: 1.into(),
        chain: record.chain,
        round: 2,
        slot: Slot(record.slot.0 + 1),
        head: Some(Arc::new(record.clone())),
        contribute: true,
        restart: false,
        passed_over: Vec::new(),
    })
}

fn heads() -> Arc<HeadsRequest> {
    Arc::new(HeadsRequest {
        version: 1,
        set: "rg".into(),
        from: "rg-0".into(),
        holder: "rg-0_uid-00000001".into(),
        fence: 1,
    })
}

/// Writes rows that are no records until not one more byte fits, past the ledger that has the file open.
fn crammed(path: &Path) {
    let other = Connection::open(path).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    // The ledger's own bound is two pages beyond those that it reserves.
    let pages: u32 = other.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let bound: u32 = other
        .query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |row| row.get(0))
        .unwrap();
    assert_eq!(bound, pages + 2);
    let mut size = 1 << 20;
    while size > 0 {
        if other
            .execute("INSERT INTO records (record) VALUES (zeroblob(?1))", [size])
            .is_err()
        {
            size /= 2;
        }
    }
}

/// Holds off every other connection's commit, as a failing disk would.
fn locked(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    other
}

#[tokio::test]
async fn a_record_is_reported_only_once_the_volume_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let running = writable(&path).await;
    let lock = locked(&path);
    let record = record();
    running.lease.send_replace(view(Head::Valid(Arc::new(record.clone()))));
    // Tried, failed, tried again: none of it may show the record.
    let mut snapshots = running.ledger.snapshots();
    let failed = timeout(PATIENCE, async {
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            assert!(snapshot.recent.is_empty() && snapshot.newest.is_none(), "{snapshot:?}");
            if matches!(snapshot.condition, Condition::Unwritable(_)) {
                return;
            }
            snapshots.changed().await.unwrap();
        }
    });
    failed.await.expect("the failed write is told");
    assert!(
        timeout(Duration::from_secs(3), snapshots.changed()).await.is_err(),
        "{:?}",
        snapshots.borrow()
    );

    lock.execute_batch("ROLLBACK").unwrap();
    let told = running.until(|snapshot| snapshot.head().is_some()).await;
    assert_eq!(
        (&**told.head().unwrap(), &told.condition),
        (&record, &Condition::Writable)
    );
    // What is reported is on the volume already, whoever reads it.
    let kept = tempfile::tempdir().unwrap();
    for name in ["ledger.db", "ledger.db-journal"] {
        std::fs::copy(dir.path().join(name), kept.path().join(name)).unwrap();
    }
    let (_, stored) = Storage::open(&kept.path().join("ledger.db"), StorageConfig::default(), [0; 32]).unwrap();
    assert_eq!(stored.head, Some(record.hash));
    running.stop().await;
    let (_, stored) = Storage::open(&path, StorageConfig::default(), [0; 32]).unwrap();
    assert_eq!((stored.head, &*stored.records[0]), (Some(record.hash), &record));
}

#[tokio::test]
async fn a_keep_is_answered_only_once_the_volume_has_the_record_and_the_promise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let running = writable(&path).await;
    let lock = locked(&path);
    let record = record();
    let refused = running.ledger.keep(keep(&record)).await.unwrap_err();
    assert!(matches!(refused, Refusal::Ledger { .. }), "{refused:?}");
    let snapshot = running
        .until(|snapshot| snapshot.condition != Condition::Writable)
        .await;
    assert_eq!((snapshot.promised_fence, &snapshot.newest), (0, &None));
    lock.execute_batch("ROLLBACK").unwrap();
    let answer = timeout(PATIENCE, async {
        loop {
            if let Ok(answer) = running.ledger.keep(keep(&record)).await {
                return answer;
            }
        }
    });
    assert_eq!(answer.await.unwrap().kept, Some(record.hash));
    // Kept, and not final for this member: it hasn't seen it in the Lease.
    let snapshot = running.until(|snapshot| snapshot.promised_fence == 1).await;
    assert!(snapshot.head().is_none() && snapshot.newest.is_some());
    running.stop().await;
    let (_, stored) = Storage::open(&path, StorageConfig::default(), [0; 32]).unwrap();
    assert_eq!((stored.records.len(), stored.head), (1, None));
    assert_eq!(stored.promise.unwrap().fence, 1);
}

#[tokio::test]
async fn a_ledger_that_could_not_be_opened_is_opened_once_it_can_be_though_it_is_asked_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("volume");
    let running = running(&volume.join("ledger.db"));
    running
        .until(|snapshot| matches!(snapshot.condition, Condition::Unwritable(_)))
        .await;
    std::fs::create_dir(&volume).unwrap();
    // A holder that recovers asks again and again: nothing here waits for the thread to have a quiet second.
    let answered = timeout(PATIENCE, async {
        loop {
            if let Ok(answer) = running.ledger.heads(heads()).await {
                return answer;
            }
        }
    });
    assert_eq!(answered.await.expect("it is opened").head, None);
    running.stop().await;
}

#[tokio::test]
async fn an_empty_ledger_that_could_not_be_written_once_is_writable_again_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let running = writable(&path).await;
    let lock = locked(&path);
    running.ledger.keep(keep(&record())).await.unwrap_err();
    running
        .until(|snapshot| snapshot.condition != Condition::Writable)
        .await;
    lock.execute_batch("ROLLBACK").unwrap();
    running
        .until(|snapshot| snapshot.condition == Condition::Writable)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_ledger_found_damaged_while_room_is_made_in_it_is_reported_as_damaged_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let running = running(&path);
    let mut previous = None;
    for round in 1..=4 {
        let record = following(round, previous);
        previous = Some(record.hash);
        running.lease.send_replace(view(Head::Valid(Arc::new(record))));
        running
            .until(|snapshot| snapshot.head().is_some_and(|head| head.round == round))
            .await;
    }
    assert_eq!(running.failures(), 0);
    crammed(&path);
    running
        .lease
        .send_replace(view(Head::Valid(Arc::new(following(5, previous)))));
    let told = running
        .until(|snapshot| snapshot.condition != Condition::Writable)
        .await;
    assert!(matches!(told.condition, Condition::Corrupt(_)), "{:?}", told.condition);
    assert_eq!(running.failures(), 1);
    running.stop().await;
}

#[tokio::test]
async fn records_older_than_they_are_to_be_kept_are_deleted_but_never_the_two_newest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    // Their slots are years ago.
    let newest = grow(&path, 300, 1, StorageConfig::default().max_bytes);
    let running = running_with(&path, Some(Duration::from_secs(3600)));
    let left = running.until(|snapshot| snapshot.rounds() == 2).await;
    assert_eq!(left.head().unwrap().hash, newest.hash);
    assert_eq!(left.oldest(), Some(299));
    let wanted = running.until(|snapshot| snapshot.wanted.is_none()).await;
    assert_eq!(
        wanted.condition,
        Condition::Writable,
        "what was deleted isn't fetched again"
    );
    // What is younger stays, and of the others only so many as the protocol needs.
    let mut previous = Some(newest.hash);
    for round in 301..=304 {
        let record = following(round, previous);
        previous = Some(record.hash);
        running.lease.send_replace(view(Head::Valid(Arc::new(record))));
        running
            .until(|snapshot| snapshot.head().is_some_and(|head| head.round == round))
            .await;
    }
    let left = running.until(|snapshot| snapshot.oldest() == Some(301)).await;
    assert_eq!((left.rounds(), left.wanted), (4, None));
    running.stop().await;
    assert_eq!(Storage::inspect(&path).unwrap().records, 4);
}

#[tokio::test]
async fn tails_that_are_no_longer_listed_are_counted_and_the_volume_lists_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let running = writable(&path).await;
    let first = record();
    for fence in 1..=MAX_ASIDE as u64 + 4 {
        // Each takes the place of the one before.
        let mut second = following(2, Some(first.hash));
        second.fence = fence;
        second.hash = second.computed_hash();
        let hash = second.hash;
        running.lease.send_replace(view(Head::Valid(Arc::new(second))));
        running
            .until(|snapshot| snapshot.head().is_some_and(|head| head.hash == hash))
            .await;
    }
    // Whether the first one can join them isn't known: nothing is left behind before it is here.
    running.ledger.fill(first.hash, vec![Arc::new(first)]);
    let listed = running.until(|snapshot| !snapshot.aside.is_empty()).await.aside.clone();
    assert_eq!(listed.len(), MAX_ASIDE);
    assert_eq!(running.counted("ledger_aside_forgotten_total "), 3);
    running.stop().await;
    assert_eq!(Storage::inspect(&path).unwrap().aside, *listed);
}

#[tokio::test]
async fn those_who_read_the_history_all_the_time_hold_up_no_keep() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let newest = grow(&path, 600, 1, StorageConfig::default().max_bytes);
    let running = writable(&path).await;
    let mut readers = JoinSet::new();
    for reader in 0..8 {
        let history = running.ledger.history().clone();
        readers.spawn(async move {
            for from in (1..500).cycle().skip(reader * 61) {
                assert_eq!(history.page(from, 16 * 1024).await.unwrap()[0].round, from);
            }
        });
    }
    let mut head = newest;
    for _ in 0..100 {
        head = Arc::new(crate::grown::following(Some(&head), 1));
        let mut request = (*keep(&head)).clone();
        request.round = head.round + 1;
        let kept = running.ledger.keep(Arc::new(request)).await.unwrap();
        assert_eq!(kept.kept, Some(head.hash));
        let condition = running.ledger.snapshots().borrow().condition.clone();
        assert_eq!(condition, Condition::Writable);
    }
    assert_eq!(running.failures(), 0);
    readers.abort_all();
    while readers
        .join_next()
        .await
        .is_some_and(|ended| ended.is_err_and(|error| error.is_cancelled()))
    {}
    assert!(readers.is_empty(), "a reader failed");
    running.stop().await;
}
