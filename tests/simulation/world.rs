//! The simulated world: an event queue, a lease store, a peer network, and processes that run the real state machines.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lease_election::{StoreError, WatchEvent, WriteOutcome, elector};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use random_generator::clock::Boot;
use random_generator::draw::conductor;
use random_generator::draw::ledger::{Condition, LedgerSnapshot, Write};
use random_generator::lease::LeaseSnapshot;
use random_generator::record::schedule::Schedule;
use random_generator::record::{Record, Voters};

use crate::faults::Fault;
use crate::happening::{Ask, Call, Happening, Input};
use crate::oracle::{Oracle, Verdict};
use crate::process::{Process, Volume};
use crate::splits::Split;
use crate::store::Store;
use crate::trace;

/// Simulated time 0 in seconds since the epoch.
pub const START: i64 = 1_800_000_000;
pub const SECOND: u64 = 1_000_000;
/// Wake-ups of a process in a second; a few dozen are usual.
const MOST_WAKES: u64 = 500;

/// What a seed decides before anything happens.
pub struct Plan {
    pub members: u16,
    pub voters: Voters,
    pub duration: Duration,
    pub renew_deadline: Duration,
    pub retry: Duration,
    pub schedule: Schedule,
    /// Faults come until then (µs), and are healed.
    pub faults_until: u64,
    /// How often a message is lost, doubled, or late, in thousandths, while faults come.
    pub noise: u32,
}

pub struct World {
    pub plan: Plan,
    pub rng: StdRng,
    pub t: u64,
    pub store: Store,
    pub volumes: Vec<Volume>,
    pub processes: Vec<Process>,
    /// For each ordinal, the process that its address leads to.
    pub current: Vec<Option<usize>>,
    /// What SRV lists.
    pub published: Vec<u16>,
    pub oracle: Oracle,
    /// How often each fault met each state.
    pub met: BTreeMap<(&'static str, &'static str), u64>,
    pub split: Option<Split>,
    /// Voters become any range of the members, and not only the first.
    pub ranges: bool,
    /// The set moves to other ordinals: nothing else changes its voters.
    pub moving: bool,
    /// Ordinals below have left for good.
    pub left: u16,
    pub trace: Option<VecDeque<String>>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    sequence: u64,
    incarnations: u64,
    held: BTreeMap<usize, Vec<Input>>,
}

impl World {
    pub fn new(seed: u64, traced: bool) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut plan = Plan::random(&mut rng);
        plan.widen(seed);
        let volumes = (0..plan.members).map(|_| Volume::new(rng.random())).collect();
        let members = plan.members;
        let mut world = World {
            plan,
            rng,
            t: SECOND,
            store: Store::new(),
            volumes,
            processes: Vec::new(),
            current: vec![None; usize::from(members)],
            published: (0..members).collect(),
            oracle: Oracle::default(),
            met: BTreeMap::new(),
            split: None,
            ranges: seed.is_multiple_of(2),
            moving: false,
            left: 0,
            trace: traced.then(VecDeque::new),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            incarnations: 0,
            held: BTreeMap::new(),
        };
        for ordinal in 0..members {
            world.start(ordinal);
        }
        world.plan_faults();
        world.plan_splits(seed);
        world.plan_stops(seed);
        world
    }

    /// Runs until `t` (µs).
    pub fn run_until(&mut self, t: u64) -> Verdict {
        while let Some(Reverse((at, id))) = self.queue.peek().copied() {
            if at > t {
                break;
            }
            self.queue.pop();
            let Some(happening) = self.happenings.remove(&id) else {
                continue;
            };
            self.t = at;
            self.happen(happening)?;
        }
        self.t = t;
        Ok(())
    }

    pub fn schedule(&mut self, at: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((at.max(self.t), self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }

    pub fn schedule_fault(&mut self, at: u64, fault: Fault) {
        self.schedule(at, Happening::Fault(fault));
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push_back(format!("{:>12.6} {}", self.t as f64 / SECOND as f64, line()));
        }
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Input { to, input } => self.input(to, input),
            Happening::Wake { to } => self.wake(to),
            Happening::StoreCall { from, op, call } => self.store_call(from, op, call),
            Happening::Fault(fault) => self.fault(fault),
        }
    }

    // ----- processes

    /// Starts a process of this ordinal; its address and the ordinal's volume are its own from now on. A volume has one owner
    /// (invariant 5), so whoever had it and still runs, on a node that was lost, writes to nowhere.
    pub fn start(&mut self, ordinal: u16) -> usize {
        for process in self.processes.iter_mut().filter(|process| process.ordinal == ordinal) {
            process.detached = true;
        }
        self.incarnations += 1;
        let rng_seed = self.rng.random();
        let volume = &self.volumes[usize::from(ordinal)];
        let mut process = Process::new(ordinal, self.incarnations, &self.plan, volume, rng_seed);
        process.drift = self.rng.random_range(-30_000..30_000);
        process.wall_offset = self.rng.random_range(-1_500_000..1_500_000);
        let id = self.processes.len();
        let snapshot = process.ledger.snapshot(Condition::Writable);
        self.processes.push(process);
        self.current[usize::from(ordinal)] = Some(id);
        self.note(|| format!("p{id} starts as rg-{ordinal}"));
        let published: Arc<[u16]> = self.published.clone().into();
        for input in [
            Input::Conductor(conductor::Event::Ledger(Arc::new(snapshot))),
            Input::Conductor(conductor::Event::Published(published)),
            Input::Elector(elector::Event::Stand(true)),
        ] {
            self.schedule(self.t, Happening::Input { to: id, input });
        }
        self.schedule(self.t, Happening::Wake { to: id });
        id
    }

    pub fn kill(&mut self, id: usize) {
        self.note(|| format!("p{id} dies"));
        self.processes[id].alive = false;
        self.held.remove(&id);
    }

    pub fn resume(&mut self, id: usize) {
        self.processes[id].paused = false;
        self.processes[id].disturbed_at = self.t;
        if let Some(at) = &mut self.processes[id].saw_other {
            *at = self.t;
        }
        self.note(|| format!("p{id} goes on"));
        let mut held = self.held.remove(&id).unwrap_or_default();
        // What waited in sockets is read in any order across them.
        for i in (1..held.len()).rev() {
            held.swap(i, self.rng.random_range(0..=i));
        }
        for input in held {
            self.schedule(self.t, Happening::Input { to: id, input });
        }
        self.schedule(self.t, Happening::Wake { to: id });
    }

    pub fn publish_members(&mut self) {
        for to in 0..self.processes.len() {
            let at = self.t + self.rng.random_range(0..3 * SECOND);
            let input = Input::LookUp;
            self.schedule(at, Happening::Input { to, input });
        }
    }

    fn wake(&mut self, id: usize) -> Verdict {
        if !self.processes[id].alive || self.processes[id].paused {
            return Ok(());
        }
        let second = self.t / SECOND;
        let process = &mut self.processes[id];
        let (in_second, wakes) = process.wakes;
        process.wakes = (second, if in_second == second { wakes + 1 } else { 1 });
        if wakes > MOST_WAKES {
            return Err(format!(
                "{} is awake all the time: a wake-up is asked for that nothing comes of",
                process.identity
            ));
        }
        self.elector(id, elector::Event::Tick)?;
        self.conductor(id, conductor::Event::Tick)
    }

    fn input(&mut self, id: usize, input: Input) -> Verdict {
        if !self.processes[id].alive {
            return Ok(());
        }
        if self.processes[id].paused {
            self.held.entry(id).or_default().push(input);
            return Ok(());
        }
        match input {
            Input::Elector(event) => self.elector(id, event),
            Input::Conductor(event) => self.conductor(id, event),
            Input::LookUp => {
                let published = self.published.clone().into();
                self.conductor(id, conductor::Event::Published(published))
            }
            Input::LeaseChanged => match self.processes[id].lease.clone() {
                Some(snapshot) => self.lease_changed(id, snapshot),
                None => Ok(()),
            },
            Input::Asked { from, ask, message } => self.asked(id, from, ask, message),
            Input::Answered { ask, ordinal, answer } => self.answered(id, ask, ordinal, answer),
        }
    }

    pub fn elector(&mut self, id: usize, event: elector::Event<Record>) -> Verdict {
        let process = &mut self.processes[id];
        let now = process.now(self.t);
        let view = match &event {
            elector::Event::Read {
                result: Ok(Some(object)),
                ..
            }
            | elector::Event::Watched(WatchEvent::Seen(object))
            | elector::Event::Wrote {
                outcome: WriteOutcome::Written(object),
                ..
            } => Some(object.clone()),
            _ => None,
        };
        let quiet = matches!(event, elector::Event::Tick);
        let actions = process.elector.step(now, event.clone(), &mut process.rng);
        if !quiet {
            self.note(|| format!("p{id} elector: {}", trace::event(&event)));
        }
        if let Some(view) = view {
            self.processes[id].saw(&view, self.t);
        }
        for action in actions {
            match action {
                elector::Action::Read { op } => self.call(id, op, Call::Read),
                elector::Action::Write { op, base, change } => {
                    if change.payload != base.payload {
                        self.oracle
                            .conducts(&self.processes[id], self.t, self.plan.renew_deadline, 0)?;
                    }
                    self.processes[id].sent(op, now.boot);
                    self.note(|| {
                        format!(
                            "p{id} writes v{} {:?} fence {}",
                            base.version, change.spec.holder, change.fence
                        )
                    });
                    self.call(id, op, Call::Write { base, change });
                }
                elector::Action::Publish(snapshot) => {
                    self.processes[id].watch_lease(snapshot);
                    self.leads_alone(id)?;
                    self.within(id, Input::LeaseChanged);
                }
                elector::Action::Commit { ticket, outcome } => {
                    self.within(id, Input::Conductor(conductor::Event::Committed { ticket, outcome }));
                }
                elector::Action::Resigned => return self.resigned(id),
            }
        }
        let wake = self.processes[id].elector.wake_at();
        self.wake_later(id, wake);
        Ok(())
    }

    pub fn conductor(&mut self, id: usize, event: conductor::Event) -> Verdict {
        let process = &mut self.processes[id];
        let now = process.now(self.t);
        let actions = process.conductor.step(now, event, &mut process.rng);
        for action in actions {
            match action {
                conductor::Action::Keep { ask, ordinal, request } => {
                    self.oracle
                        .conducts(&self.processes[id], self.t, self.plan.renew_deadline, 1_000)?;
                    self.ask(id, ask, ordinal, Ask::Keep(request));
                }
                conductor::Action::Heads { ask, ordinal, request } => self.ask(id, ask, ordinal, Ask::Heads(request)),
                conductor::Action::Commit(request) => {
                    self.note(|| {
                        format!(
                            "p{id} commits round {} slot {}",
                            request.payload.round, request.payload.slot
                        )
                    });
                    self.within(id, Input::Elector(elector::Event::Commit(request)));
                }
                conductor::Action::Floor(fence) => {
                    self.within(id, Input::Elector(elector::Event::RequireFenceAbove(fence)))
                }
                conductor::Action::Look => self.within(id, Input::Elector(elector::Event::Refresh)),
                conductor::Action::StayOut(time) => self.within(id, Input::Elector(elector::Event::StayOut(time))),
                conductor::Action::Report(report) => {
                    self.note(|| format!("p{id} reports {}", trace::report(&report)));
                    self.oracle.said(&self.processes[id], &report)?;
                }
            }
        }
        let wake = self.processes[id].conductor.wake_at(now);
        self.wake_later(id, wake);
        Ok(())
    }

    fn wake_later(&mut self, id: usize, wake: Option<Boot>) {
        if let Some(wake) = wake {
            let at = self.processes[id].when(wake).max(self.t + 1);
            // One wake-up a process is enough as long as it isn't later than this one.
            let process = &mut self.processes[id];
            if process
                .elector_wake
                .is_none_or(|planned| planned <= self.t || planned > at)
            {
                process.elector_wake = Some(at);
                self.schedule(at, Happening::Wake { to: id });
            }
        }
    }

    /// From one task of a process to another.
    fn within(&mut self, to: usize, input: Input) {
        let at = self.t + self.rng.random_range(0..500);
        self.schedule(at, Happening::Input { to, input });
    }

    pub fn stand(&mut self, id: usize) {
        self.within(id, Input::Elector(elector::Event::Stand(true)));
    }

    // ----- ledger

    /// Conductor and ledger watch the elector each for itself: either may be first.
    fn lease_changed(&mut self, id: usize, snapshot: LeaseSnapshot) -> Verdict {
        let head = snapshot.payload().cloned();
        let event = conductor::Event::Lease(Arc::new(snapshot));
        match self.rng.random() {
            true => {
                self.conductor(id, event)?;
                self.follow(id, head)
            }
            false => {
                self.follow(id, head)?;
                if !self.processes[id].alive {
                    return Ok(());
                }
                self.conductor(id, event)
            }
        }
    }

    fn follow(&mut self, id: usize, head: Option<Arc<Record>>) -> Verdict {
        if let Some(record) = head {
            let writes = self.processes[id].ledger.seen(&record);
            if !writes.is_empty() {
                if self.store_in_ledger(id, &writes)? {
                    self.show(id)?;
                }
                return Ok(());
            }
        }
        match self.processes[id].asked_for.is_some() {
            true => self.show(id),
            false => Ok(()),
        }
    }

    /// Makes writes durable and then true; false when the volume is full, or the process dies on the way.
    pub fn store_in_ledger(&mut self, id: usize, writes: &[Write]) -> Result<bool, String> {
        let ordinal = usize::from(self.processes[id].ordinal);
        if self.processes[id].detached || self.volumes[ordinal].full {
            self.within(id, Input::Elector(elector::Event::Stand(false)));
            return Ok(false);
        }
        if self.noisy(4) {
            self.met("dies before a write", id);
            self.die_and_return(id);
            return Ok(false);
        }
        self.volumes[ordinal].apply(writes);
        if self.noisy(4) {
            self.met("dies after a write", id);
            self.die_and_return(id);
            return Ok(false);
        }
        let process = &mut self.processes[id];
        writes.iter().for_each(|write| process.ledger.apply(write));
        Ok(true)
    }

    /// What readers of this member see now.
    pub fn show(&mut self, id: usize) -> Verdict {
        let snapshot = self.processes[id].ledger.snapshot(Condition::Writable);
        let ordinal = self.processes[id].ordinal;
        self.oracle
            .shows(ordinal, &self.processes[id].reported, &snapshot.chain)?;
        self.processes[id].reported = snapshot.chain.to_vec();
        self.fetch(id, &snapshot);
        self.conductor(id, conductor::Event::Ledger(Arc::new(snapshot)))
    }

    /// Asks a peer for older records, at most once in two seconds.
    fn fetch(&mut self, id: usize, snapshot: &LedgerSnapshot) {
        let process = &mut self.processes[id];
        let Some(wanted) = snapshot.wanted else {
            process.asked_for = None;
            return;
        };
        if process
            .asked_for
            .is_some_and(|(hash, at)| hash == wanted && self.t < at + 2 * SECOND)
        {
            return;
        }
        process.asked_for = Some((wanted, self.t));
        if let Some(ordinal) = pick(&mut self.rng, &self.published) {
            self.ask(id, 0, ordinal, Ask::Records(wanted));
        }
    }

    // ----- chance

    /// True now and then while faults come; `rarity` 1 is the plan's noise, greater is rarer.
    pub fn noisy(&mut self, rarity: u32) -> bool {
        let noise = if self.t < self.plan.faults_until {
            self.plan.noise
        } else {
            0
        };
        noise > 0 && self.rng.random_ratio(noise.min(999), 1000 * rarity)
    }

    pub fn met(&mut self, fault: &'static str, id: usize) {
        let state = self.processes[id].state(self.t);
        *self.met.entry((fault, state)).or_default() += 1;
        self.note(|| format!("fault: {fault} meets p{id} {state}"));
    }
}

pub fn pick<T: Copy>(rng: &mut impl Rng, of: &[T]) -> Option<T> {
    (!of.is_empty()).then(|| of[rng.random_range(0..of.len())])
}

pub fn elector_failure(write: bool, op: u64) -> elector::Event<Record> {
    match write {
        true => elector::Event::Wrote {
            op,
            outcome: WriteOutcome::Unknown("no answer in time".into()),
        },
        false => elector::Event::Read {
            op,
            result: Err(StoreError::Unreachable("no answer in time".into())),
        },
    }
}
