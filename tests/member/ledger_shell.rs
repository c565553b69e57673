//! The ledger's thread over a real file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use random_generator::clock::Clock;
use random_generator::draw::contributor::Contributor;
use random_generator::draw::ledger::storage::{Storage, StorageConfig};
use random_generator::draw::ledger::task::{LedgerConfig, LedgerError, LedgerHandle, LedgerMetrics, start};
use random_generator::draw::ledger::{Condition, LedgerSnapshot};
use random_generator::draw::message::{KeepRequest, Refusal};
use random_generator::draw::record::{Contribution, Draft, Hex, Record, Slot};
use random_generator::draw::secrets::{Seed, commitment};
use random_generator::lease::{Head, Leadership, LeaseObject, LeaseSnapshot, LeaseSpec};
use random_generator::shutdown::{self, Trigger};
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::PATIENCE;

struct Running {
    ledger: LedgerHandle,
    lease: watch::Sender<Arc<LeaseSnapshot>>,
    stop: Trigger,
    tasks: JoinSet<Result<(), LedgerError>>,
}

fn view(head: Head) -> Arc<LeaseSnapshot> {
    Arc::new(LeaseSnapshot {
        leadership: Leadership::Follower { holder: None },
        object: Some(Arc::new(LeaseObject {
            uid: "u".into(),
            version: 1,
            spec: LeaseSpec::default(),
            fence: 1,
            head,
            carried: Arc::new(serde_json::Value::Null),
        })),
        confirmed_at: None,
        expires_at: None,
        trouble: None,
    })
}

fn running(path: &Path) -> Running {
    let config = LedgerConfig {
        path: path.to_owned(),
        storage: StorageConfig::default(),
        contributor: Contributor {
            set: "rg".into(),
            ordinal: 0,
        },
    };
    let (task, ledger) = start(config, Clock::system(), LedgerMetrics::default()).unwrap();
    let (lease, views) = watch::channel(view(Head::Absent));
    let (stop, stopped) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(views, stopped));
    Running {
        ledger,
        lease,
        stop,
        tasks,
    }
}

impl Running {
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
    let chain = Hex(*b"a chain of draws");
    let draft = Draft {
        set: "rg".into(),
        chain,
        round: 1,
        schedule: "@every 1s".into(),
        slot: Slot(Clock::system().wall().seconds()),
        missed: 0,
        holder: "rg-0_uid-00000001".into(),
        fence: 1,
        voters: 1,
        previous: None,
        contributions: vec![Contribution {
            member: "rg-0".into(),
            next_commitment: commitment(0, &Seed([7; 32]).secret("rg", &chain, 2)),
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
        voters: 1,
        chain: record.chain,
        round: 2,
        slot: Slot(record.slot.0 + 1),
        head: Some(Arc::new(record.clone())),
        contribute: true,
        restart: false,
        passed_over: Vec::new(),
    })
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
    let running = running(&path);
    running
        .until(|snapshot| snapshot.condition == Condition::Writable)
        .await;
    let lock = locked(&path);
    let record = record();
    running.lease.send_replace(view(Head::Record(Arc::new(record.clone()))));
    // Tried, failed, tried again: none of it may show the record.
    let mut snapshots = running.ledger.snapshots();
    let failed = timeout(PATIENCE, async {
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            assert!(snapshot.chain.is_empty() && snapshot.newest.is_none(), "{snapshot:?}");
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
    let running = running(&path);
    running
        .until(|snapshot| snapshot.condition == Condition::Writable)
        .await;
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
