//! Listeners on port 0 with real sockets, and a client that writes what it is told to, byte for byte.
#![allow(dead_code)] // each test file uses a part

#[path = "../chunked/mod.rs"]
mod chunked;
#[path = "../linked/mod.rs"]
mod linked;
#[path = "../waiting/mod.rs"]
mod waiting;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use lease_election::Leadership;
use prometheus_client::registry::Registry;
use rand::{Rng, TryRng};
use random_generator::clock::Clock;
use random_generator::discovery::PeerList;
use random_generator::draw::ledger::{Condition, LedgerSnapshot};
use random_generator::generator::random::EntropyError;
use random_generator::generator::timed_uuids::TimedUuids;
use random_generator::http::public::draws::Draws;
use random_generator::http::public::entry::{Entry, JournalSink, JournalUnavailable};
use random_generator::http::public::ids::{IdSource, Ids, IdsUnavailable};
use random_generator::http::public::members::Members;
use random_generator::http::public::numbers::{NumberSource, Numbers};
use random_generator::http::public::set::Set;
use random_generator::http::public::status::Status;
use random_generator::http::public::stream::Streams;
use random_generator::http::public::{self, Public};
use random_generator::identity::MemberName;
use random_generator::lease::{Leader, LeaseSnapshot};
use random_generator::peer::report::{
    DrawsReport, HeadReport, JournalReport, LedgerReport, MemberReport, VolumeReport,
};
use random_generator::readiness::{Latch, Readiness};
use random_generator::record::{Missing, Reason, Record, Slot};
use random_generator::server::exchange::{RequestLimits, Routes};
use random_generator::server::limits::{Limits, StreamLimits};
use random_generator::server::listener::{Listener, ListenerError};
use random_generator::server::metrics::HttpMetrics;
use random_generator::set::{SetMetrics, SetParts, SetTask};
use random_generator::shutdown::{self, Trigger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use chunked::joined;
use linked::linked;
use waiting::eventually;

/// A bound for what should take milliseconds.
pub const SOON: Duration = Duration::from_secs(10);

/// A listener that runs until it is stopped.
pub struct Running {
    pub address: SocketAddr,
    pub stop: Trigger,
    task: JoinSet<Result<(), ListenerError>>,
}

impl Running {
    pub async fn start(name: &'static str, router: Router, limits: Limits, metrics: HttpMetrics) -> Running {
        let any = "127.0.0.1:0".parse().unwrap();
        Running::start_at(any, name, router, limits, metrics).await
    }

    pub async fn start_at(
        address: SocketAddr,
        name: &'static str,
        router: Router,
        limits: Limits,
        metrics: HttpMetrics,
    ) -> Running {
        let socket = TcpListener::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, signal) = shutdown::stage();
        let clock = Clock::system();
        let listener = Listener {
            name,
            sockets: socket.into(),
            router,
            limits,
            clock,
            metrics,
            closing: signal.clone(),
        };
        let mut task = JoinSet::new();
        task.spawn(listener.run(signal));
        Running { address, stop, task }
    }

    /// Returns when every connection has ended.
    pub async fn ended(mut self) {
        self.stop.pull();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// Counts up where 32 bits are drawn, so that a test sees which number was given out; 64 bits differ each time, as its
/// distributions need; bytes are all 0xab.
#[derive(Default)]
pub struct Counting(AtomicUsize);

impl NumberSource for Counting {
    fn draw<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, EntropyError> {
        Ok(make(&mut &*self))
    }
}

impl TryRng for &Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        // Steps by the golden ratio come everywhere (Weyl's equidistribution).
        Ok((u64::from(self.try_next_u32()?) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0xab);
        Ok(())
    }
}

impl Counting {
    pub fn given(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// An entry that was taken.
pub struct Given {
    pub request_id: String,
    pub duration: Duration,
    pub method: &'static str,
    /// With the query, if there was one.
    pub target: String,
    pub count: u64,
    pub value: Option<i32>,
}

/// A journal that can be full, and that can be held up.
pub struct Journal {
    pub entries: std::sync::Mutex<Vec<Given>>,
    pub full: AtomicBool,
    /// An entry needs one permit; plenty unless a test takes them.
    pub room: Semaphore,
    pub waiting: AtomicUsize,
}

impl JournalSink for Journal {
    async fn record(&self, entry: Entry<'_>) -> Result<(), JournalUnavailable> {
        if self.full.load(Ordering::SeqCst) {
            let (reason, retry_after) = ("no space left".to_owned(), Duration::from_millis(2500));
            return Err(JournalUnavailable { reason, retry_after });
        }
        assert!(!entry.query.contains("count=13"), "a journal with a bug");
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _permit = self.room.acquire().await.unwrap();
        let mark = if entry.query.is_empty() { "" } else { "?" };
        self.entries.lock().unwrap().push(Given {
            request_id: entry.request_id.to_owned(),
            duration: entry.duration,
            method: entry.method,
            target: format!("{}{mark}{}", entry.path, entry.query),
            count: entry.count,
            value: entry.value,
        });
        Ok(())
    }
}

#[derive(Default)]
pub struct SomeIds {
    pub taken: AtomicUsize,
    pub unavailable: AtomicBool,
}

impl IdSource for SomeIds {
    async fn take(&self, count: usize) -> Result<Vec<u64>, IdsUnavailable> {
        if self.unavailable.load(Ordering::SeqCst) {
            let (reason, retry_after) = ("this member has no ordinal".to_owned(), None);
            return Err(IdsUnavailable { reason, retry_after });
        }
        let first = self.taken.fetch_add(count, Ordering::SeqCst) as u64;
        Ok((0..count as u64).map(|n| (1 << 60) + first + n).collect())
    }
}

/// A public listener, and all that stands behind it.
pub struct Member {
    pub running: Running,
    pub numbers: Arc<Counting>,
    pub journal: Arc<Journal>,
    pub ids: Arc<SomeIds>,
    pub readiness: Readiness,
    pub ledger: watch::Sender<Arc<LedgerSnapshot>>,
    pub lease: watch::Sender<Arc<LeaseSnapshot>>,
    pub peers: watch::Sender<Arc<PeerList>>,
    _set: (Trigger, JoinSet<()>),
    pub registry: Arc<Registry>,
}

impl Member {
    pub async fn start(limits: Limits) -> Member {
        Member::start_with(limits, RequestLimits::public()).await
    }

    pub async fn start_with(limits: Limits, request_limits: RequestLimits) -> Member {
        Member::start_streaming(limits, request_limits, limits.streams()).await
    }

    /// With a budget of so many bytes for answers.
    pub async fn start_with_memory(limits: Limits, memory: u64) -> Member {
        Member::start_all(limits, RequestLimits::public(), limits.streams(), memory).await
    }

    pub async fn start_streaming(limits: Limits, request_limits: RequestLimits, streams: StreamLimits) -> Member {
        Member::start_all(limits, request_limits, streams, 64 << 20).await
    }

    async fn start_all(limits: Limits, request_limits: RequestLimits, streams: StreamLimits, memory: u64) -> Member {
        let clock = Clock::system();
        let mut registry = Registry::with_prefix("random_generator");
        let metrics = HttpMetrics::register(&mut registry);
        let memory = metrics.budget("public", memory);
        let numbers = Arc::new(Counting::default());
        let journal = Arc::new(Journal {
            entries: Default::default(),
            full: AtomicBool::new(false),
            room: Semaphore::new(1_000),
            waiting: AtomicUsize::new(0),
        });
        let ids = Arc::new(SomeIds::default());
        let readiness = Readiness::new();
        let (ledger, ledger_seen) = watch::channel(Arc::new(ledger(Vec::new())));
        let (lease, lease_seen) = watch::channel(Arc::new(LeaseSnapshot {
            leadership: Leadership::Follower { holder: None },
            object: None,
            confirmed_at: None,
            expires_at: None,
            trouble: None,
        }));
        let (peers, peers_seen) = watch::channel(Arc::new(PeerList {
            peers: Vec::new(),
            resolved_at: None,
            stale: false,
            trouble: None,
        }));
        let (set, views) = SetTask::new(
            SetParts {
                name: "rg-1".parse().unwrap(),
                voters: Some(2.into()),
                peers: peers_seen.clone(),
                ask: Box::new(|_| Box::pin(async { Err("no answer within 1 s".to_owned()) })),
                own: Arc::new(report),
                metrics: SetMetrics::register(&mut registry),
            },
            clock.clone(),
        );
        let (stop_set, stopped) = shutdown::stage();
        let mut set_task = JoinSet::new();
        set_task.spawn(set.run(stopped));
        let public = Public {
            numbers: Numbers {
                source: numbers.clone(),
                journal: journal.clone(),
                memory: memory.clone(),
                clock: clock.clone(),
                timed_uuids: TimedUuids::default(),
                process: uuid::Uuid::nil(),
                version: "1.2.3",
            },
            ids: Ids {
                source: ids.clone(),
                journal: journal.clone(),
                memory: memory.clone(),
                clock: clock.clone(),
            },
            draws: Draws {
                ledger: ledger_seen,
                lease: lease_seen.clone(),
                memory: memory.clone(),
                clock: clock.clone(),
                stale_after: Duration::from_secs(30),
                streams: Streams::register(&mut registry, streams),
            },
            members: Members {
                name: MemberName {
                    set: "rg".into(),
                    ordinal: Some(1),
                },
                peers: peers_seen,
                lease: lease_seen,
                memory: memory.clone(),
                clock: clock.clone(),
            },
            set: Set {
                name: "rg-1".parse().unwrap(),
                views,
                memory,
                clock: clock.clone(),
            },
            status: Status {
                readiness: readiness.clone(),
                version: "1.2.3",
                protocol: 1,
            },
        };
        let routes = Routes::new("public", request_limits, clock, metrics.clone(), 7);
        let router = public::router(public, routes);
        let running = Running::start("public", router, limits, metrics).await;
        let registry = Arc::new(registry);
        Member {
            running,
            numbers,
            journal,
            ids,
            readiness,
            ledger,
            lease,
            peers,
            _set: (stop_set, set_task),
            registry,
        }
    }

    pub async fn get(&self, target: &str) -> Reply {
        get(self.running.address, target).await
    }

    pub fn metrics(&self) -> String {
        shown(&self.registry)
    }
}

pub fn shown(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

/// What a member reports that is well.
pub fn report() -> MemberReport {
    let readiness = Readiness::new();
    for latch in [Latch::Listeners, Latch::Volume, Latch::Entropy, Latch::Journal] {
        readiness.release(latch);
    }
    MemberReport {
        node: Some("worker-2".into()),
        version: "1.2.3".into(),
        started_at: "2027-01-15T07:00:00.000001Z".into(),
        readiness: readiness.status(),
        volume: VolumeReport {
            bytes: Some(1_000_000),
            used_bytes: Some(400_000),
        },
        journal: JournalReport {
            bytes: 200_000,
            max_bytes: 600_000,
            fill: 0.25,
            lag_ms: 2,
        },
        ledger: Some(LedgerReport {
            rounds: 5,
            oldest: Some(1),
            newest: Some(5),
        }),
        lease: Leader {
            holder: Some("rg-1_uid-0123abcd".into()),
            member: Some("rg-1".into()),
            own: true,
            fence: 3,
            acquired_at: Some("2027-01-15T07:00:01Z".into()),
            remaining_ms: Some(13_870),
            view_age_ms: Some(1_130),
        },
        draws: Some(DrawsReport {
            head: Some(HeadReport {
                round: 5,
                slot: Slot(1_800_000_000),
                missed: 1,
                missing: vec![Missing {
                    ordinal: 0,
                    reason: Reason::Timeout,
                }],
            }),
            next_slot: Some(Slot(1_800_000_010)),
        }),
    }
}

pub fn ledger(chain: Vec<Arc<Record>>) -> LedgerSnapshot {
    LedgerSnapshot {
        newest: chain.last().cloned(),
        chain: chain.into(),
        wanted: None,
        aside: Arc::new([]),
        condition: Condition::Writable,
        promised_fence: 1,
    }
}

/// Linked records of these rounds.
pub fn chain(rounds: std::ops::RangeInclusive<u64>) -> Vec<Arc<Record>> {
    linked(7, 1_800_000_000, rounds).into_iter().map(Arc::new).collect()
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (there, value) = line.split_once(": ")?;
            there.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Names in lower case, as they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().filter_map(|line| line.split_once(": "))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem, which must be one.
    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem
    }

    /// Splits what a connection gave until it was closed; none when that was nothing.
    pub fn parse(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Reply {
            status,
            head,
            body: if chunked {
                joined(&bytes[end + 4..])
            } else {
                bytes[end + 4..].to_vec()
            },
        })
    }
}

pub async fn get(address: SocketAddr, target: &str) -> Reply {
    request(address, "GET", target, "", b"").await
}

/// `headers`: whole lines, each with its line's end.
pub async fn request(address: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> Reply {
    let length = match body.is_empty() && method != "POST" {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    let host = if headers.to_ascii_lowercase().contains("host:") {
        ""
    } else {
        "host: localhost\r\n"
    };
    let mut bytes =
        format!("{method} {target} HTTP/1.1\r\n{host}connection: close\r\n{length}{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    let answer = raw(address, &bytes).await;
    Reply::parse(&answer).unwrap_or_else(|| panic!("{method} {target}: closed without an answer"))
}

/// Writes bytes and reads until the other side closes. A reset counts as closed.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may refuse before it has read all.
    let _ = stream.write_all(bytes).await;
    closed(&mut stream).await
}

/// What still comes until the other side closes.
pub async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = async {
        let mut part = [0; 16 * 1024];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..n]);
        }
    };
    timeout(SOON, read).await.expect("the connection is not closed");
    answer
}

/// Waits until `condition` holds.
pub async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, async || condition().then_some(())).await;
}
