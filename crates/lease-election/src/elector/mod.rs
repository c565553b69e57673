//! The elector: decides who leads, as a function of (state, event, now). It does no I/O: [`crate::task`] carries out the
//! actions that it returns. L1 to L11 are the rules of `docs/protocol.md`, 2.3, in the repository.

mod config;
mod interface;
mod outcome;
mod view;

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

pub use self::config::{ConfigError, ElectorConfig};
pub use self::interface::{Action, CommitOutcome, CommitRequest, Event};
use self::view::LeaseView;
use crate::clock::{Boot, Now};
use crate::leadership::{Leadership, LeaseSnapshot, LeaseTrouble};
use crate::payload::{Payload, Stored};
use crate::store::{LeaseChange, LeaseObject, StoreError, WatchEvent};

/// client-go compares times in whole seconds, and takes renewals closer than this for one.
const LEAST_RENEWAL: Duration = Duration::from_secs(1);

/// This process leads, under this uid and fence, until the renew deadline.
#[derive(Clone, Debug)]
struct Term<P> {
    uid: String,
    fence: u64,
    renew_deadline: Boot,
    /// When the last successful write was sent.
    renewed: Boot,
    /// The payload in the Lease, as this process read or wrote it.
    payload: Stored<P>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Acquire,
    Renew,
    Commit { ticket: u64 },
    Release,
}

/// A write that was sent.
#[derive(Clone, Debug)]
struct PendingWrite<P> {
    op: u64,
    purpose: Purpose,
    sent_at: Boot,
    base: Arc<LeaseObject<P>>,
    change: LeaseChange<P>,
}

/// The state machine. Feed it events with [`step`](Elector::step), and carry out the actions that it returns.
pub struct Elector<P> {
    config: ElectorConfig,
    view: Option<LeaseView<P>>,
    /// The uid last known, also while the Lease is absent.
    known_uid: Option<String>,
    term: Option<Term<P>>,
    writing: Option<PendingWrite<P>>,
    /// A write whose answer was lost, and since when.
    in_doubt: Option<(PendingWrite<P>, Boot)>,
    reading: Option<(u64, Boot)>,
    /// Write nothing before the answer to a read that was sent at this time or later.
    must_read: Option<Boot>,
    commit: Option<CommitRequest<P>>,
    /// Lead only under a greater fence.
    fence_floor: u64,
    /// The highest fence in any view: a Lease that was deleted and created again has none.
    seen_fence: u64,
    /// May stand for election.
    standing: bool,
    /// Doesn't stand for election before this.
    out_until: Boot,
    resigning: bool,
    resigned: bool,
    next_read: Boot,
    next_write: Boot,
    read_failures: u32,
    confirmed_at: Option<Boot>,
    /// What the last read met.
    trouble: Option<LeaseTrouble>,
    /// Why the last write was refused. A read that succeeds doesn't clear it.
    write_trouble: Option<StoreError>,
    published: Option<LeaseSnapshot<P>>,
    ops: u64,
    actions: Vec<Action<P>>,
}

impl<P: Payload> Elector<P> {
    pub fn new(config: ElectorConfig) -> Elector<P> {
        Elector {
            config,
            view: None,
            known_uid: None,
            term: None,
            writing: None,
            in_doubt: None,
            reading: None,
            must_read: Some(Boot(0)),
            commit: None,
            fence_floor: 0,
            seen_fence: 0,
            standing: false,
            out_until: Boot(0),
            resigning: false,
            resigned: false,
            next_read: Boot(0),
            next_write: Boot(0),
            read_failures: 0,
            confirmed_at: None,
            trouble: None,
            write_trouble: None,
            published: None,
            ops: 0,
            actions: Vec::new(),
        }
    }

    /// Takes one event, and returns the actions that it asks for, in this order. `rng` gives the jitter.
    pub fn step(&mut self, now: Now, event: Event<P>, rng: &mut impl Rng) -> Vec<Action<P>> {
        if self.term.as_ref().is_some_and(|term| now.boot >= term.renew_deadline) {
            self.term = None;
        }
        match event {
            Event::Tick => {}
            Event::Read { op, result } => self.on_read(op, result, now, rng),
            Event::Wrote { op, outcome } => self.on_wrote(op, outcome, now, rng),
            Event::Watched(WatchEvent::Seen(object)) => self.on_watched(object, now),
            Event::Watched(WatchEvent::Gone) => {
                // It may be late news of an earlier object; the read decides. Don't lead while that is open.
                self.term = None;
                self.require_read(now.boot);
            }
            Event::Commit(request) => {
                if let Some(older) = self.commit.replace(request) {
                    self.finish_commit(older.ticket, CommitOutcome::NotCommitted);
                }
            }
            Event::RequireFenceAbove(fence) => self.fence_floor = self.fence_floor.max(fence),
            Event::Refresh => self.require_read(now.boot),
            Event::Stand(standing) => self.standing = standing,
            Event::StayOut(time) => self.out_until = self.out_until.max(now.boot + time),
            Event::Resign => self.resigning = true,
        }
        self.plan(now, rng);
        self.publish();
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Elector::step`] with a tick, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Boot> {
        if self.resigned {
            return None;
        }
        let read = (self.reading.is_none() && self.writing.is_none()).then_some(self.next_read);
        let term = self.term.as_ref().map(|term| term.renew_deadline);
        read.into_iter().chain(term).chain(self.next_write_at()).min()
    }

    /// When [`Elector::plan`] would send the next write.
    fn next_write_at(&self) -> Option<Boot> {
        if self.writing.is_some() || self.in_doubt.is_some() || self.must_read.is_some() {
            return None;
        }
        let view = self.view.as_ref()?;
        if view.object.spec.held_by() == Some(self.config.identity.as_str()) && (self.resigning || !self.standing) {
            return Some(self.release_at());
        }
        if self.resigning || !self.standing {
            return None;
        }
        match &self.term {
            Some(term) => Some(self.renew_at(term)),
            None => {
                let free = view.free_at(&self.config.identity, self.config.duration);
                Some(free.max(self.out_until).max(self.next_write))
            }
        }
    }

    /// L8, L11: at once, except after a write that was refused, which waits as a renewal would.
    fn release_at(&self) -> Boot {
        match self.write_trouble {
            Some(_) => self.next_write,
            None => Boot(0),
        }
    }

    fn renew_at(&self, term: &Term<P>) -> Boot {
        self.next_write.max(term.renewed + LEAST_RENEWAL)
    }

    /// Decides the next read or write: at most one of each, and no write while one is in doubt.
    fn plan(&mut self, now: Now, rng: &mut impl Rng) {
        if self.term.as_ref().is_some_and(|term| self.fence_floor >= term.fence) {
            self.term = None;
        }
        let stands = self.standing && !self.resigning && now.boot >= self.out_until;
        if !stands {
            // Leadership ends before the release is sent, not with its answer.
            self.term = None;
        }
        // L11: after a refusal the next write waits, whatever its purpose.
        let refused = self.write_trouble.is_some() && now.boot < self.next_write;
        if (self.term.is_none() || refused)
            && let Some(request) = self.commit.take()
        {
            self.finish_commit(request.ticket, CommitOutcome::NotCommitted);
        }
        if self.writing.is_some() {
            return;
        }
        let mine = self
            .view
            .as_ref()
            .is_some_and(|view| view.object.spec.held_by() == Some(self.config.identity.as_str()));
        if !mine && self.in_doubt.is_none() {
            // L8: nothing to release, so nothing to read first.
            self.finish_resigning();
        }
        if self.resigned {
            return;
        }
        if self.reading.is_none() && now.boot >= self.next_read {
            self.ops += 1;
            self.reading = Some((self.ops, now.boot));
            self.actions.push(Action::Read { op: self.ops });
        }
        if self.must_read.is_some() || self.in_doubt.is_some() {
            return;
        }
        let Some(view) = &self.view else {
            return;
        };
        let object = view.object.clone();
        if !stands {
            if mine && now.boot >= self.release_at() {
                self.write(Purpose::Release, object, now);
            }
        } else if let Some(term) = self.term.clone() {
            if let Some(request) = self.commit.take() {
                // L7: the version must have the payload that the request was made for.
                let supersedes = request.base.valid().is_none_or(|base| request.payload.supersedes(base));
                if request.fence == term.fence && object.payload == request.base && supersedes {
                    let ticket = request.ticket;
                    self.write_payload(Purpose::Commit { ticket }, object, Stored::Valid(request.payload), now);
                } else {
                    self.finish_commit(request.ticket, CommitOutcome::NotCommitted);
                }
            } else if now.boot >= self.renew_at(&term) {
                self.write(Purpose::Renew, object, now);
            }
        } else {
            let free = view.free_at(&self.config.identity, self.config.duration);
            if now.boot >= free && now.boot >= self.next_write {
                self.write(Purpose::Acquire, object, now);
            }
        }
        if self.writing.is_some() {
            self.next_write = now.boot + jittered(self.config.retry, rng);
        }
    }

    fn write(&mut self, purpose: Purpose, base: Arc<LeaseObject<P>>, now: Now) {
        let payload = base.payload.clone();
        self.write_payload(purpose, base, payload, now);
    }

    /// Sends one write: what `purpose` changes in `base`, and `payload`.
    fn write_payload(&mut self, purpose: Purpose, base: Arc<LeaseObject<P>>, payload: Stored<P>, now: Now) {
        let change = self.change(purpose, &base, payload, now);
        self.ops += 1;
        self.writing = Some(PendingWrite {
            op: self.ops,
            purpose,
            sent_at: now.boot,
            base: base.clone(),
            change: change.clone(),
        });
        self.actions.push(Action::Write {
            op: self.ops,
            base,
            change,
        });
    }

    /// L4, L5, L8.
    fn change(&self, purpose: Purpose, base: &LeaseObject<P>, payload: Stored<P>, now: Now) -> LeaseChange<P> {
        let time = Some(now.wall.timestamp());
        let mut spec = base.spec.clone();
        let mut fence = base.fence;
        match purpose {
            Purpose::Renew | Purpose::Commit { .. } => spec.renew_time = time,
            Purpose::Acquire => {
                if base.spec.held_by() != Some(self.config.identity.as_str()) {
                    spec.transitions = spec.transitions.saturating_add(1);
                }
                spec.holder = Some(self.config.identity.clone());
                spec.duration_seconds = Some(u32::try_from(self.config.duration.as_secs()).unwrap_or(u32::MAX));
                spec.acquire_time = time;
                spec.renew_time = time;
                fence = 1 + fence_of(base).max(self.seen_fence).max(self.fence_floor);
            }
            Purpose::Release => {
                spec.holder = Some(String::new());
                spec.duration_seconds = Some(1);
                spec.acquire_time = time;
                spec.renew_time = time;
            }
        }
        LeaseChange { spec, fence, payload }
    }

    fn require_read(&mut self, now: Boot) {
        self.must_read = Some(now);
        self.next_read = self.next_read.min(now);
    }

    fn finish_commit(&mut self, ticket: u64, outcome: CommitOutcome) {
        self.actions.push(Action::Commit { ticket, outcome });
    }

    fn finish_resigning(&mut self) {
        if self.resigning && !self.resigned {
            self.resigned = true;
            self.actions.push(Action::Resigned);
        }
    }

    /// Sends a snapshot if it differs from the last.
    fn publish(&mut self) {
        let object = self.view.as_ref().map(|view| view.object.clone());
        let leadership = match &self.term {
            Some(term) => Leadership::Leader {
                fence: term.fence,
                renew_deadline: term.renew_deadline,
            },
            None => Leadership::Follower {
                holder: object.as_ref().and_then(|o| o.spec.held_by().map(str::to_owned)),
            },
        };
        let snapshot = LeaseSnapshot {
            leadership,
            object,
            confirmed_at: self.confirmed_at,
            expires_at: self
                .view
                .as_ref()
                .and_then(|view| view.expires_at(self.config.duration)),
            trouble: self.trouble.clone().or_else(|| {
                let refused = self.write_trouble.clone().filter(|_| self.standing);
                refused.map(LeaseTrouble::Store)
            }),
        };
        if self.published.as_ref() != Some(&snapshot) {
            self.published = Some(snapshot.clone());
            self.actions.push(Action::Publish(snapshot));
        }
    }
}

/// The greater of the annotation and the payload's fence.
fn fence_of<P: Payload>(object: &LeaseObject<P>) -> u64 {
    object
        .fence
        .max(object.payload.valid().map_or(0, |payload| payload.fence()))
}

/// `time` ± 20 %, so that processes that lost the same store don't return to it in step.
fn jittered(time: Duration, rng: &mut impl Rng) -> Duration {
    time.mul_f64(rng.random_range(0.8..1.2))
}
