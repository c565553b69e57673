//! One elector on a bench: its clock is turned by hand, and its requests are answered by hand.

use std::sync::Arc;
use std::time::Duration;

use lease_election::clock::{Boot, Now, Wall};
use lease_election::elector::{Action, Event};
use lease_election::{
    CommitOutcome, CommitRequest, Elector, ElectorConfig, LeaseChange, LeaseObject, LeaseSnapshot, LeaseSpec, Payload,
    Stored, WatchEvent, WriteOutcome,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub const ME: &str = "me";
pub const SECOND: Duration = Duration::from_secs(1);
pub const DURATION: Duration = Duration::from_secs(15);
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
pub const RETRY: Duration = Duration::from_secs(2);

/// A count, and the fence that it was made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count(pub u64, pub u64);

impl Payload for Count {
    fn parse(_: &str) -> Option<Count> {
        None
    }

    fn to_text(&self) -> String {
        self.0.to_string()
    }

    fn fence(&self) -> u64 {
        self.1
    }

    fn supersedes(&self, earlier: &Count) -> bool {
        self.0 > earlier.0
    }

    fn directly_follows(&self, earlier: &Count) -> bool {
        self.0 == earlier.0 + 1
    }

    fn excludes(&self, other: &Count) -> bool {
        self.0 == other.0 && self.1 != other.1
    }
}

pub type Object = LeaseObject<Count>;

pub fn object(version: u64, holder: Option<&str>) -> Object {
    LeaseObject {
        uid: "uid".to_owned(),
        version,
        spec: LeaseSpec {
            holder: holder.map(str::to_owned),
            duration_seconds: holder.map(|_| 15),
            transitions: 4,
            ..LeaseSpec::default()
        },
        fence: 6,
        payload: Stored::Absent,
        carried: Arc::default(),
    }
}

/// An elector, its clock, and what it asked for that has no answer yet.
pub struct Bench {
    elector: Elector<Count>,
    pub now: Duration,
    rng: StdRng,
    pub read: Option<u64>,
    pub write: Option<(u64, Arc<Object>, LeaseChange<Count>)>,
    pub snapshot: Option<LeaseSnapshot<Count>>,
    pub commits: Vec<(u64, CommitOutcome)>,
    pub resigned: bool,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with([DURATION, RENEW_DEADLINE], RETRY)
    }

    pub fn with([duration, renew_deadline]: [Duration; 2], retry: Duration) -> Bench {
        let config = ElectorConfig::new(ME, duration, renew_deadline, retry).unwrap();
        let mut bench = Bench {
            elector: Elector::new(config),
            now: Duration::from_secs(100),
            rng: StdRng::seed_from_u64(1),
            read: None,
            write: None,
            snapshot: None,
            commits: Vec::new(),
            resigned: false,
        };
        bench.give(Event::Stand(true));
        bench
    }

    /// One that was shown this when it started.
    pub fn that_saw(found: Object) -> Bench {
        let mut bench = Bench::new();
        bench.reads(Some(found));
        bench
    }

    /// One that leads with fence 7, by version 11.
    pub fn leading() -> Bench {
        let mut bench = Bench::that_saw(object(10, None));
        bench.writes();
        assert!(bench.leads());
        bench
    }

    pub fn give(&mut self, event: Event<Count>) {
        let now = Now {
            boot: Boot(0) + self.now,
            wall: Wall(i64::try_from(self.now.as_micros()).unwrap()),
        };
        for action in self.elector.step(now, event, &mut self.rng) {
            match action {
                Action::Read { op } => assert_eq!(self.read.replace(op), None, "two reads at once"),
                Action::Write { op, base, change } => {
                    let before = self.write.replace((op, base, change));
                    assert_eq!(before, None, "two writes at once");
                }
                Action::Publish(snapshot) => self.snapshot = Some(snapshot),
                Action::Commit { ticket, outcome } => self.commits.push((ticket, outcome)),
                Action::Resigned => self.resigned = true,
            }
        }
    }

    /// Time passes, with a step whenever the elector wants one.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(wake) = self.elector.wake_at().filter(|wake| *wake <= Boot(0) + end) {
            self.now = self.now.max(wake.since(Boot(0))) + Duration::from_nanos(1);
            self.give(Event::Tick);
        }
        self.now = end;
        self.give(Event::Tick);
    }

    /// Waits until it writes: how long that took, when it does within `limit`.
    pub fn until_it_writes(&mut self, limit: Duration) -> Option<Duration> {
        let began = self.now;
        while self.write.is_none() && self.now - began < limit {
            self.wait(Duration::from_millis(10));
        }
        self.write.is_some().then(|| self.now - began)
    }

    pub fn reads(&mut self, found: Option<Object>) {
        let op = self.read.take().expect("it reads");
        self.give(Event::Read {
            op,
            result: Ok(found.map(Arc::new)),
        });
    }

    /// Looks at the Lease, and finds this.
    pub fn looks(&mut self, found: Option<Object>) {
        self.wait(Duration::from_millis(1));
        self.give(Event::Refresh);
        self.reads(found);
    }

    pub fn sees(&mut self, found: Object) {
        self.give(Event::Watched(WatchEvent::Seen(Arc::new(found))));
    }

    pub fn answers(&mut self, outcome: WriteOutcome<Count>) {
        let (op, ..) = self.write.take().expect("it writes");
        self.give(Event::Wrote { op, outcome });
    }

    /// What the store has once the write on its way happened.
    pub fn written(&self) -> Object {
        let (_, base, change) = self.write.clone().expect("it writes");
        LeaseObject {
            version: base.version + 1,
            spec: change.spec,
            fence: change.fence,
            payload: change.payload,
            ..LeaseObject::clone(&base)
        }
    }

    pub fn writes(&mut self) -> Object {
        let object = self.written();
        self.answers(WriteOutcome::Written(Arc::new(object.clone())));
        object
    }

    pub fn change(&self) -> &LeaseChange<Count> {
        &self.write.as_ref().expect("it writes").2
    }

    pub fn view(&self) -> Option<&Object> {
        self.snapshot.as_ref()?.object.as_deref()
    }

    pub fn fence(&self) -> Option<u64> {
        self.snapshot.as_ref()?.leads(Boot(0) + self.now)
    }

    pub fn leads(&self) -> bool {
        self.fence().is_some()
    }

    pub fn commit(&mut self, count: Count, base: Stored<Count>) {
        self.give(Event::Commit(CommitRequest {
            ticket: 1,
            fence: count.1,
            payload: Arc::new(count),
            base,
        }));
    }
}

pub fn valid(count: u64, fence: u64) -> Stored<Count> {
    Stored::Valid(Arc::new(Count(count, fence)))
}
