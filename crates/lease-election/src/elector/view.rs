//! The newest view of the Lease, and since when it is so: L2 and L3.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Boot;
use crate::store::LeaseObject;

/// The newest view accepted.
#[derive(Clone, Debug)]
pub(super) struct LeaseView<P> {
    pub object: Arc<LeaseObject<P>>,
    /// When the newest version was accepted.
    pub accepted_at: Boot,
    /// When the spec last changed. Only the spec counts: a label or an annotation is not a renewal.
    unchanged_since: Boot,
    /// When this uid was first seen, if another was known before.
    new_uid_since: Option<Boot>,
}

impl<P> LeaseView<P> {
    pub fn first(object: Arc<LeaseObject<P>>, known_uid: Option<&str>, now: Boot) -> LeaseView<P> {
        let replaced = known_uid.is_some_and(|known| known != object.uid);
        LeaseView {
            object,
            accepted_at: now,
            unchanged_since: now,
            new_uid_since: replaced.then_some(now),
        }
    }

    /// The same uid, seen again.
    pub fn update(&mut self, object: Arc<LeaseObject<P>>, now: Boot) {
        if object.spec != self.object.spec {
            self.unchanged_since = now;
        }
        if object.version != self.object.version {
            self.accepted_at = now;
        }
        self.object = object;
    }

    /// When the holder's lease expires; `None` while the lease is free. `mine` is this process's lease duration.
    pub fn expires_at(&self, mine: Duration) -> Option<Boot> {
        let spec = &self.object.spec;
        spec.held_by()?;
        // The Lease's own duration: another client may hold it for longer than this one would.
        let duration = match spec.duration_seconds {
            Some(seconds) if seconds > 0 => Duration::from_secs(u64::from(seconds)),
            _ => mine,
        };
        Some(self.unchanged_since + duration)
    }

    /// When `identity` may acquire the lease.
    pub fn free_at(&self, identity: &str, mine: Duration) -> Boot {
        let free = match self.object.spec.held_by() {
            Some(holder) if holder != identity => self.expires_at(mine).unwrap_or(self.unchanged_since),
            _ => Boot(0),
        };
        // The holder under the former uid may still lead, for up to one duration.
        match self.new_uid_since {
            Some(since) => free.max(since + mine),
            None => free,
        }
    }
}
