//! Who leads, as this process knows it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Boot;
use crate::store::{LeaseObject, StoreError};

/// Whether this process leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    Follower {
        /// The identity in the Lease; `None` when the lease is free or unknown.
        holder: Option<String>,
    },
    /// Leadership ends at `renew_deadline`, published or not: check it before each act.
    Leader {
        /// Greater than that of any earlier leader. What this leader writes to should refuse a lower one.
        fence: u64,
        /// On the clock of this machine, [`Clock::boot`](crate::clock::Clock::boot). A renewal moves it.
        renew_deadline: Boot,
    },
}

/// Why the lease can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseTrouble {
    /// There is no Lease, so no process leads.
    Absent,
    Store(StoreError),
}

/// What the elector publishes: immutable, and new with each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSnapshot<P> {
    pub leadership: Leadership,
    /// The newest view of the Lease; `None` while it is absent or unknown.
    pub object: Option<Arc<LeaseObject<P>>>,
    /// When the store last confirmed that view, by an answer or its watch. `None` before the first time.
    pub confirmed_at: Option<Boot>,
    /// When the lease expires on this machine's clock, unless its holder renews it.
    pub expires_at: Option<Boot>,
    pub trouble: Option<LeaseTrouble>,
}

impl<P> LeaseSnapshot<P> {
    /// The fence, if this process leads at `now`.
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
