//! The configured lease store, as one type: the elector's task is the same for either.

use std::sync::Arc;

use lease_election::directory::DirectoryLeaseStore;
use lease_election::kubernetes::{KubernetesConfig, KubernetesLeaseStore, KubernetesMetrics};
use lease_election::{LeaseChange, LeaseStore, StoreError, WatchEvent, WriteOutcome};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use super::error::MemberError;
use super::stages::Stages;
use crate::clock::Clock;
use crate::config::{Config, LeaseStore as Wanted};
use crate::identity::Identity;
use crate::lease::{LeaseObject, annotations};
use crate::record::Record;

pub(super) enum Store {
    Directory(DirectoryLeaseStore<Record>),
    Kubernetes(Box<KubernetesLeaseStore<Record>>),
}

/// Opens the store. Also returns where it reports that it can't watch the Lease.
pub(super) async fn open(
    config: &Config,
    identity: &Identity,
    clock: &Clock,
    registry: &mut Registry,
    stages: &mut Stages,
) -> Result<(Store, Option<watch::Receiver<Option<StoreError>>>), MemberError> {
    match &config.lease.store {
        Wanted::Directory(path) => {
            let (store, part) = DirectoryLeaseStore::open(path.clone(), annotations()).await?;
            stages.support.spawn("lease directory", |mut stop| {
                part.run(async move { stop.requested().await })
            });
            Ok((Store::Directory(store), None))
        }
        Wanted::Kubernetes { name, access } => {
            let config = KubernetesConfig {
                namespace: identity.namespace.clone(),
                name: name.clone(),
                annotations: annotations(),
                // Just under the third that the elector waits, so that the store's error arrives first.
                answer: config.lease.renew_deadline * 3 / 10,
            };
            let metrics = KubernetesMetrics::register(registry);
            let store = KubernetesLeaseStore::new(access.clone(), config, clock.clone(), metrics);
            let trouble = store.watch_trouble();
            Ok((Store::Kubernetes(Box::new(store)), Some(trouble)))
        }
    }
}

/// What to do when there is no Lease. The directory store creates its own.
pub(super) fn made_by(config: &Config) -> String {
    match &config.lease.store {
        Wanted::Directory(path) => format!("{} is created again within a moment", path.display()),
        Wanted::Kubernetes { name, .. } => format!(
            "create Lease {name} in namespace {} with `kubectl apply` of its manifest; draws resume from the members' volumes",
            config.identity.namespace
        ),
    }
}

impl LeaseStore<Record> for Store {
    async fn read(&self) -> Result<Option<Arc<LeaseObject>>, StoreError> {
        match self {
            Store::Directory(store) => store.read().await,
            Store::Kubernetes(store) => store.read().await,
        }
    }

    async fn write(&self, base: &LeaseObject, change: &LeaseChange<Record>) -> WriteOutcome<Record> {
        match self {
            Store::Directory(store) => store.write(base, change).await,
            Store::Kubernetes(store) => store.write(base, change).await,
        }
    }

    async fn watch(&self, events: mpsc::Sender<WatchEvent<Record>>) {
        match self {
            Store::Directory(store) => store.watch(events).await,
            Store::Kubernetes(store) => store.watch(events).await,
        }
    }
}
