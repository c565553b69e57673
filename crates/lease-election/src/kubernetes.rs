//! The lease store of a set on Kubernetes: one Lease of `coordination.k8s.io/v1`, which the manifest creates and this never
//! does. Get, update and watch on its name are enough.
//!
//! Nothing here is needed to start: files and the API server are looked for with each request, so that what is missing is
//! told, and heals when it is there.

mod access;
mod exchange;
mod metrics;
mod object;
mod refusal;
mod watch;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::sync::{mpsc, watch as watched};

pub use self::access::Access;
use self::exchange::{Exchange, Failure, Limits};
pub use self::metrics::KubernetesMetrics;
use self::refusal::{Place, is_absence};
use self::watch::Watch;
use crate::clock::Clock;
use crate::payload::{Annotations, Payload};
use crate::store::{LeaseChange, LeaseObject, LeaseStore, StoreError, WatchEvent, WriteOutcome};

#[derive(Clone, Debug)]
pub struct KubernetesConfig {
    pub access: Access,
    pub namespace: String,
    /// Of the Lease.
    pub name: String,
    pub annotations: Annotations,
    /// Bound of one read or write, connecting included.
    pub answer: Duration,
}

/// The store. It owns its connections, and drives them only while they are used.
pub struct KubernetesLeaseStore<P> {
    exchange: Exchange,
    place: Place,
    item: String,
    collection: String,
    /// The greatest version that an answer had.
    seen: watched::Sender<u64>,
    trouble: watched::Sender<Option<StoreError>>,
    annotations: Annotations,
    payload: PhantomData<fn() -> P>,
}

impl<P: Payload> KubernetesLeaseStore<P> {
    /// Does no I/O yet.
    pub fn new(config: KubernetesConfig, clock: Clock, metrics: KubernetesMetrics) -> KubernetesLeaseStore<P> {
        let KubernetesConfig {
            access,
            namespace,
            name,
            annotations,
            answer,
        } = config;
        let limits = Limits {
            // What is left is for the answer, once the connection is there.
            connect: answer / 2,
            answer,
        };
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        KubernetesLeaseStore {
            exchange: Exchange::new(access, limits, clock, metrics),
            item: format!("{collection}/{name}"),
            collection,
            place: Place { namespace, name },
            seen: watched::Sender::new(0),
            trouble: watched::Sender::new(None),
            annotations,
            payload: PhantomData,
        }
    }

    /// Why the Lease may not be watched, though it may be read: then it is only polled.
    pub fn watch_trouble(&self) -> watched::Receiver<Option<StoreError>> {
        self.trouble.subscribe()
    }

    fn seen(&self, object: LeaseObject<P>) -> Arc<LeaseObject<P>> {
        self.seen.send_if_modified(|seen| {
            let newer = object.version > *seen;
            *seen = object.version.max(*seen);
            newer
        });
        Arc::new(object)
    }
}

impl<P: Payload> LeaseStore<P> for KubernetesLeaseStore<P> {
    /// A GET without resourceVersion, which the API server answers from etcd.
    async fn read(&self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        let answer = self.exchange.call(&Method::GET, &self.item, Vec::new()).await?;
        match answer.status {
            StatusCode::OK => match object::read(&answer.body, &self.annotations) {
                Ok(object) => Ok(Some(self.seen(object))),
                Err(detail) => Err(self.place.unreadable(&detail)),
            },
            _ if is_absence(&answer) => Ok(None),
            _ => Err(self.place.refusal("get", &answer)),
        }
    }

    async fn write(&self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> WriteOutcome<P> {
        let body = object::replacement(base, change, &self.annotations);
        let answer = match self.exchange.call(&Method::PUT, &self.item, body).await {
            Ok(answer) => answer,
            Err(Failure::Unsent(error)) => return WriteOutcome::Failed(error),
            Err(Failure::Unanswered(detail)) => return WriteOutcome::Unknown(detail),
        };
        let status = answer.status;
        match status {
            StatusCode::OK => match object::read(&answer.body, &self.annotations) {
                Ok(object) => WriteOutcome::Written(self.seen(object)),
                Err(detail) => WriteOutcome::Unknown(detail),
            },
            StatusCode::CONFLICT => WriteOutcome::Conflict,
            _ if is_absence(&answer) => WriteOutcome::Conflict,
            // Also 201, which a PUT with a uid is never answered with.
            _ if status.is_success() || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                WriteOutcome::Unknown(self.place.refusal("update", &answer).to_string())
            }
            _ => WriteOutcome::Failed(self.place.refusal("update", &answer)),
        }
    }

    async fn watch(&self, events: mpsc::Sender<WatchEvent<P>>) {
        let watch = Watch {
            exchange: &self.exchange,
            place: &self.place,
            item: &self.item,
            collection: &self.collection,
            seen: self.seen.subscribe(),
            trouble: &self.trouble,
            annotations: &self.annotations,
            events,
        };
        watch.run().await;
    }
}
