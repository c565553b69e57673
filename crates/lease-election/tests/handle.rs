//! What a user of the task sees: when it leads, and when no longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_election::clock::Clock;
use lease_election::metrics::LeaseMetrics;
use lease_election::{
    ElectorConfig, LeaseChange, LeaseObject, LeaseSpec, LeaseStore, StoreError, Stored, WatchEvent, WriteOutcome, task,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

const DURATION: Duration = Duration::from_secs(2);
const RENEW_DEADLINE: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(20);

/// A Lease in memory, until it is taken away: then no call ever ends.
#[derive(Clone)]
struct Store(Arc<Mutex<Option<Arc<LeaseObject<()>>>>>);

impl Store {
    fn object(&self) -> Option<Arc<LeaseObject<()>>> {
        self.0.lock().unwrap().clone()
    }
}

impl LeaseStore<()> for Store {
    async fn read(&self) -> Result<Option<Arc<LeaseObject<()>>>, StoreError> {
        match self.object() {
            Some(object) => Ok(Some(object)),
            None => pending().await,
        }
    }

    async fn write(&self, base: &LeaseObject<()>, change: &LeaseChange<()>) -> WriteOutcome<()> {
        if self.object().is_none() {
            return pending().await;
        }
        let written = Arc::new(LeaseObject {
            version: base.version + 1,
            spec: change.spec.clone(),
            fence: change.fence,
            ..base.clone()
        });
        *self.0.lock().unwrap() = Some(written.clone());
        WriteOutcome::Written(written)
    }

    async fn watch(&self, _: mpsc::Sender<WatchEvent<()>>) {
        pending().await
    }
}

#[tokio::test]
async fn a_leader_that_renews_works_on_and_one_that_cannot_loses_the_lease_at_its_deadline() {
    let store = Store(Arc::new(Mutex::new(Some(Arc::new(LeaseObject {
        uid: "uid".to_owned(),
        version: 1,
        spec: LeaseSpec::default(),
        fence: 6,
        payload: Stored::Absent,
        carried: Arc::default(),
    })))));
    let config = ElectorConfig::new("p-0", DURATION, RENEW_DEADLINE, Duration::from_millis(300)).unwrap();
    let (elector, election, _) = task::new(config, store.clone(), Clock::system(), LeaseMetrics::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(elector.run(pending()));
    assert_eq!(election.leads(), None, "before it stands");
    election.stand(true).await;
    let mut snapshots = election.snapshots();
    let led = snapshots.wait_for(|snapshot| snapshot.leads(Clock::system().boot()).is_some());
    timeout(PATIENCE, led).await.unwrap().unwrap();
    assert_eq!(election.leads(), Some(7));
    timeout(PATIENCE, election.lost(6))
        .await
        .expect("it doesn't lead under another fence");

    let longer_than_one_deadline = timeout(2 * RENEW_DEADLINE, election.lost(7)).await;
    assert!(longer_than_one_deadline.is_err(), "renewals move the deadline");
    store.0.lock().unwrap().take();
    timeout(2 * RENEW_DEADLINE, election.lost(7))
        .await
        .expect("it ends at the deadline");
    assert_eq!(election.leads(), None);
}
