//! Who leads, as this process knows it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Boot;
use crate::store::{LeaseObject, StoreError};

/// Who leads, as far as this member knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    Follower {
        holder: Option<String>,
    },
    /// Valid only while now < `renew_deadline`: check it before each act.
    Leader {
        fence: u64,
        renew_deadline: Boot,
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
pub struct LeaseSnapshot<P> {
    pub leadership: Leadership,
    /// The newest view accepted.
    pub object: Option<Arc<LeaseObject<P>>>,
    /// When the store last told the present state, by answer or watch. None before the first time.
    pub confirmed_at: Option<Boot>,
    /// When the lease seen runs out on this member's clock, if it isn't renewed.
    pub expires_at: Option<Boot>,
    pub trouble: Option<LeaseTrouble>,
}

impl<P> LeaseSnapshot<P> {
    /// The fence, if this member leads at `now`.
    pub fn leads(&self, now: Boot) -> Option<u64> {
        match self.leadership {
            Leadership::Leader { fence, renew_deadline } if now < renew_deadline => Some(fence),
            _ => None,
        }
    }

    /// The payload in the newest view, if there is a valid one.
    pub fn payload(&self) -> Option<&Arc<P>> {
        self.object.as_ref().and_then(|object| object.payload.valid())
    }

    /// How old the view is.
    pub fn age(&self, now: Boot) -> Option<Duration> {
        self.confirmed_at.map(|at| now.since(at))
    }
}
