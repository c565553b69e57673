//! The elector's task over a real directory that two of them share, and over a store that gives no answer.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lease_election::directory::DirectoryLeaseStore;
use lease_election::metrics::LeaseMetrics;
use lease_election::{ElectorConfig, LeaseChange, LeaseStore, StoreError, WatchEvent, WriteOutcome, task};
use random_generator::clock::Clock;
use random_generator::lease::{LeaseHandle, LeaseObject, annotations};
use random_generator::record::Record;
use random_generator::shutdown::{self, Trigger};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::standing::Standing;
use crate::waiting::PATIENCE;

const DURATION: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(260);

/// The directory, until it hangs: then no operation on it ever ends.
#[derive(Clone)]
struct Store {
    directory: DirectoryLeaseStore<Record>,
    hangs: watch::Receiver<bool>,
}

impl Store {
    async fn unless_hung<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut hangs = self.hangs.clone();
        let hung = async move { drop(hangs.wait_for(|hangs| *hangs).await) };
        tokio::select! {
            biased;
            () = hung => pending().await,
            done = operation => done,
        }
    }
}

impl LeaseStore<Record> for Store {
    async fn read(&self) -> Result<Option<Arc<LeaseObject>>, StoreError> {
        self.unless_hung(self.directory.read()).await
    }

    async fn write(&self, base: &LeaseObject, change: &LeaseChange<Record>) -> WriteOutcome<Record> {
        self.unless_hung(self.directory.write(base, change)).await
    }

    async fn watch(&self, events: mpsc::Sender<WatchEvent<Record>>) {
        let mut hangs = self.hangs.clone();
        loop {
            let ended = tokio::select! {
                biased;
                _ = hangs.wait_for(|hangs| *hangs) => false,
                () = self.directory.watch(events.clone()) => true,
            };
            if ended {
                return;
            }
            let _ = hangs.wait_for(|hangs| !*hangs).await;
        }
    }
}

struct Elector {
    handle: LeaseHandle,
    stop: Trigger,
    hang: watch::Sender<bool>,
    task: JoinSet<()>,
    // Held for its drop, which ends the directory's thread.
    _thread: (Trigger, JoinSet<()>),
}

async fn elector(path: &Path, name: &str) -> Elector {
    let (directory, part) = DirectoryLeaseStore::open(path.to_owned(), annotations()).await.unwrap();
    let (end, mut ended) = shutdown::stage();
    let mut thread = JoinSet::new();
    thread.spawn(async move { part.run(async move { ended.requested().await }).await.unwrap() });
    let config = ElectorConfig::new(format!("{name}_uid-0"), DURATION, DURATION * 2 / 3, RETRY).unwrap();
    let (hang, hangs) = watch::channel(false);
    let store = Store { directory, hangs };
    let (task, handle, _outcomes) = task::new(config, store, Clock::system(), LeaseMetrics::default());
    let (stop, mut stopped) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(async move { stopped.requested().await }));
    handle.stand(true).await;
    Elector {
        handle,
        stop,
        hang,
        task: tasks,
        _thread: (end, thread),
    }
}

impl Standing for Elector {
    fn handle(&self) -> &LeaseHandle {
        &self.handle
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_electors_on_one_directory_exactly_one_leads_and_a_graceful_end_hands_over_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let clock = Clock::system();
    let mut leader = elector(&path, "rg-0").await;
    leader.until_leading().await;
    let mut took = Vec::new();
    for turn in 1..=9 {
        let name = format!("rg-{turn}");
        let next = elector(&path, &name).await;
        next.until_followed(&format!("rg-{}_uid-0", turn - 1)).await;
        assert!(leader.fence().is_some() && next.fence().is_none());
        let began = clock.boot();
        leader.stop.pull();
        next.until_leading().await;
        took.push(clock.boot().since(began));
        assert!(leader.fence().is_none());
        timeout(PATIENCE, leader.task.join_next())
            .await
            .expect("it ends")
            .unwrap()
            .unwrap();
        leader = next;
    }
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(200), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_is_followed_once_its_lease_has_run_out_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let clock = Clock::system();
    let mut first = elector(&path, "rg-0").await;
    first.until_leading().await;
    let second = elector(&path, "rg-1").await;
    second.until_followed("rg-0_uid-0").await;
    first.task.abort_all();
    while first.task.join_next().await.is_some() {}
    let began = clock.boot();
    second.until_leading().await;
    let took = clock.boot().since(began);
    // Its last renewal was at most a retry and a bit ago, or a second where that is longer.
    assert!(took > DURATION - Duration::from_millis(1_400), "{took:?}");
    assert!(took < DURATION + Duration::from_millis(1_500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_ends_the_term_at_its_deadline_and_the_next_answer_heals() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let clock = Clock::system();
    let first = elector(&path, "rg-0").await;
    first.until_leading().await;
    let second = elector(&path, "rg-1").await;
    second.until_followed("rg-0_uid-0").await;
    let began = clock.boot();
    first.hang.send_replace(true);
    first
        .until("the term's end", |snapshot| snapshot.leads(clock.boot()).is_none())
        .await;
    let took = clock.boot().since(began);
    assert!(took < DURATION * 2 / 3 + Duration::from_millis(700), "{took:?}");
    first.until("trouble", |snapshot| snapshot.trouble.is_some()).await;
    second.until_leading().await;
    assert!(first.fence().is_none());
    first.hang.send_replace(false);
    first.until_followed("rg-1_uid-0").await;
    first.until("health", |snapshot| snapshot.trouble.is_none()).await;

    // Nor can it hold up the end.
    second.hang.send_replace(true);
    let began = clock.boot();
    second.stop.pull();
    let mut tasks = second.task;
    timeout(PATIENCE, tasks.join_next())
        .await
        .expect("it ends")
        .unwrap()
        .unwrap();
    assert!(clock.boot().since(began) < Duration::from_secs(3));
}
