//! The holder's side of a draw (`docs/protocol.md`, 3.4 and 3.5): decided as a function of (state, event, now).
//! [`interface`] is what it takes and gives; [`collection`] gathers one slot's answers, [`recovery`] the voters' heads, [`duty`] keeps
//! account of the slot; here stands when each begins and ends.

mod collection;
mod duty;
mod interface;
mod recovery;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lease_election::CommitOutcome;
use rand::{Rng, RngExt};

use self::collection::Collection;
use self::duty::Duty;
pub use self::interface::{Action, AskError, ConductorConfig, Event, Obstacle, Report};
use self::recovery::{Found, Recovery};
use crate::clock::{Boot, Now};
use crate::lease::{CommitRequest, Head, LeaseSnapshot};
use crate::peer::message::{HeadsRequest, KeepAnswer, MOST_PASSED_OVER, Refusal, VERSION};
use crate::record::{ChainId, Hash, Hex, MAX_INTEGER, Record};

/// A restart begins so far above every fence known that nothing an absent voter promised can be newer.
const RESTART_STRIDE: u64 = 1 << 20;
/// How long the members that answer wait for those that don't, once they are a majority.
const MOST_PATIENCE: Duration = Duration::from_secs(1);
/// A member that failed is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What the holder is at.
enum Work {
    Idle,
    Collecting(Collection),
    Committing {
        ticket: u64,
        record: Arc<Record>,
        restoring: bool,
        replaces: (u64, Head),
    },
    Recovering(Recovery),
}

/// A member knows a newer record than we do.
struct Heard {
    record: Arc<Record>,
    at: Boot,
}

/// Leave to begin a chain: no voter has one, or a person said so.
#[derive(Clone, Copy)]
struct NewChain {
    id: ChainId,
    restart: bool,
}

pub struct Conductor {
    config: ConductorConfig,
    lease: Option<Arc<LeaseSnapshot>>,
    newest: Option<Arc<Record>>,
    /// The ledger's chain, ascending.
    chain: Arc<[Arc<Record>]>,
    published: Arc<[u16]>,
    work: Work,
    duty: Option<Duty>,
    /// The newest record that a member refused us with.
    heard: Option<Heard>,
    /// Records that recoveries of this term have passed over, the latest last: a member that is no voter may have one from
    /// before the voters lost theirs.
    passed_over: Vec<Hash>,
    new_chain: Option<NewChain>,
    /// A restart waits for a fence above this.
    restart_above: Option<u64>,
    missed_in_row: u32,
    stays: u32,
    /// The fence and head that a commit of ours has replaced: a snapshot that still shows them is from before.
    replaced: Option<(u64, Head)>,
    /// A commit came to nothing: not again before this.
    rest_until: Boot,
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
            duty: None,
            heard: None,
            passed_over: Vec::new(),
            new_chain: None,
            restart_above: None,
            missed_in_row: 0,
            stays: 0,
            replaced: None,
            rest_until: Boot(0),
            asks: 0,
            actions: Vec::new(),
        }
    }

    /// Takes one event, and returns what is to be done for it, in this order.
    pub fn step(&mut self, now: Now, event: Event, rng: &mut impl Rng) -> Vec<Action> {
        match event {
            Event::Tick => {}
            Event::Lease(lease) => self.lease = Some(lease),
            Event::Ledger(ledger) => {
                self.newest = ledger.newest.clone();
                self.chain = ledger.chain.clone();
            }
            Event::Published(published) => self.published = published,
            Event::Kept { ask, ordinal, result } => self.on_kept(ask, ordinal, result, now),
            Event::Heads { ask, ordinal, result } => {
                self.heed(result.as_ref().err(), now);
                if let Work::Recovering(recovery) = &mut self.work {
                    recovery.on_answer(ask, ordinal, result, now.boot);
                }
            }
            Event::Committed { ticket, outcome } => self.on_committed(ticket, outcome, now.boot),
            Event::Restart => {
                let floor = self.fence_known().saturating_add(RESTART_STRIDE).min(MAX_INTEGER / 2);
                self.restart_above = Some(floor);
                self.actions.push(Action::Floor(floor));
            }
        }
        self.advance(now, rng);
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Conductor::step`] with a tick, if nothing else happens before. `now` is only used to turn the next
    /// slot, a wall-clock time, into boot time: a step of the wall clock is noticed at the next tick, so ticks come at
    /// least every second while leading.
    pub fn wake_at(&self, now: Now) -> Option<Boot> {
        let lease = self.lease.as_ref()?;
        lease.leads(now.boot)?;
        let next = self.config.schedule.next_after(now.wall.seconds())?;
        let until_slot = Duration::from_micros((next.0 * 1_000_000 - now.wall.0).max(0).unsigned_abs());
        let mut wake = now.boot + until_slot.min(Duration::from_secs(1));
        match &self.work {
            Work::Collecting(collection) => wake = wake.min(collection.wake_at(now.boot)),
            Work::Recovering(recovery) => wake = wake.min(recovery.wake_at(&self.published)),
            Work::Idle if self.rest_until > now.boot => wake = wake.min(self.rest_until),
            Work::Idle | Work::Committing { .. } => {}
        }
        Some(wake)
    }

    /// What this member is at, as one word: for the log and the metrics.
    pub fn phase(&self) -> &'static str {
        match self.work {
            Work::Idle => "idle",
            Work::Collecting(_) => "collecting",
            Work::Committing { .. } => "committing",
            Work::Recovering(_) => "recovering",
        }
    }

    fn fence_known(&self) -> u64 {
        let lease = self.lease.as_ref().and_then(|lease| lease.object.as_ref());
        let in_lease = lease.map_or(0, |object| object.fence);
        in_lease.max(self.newest.as_ref().map_or(0, |record| record.fence))
    }

    fn on_kept(&mut self, ask: u64, ordinal: u16, result: Result<KeepAnswer, AskError>, now: Now) {
        self.heed(result.as_ref().err(), now);
        if let Work::Collecting(collection) = &mut self.work {
            collection.on_answer(ask, ordinal, result, now.boot);
        }
    }

    /// Some refusals say that this holder is behind: in its fence, or in the chain.
    fn heed(&mut self, error: Option<&AskError>, now: Now) {
        match error {
            Some(AskError::Refused(Refusal::Fence { fence })) if *fence < MAX_INTEGER / 2 => {
                self.actions.push(Action::Floor(*fence));
            }
            Some(AskError::Refused(Refusal::Ahead { head })) if head.set == self.config.set && head.check().is_ok() => {
                let newer = |heard: &Heard| heard.record.age() < head.age();
                if !self.passed_over.contains(&head.hash) && self.heard.as_ref().is_none_or(newer) {
                    self.heard = Some(Heard {
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
        let (record, restoring, replaces) = (record.clone(), *restoring, replaces.clone());
        self.work = Work::Idle;
        match &outcome {
            CommitOutcome::Committed => self.replaced = Some(replaces),
            CommitOutcome::NotCommitted | CommitOutcome::Undecided => self.rest_until = now + ASK_AGAIN,
        }
        match outcome {
            CommitOutcome::Committed if restoring => self.report(Report::Restored(record)),
            CommitOutcome::Committed => {
                self.missed_in_row = 0;
                self.stays = 0;
                self.new_chain = None;
                self.restart_above = None;
                self.duty = None;
                self.report(Report::Drawn(record));
            }
            CommitOutcome::NotCommitted => self.obstacle(Obstacle::NotCommitted),
            CommitOutcome::Undecided => {
                if let Some(duty) = self.duty.as_mut().filter(|duty| duty.slot == record.slot) {
                    duty.undecided = true;
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
            self.duty = None;
            self.new_chain = None;
            self.passed_over.clear();
            let held_by = lease.object.as_ref().and_then(|object| object.spec.held_by());
            if held_by.is_some_and(|holder| holder != self.config.identity) {
                // What a person asked of a holder is not for a later term to do unasked.
                self.restart_above = None;
            }
            return;
        };
        self.attend(now, object.payload.valid().map(|head| head.slot), rng);
        self.drop_outdated(fence, &object.payload);
        if self.restart_above.is_some_and(|above| fence > above) && self.new_chain.is_none_or(|new| !new.restart) {
            self.new_chain = Some(NewChain {
                id: Hex(rng.random()),
                restart: true,
            });
        }
        // A recovery that ends may let a collection begin at once, and the other way round.
        let replaced = self
            .replaced
            .as_ref()
            .is_some_and(|replaced| *replaced == (fence, object.payload.clone()));
        if !replaced {
            self.replaced = None;
        }
        let rests = replaced || now.boot < self.rest_until;
        for _ in 0..3 {
            if matches!(self.work, Work::Idle) && !rests {
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

    /// Drops work that was begun under another fence or head.
    fn drop_outdated(&mut self, fence: u64, head: &Head) {
        let valid = match &self.work {
            Work::Collecting(collection) => collection.fence == fence && collection.base == *head,
            Work::Recovering(recovery) => recovery.fence == fence && recovery.base == *head,
            Work::Idle | Work::Committing { .. } => true,
        };
        if !valid {
            self.work = Work::Idle;
        }
    }

    /// Whether the Lease has no record, or a member has a newer one than the Lease had when it was seen again since.
    fn must_recover(&self, head: &Head, lease: &LeaseSnapshot) -> bool {
        let heard_newer = self.heard.as_ref().is_some_and(|heard| {
            let newer = head.valid().is_none_or(|head| heard.record.age() > head.age());
            newer && lease.confirmed_at.is_some_and(|confirmed| confirmed > heard.at)
        });
        let head_known = head.valid().is_some() || self.new_chain.is_some();
        let restart = self.new_chain.is_some_and(|new| new.restart);
        !restart && (!head_known || heard_newer)
    }

    /// Begins what is to be done first under this head.
    fn begin(&mut self, now: Now, fence: u64, head: &Head, lease: &LeaseSnapshot) {
        if self.must_recover(head, lease) {
            let heard = self.heard.as_ref().map(|heard| heard.record.clone());
            self.work = Work::Recovering(Recovery::new(
                &self.config.set,
                fence,
                head.clone(),
                self.newest.clone(),
                heard,
                self.config.voters,
            ));
            return;
        }
        let Some(duty) = &self.duty else {
            return;
        };
        let asked = Collection::new(
            &self.config,
            fence,
            head,
            self.new_chain.map(|new| (new.id, new.restart)),
            duty.slot,
        );
        let asked = asked.passing_over(&self.passed_over);
        self.work =
            Work::Collecting(asked.beginning(now.boot, self.config.deadline(duty.slot), &self.published, &self.chain));
    }

    fn advance_collection(&mut self, now: Now, head: &Head) {
        let Work::Collecting(collection) = &mut self.work else {
            return;
        };
        collection.publish(&self.published);
        for ordinal in collection.to_ask(now.boot) {
            self.asks += 1;
            let request = collection.request(ordinal, &self.config);
            collection.asked(ordinal, self.asks, now.boot);
            self.actions.push(Action::Keep {
                ask: self.asks,
                ordinal,
                request,
            });
        }
        if let Some(missing) = collection.lacks_majority(self.config.voters) {
            self.obstacle(Obstacle::NoMajority { missing });
        } else if collection.is_ripe(now.boot) {
            let record = Arc::new(collection.record(&self.config));
            self.asks += 1;
            let request = CommitRequest {
                ticket: self.asks,
                payload: record.clone(),
                base: head.clone(),
                fence: collection.fence,
            };
            self.work = Work::Committing {
                ticket: self.asks,
                record,
                restoring: false,
                replaces: (request.fence, head.clone()),
            };
            self.actions.push(Action::Commit(request));
        }
    }

    fn advance_recovery(&mut self, now: Now, head: &Head, rng: &mut impl Rng) {
        let Work::Recovering(recovery) = &mut self.work else {
            return;
        };
        for ordinal in recovery.to_ask(now.boot, &self.published) {
            self.asks += 1;
            recovery.asked(ordinal, self.asks, now.boot);
            self.actions.push(Action::Heads {
                ask: self.asks,
                ordinal,
                request: Arc::new(HeadsRequest {
                    version: VERSION,
                    set: self.config.set.clone(),
                    from: self.config.member(),
                    holder: self.config.identity.clone(),
                    fence: recovery.fence,
                }),
            });
        }
        let fence = recovery.fence;
        match recovery.found() {
            Found::Missing(missing) => {
                if recovery.is_news(&missing) {
                    self.actions.push(Action::Report(Report::Waiting { missing }));
                }
                self.obstacle(Obstacle::Recovering);
            }
            Found::Nothing => {
                self.new_chain = Some(NewChain {
                    id: Hex(rng.random()),
                    restart: false,
                });
                self.work = Work::Idle;
            }
            Found::Newest(record) => {
                for hash in recovery.passed_over(&record) {
                    self.passed_over.retain(|known| *known != hash);
                    self.passed_over.push(hash);
                }
                let beyond = self.passed_over.len().saturating_sub(MOST_PASSED_OVER);
                self.passed_over.drain(..beyond);
                self.heard = None;
                if head.valid().is_some_and(|head| head.age() >= record.age()) {
                    self.work = Work::Idle;
                    return;
                }
                self.asks += 1;
                let request = CommitRequest {
                    ticket: self.asks,
                    payload: record.clone(),
                    base: head.clone(),
                    fence,
                };
                self.work = Work::Committing {
                    ticket: self.asks,
                    record,
                    restoring: true,
                    replaces: (fence, head.clone()),
                };
                self.actions.push(Action::Commit(request));
            }
        }
    }

    fn obstacle(&mut self, obstacle: Obstacle) {
        if let Some(duty) = &mut self.duty {
            duty.obstacle = obstacle;
        }
    }

    fn report(&mut self, report: Report) {
        self.actions.push(Action::Report(report));
    }
}
