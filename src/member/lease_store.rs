//! The configured lease store, as one type: the elector's task is the same for either. It refuses a Lease of another set.

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
use crate::identity::{Identity, holding_member};
use crate::lease::{LeaseObject, annotations};
use crate::record::Record;

pub(super) struct Store {
    inner: Inner,
    /// This member's set, and where its lease is, for the operator.
    set: String,
    place: String,
    own: &'static str,
}

enum Inner {
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
    let (inner, trouble) = match &config.lease.store {
        Wanted::Directory(path) => {
            let (store, part) = DirectoryLeaseStore::open(path.clone(), annotations()).await?;
            stages.support.spawn("lease directory", |mut stop| {
                part.run(async move { stop.requested().await })
            });
            (Inner::Directory(store), None)
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
            (Inner::Kubernetes(Box::new(store)), Some(trouble))
        }
    };
    let store = Store {
        inner,
        set: identity.name.set.clone(),
        place: place(config),
        own: own(config),
    };
    Ok((store, trouble))
}

fn place(config: &Config) -> String {
    match &config.lease.store {
        Wanted::Directory(path) => format!("lease directory {}", path.display()),
        Wanted::Kubernetes { name, .. } => format!("Lease {name} in namespace {}", config.identity.namespace),
    }
}

/// How to give the set a lease of its own.
pub(super) fn own(config: &Config) -> &'static str {
    match &config.lease.store {
        Wanted::Directory(_) => "give this set a directory of its own with --lease-directory",
        Wanted::Kubernetes { .. } => "give this set a Lease of its own with --lease-name",
    }
}

/// What to do when there is no Lease. The directory store creates its own.
pub(super) fn made_by(config: &Config) -> String {
    match &config.lease.store {
        Wanted::Directory(path) => format!("{} is created again within a moment", path.display()),
        Wanted::Kubernetes { .. } => format!(
            "create {} with `kubectl apply` of its manifest; draws resume from the members' volumes",
            place(config)
        ),
    }
}

impl Store {
    /// L12: whether the Lease is another set's, and what shows it.
    fn refuses(&self, object: &LeaseObject) -> Option<StoreError> {
        let record = object.payload.valid().map(|record| &record.set);
        let member = object.spec.held_by().and_then(holding_member);
        let holder = object.spec.held_by().unwrap_or_default();
        let shown = match (record, &member) {
            (Some(set), _) if *set != self.set => format!("set {set}, as its record says"),
            (_, Some(member)) if member.set != self.set => format!("set {}, whose {holder} holds it", member.set),
            _ => return None,
        };
        Some(StoreError::Refused(format!(
            "{} belongs to {shown}, and this member is of set {}: {}",
            self.place, self.set, self.own
        )))
    }
}

impl LeaseStore<Record> for Store {
    async fn read(&self) -> Result<Option<Arc<LeaseObject>>, StoreError> {
        let found = match &self.inner {
            Inner::Directory(store) => store.read().await,
            Inner::Kubernetes(store) => store.read().await,
        }?;
        match found.as_deref().and_then(|object| self.refuses(object)) {
            Some(refusal) => Err(refusal),
            None => Ok(found),
        }
    }

    async fn write(&self, base: &LeaseObject, change: &LeaseChange<Record>) -> WriteOutcome<Record> {
        match &self.inner {
            Inner::Directory(store) => store.write(base, change).await,
            Inner::Kubernetes(store) => store.write(base, change).await,
        }
    }

    async fn watch(&self, events: mpsc::Sender<WatchEvent<Record>>) {
        let (sender, mut seen) = mpsc::channel(1);
        let watching = async {
            match &self.inner {
                Inner::Directory(store) => store.watch(sender).await,
                Inner::Kubernetes(store) => store.watch(sender).await,
            }
        };
        let passing_on = async {
            while let Some(event) = seen.recv().await {
                let event = match event {
                    WatchEvent::Seen(object) if self.refuses(&object).is_some() => WatchEvent::Gone,
                    event => event,
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = watching => {}
            () = passing_on => {}
            () = events.closed() => {}
        }
    }
}
