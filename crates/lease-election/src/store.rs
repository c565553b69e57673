//! A Lease as a store returns it, and what a store has to do.

use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use tokio::sync::mpsc;

use crate::payload::{Payload, Stored};

/// The spec of a [`coordination.k8s.io/v1` Lease][lease], as client-go's LeaseLock reads and writes it.
///
/// [lease]: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseSpec {
    /// `holderIdentity`; absent or "" when the lease is free.
    pub holder: Option<String>,
    /// `leaseDurationSeconds`.
    pub duration_seconds: Option<u32>,
    /// `acquireTime`, to the microsecond, by the holder's clock. The elector never compares it with a clock.
    pub acquire_time: Option<Timestamp>,
    /// `renewTime`, likewise.
    pub renew_time: Option<Timestamp>,
    /// `leaseTransitions`: how often the holder changed.
    pub transitions: u32,
}

impl LeaseSpec {
    /// The holder, if there is one: null, absent and "" all mean that the lease is free.
    pub fn held_by(&self) -> Option<&str> {
        self.holder.as_deref().filter(|holder| !holder.is_empty())
    }
}

/// A Lease as a store returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseObject<P> {
    /// `metadata.uid`: new each time the object is created.
    pub uid: String,
    /// Grows with every write. On Kubernetes `metadata.resourceVersion`, which [KEP-5504][kep] makes comparable as a number.
    ///
    /// [kep]: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/5504-comparable-resource-version
    pub version: u64,
    pub spec: LeaseSpec,
    /// The fence annotation; 0 when it is absent, or not a fence that can still grow.
    pub fence: u64,
    pub payload: Stored<P>,
    /// What others own: labels, annotations, and any other field. A write carries it along unread.
    pub carried: Arc<serde_json::Value>,
}

/// What a write puts in place of an object's spec and the two annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChange<P> {
    pub spec: LeaseSpec,
    pub fence: u64,
    pub payload: Stored<P>,
}

/// Why a read or write had no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("the lease store can't be reached: {0}")]
    Unreachable(String),
    /// No permission, no credentials, no such resource: waiting alone doesn't help.
    #[error("the lease store can't be used: {0}")]
    Refused(String),
}

/// The outcome of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome<P> {
    /// It happened; this is the new object.
    Written(Arc<LeaseObject<P>>),
    /// It did not happen: the object is not the one it was based on, or is gone.
    Conflict,
    /// It did not happen: it was refused for another reason than the version, or never sent.
    Failed(StoreError),
    /// It may have happened, or may still happen: no answer in time, a broken connection, or a 5xx.
    Unknown(String),
}

/// A change that a watch reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<P> {
    Seen(Arc<LeaseObject<P>>),
    Gone,
}

/// One Lease in one store.
///
/// Each method may be cancelled at any await; a cancelled write counts as [`Unknown`](WriteOutcome::Unknown). The elector's task
/// gives a read or write a third of the renew deadline. A store should answer earlier, so that it can say why it failed.
pub trait LeaseStore<P: Payload>: Send + Sync + 'static {
    /// A linearizable read: it shows every write that was acknowledged before it began. `None` when the Lease is absent.
    fn read(&self) -> impl Future<Output = Result<Option<Arc<LeaseObject<P>>>, StoreError>> + Send;

    /// Replaces the spec and the two annotations, if the object still has the uid and version of `base`. Never creates one.
    fn write(&self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> impl Future<Output = WriteOutcome<P>> + Send;

    /// Sends changes until the receiver is dropped, and reconnects with backoff by itself. It may skip states, but not the
    /// last one.
    fn watch(&self, events: mpsc::Sender<WatchEvent<P>>) -> impl Future<Output = ()> + Send;
}

/// MicroTime of Kubernetes: RFC 3339 in UTC with exactly six digits.
pub(crate) fn micro_time(time: Timestamp) -> String {
    DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&time)
}
