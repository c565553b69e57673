//! Turns what the parts say of themselves into `/readyz`, in the operator's words: what is wrong, and how to mend it. None of
//! it makes the member unready: readiness that depended on peers or leadership would deadlock a rollout.

use std::sync::Arc;
use std::time::Duration;

use lease_election::{LeaseTrouble, StoreError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::discovery::PeerList;
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::generator::ids::IdSource;
use crate::journal::JournalState;
use crate::lease::{LeaseHandle, LeaseSnapshot};
use crate::readiness::{Readiness, Reporter};
use crate::shutdown::Signal;

/// Everything is looked at so often: a reason is told once, on change, and need not be told within the millisecond.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is looked at.
pub(super) struct Conditions {
    pub lease: watch::Receiver<Arc<LeaseSnapshot>>,
    pub lease_watch: Option<watch::Receiver<Option<StoreError>>>,
    /// What a person does when there is no Lease.
    pub lease_made_by: String,
    pub peers: watch::Receiver<Arc<PeerList>>,
    pub voters: u16,
    pub journal: watch::Receiver<JournalState>,
    pub ids: IdSource,
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub draw: Option<watch::Receiver<Option<String>>>,
}

/// The task that looks, with a voice for each part.
pub(super) struct Told {
    conditions: Conditions,
    lease: Reporter,
    lease_watch: Reporter,
    peers: Reporter,
    journal: Reporter,
    ids: Reporter,
    ledger: Reporter,
    draw: Reporter,
}

impl Conditions {
    pub fn tell(self, readiness: &Readiness) -> Told {
        Told {
            conditions: self,
            lease: readiness.reporter("lease"),
            lease_watch: readiness.reporter("lease-watch"),
            peers: readiness.reporter("peers"),
            journal: readiness.reporter("journal"),
            ids: readiness.reporter("ids"),
            ledger: readiness.reporter("ledger"),
            draw: readiness.reporter("draw"),
        }
    }

    fn lease(&self) -> Option<String> {
        match self.lease.borrow().trouble.as_ref()? {
            LeaseTrouble::Absent => Some(format!("there is no Lease, so nobody leads: {}", self.lease_made_by)),
            LeaseTrouble::Store(error) => Some(error.to_string()),
        }
    }

    fn lease_watch(&self) -> Option<String> {
        let trouble = self.lease_watch.as_ref()?.borrow().clone()?;
        Some(format!(
            "{trouble}; until then the Lease is polled, and a hand-over takes longer"
        ))
    }

    fn peers(&self) -> Option<String> {
        let list = self.peers.borrow();
        if let Some(trouble) = &list.trouble {
            return Some(trouble.to_string());
        }
        list.resolved_at?;
        // A member without ordinal takes no part in draws: it needs no voters.
        self.draw.as_ref()?;
        let published = list.peers.iter().filter(|peer| peer.ordinal < self.voters).count();
        (2 * published <= usize::from(self.voters)).then(|| {
            format!(
                "DNS publishes {published} of {} voters: too few for a draw; check the governing Service and --discovery-name",
                self.voters
            )
        })
    }

    fn journal(&self) -> Option<String> {
        match &*self.journal.borrow() {
            JournalState::Starting | JournalState::Working => None,
            JournalState::Degraded { reason, .. } => Some(reason.to_string()),
        }
    }

    fn ledger(&self) -> Option<String> {
        self.draw.as_ref()?;
        match &self.ledger.borrow().condition {
            Condition::Opening | Condition::Writable => None,
            Condition::Unwritable(detail) => Some(format!("{detail}: this member doesn't stand for the lease")),
            Condition::Corrupt(detail) => Some(format!(
                "{detail}: this member takes no part in draws; `random-generator ledger restore` restores it from its peers"
            )),
        }
    }
}

impl Told {
    pub async fn run(self, mut stop: Signal) {
        loop {
            let conditions = &self.conditions;
            self.lease.say(conditions.lease());
            self.lease_watch.say(conditions.lease_watch());
            self.peers.say(conditions.peers());
            self.journal.say(conditions.journal());
            self.ids
                .say(conditions.ids.trouble().map(|trouble| trouble.to_string()));
            self.ledger.say(conditions.ledger());
            self.draw
                .say(conditions.draw.as_ref().and_then(|draw| draw.borrow().clone()));
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }
}

/// Only a member whose ledger can be written stands for the lease.
pub(super) async fn stand(lease: LeaseHandle, mut ledger: watch::Receiver<Arc<LedgerSnapshot>>, mut stop: Signal) {
    loop {
        let writable = ledger.borrow_and_update().condition == Condition::Writable;
        lease.stand(writable).await;
        tokio::select! {
            biased;
            () = stop.requested() => return,
            changed = ledger.changed() => if changed.is_err() {
                stop.requested().await;
                return;
            },
        }
    }
}
