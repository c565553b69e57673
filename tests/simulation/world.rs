//! The simulated world: its time and event queue, and which processes run. `shell` runs the real state machines in them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lease_election::{StoreError, WriteOutcome, elector};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use random_generator::draw::conductor;
use random_generator::draw::ledger::Condition;
use random_generator::record::schedule::Schedule;
use random_generator::record::{Record, Voters};

use crate::faults::Fault;
use crate::happening::{Happening, Input};
use crate::oracle::{Oracle, Verdict};
use crate::process::{Process, Volume};
use crate::splits::Split;
use crate::store::Store;
use crate::traffic::Traffic;

/// Simulated time 0 in seconds since the epoch.
pub const START: i64 = 1_800_000_000;
pub const SECOND: u64 = 1_000_000;

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
    pub traffic: Traffic,
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
    /// What waits for a process that is paused.
    pub held: BTreeMap<usize, Vec<Input>>,
}

impl World {
    pub fn new(seed: u64, traced: bool) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut plan = Plan::random(&mut rng);
        plan.widen(seed);
        let mut world = World::begin(plan, rng);
        world.ranges = seed.is_multiple_of(2);
        world.trace = traced.then(VecDeque::new);
        world.start_all();
        world.plan_faults();
        world.plan_splits(seed);
        world.plan_stops(seed);
        world
    }

    /// Nothing goes wrong in it.
    pub fn calm(plan: Plan, seed: u64) -> World {
        let mut world = World::begin(plan, StdRng::seed_from_u64(seed));
        world.start_all();
        world
    }

    fn begin(plan: Plan, mut rng: StdRng) -> World {
        let volumes = (0..plan.members).map(|_| Volume::new(rng.random())).collect();
        let members = plan.members;
        World {
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
            traffic: Traffic::default(),
            split: None,
            ranges: false,
            moving: false,
            left: 0,
            trace: None,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            incarnations: 0,
            held: BTreeMap::new(),
        }
    }

    fn start_all(&mut self) {
        for ordinal in 0..self.plan.members {
            self.start(ordinal);
        }
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
