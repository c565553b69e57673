//! The elector with two payloads, a counter and nothing, over a store that delays, reorders and loses answers while processes
//! pause. A seed decides everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::sync::Arc;
use std::time::Duration;

use lease_election::clock::{Boot, Now, Wall};
use lease_election::elector::{Action, Event};
use lease_election::{
    CommitOutcome, CommitRequest, Elector, ElectorConfig, LeaseChange, LeaseObject, LeaseSnapshot, LeaseSpec, Payload,
    Stored, WatchEvent, WriteOutcome,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const STEP: Duration = Duration::from_millis(50);
const STEPS: u64 = 3_000;
const SEEDS: u64 = 200;
/// What the elector's task gives a write, in steps: a third of the renew deadline.
const ANSWER: u64 = 13;

/// Counts commits. `id` is unique, so that a count that was refused differs from the one that took its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter {
    count: u64,
    id: u64,
    previous: u64,
}

impl Payload for Counter {
    fn parse(text: &str) -> Option<Counter> {
        let mut numbers = text.split(' ').map(|number| number.parse().ok());
        Some(Counter {
            count: numbers.next()??,
            id: numbers.next()??,
            previous: numbers.next()??,
        })
    }

    fn to_text(&self) -> String {
        format!("{} {} {}", self.count, self.id, self.previous)
    }

    fn supersedes(&self, earlier: &Counter) -> bool {
        self.count > earlier.count
    }

    fn directly_follows(&self, earlier: &Counter) -> bool {
        self.previous == earlier.id
    }

    fn excludes(&self, other: &Counter) -> bool {
        (other.count..=other.count + 1).contains(&self.count)
    }
}

struct Process<P> {
    elector: Elector<P>,
    snapshot: Option<LeaseSnapshot<P>>,
    paused_until: u64,
    /// The commit that has no outcome yet.
    committing: Option<(u64, Arc<P>)>,
}

enum Arrival<P> {
    Read(u64),
    Write(u64, Arc<LeaseObject<P>>, LeaseChange<P>),
    Event(Event<P>),
}

struct World<P> {
    step: u64,
    rng: StdRng,
    object: Arc<LeaseObject<P>>,
    history: Vec<LeaseObject<P>>,
    processes: Vec<Process<P>>,
    /// When it arrives, which process sent it or gets it, and what.
    on_their_way: Vec<(u64, usize, Arrival<P>)>,
    not_committed: Vec<Arc<P>>,
    committed: usize,
}

impl<P: Payload> World<P> {
    fn new(seed: u64) -> World<P> {
        let times = [3_000, 2_000, 400].map(Duration::from_millis);
        let process = |number: usize| Process {
            elector: Elector::new(ElectorConfig::new(format!("p-{number}"), times[0], times[1], times[2]).unwrap()),
            snapshot: None,
            paused_until: 0,
            committing: None,
        };
        World {
            step: 0,
            rng: StdRng::seed_from_u64(seed),
            object: Arc::new(LeaseObject {
                uid: "uid".to_owned(),
                version: 1,
                spec: LeaseSpec::default(),
                fence: 0,
                payload: Stored::Absent,
                carried: Arc::default(),
            }),
            history: Vec::new(),
            processes: (0..3).map(process).collect(),
            on_their_way: (0..3).map(|to| (0, to, Arrival::Event(Event::Stand(true)))).collect(),
            not_committed: Vec::new(),
            committed: 0,
        }
    }

    fn now(&self) -> Now {
        let time = STEP * u32::try_from(self.step).unwrap();
        Now {
            boot: Boot(0) + time,
            wall: Wall(i64::try_from(time.as_micros()).unwrap()),
        }
    }

    /// Mostly fast, sometimes longer than the elector waits.
    fn delay(&mut self) -> u64 {
        let most = if self.rng.random_bool(0.05) { 60 } else { 4 };
        self.step + self.rng.random_range(1..=most)
    }

    fn give(&mut self, to: usize, event: Event<P>) {
        let now = self.now();
        for action in self.processes[to].elector.step(now, event, &mut self.rng) {
            match action {
                Action::Read { op } => {
                    let arrives = self.delay();
                    self.on_their_way.push((arrives, to, Arrival::Read(op)));
                }
                Action::Write { op, base, change } => {
                    let arrives = self.delay();
                    let outcome = WriteOutcome::Unknown("no answer".to_owned());
                    let lost = Arrival::Event(Event::Wrote { op, outcome });
                    self.on_their_way.push((self.step + ANSWER, to, lost));
                    self.on_their_way.push((arrives, to, Arrival::Write(op, base, change)));
                }
                Action::Publish(snapshot) => self.processes[to].snapshot = Some(snapshot),
                Action::Commit { outcome, .. } => {
                    let (_, payload) = self.processes[to].committing.take().unwrap();
                    let was_there = self
                        .history
                        .iter()
                        .any(|object| object.payload.valid() == Some(&payload));
                    match outcome {
                        CommitOutcome::Committed => assert!(was_there, "{payload:?} never was in the Lease"),
                        CommitOutcome::NotCommitted => self.not_committed.push(payload),
                        CommitOutcome::Undecided => {}
                    }
                    self.committed += usize::from(outcome == CommitOutcome::Committed);
                }
                Action::Resigned => {}
            }
        }
    }

    fn arrive(&mut self, from: usize, arrival: Arrival<P>) {
        let answer = match arrival {
            Arrival::Event(event) => return self.give(from, event),
            Arrival::Read(op) => Event::Read {
                op,
                result: Ok(Some(self.object.clone())),
            },
            Arrival::Write(op, base, _) if base.version != self.object.version => Event::Wrote {
                op,
                outcome: WriteOutcome::Conflict,
            },
            Arrival::Write(op, base, change) => {
                self.object = Arc::new(LeaseObject {
                    version: base.version + 1,
                    spec: change.spec,
                    fence: change.fence,
                    payload: change.payload,
                    ..LeaseObject::clone(&base)
                });
                self.history.push(LeaseObject::clone(&self.object));
                for to in 0..self.processes.len() {
                    let (seen, arrives) = (self.object.clone(), self.delay());
                    let event = Event::Watched(WatchEvent::Seen(seen));
                    self.on_their_way.push((arrives, to, Arrival::Event(event)));
                }
                Event::Wrote {
                    op,
                    outcome: WriteOutcome::Written(self.object.clone()),
                }
            }
        };
        let arrives = self.delay();
        self.on_their_way.push((arrives, from, Arrival::Event(answer)));
    }

    /// `next` makes the payload to commit, from the one in the Lease and a number that is never used twice.
    fn run(&mut self, next: impl Fn(Option<&P>, u64) -> Option<P>) {
        while self.step < STEPS {
            self.step += 1;
            let step = self.step;
            let paused = |processes: &[Process<P>], to: usize| processes[to].paused_until > step;
            let mut arrivals = Vec::new();
            for (at, to, arrival) in std::mem::take(&mut self.on_their_way) {
                let waits = matches!(arrival, Arrival::Event(_)) && paused(&self.processes, to);
                match at > step || waits {
                    true => self.on_their_way.push((at, to, arrival)),
                    false => arrivals.push((to, arrival)),
                }
            }
            for (to, arrival) in arrivals {
                self.arrive(to, arrival);
            }
            let now = self.now().boot;
            let mut leaders = 0;
            for to in 0..self.processes.len() {
                let snapshot = self.processes[to].snapshot.clone();
                let fence = snapshot.as_ref().and_then(|snapshot| snapshot.leads(now));
                leaders += u32::from(fence.is_some());
                if paused(&self.processes, to) {
                    continue;
                }
                if self.rng.random_bool(0.002) {
                    self.processes[to].paused_until = step + self.rng.random_range(10..120);
                }
                self.give(to, Event::Tick);
                let Some((fence, object)) = fence.zip(snapshot.and_then(|snapshot| snapshot.object)) else {
                    continue;
                };
                if self.processes[to].committing.is_none()
                    && self.rng.random_bool(0.1)
                    && let Some(payload) = next(object.payload.valid().map(|payload| &**payload), step * 3 + to as u64)
                {
                    let payload = Arc::new(payload);
                    self.processes[to].committing = Some((step, payload.clone()));
                    let base = object.payload.clone();
                    self.give(
                        to,
                        Event::Commit(CommitRequest {
                            ticket: step,
                            payload,
                            base,
                            fence,
                        }),
                    );
                }
            }
            assert!(leaders <= 1, "{leaders} lead at once");
        }
        for pair in self.history.windows(2) {
            let moved = pair[0].spec.holder != pair[1].spec.holder && pair[1].spec.held_by().is_some();
            let fences = (pair[0].fence, pair[1].fence);
            assert!(fences.1 >= fences.0 + u64::from(moved), "{fences:?}");
        }
        for payload in &self.not_committed {
            let there = self
                .history
                .iter()
                .any(|object| object.payload.valid() == Some(payload));
            assert!(!there, "{payload:?} was reported as not committed");
        }
    }
}

#[test]
fn a_counter_is_only_ever_counted_up_by_one_and_each_outcome_is_true() {
    let (mut committed, mut not_committed) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World::<Counter>::new(seed);
        world.run(|last, id| {
            let (count, previous) = last.map_or((0, 0), |last| (last.count, last.id));
            Some(Counter {
                count: count + 1,
                id,
                previous,
            })
        });
        let counters: Vec<_> = world
            .history
            .iter()
            .filter_map(|object| object.payload.valid())
            .collect();
        for pair in counters.windows(2) {
            let next = pair[1] == pair[0] || pair[1].directly_follows(pair[0]);
            assert!(next, "seed {seed}: {:?} after {:?}", pair[1], pair[0]);
        }
        committed += world.committed;
        not_committed += world.not_committed.len();
    }
    assert!(
        committed > 10_000 && not_committed > 100,
        "{committed} and {not_committed}"
    );
}

#[test]
fn without_a_payload_one_process_leads_at_a_time_and_each_change_of_holder_has_a_greater_fence() {
    let mut fences = 0;
    for seed in 0..SEEDS {
        let mut world = World::<()>::new(seed);
        world.run(|_, _| None);
        assert!(world.history.iter().all(|object| object.payload == Stored::Absent));
        fences += world.object.fence;
    }
    assert!(fences > 2 * SEEDS, "{fences}");
}

#[test]
fn a_payload_survives_its_text_and_any_other_text_is_invalid() {
    let counter = Counter {
        count: 7,
        id: 9,
        previous: 8,
    };
    assert_eq!(Counter::parse(&counter.to_text()), Some(counter));
    assert_eq!(Counter::parse("7 nine 8"), None);
    assert_eq!(<()>::parse(&().to_text()), Some(()));
    assert_eq!(<()>::parse("7"), None);
}

#[test]
fn times_under_which_two_could_lead_at_once_are_refused() {
    let seconds = Duration::from_secs;
    let new = |duration, renew_deadline, retry| ElectorConfig::new("p-0", duration, renew_deadline, retry);
    assert!(new(seconds(15), seconds(10), seconds(2)).is_ok());
    for (duration, renew_deadline, retry, named) in [
        (seconds(10), seconds(10), seconds(2), "longer than the renew deadline"),
        (seconds(15), seconds(10), seconds(9), "longer than 1.2"),
        (seconds(15), seconds(10), seconds(0), "longer than 1.2"),
        (Duration::from_millis(2_500), seconds(2), seconds(1), "whole seconds"),
    ] {
        let error = new(duration, renew_deadline, retry).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    assert!(ElectorConfig::with_default_times("").is_err());
}
