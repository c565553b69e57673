//! The elector: who leads, decided as a function of (state, event, now). It does no I/O; [`super::task`] carries out the
//! actions it returns. Rules L1 to L11 of `docs/protocol.md`.

mod settle;
mod sight;

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};

use self::sight::Sight;
use super::{
    Head, Leadership, LeaseChange, LeaseObject, LeaseSnapshot, LeaseTrouble, StoreError, WatchEvent, WriteOutcome,
};
use crate::clock::{Boot, Now};
use crate::record::Record;

/// Renewals closer than this are one to client-go, which compares times in whole seconds.
const LEAST_RENEWAL: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct ElectorConfig {
    /// `POD_NAME_UID-NONCE`, new with each process.
    pub identity: String,
    /// Whole seconds. Greater than `renew_deadline`.
    pub duration: Duration,
    /// Leadership lasts this long after the last successful write was sent. Greater than 1.2 × `retry`.
    pub renew_deadline: Duration,
    pub retry: Duration,
}

/// Asks that `record` be put into the Lease, in place of `base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    /// Comes back with the outcome.
    pub ticket: u64,
    pub record: Arc<Record>,
    /// What the members answered for: the write happens on a version that has exactly this, or not at all.
    pub base: Head,
    /// The fence it was collected under.
    pub fence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The record is, or was, the Lease's: it is final.
    Final,
    /// It was not, and by this write never will be.
    NotDone,
    /// The write may land yet; the next one on the same version decides.
    Undecided,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// Time passed.
    Tick,
    Read {
        op: u64,
        result: Result<Option<Arc<LeaseObject>>, StoreError>,
    },
    Wrote {
        op: u64,
        outcome: WriteOutcome,
    },
    Watched(WatchEvent),
    Commit(CommitRequest),
    /// Acquire with a greater fence than this from now on.
    Floor(u64),
    /// Look at the Lease now.
    Look,
    /// Whether this member's ledger is fit for the office.
    Stand(bool),
    /// Release, and don't acquire for so long.
    StayOut(Duration),
    /// Release, and don't acquire again.
    Resign,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Read {
        op: u64,
    },
    Write {
        op: u64,
        base: Arc<LeaseObject>,
        change: LeaseChange,
    },
    Publish(LeaseSnapshot),
    Commit {
        ticket: u64,
        outcome: CommitOutcome,
    },
    /// Nothing is held any more, after [`Event::Resign`].
    Resigned,
}

/// Leading: under this uid and fence, until then.
#[derive(Clone, Debug)]
struct Term {
    uid: String,
    fence: u64,
    until: Boot,
    /// When the last successful write was sent.
    renewed: Boot,
    /// The record that stands in the Lease by this member's own reading or writing.
    head: Head,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Acquire,
    Renew,
    Commit { ticket: u64 },
    Release,
}

/// A write that was sent.
#[derive(Clone, Debug)]
struct Sent {
    op: u64,
    kind: Kind,
    at: Boot,
    base: Arc<LeaseObject>,
    change: LeaseChange,
}

pub struct Elector {
    config: ElectorConfig,
    sight: Option<Sight>,
    /// The uid last known, also while the Lease is absent.
    known_uid: Option<String>,
    term: Option<Term>,
    writing: Option<Sent>,
    /// A write whose answer was lost, and since when.
    doubt: Option<(Sent, Boot)>,
    reading: Option<(u64, Boot)>,
    /// Nothing is written before a read that was sent since then has been answered.
    must_read: Option<Boot>,
    commit: Option<CommitRequest>,
    floor: u64,
    /// The greatest fence that any view had: a Lease made anew begins with none, and draws don't.
    seen_fence: u64,
    standing: bool,
    out_until: Boot,
    resigning: bool,
    resigned: bool,
    next_read: Boot,
    next_write: Boot,
    read_failures: u32,
    confirmed_at: Option<Boot>,
    /// By the last read.
    trouble: Option<LeaseTrouble>,
    /// Why the last write was refused, until one isn't, or there is none to make: a read that works doesn't mend it.
    write_trouble: Option<StoreError>,
    published: Option<LeaseSnapshot>,
    ops: u64,
    actions: Vec<Action>,
}

impl Elector {
    pub fn new(config: ElectorConfig) -> Elector {
        Elector {
            config,
            sight: None,
            known_uid: None,
            term: None,
            writing: None,
            doubt: None,
            reading: None,
            must_read: Some(Boot(0)),
            commit: None,
            floor: 0,
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

    /// Takes one event, and returns what is to be done for it, in this order.
    pub fn step(&mut self, now: Now, event: Event, rng: &mut impl Rng) -> Vec<Action> {
        if self.term.as_ref().is_some_and(|term| now.boot >= term.until) {
            self.term = None;
        }
        match event {
            Event::Tick => {}
            Event::Read { op, result } => self.on_read(op, result, now, rng),
            Event::Wrote { op, outcome } => self.on_wrote(op, outcome, now, rng),
            Event::Watched(WatchEvent::Seen(object)) => self.on_watched(object, now),
            Event::Watched(WatchEvent::Gone) => {
                // It may be an old object's end, told late; a read tells. Leading on in doubt is not worth it.
                self.term = None;
                self.look_now(now.boot);
            }
            Event::Commit(request) => {
                if let Some(older) = self.commit.replace(request) {
                    self.tell(older.ticket, CommitOutcome::NotDone);
                }
            }
            Event::Floor(fence) => self.floor = self.floor.max(fence),
            Event::Look => self.look_now(now.boot),
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
        let read = (self.reading.is_none() && self.writing.is_none()).then_some(self.next_read);
        let term = self.term.as_ref().map(|term| term.until);
        read.into_iter().chain(term).chain(self.next_move()).min()
    }

    /// When the next write is due, as far as nothing stands in its way now: the times that [`Elector::plan`] compares with.
    fn next_move(&self) -> Option<Boot> {
        if self.writing.is_some() || self.doubt.is_some() || self.must_read.is_some() {
            return None;
        }
        let sight = self.sight.as_ref()?;
        if sight.object.spec.held_by() == Some(self.config.identity.as_str()) && (self.resigning || !self.standing) {
            return Some(self.next_write);
        }
        if self.resigning || !self.standing {
            return None;
        }
        match &self.term {
            Some(term) => Some(self.renew_at(term)),
            None => {
                let free = sight.free_at(&self.config.identity, self.config.duration);
                Some(free.max(self.out_until).max(self.next_write))
            }
        }
    }

    fn renew_at(&self, term: &Term) -> Boot {
        self.next_write.max(term.renewed + LEAST_RENEWAL)
    }

    /// Decides the next read or write: at most one of each, and no write while one is in doubt.
    fn plan(&mut self, now: Now, rng: &mut impl Rng) {
        if self.term.as_ref().is_some_and(|term| self.floor >= term.fence) {
            self.term = None;
        }
        let stands = self.standing && !self.resigning && now.boot >= self.out_until;
        if !stands {
            // The office ends before the lease is let go, not when the answer tells that it is; and it is let go at once, not
            // when the next renewal would have been due.
            if self.term.take().is_some() {
                self.next_write = now.boot;
            }
        }
        // L11: after a refusal the next try waits, whatever it would write.
        let refused = self.write_trouble.is_some() && now.boot < self.next_write;
        if (self.term.is_none() || refused)
            && let Some(request) = self.commit.take()
        {
            self.tell(request.ticket, CommitOutcome::NotDone);
        }
        if self.writing.is_some() {
            return;
        }
        if self.reading.is_none() && now.boot >= self.next_read {
            self.ops += 1;
            self.reading = Some((self.ops, now.boot));
            self.actions.push(Action::Read { op: self.ops });
        }
        if self.must_read.is_some() || self.doubt.is_some() {
            return;
        }
        let Some(sight) = &self.sight else {
            self.resigned_if_asked();
            return;
        };
        let object = sight.object.clone();
        let mine = object.spec.held_by() == Some(self.config.identity.as_str());
        if !stands {
            if mine && now.boot >= self.next_write {
                self.write(Kind::Release, object, now);
            } else if !mine {
                self.resigned_if_asked();
            }
        } else if let Some(term) = self.term.clone() {
            if let Some(request) = self.commit.take() {
                // L7, and step 4 of the draw: the version must have what the members answered for.
                let later = request
                    .base
                    .record()
                    .is_none_or(|base| request.record.age() > base.age());
                if request.fence == term.fence && object.head == request.base && later {
                    let ticket = request.ticket;
                    self.write_head(Kind::Commit { ticket }, object, Head::Record(request.record), now);
                } else {
                    self.tell(request.ticket, CommitOutcome::NotDone);
                }
            } else if now.boot >= self.renew_at(&term) {
                self.write(Kind::Renew, object, now);
            }
        } else {
            let free = sight.free_at(&self.config.identity, self.config.duration);
            if now.boot >= free && now.boot >= self.next_write {
                self.write(Kind::Acquire, object, now);
            }
        }
        if self.writing.is_some() {
            self.next_write = now.boot + jittered(self.config.retry, rng);
        }
    }

    fn write(&mut self, kind: Kind, base: Arc<LeaseObject>, now: Now) {
        let head = base.head.clone();
        self.write_head(kind, base, head, now);
    }

    /// Sends one write: the change that `kind` makes to `base`, with `head` as its record.
    fn write_head(&mut self, kind: Kind, base: Arc<LeaseObject>, head: Head, now: Now) {
        let change = self.change(kind, &base, head, now);
        self.ops += 1;
        self.writing = Some(Sent {
            op: self.ops,
            kind,
            at: now.boot,
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
    fn change(&self, kind: Kind, base: &LeaseObject, head: Head, now: Now) -> LeaseChange {
        let time = Some(now.wall.timestamp());
        let mut spec = base.spec.clone();
        let mut fence = base.fence;
        match kind {
            Kind::Renew | Kind::Commit { .. } => spec.renew_time = time,
            Kind::Acquire => {
                if base.spec.held_by() != Some(self.config.identity.as_str()) {
                    spec.transitions = spec.transitions.saturating_add(1);
                }
                spec.holder = Some(self.config.identity.clone());
                spec.duration_seconds = Some(u32::try_from(self.config.duration.as_secs()).unwrap_or(u32::MAX));
                spec.acquire_time = time;
                spec.renew_time = time;
                fence = 1 + fence_of(base).max(self.seen_fence).max(self.floor);
            }
            Kind::Release => {
                spec.holder = Some(String::new());
                spec.duration_seconds = Some(1);
                spec.acquire_time = time;
                spec.renew_time = time;
            }
        }
        LeaseChange { spec, fence, head }
    }

    fn look_now(&mut self, now: Boot) {
        self.must_read = Some(now);
        self.next_read = self.next_read.min(now);
    }

    fn tell(&mut self, ticket: u64, outcome: CommitOutcome) {
        self.actions.push(Action::Commit { ticket, outcome });
    }

    fn resigned_if_asked(&mut self) {
        if self.resigning && !self.resigned {
            self.resigned = true;
            self.actions.push(Action::Resigned);
        }
    }

    /// Sends a snapshot if it differs from the last.
    fn publish(&mut self) {
        let object = self.sight.as_ref().map(|sight| sight.object.clone());
        let leadership = match &self.term {
            Some(term) => Leadership::Leader {
                fence: term.fence,
                until: term.until,
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
                .sight
                .as_ref()
                .and_then(|sight| sight.expires_at(self.config.duration)),
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

/// The fence that an object has, by its annotation or by its record.
fn fence_of(object: &LeaseObject) -> u64 {
    object.fence.max(object.head.record().map_or(0, |record| record.fence))
}

/// `time` ± 20 %, so that members that lost the same store don't return to it in step.
fn jittered(time: Duration, rng: &mut impl Rng) -> Duration {
    time.mul_f64(rng.random_range(0.8..1.2))
}
