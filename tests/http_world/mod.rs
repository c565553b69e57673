//! Listeners on port 0 with real sockets, what stands behind them, and a client.
#![allow(dead_code, unused_imports)] // each test file uses a part

#[path = "../chunked/mod.rs"]
mod chunked;
mod client;
mod fakes;
#[path = "../linked/mod.rs"]
mod linked;
mod samples;
#[path = "../waiting/mod.rs"]
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use lease_election::Leadership;
use prometheus_client::registry::Registry;
use random_generator::clock::Clock;
use random_generator::discovery::PeerList;
use random_generator::draw::ledger::LedgerSnapshot;
use random_generator::draw::ledger::history::History;
use random_generator::generator::timed_uuids::TimedUuids;
use random_generator::http::public::draws::Draws;
use random_generator::http::public::ids::Ids;
use random_generator::http::public::members::Members;
use random_generator::http::public::numbers::{Numbers, Process};
use random_generator::http::public::set::Set;
use random_generator::http::public::status::Status;
use random_generator::http::public::stream::Streams;
use random_generator::http::public::{self, Public};
use random_generator::identity::MemberName;
use random_generator::lease::LeaseSnapshot;
use random_generator::readiness::Readiness;
use random_generator::server::exchange::RequestLimits;
use random_generator::server::limits::{Limits, StreamLimits};
use random_generator::server::listener::{Listener, ListenerError};
use random_generator::server::metrics::HttpMetrics;
use random_generator::server::routes::Paths;
use random_generator::server::routes::Routes;
use random_generator::set::{SetMetrics, SetParts, SetTask};
use random_generator::shutdown::{self, Trigger};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use client::{Reply, closed, get, raw, request};
pub use fakes::{Counting, Given, Journal, SomeIds};
pub use samples::{chain, ledger, report};
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
    pub async fn start(name: &'static str, paths: Paths, limits: Limits, metrics: HttpMetrics) -> Running {
        let any = "127.0.0.1:0".parse().unwrap();
        Running::start_at(any, name, paths, limits, metrics).await
    }

    pub async fn start_at(
        address: SocketAddr,
        name: &'static str,
        paths: Paths,
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
            paths,
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
        let streams = limits.streams();
        Member::start_all(limits, RequestLimits::public(), streams, memory, History::none()).await
    }

    pub async fn start_streaming(limits: Limits, request_limits: RequestLimits, streams: StreamLimits) -> Member {
        Member::start_all(limits, request_limits, streams, 64 << 20, History::none()).await
    }

    /// With older records on a volume.
    pub async fn start_reading(streams: StreamLimits, history: History) -> Member {
        let limits = Limits::public();
        Member::start_all(limits, RequestLimits::public(), streams, 64 << 20, history).await
    }

    async fn start_all(
        limits: Limits,
        request_limits: RequestLimits,
        streams: StreamLimits,
        memory: u64,
        history: History,
    ) -> Member {
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
                process: Process::new(uuid::Uuid::nil(), "1.2.3"),
            },
            ids: Ids {
                source: ids.clone(),
                journal: journal.clone(),
                memory: memory.clone(),
                clock: clock.clone(),
            },
            draws: Draws {
                ledger: ledger_seen,
                history,
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
        let paths = public::paths(public, routes);
        let running = Running::start("public", paths, limits, metrics).await;
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

/// Waits until `condition` holds.
pub async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, async || condition().then_some(())).await;
}
