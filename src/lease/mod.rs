//! The lease: which member conducts the draw, and the one place where a draw becomes final.
//!
//! [`elector`] decides and does no I/O; [`task`] does the I/O that it asks for, over any [`LeaseStore`]. The rules are
//! those of `docs/protocol.md`, part 2, by their numbers.

mod annotations;
pub mod elector;
pub mod file;
pub mod kubernetes;
pub mod metrics;
pub mod task;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::clock::Boot;
use crate::record::Record;

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

/// What the record annotation holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    Absent,
    /// Text that is no record in canonical form with a true hash: damaged by hand.
    Invalid(Arc<str>),
    Record(Arc<Record>),
}

impl Head {
    pub fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Head::Record(record) => Some(record),
            Head::Absent | Head::Invalid(_) => None,
        }
    }
}

/// A Lease as a store returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseObject {
    /// New each time the object is created.
    pub uid: String,
    /// Grows with every write. Kubernetes: `resourceVersion`, which KEP-5504 makes comparable as a number.
    pub version: u64,
    pub spec: LeaseSpec,
    /// Annotation `random-generator/fence`; 0 when absent or not a number.
    pub fence: u64,
    /// Annotation `random-generator/record`.
    pub head: Head,
    /// What is others': labels, annotations and whatever else the store's objects have. A write carries it along unread.
    pub carried: Arc<serde_json::Value>,
}

/// What a write puts in place of an object's spec and our two annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChange {
    pub spec: LeaseSpec,
    pub fence: u64,
    pub head: Head,
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
pub enum WriteOutcome {
    /// It happened: the object as it stands now.
    Written(Arc<LeaseObject>),
    /// The object isn't the one it was based on, or is gone: it did not happen.
    Conflict,
    /// Refused for a reason that has nothing to do with the version, or never sent: it did not happen.
    Failed(StoreError),
    /// Timed out, cut off, or a 5xx after it was sent: it may have happened, or may happen yet.
    Unknown(String),
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    Seen(Arc<LeaseObject>),
    Gone,
}

/// One Lease in one store. Every method may be cancelled at any await: a cancelled write is `Unknown`.
/// The caller bounds the time; an implementation bounds its own steps as well.
pub trait LeaseStore: Send + Sync + 'static {
    /// A linearizable read; `None` when the Lease is absent.
    fn read(&self) -> impl Future<Output = Result<Option<Arc<LeaseObject>>, StoreError>> + Send;

    /// Replaces the whole object if it still is the one of this uid and version. Never creates one.
    fn write(&self, base: &LeaseObject, change: &LeaseChange) -> impl Future<Output = WriteOutcome> + Send;

    /// Sends what changes until the receiver is dropped, reconnecting with backoff by itself. May miss states in
    /// between, never the last one for longer than the store's own poll.
    fn watch(&self, events: mpsc::Sender<WatchEvent>) -> impl Future<Output = ()> + Send;
}

/// Who leads, as far as this member knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    Follower {
        holder: Option<String>,
    },
    /// Valid only while now < `until`; whoever acts on it checks.
    Leader {
        fence: u64,
        until: Boot,
    },
}

/// Why the lease can't be used, in the operator's words. Only degrades readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseTrouble {
    /// There is no Lease: nobody leads.
    Absent,
    Store(StoreError),
}

/// What the elector publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSnapshot {
    pub leadership: Leadership,
    /// The newest view accepted.
    pub object: Option<Arc<LeaseObject>>,
    /// When the store last told the present state, by answer or watch. None before the first time.
    pub confirmed_at: Option<Boot>,
    /// When the lease seen runs out on this member's clock, if it isn't renewed.
    pub expires_at: Option<Boot>,
    pub trouble: Option<LeaseTrouble>,
}

impl LeaseSnapshot {
    /// The fence, if this member leads at `now`.
    pub fn leads(&self, now: Boot) -> Option<u64> {
        match self.leadership {
            Leadership::Leader { fence, until } if now < until => Some(fence),
            _ => None,
        }
    }

    pub fn head(&self) -> Option<&Arc<Record>> {
        self.object.as_ref().and_then(|object| object.head.record())
    }

    /// How old the view is.
    pub fn age(&self, now: Boot) -> Option<Duration> {
        self.confirmed_at.map(|at| now.since(at))
    }
}
