//! One simulated process: the real state machines, a volume, and clocks of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::successors;
use std::sync::Arc;

use lease_election::{Elector, ElectorConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use random_generator::clock::{Boot, Now, Wall};
use random_generator::draw::conductor::{Conductor, ConductorConfig};
use random_generator::draw::contributor::Contributor;
use random_generator::draw::ledger::logic::Ledger;
use random_generator::draw::ledger::{Aside, Condition, LedgerSnapshot, Promise, Run, Stored, Write};
use random_generator::identity::{MemberName, lease_identity};
use random_generator::lease::{LeaseObject, LeaseSnapshot};
use random_generator::record::secrets::Seed;
use random_generator::record::{Hash, Record, Voters};

use crate::world::{Plan, START};

/// Records of the chain in a process's memory, so few that what is below them matters all the time.
pub const WINDOW: usize = 3;

/// What outlives a process.
#[derive(Clone)]
pub struct Volume {
    pub seed: Seed,
    pub records: HashMap<Hash, Arc<Record>>,
    /// The hash of each round of the chain, and of what lies below a gap in it.
    pub linked: BTreeMap<u64, Hash>,
    pub runs: Vec<Run>,
    pub head: Option<Hash>,
    pub promise: Option<Promise>,
    pub aside: Vec<Aside>,
    pub full: bool,
}

impl Volume {
    pub fn new(seed: [u8; 32]) -> Volume {
        Volume {
            seed: Seed(seed),
            records: HashMap::new(),
            linked: BTreeMap::new(),
            runs: Vec::new(),
            head: None,
            promise: None,
            aside: Vec::new(),
            full: false,
        }
    }

    pub fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Record(record) => drop(self.records.insert(record.hash, record.clone())),
                Write::Head(hash) => self.head = Some(*hash),
                Write::Promise(promise) => self.promise = Some(promise.clone()),
                Write::Aside(aside) => self.aside.push(aside.clone()),
                Write::Prune(hashes) => hashes.iter().for_each(|hash| drop(self.records.remove(hash))),
                Write::Link(records) => self
                    .linked
                    .extend(records.iter().map(|record| (record.round, record.hash))),
                Write::Unlink(records) => {
                    for record in records {
                        if self.linked.get(&record.round) == Some(&record.hash) {
                            self.linked.remove(&record.round);
                        }
                    }
                }
                Write::Renew => self.linked.clear(),
                Write::Runs(runs) => self.runs = runs.iter().filter_map(|run| self.has_of(run)).collect(),
            }
        }
    }

    /// The part of a run that is here: not all of it if this volume is a new one under a process that ran before.
    fn has_of(&self, run: &Run) -> Option<Run> {
        let linked = |round: &u64| self.linked.get(round).and_then(|hash| self.records.get(hash));
        let rounds = (run.low..=run.high).rev();
        let oldest = rounds.map_while(|round| linked(&round)).last()?;
        Some(Run {
            low: oldest.round,
            base: oldest.previous,
            ..run.clone()
        })
    }

    /// What a process reads when it starts: the newest of each kind.
    fn read_at_once(&self) -> BTreeMap<Hash, Arc<Record>> {
        let mut read = BTreeMap::new();
        for run in self.runs.iter().rev() {
            let linked = self.linked.range(..=run.high).rev().take(WINDOW);
            read.extend(linked.map(|(_, hash)| (*hash, self.records[hash].clone())));
        }
        let linked: BTreeSet<&Hash> = self.linked.values().collect();
        let mut others: Vec<_> = self
            .records
            .values()
            .filter(|record| !linked.contains(&record.hash))
            .collect();
        others.sort_by_key(|record| (record.slot, record.hash));
        read.extend(
            others
                .into_iter()
                .rev()
                .take(WINDOW)
                .map(|record| (record.hash, record.clone())),
        );
        let newest = self.records.values().max_by_key(|record| (record.age(), record.hash));
        read.extend(newest.map(|record| (record.hash, record.clone())));
        read
    }

    pub fn has(&self, record: &Record) -> bool {
        self.records.contains_key(&record.hash)
    }

    /// Up to `count` records from `hash` backwards, newest first.
    pub fn ancestors(&self, hash: &Hash, count: usize) -> Vec<Arc<Record>> {
        let before = |record: &&Arc<Record>| self.records.get(&record.previous?);
        let found = successors(self.records.get(hash), before);
        found.take(count).cloned().collect()
    }

    /// All of the chain that a process reports, of which its memory has the newest records.
    pub fn chain(&self, snapshot: &LedgerSnapshot) -> Result<Vec<Arc<Record>>, String> {
        let (Some(low), Some(oldest)) = (snapshot.oldest(), snapshot.recent.first()) else {
            return Ok(Vec::new());
        };
        let below = (low..oldest.round).map(|round| {
            let found = self.linked.get(&round).and_then(|hash| self.records.get(hash));
            found
                .cloned()
                .ok_or(format!("round {round} of a chain from {low} is not to be found"))
        });
        let mut chain = below.collect::<Result<Vec<_>, _>>()?;
        if snapshot.wanted != chain.first().unwrap_or(oldest).previous {
            return Err(format!("round {low} is not what the record wanted comes before"));
        }
        chain.extend(snapshot.recent.iter().cloned());
        Ok(chain)
    }

    fn stored(&self) -> Stored {
        Stored {
            seed: self.seed.clone(),
            records: self.read_at_once().into_values().collect(),
            runs: self.runs.clone(),
            head: self.head,
            promise: self.promise.clone(),
            aside: self.aside.clone(),
        }
    }
}

pub struct Process {
    pub ordinal: u16,
    pub identity: String,
    /// Of its configuration.
    pub voters: Voters,
    pub elector: Elector<Record>,
    pub conductor: Conductor,
    pub contributor: Contributor,
    pub ledger: Ledger,
    pub rng: StdRng,
    pub alive: bool,
    pub paused: bool,
    /// Another process has its volume now: its own writes go nowhere.
    pub detached: bool,
    /// Cut off from the store, and from its peers.
    pub cut_store: bool,
    pub cut_peers: bool,
    /// When it was last cut from the store, paused, or freed of that (µs).
    pub disturbed_at: u64,
    /// Since when it is asked to stop (µs).
    pub stopping: Option<u64>,
    /// Its boot-time clock gains so many millionths.
    pub drift: i64,
    /// Its wall clock is off by so many microseconds.
    pub wall_offset: i64,
    pub lease: Option<LeaseSnapshot>,
    /// Of every Lease that it knew.
    pub uids: BTreeSet<String>,
    /// What it reports to readers.
    pub reported: Vec<Arc<Record>>,
    /// Boot time when a write of its own that later succeeded was sent last; the highest version of one.
    pub last_success_sent: Option<Boot>,
    /// When it was shown a view in which another holds the lease, after its own last success.
    pub saw_other: Option<u64>,
    pub newest_seen: u64,
    writes: HashMap<u64, Boot>,
    pub elector_wake: Option<u64>,
    /// The second of the last wake-up, and how many there were in it.
    pub wakes: (u64, u64),
    pub asked_for: Option<(Hash, u64)>,
}

impl Process {
    pub fn new(ordinal: u16, incarnation: u64, plan: &Plan, volume: &Volume, rng_seed: u64) -> Process {
        let name = MemberName {
            set: "rg".to_owned(),
            ordinal: Some(ordinal),
        };
        // A container that restarts in its Pod keeps the Pod's UID.
        let identity = lease_identity(&name, Some("uid"), &format!("{incarnation:08x}"));
        let config = ElectorConfig::new(&identity, plan.duration, plan.renew_deadline, plan.retry);
        let elector = Elector::new(config.unwrap());
        let conductor = Conductor::new(ConductorConfig {
            set: "rg".to_owned(),
            ordinal,
            identity: identity.clone(),
            voters: plan.voters,
            schedule: plan.schedule.clone(),
            deadline: None,
            lease_duration: plan.duration,
        });
        let ledger = Ledger::with_window(volume.stored(), WINDOW);
        let reported = volume.chain(&ledger.snapshot(Condition::Writable)).unwrap_or_default();
        Process {
            ordinal,
            identity,
            voters: plan.voters,
            elector,
            conductor,
            contributor: Contributor {
                set: "rg".to_owned(),
                ordinal,
            },
            ledger,
            rng: StdRng::seed_from_u64(rng_seed),
            alive: true,
            paused: false,
            detached: false,
            cut_store: false,
            cut_peers: false,
            disturbed_at: 0,
            stopping: None,
            drift: 0,
            wall_offset: 0,
            lease: None,
            uids: BTreeSet::new(),
            reported,
            last_success_sent: None,
            saw_other: None,
            newest_seen: 0,
            writes: HashMap::new(),
            elector_wake: None,
            wakes: (0, 0),
            asked_for: None,
        }
    }

    /// The time as this process's clocks show it at simulated time `t` (µs).
    pub fn now(&self, t: u64) -> Now {
        let boot = i128::from(t) * (1_000_000 + i128::from(self.drift)) / 1_000;
        Now {
            boot: Boot(u64::try_from(boot).unwrap()),
            wall: Wall(START * 1_000_000 + i64::try_from(t).unwrap() + self.wall_offset),
        }
    }

    /// The simulated time at which its boot-time clock shows `boot`.
    pub fn when(&self, boot: Boot) -> u64 {
        let t = i128::from(boot.0) * 1_000 / (1_000_000 + i128::from(self.drift));
        u64::try_from(t).unwrap() + 1
    }

    pub fn watch_lease(&mut self, snapshot: LeaseSnapshot) {
        self.uids
            .extend(snapshot.object.as_ref().map(|object| object.uid.clone()));
        self.lease = Some(snapshot);
    }

    pub fn lease_uid(&self) -> Option<&str> {
        Some(&self.lease.as_ref()?.object.as_ref()?.uid)
    }

    pub fn leads(&self, t: u64) -> bool {
        let boot = self.now(t).boot;
        self.alive && self.lease.as_ref().is_some_and(|lease| lease.leads(boot).is_some())
    }

    /// For the table of which fault met which state.
    pub fn state(&self, t: u64) -> &'static str {
        match (self.alive, self.leads(t)) {
            (false, _) => "down",
            (true, false) => "following",
            (true, true) => self.conductor.phase(),
        }
    }
}

impl Process {
    /// Keeps what the oracle judges leadership by: which writes were sent when, and which of them took effect.
    pub fn sent(&mut self, op: u64, at: Boot) {
        self.writes.insert(op, at);
    }

    pub fn succeeded(&mut self, op: u64) {
        if let Some(at) = self.writes.remove(&op) {
            self.last_success_sent = Some(self.last_success_sent.map_or(at, |last| last.max(at)));
        }
    }

    /// A view reached it.
    pub fn saw(&mut self, object: &LeaseObject, t: u64) {
        let mine = object.spec.held_by() == Some(self.identity.as_str());
        if mine {
            self.saw_other = None;
            self.newest_seen = self.newest_seen.max(object.version);
        } else if object.version > self.newest_seen {
            self.saw_other = self.saw_other.or(Some(t));
            self.newest_seen = object.version;
        }
    }
}
