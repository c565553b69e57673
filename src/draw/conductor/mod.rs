//! The holder's side of a draw (`docs/protocol.md`, 3.4 and 3.5), as a function of (state, event, now).
//!
//! [`interface`] has its events and actions. This file handles events; [`work`] starts and ends a [`collection`] of one slot's
//! answers or a [`recovery`] of the chain's head, and [`slot`] tracks the slot to draw.

mod collection;
mod interface;
mod recovery;
mod slot;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;
use std::time::Duration;

use lease_election::CommitOutcome;
use rand::{Rng, RngExt};

pub use self::interface::{Action, AskError, ConductorConfig, Event, Obstacle, Report};
use self::slot::PendingSlot;
use self::work::Work;
use crate::clock::{Boot, Now};
use crate::lease::{Head, LeaseSnapshot};
use crate::peer::message::Refusal;
use crate::record::{ChainId, Hash, Hex, MAX_INTEGER, Record, Slot};

/// A restart starts so far above every known fence that no promise of an absent voter can be newer.
const RESTART_STRIDE: u64 = 1 << 20;
/// How long to wait for the other members once a majority has answered.
const MOST_PATIENCE: Duration = Duration::from_secs(1);
/// The wait before a member that failed is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// A newer record than ours, which a member refused us with.
struct Newer {
    record: Arc<Record>,
    at: Boot,
}

/// The fence and head that a commit of ours replaced, and the slot of the record that it put there.
struct Replaced {
    fence: u64,
    head: Head,
    by: Slot,
}

/// Permission to start a chain: no voter has one, or an operator asked for it.
#[derive(Clone, Copy)]
struct NewChain {
    id: ChainId,
    restart: bool,
}

pub struct Conductor {
    config: ConductorConfig,
    lease: Option<Arc<LeaseSnapshot>>,
    newest: Option<Arc<Record>>,
    /// The newest records of the ledger's chain, ascending.
    chain: Arc<[Arc<Record>]>,
    published: Arc<[u16]>,
    work: Work,
    pending: Option<PendingSlot>,
    newer: Option<Newer>,
    /// Records that recoveries of this term passed over, the latest last: a member without a vote may still have one that the
    /// voters lost.
    passed_over: Vec<Hash>,
    new_chain: Option<NewChain>,
    /// A restart waits for a fence above this.
    restart_above: Option<u64>,
    missed_in_row: u32,
    stays: u32,
    /// What our last commit replaced: a snapshot that still shows it is older.
    replaced: Option<Replaced>,
    /// After a failed commit: when to try again.
    retry_at: Boot,
    asks: u64,
    actions: Vec<Action>,
}

impl Conductor {
    pub fn new(config: ConductorConfig) -> Conductor {
        Conductor {
            config,
            lease: None,
            newest: None,
            chain: Arc::new([]),
            published: Arc::new([]),
            work: Work::Idle,
            pending: None,
            newer: None,
            passed_over: Vec::new(),
            new_chain: None,
            restart_above: None,
            missed_in_row: 0,
            stays: 0,
            replaced: None,
            retry_at: Boot(0),
            asks: 0,
            actions: Vec::new(),
        }
    }

    /// Takes one event, and returns the actions for it, in order.
    pub fn step(&mut self, now: Now, event: Event, rng: &mut impl Rng) -> Vec<Action> {
        match event {
            Event::Tick => {}
            Event::Lease(lease) => self.lease = Some(lease),
            Event::Ledger(ledger) => {
                self.newest = ledger.newest.clone();
                self.chain = ledger.recent.clone();
            }
            Event::Published(published) => self.published = published,
            Event::Kept { ask, ordinal, result } => {
                self.follow_refusal(result.as_ref().err(), now);
                if let Work::Collecting(collection) = &mut self.work {
                    collection.on_answer(ask, ordinal, result, now.boot);
                }
            }
            Event::Heads { ask, ordinal, result } => {
                self.follow_refusal(result.as_ref().err(), now);
                if let Work::Recovering(recovery) = &mut self.work {
                    recovery.on_answer(ask, ordinal, result, now.boot);
                }
            }
            Event::Committed { ticket, outcome } => self.on_committed(ticket, outcome, now.boot),
            Event::Restart => {
                let floor = self.known_fence().saturating_add(RESTART_STRIDE).min(MAX_INTEGER / 2);
                self.restart_above = Some(floor);
                self.actions.push(Action::Floor(floor));
            }
        }
        self.advance(now, rng);
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Conductor::step`] with a tick if nothing else happens first: at least every second while leading, so that a
    /// step of the wall clock, which times the slots, is noticed.
    pub fn wake_at(&self, now: Now) -> Option<Boot> {
        let lease = self.lease.as_ref()?;
        lease.leads(now.boot)?;
        let next = self.config.schedule.next_after(now.wall.seconds())?;
        let until_slot = Duration::from_micros((next.0 * 1_000_000 - now.wall.0).max(0).unsigned_abs());
        let mut wake = now.boot + until_slot.min(Duration::from_secs(1));
        match &self.work {
            Work::Collecting(collection) => wake = wake.min(collection.wake_at(now.boot)),
            Work::Recovering(recovery) => wake = wake.min(recovery.wake_at(&self.published)),
            Work::Idle if self.retry_at > now.boot => wake = wake.min(self.retry_at),
            Work::Idle | Work::Committing { .. } => {}
        }
        Some(wake)
    }

    /// The current work, for the log and the metrics.
    pub fn phase(&self) -> &'static str {
        match self.work {
            Work::Idle => "idle",
            Work::Collecting(_) => "collecting",
            Work::Committing { .. } => "committing",
            Work::Recovering(_) => "recovering",
        }
    }

    fn known_fence(&self) -> u64 {
        let lease = self.lease.as_ref().and_then(|lease| lease.object.as_ref());
        let in_lease = lease.map_or(0, |object| object.fence);
        in_lease.max(self.newest.as_ref().map_or(0, |record| record.fence))
    }

    /// Some refusals show that this holder's fence or chain is behind.
    fn follow_refusal(&mut self, error: Option<&AskError>, now: Now) {
        match error {
            Some(AskError::Refused(Refusal::Fence { fence })) if *fence < MAX_INTEGER / 2 => {
                self.actions.push(Action::Floor(*fence));
            }
            Some(AskError::Refused(Refusal::Ahead { head })) if head.set == self.config.set && head.check().is_ok() => {
                let is_older = |known: &Newer| known.record.age() < head.age();
                if !self.passed_over.contains(&head.hash) && self.newer.as_ref().is_none_or(is_older) {
                    self.newer = Some(Newer {
                        record: head.clone(),
                        at: now.boot,
                    });
                    self.actions.push(Action::Look);
                }
            }
            _ => {}
        }
    }

    fn on_committed(&mut self, ticket: u64, outcome: CommitOutcome, now: Boot) {
        let Work::Committing {
            ticket: mine,
            record,
            restoring,
            replaces,
        } = &self.work
        else {
            return;
        };
        if *mine != ticket {
            return;
        }
        let (record, restoring) = (record.clone(), *restoring);
        let (fence, head) = replaces.clone();
        self.work = Work::Idle;
        match &outcome {
            CommitOutcome::Committed => {
                let by = record.slot;
                self.replaced = Some(Replaced { fence, head, by });
            }
            CommitOutcome::NotCommitted | CommitOutcome::Undecided => self.retry_at = now + ASK_AGAIN,
        }
        match outcome {
            CommitOutcome::Committed if restoring => self.report(Report::Restored(record)),
            CommitOutcome::Committed => {
                self.missed_in_row = 0;
                self.stays = 0;
                self.new_chain = None;
                self.restart_above = None;
                self.pending = None;
                self.report(Report::Drawn(record));
            }
            CommitOutcome::NotCommitted => self.set_obstacle(Obstacle::NotCommitted),
            CommitOutcome::Undecided => {
                if let Some(pending) = self.pending.as_mut().filter(|pending| pending.slot == record.slot) {
                    pending.undecided = true;
                }
            }
        }
    }

    fn advance(&mut self, now: Now, rng: &mut impl Rng) {
        let Some(lease) = self.lease.clone() else {
            return;
        };
        let (Some(fence), Some(object)) = (lease.leads(now.boot), lease.object.as_ref()) else {
            self.work = Work::Idle;
            self.pending = None;
            self.new_chain = None;
            self.passed_over.clear();
            let held_by = lease.object.as_ref().and_then(|object| object.spec.held_by());
            if held_by.is_some_and(|holder| holder != self.config.identity) {
                // An operator's restart is for this term only.
                self.restart_above = None;
            }
            return;
        };
        self.replaced
            .take_if(|replaced| replaced.fence != fence || replaced.head != object.payload);
        let drawn = self.replaced.as_ref().map(|replaced| replaced.by);
        self.update_pending(now, object.payload.valid().map(|head| head.slot).max(drawn), rng);
        self.drop_outdated(fence, &object.payload);
        if self.restart_above.is_some_and(|above| fence > above) && self.new_chain.is_none_or(|new| !new.restart) {
            self.new_chain = Some(NewChain {
                id: Hex(rng.random()),
                restart: true,
            });
        }
        let waits = self.replaced.is_some() || now.boot < self.retry_at;
        // A recovery that ends may let a collection begin at once, and the other way round.
        for _ in 0..3 {
            if matches!(self.work, Work::Idle) && !waits {
                self.begin(now, fence, &object.payload, &lease);
            }
            match &mut self.work {
                Work::Collecting(_) => self.advance_collection(now, &object.payload),
                Work::Recovering(_) => self.advance_recovery(now, &object.payload, rng),
                Work::Idle | Work::Committing { .. } => {}
            }
            if !matches!(self.work, Work::Idle) {
                break;
            }
        }
    }

    fn set_obstacle(&mut self, obstacle: Obstacle) {
        if let Some(pending) = &mut self.pending {
            pending.obstacle = obstacle;
        }
    }

    fn report(&mut self, report: Report) {
        self.actions.push(Action::Report(report));
    }
}
