//! Turns the parts' snapshots into `/readyz`: what is wrong, and how to repair it. None of it makes the member unready:
//! readiness that depended on peers or leadership would deadlock a rollout.

use std::sync::Arc;
use std::time::Duration;

use lease_election::{FENCE_MAX, LeaseTrouble, StoreError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::discovery::PeerList;
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::draw::voting;
use crate::generator::ids::IdSource;
use crate::identity::holding_member;
use crate::journal::JournalState;
use crate::lease::{LeaseHandle, LeaseObject, LeaseSnapshot, annotations};
use crate::readiness::{Latch, Readiness};
use crate::record::Voters;
use crate::shutdown::Signal;

/// How often everything is checked. A reason is reported once, on change, and not urgently.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// What is checked.
pub(super) struct Conditions {
    pub lease: watch::Receiver<Arc<LeaseSnapshot>>,
    pub lease_watch: Option<watch::Receiver<Option<StoreError>>>,
    /// What to do when there is no Lease.
    pub lease_made_by: String,
    /// How to give the set a lease of its own.
    pub lease_own: &'static str,
    pub set: String,
    pub peers: watch::Receiver<Arc<PeerList>>,
    /// What DNS is asked for to find them; empty without a governing Service.
    pub srv_name: String,
    pub voters: Voters,
    pub journal: watch::Receiver<JournalState>,
    pub ids: IdSource,
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub draw: Option<watch::Receiver<Option<String>>>,
}

impl Conditions {
    /// Reports every condition until `stop`.
    pub async fn report(mut self, readiness: Readiness, mut stop: Signal) {
        let mut awaits_journal = true;
        loop {
            if awaits_journal && self.journal_could_be_written() {
                readiness.release(Latch::Journal);
                awaits_journal = false;
            }
            readiness.report("lease", self.lease());
            readiness.report("lease-watch", self.lease_watch());
            readiness.report("peers", self.peers());
            readiness.report("journal", self.journal());
            readiness.report("ids", self.ids.trouble().map(|trouble| trouble.to_string()));
            readiness.report("ledger", self.ledger());
            readiness.report("draw", self.draw.as_ref().and_then(|draw| draw.borrow().clone()));
            tokio::select! {
                biased;
                () = stop.requested() => return,
                // A start must not wait for the next look.
                Ok(()) = self.journal.changed(), if awaits_journal => {}
                () = sleep(CHECK_EVERY) => {}
            }
        }
    }

    fn lease(&self) -> Option<String> {
        let lease = self.lease.borrow();
        match &lease.trouble {
            Some(LeaseTrouble::Absent) => Some(format!("there is no Lease, so nobody leads: {}", self.lease_made_by)),
            Some(LeaseTrouble::Store(error)) => Some(error.to_string()),
            None => unusable_fence(lease.object.as_ref()?).or_else(|| self.foreign_holder(&lease)),
        }
    }

    fn foreign_holder(&self, lease: &LeaseSnapshot) -> Option<String> {
        let holder = lease.object.as_ref()?.spec.held_by()?;
        holding_member(holder).is_none().then(|| {
            format!(
                "another program holds the lease, as {holder}, which is no member of set {}: nothing is drawn until it gives \
                 the lease up or stops renewing it; stop it, or {}",
                self.set, self.lease_own
            )
        })
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
        let published: Vec<u16> = list.peers.iter().map(|peer| peer.ordinal).collect();
        voting::unpublished(self.voters, &published, &self.srv_name)
    }

    fn journal_could_be_written(&self) -> bool {
        match &*self.journal.borrow() {
            JournalState::Starting => false,
            JournalState::Working => true,
            // A full volume costs numbers, and no restart mends it. Anything else may be a mistake of a rollout.
            JournalState::Degraded { journalling, full, .. } => *journalling || *full,
        }
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
            Condition::Unwritable(detail) => Some(format!("{detail}: this member doesn't stand for election")),
            Condition::Corrupt(detail) => Some(format!(
                "{detail}: this member takes no part in draws; `random-generator ledger restore` restores it from its peers"
            )),
        }
    }
}

fn unusable_fence(lease: &LeaseObject) -> Option<String> {
    let (annotations, most) = (annotations(), FENCE_MAX - 1);
    let found = annotations.unusable_fence(lease)?;
    let found: String = found.chars().take(100).collect();
    Some(format!(
        "annotation {} of the Lease is {found:?}, not a whole number from 0 to {most}: it counts as none, and the next holder replaces it",
        annotations.fence
    ))
}

/// Stands for election while the ledger is writable.
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
