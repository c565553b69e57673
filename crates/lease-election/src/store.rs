//! A Lease as a store returns it, and what a store has to do.

use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use tokio::sync::mpsc;

use crate::payload::{Payload, Stored};

/// The spec of a `coordination.k8s.io/v1` Lease, as client-go's LeaseLock reads and writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseSpec {
    /// `POD_NAME_UID-NONCE` of who holds it; absent or "" when it's free.
    pub holder: Option<String>,
    pub duration_seconds: Option<u32>,
    /// Microseconds, as MicroTime writes them. Never compared with a clock.
    pub acquire_time: Option<Timestamp>,
    pub renew_time: Option<Timestamp>,
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
    /// New each time the object is created.
    pub uid: String,
    /// Grows with every write. Kubernetes: `resourceVersion`, which KEP-5504 makes comparable as a number.
    pub version: u64,
    pub spec: LeaseSpec,
    /// The fence annotation; 0 when it is absent or not a number.
    pub fence: u64,
    pub payload: Stored<P>,
    /// What is others': labels, annotations and whatever else the store's objects have. A write carries it along unread.
    pub carried: Arc<serde_json::Value>,
}

/// What a write puts in place of an object's spec and our two annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChange<P> {
    pub spec: LeaseSpec,
    pub fence: u64,
    pub payload: Stored<P>,
}

/// A read that gave no object: nothing is known by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("the lease store can't be reached: {0}")]
    Unreachable(String),
    /// No permission, no credentials, no such resource: waiting alone won't mend it.
    #[error("the lease store can't be used: {0}")]
    Refused(String),
}

/// What became of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome<P> {
    /// It happened: the object as it stands now.
    Written(Arc<LeaseObject<P>>),
    /// The object isn't the one it was based on, or is gone: it did not happen.
    Conflict,
    /// Refused for a reason that has nothing to do with the version, or never sent: it did not happen.
    Failed(StoreError),
    /// Timed out, cut off, or a 5xx after it was sent: it may have happened, or may happen yet.
    Unknown(String),
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<P> {
    Seen(Arc<LeaseObject<P>>),
    Gone,
}

/// One Lease in one store. Every method may be cancelled at any await: a cancelled write is `Unknown`.
/// The caller bounds the time; an implementation bounds its own steps as well.
pub trait LeaseStore<P: Payload>: Send + Sync + 'static {
    /// A linearizable read; `None` when the Lease is absent.
    fn read(&self) -> impl Future<Output = Result<Option<Arc<LeaseObject<P>>>, StoreError>> + Send;

    /// Replaces the whole object if it still is the one of this uid and version. Never creates one.
    fn write(&self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> impl Future<Output = WriteOutcome<P>> + Send;

    /// Sends what changes until the receiver is dropped, reconnecting with backoff by itself. May miss states in
    /// between, never the last one for longer than the store's own poll.
    fn watch(&self, events: mpsc::Sender<WatchEvent<P>>) -> impl Future<Output = ()> + Send;
}

/// MicroTime of Kubernetes: RFC 3339 in UTC with exactly six digits.
pub(crate) fn micro_time(time: Timestamp) -> String {
    DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&time)
}
