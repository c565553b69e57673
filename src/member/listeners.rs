//! The four listeners: their sockets, and what each of them serves.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::adapters::{IdService, JournalService, Operator, PeerAnswers, RandomNumbers};
use super::error::MemberError;
use super::parts::Parts;
use super::stages::Stages;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::generator::timed_uuids::TimedUuids;
use crate::http::admin::{self, Admin};
use crate::http::public::draws::Draws;
use crate::http::public::ids::Ids;
use crate::http::public::members::Members;
use crate::http::public::numbers::{Numbers, Process};
use crate::http::public::set::Set;
use crate::http::public::status::Status;
use crate::http::public::stream::Streams;
use crate::http::public::{self, Public};
use crate::http::scrape;
use crate::identity::Identity;
use crate::listen::{BindError, ListenAddress, Sockets};
use crate::metrics::Metrics;
use crate::peer::listener::{self as peer, Peer};
use crate::peer::metrics::PeerMetrics;
use crate::readiness::Readiness;
use crate::server::budget::{self, Budget};
use crate::server::cgroup;
use crate::server::cors::AllowedOrigins;
use crate::server::exchange::RequestLimits;
use crate::server::limits::Limits;
use crate::server::listener::Listener;
use crate::server::metrics::HttpMetrics;
use crate::server::routes::Routes;
use crate::telemetry::LogControl;

const _: () = assert!(config::ANSWER_MEMORY_MIN == budget::MIN);

/// The bound sockets of each listener.
pub(super) struct AllSockets {
    public: Sockets,
    peer: Sockets,
    admin: Sockets,
    metrics: Sockets,
}

impl AllSockets {
    pub fn bind(listen: &config::ListenArgs) -> Result<AllSockets, MemberError> {
        let bind = |argument, address: ListenAddress| {
            address
                .bind()
                .map_err(|BindError { address, source }| MemberError::Bind {
                    argument,
                    address,
                    source,
                })
        };
        Ok(AllSockets {
            public: bind("--public-listen", listen.public_listen)?,
            peer: bind("--peer-listen", listen.peer_listen)?,
            admin: bind("--admin-listen", listen.admin_listen)?,
            metrics: bind("--metrics-listen", listen.metrics_listen)?,
        })
    }

    pub fn log(&self) {
        tracing::info!(
            public = %self.public,
            peer = %self.peer,
            admin = %self.admin,
            metrics = %self.metrics,
            "listening"
        );
    }
}

/// What the listeners are built from.
pub(super) struct Listening<'a> {
    pub identity: &'a Identity,
    pub config: &'a Config,
    pub clock: &'a Clock,
    pub readiness: &'a Readiness,
    pub log: LogControl,
    /// Where the admin listener asks for a shutdown.
    pub shutdown: mpsc::Sender<()>,
    pub open_files: u64,
}

impl Listening<'_> {
    pub fn serve(self, sockets: AllSockets, parts: &Parts, mut metrics: Metrics, stages: &mut Stages) {
        let http = HttpMetrics::register(&mut metrics.registry);
        let prefix: u32 = rand::random();
        let routes = |name, limits| {
            Routes::new(name, limits, self.clock.clone(), http.clone(), prefix).with_spans(parts.spans.clone())
        };
        let public_limits = Limits {
            connections: self.config.listen.connection_limit as usize,
            ..Limits::public()
        }
        .within(self.open_files);
        let streams = Streams::register(&mut metrics.registry, public_limits.streams());
        let origins = AllowedOrigins::new(&self.config.listen.allowed_origins);
        let memory = self.config.listen.answer_memory;
        let memory = memory.unwrap_or_else(|| budget::default_bytes(cgroup::memory_limit()));
        let public_memory = http.budget("public", memory);
        let public_routes = routes("public", RequestLimits::public()).with_allowed_origins(origins);
        let public = public::paths(self.public(parts, &public_memory, streams), public_routes);
        let peer = peer::paths(
            Peer {
                service: PeerAnswers {
                    ledger: parts.draws.as_ref().map(|draws| draws.ledger.clone()),
                    reporter: parts.reporter.clone(),
                }
                .into(),
                set: self.identity.name.set.clone(),
                secret: parts.secret.clone(),
                clock: self.clock.clone(),
                metrics: PeerMetrics::register(&mut metrics.registry),
                memory: http.budget("peer", memory / 2),
            },
            routes("peer", RequestLimits::peer()),
        );
        let admin = admin::paths(
            Admin {
                maintenance: Operator {
                    ledger: parts.draws.as_ref().map(|draws| draws.ledger.clone()),
                    restarts: parts.draws.as_ref().map(|draws| draws.restarts.clone()),
                    journal: parts.journal.clone(),
                    log: self.log.clone(),
                    shutdown: self.shutdown.clone(),
                },
                ledger: parts.ledger.clone(),
                memory: http.budget("admin", budget::MIN),
            },
            routes("admin", RequestLimits::admin()),
        );
        let registry = Arc::new(metrics.registry);
        let metrics_paths = scrape::paths(
            registry,
            http.budget("metrics", memory / 8),
            routes("metrics", RequestLimits::public()),
        );
        let drain_time = self.config.shutdown.drain_limit;
        for (name, sockets, paths, limits) in [
            ("public", sockets.public, public, public_limits),
            ("peer", sockets.peer, peer, Limits::peer()),
            ("admin", sockets.admin, admin, Limits::internal()),
            ("metrics", sockets.metrics, metrics_paths, Limits::internal()),
        ] {
            let listener = Listener {
                name,
                sockets,
                paths,
                limits: Limits { drain_time, ..limits },
                clock: self.clock.clone(),
                metrics: http.clone(),
                closing: stages.leading.signal(),
            };
            stages.listeners.spawn(name, |stop| listener.run(stop));
        }
    }

    fn public(
        &self,
        parts: &Parts,
        memory: &Budget,
        streams: Streams,
    ) -> Public<RandomNumbers, IdService, JournalService> {
        let journal = Arc::new(JournalService(parts.journal.clone()));
        Public {
            numbers: Numbers {
                source: Arc::new(RandomNumbers),
                journal: journal.clone(),
                memory: memory.clone(),
                clock: self.clock.clone(),
                timed_uuids: TimedUuids::default(),
                process: Process::new(self.identity.process, super::VERSION),
            },
            ids: Ids {
                source: IdService(parts.ids.clone()).into(),
                journal,
                memory: memory.clone(),
                clock: self.clock.clone(),
            },
            draws: Draws {
                ledger: parts.ledger.clone(),
                history: parts.history.clone(),
                lease: parts.lease.snapshots(),
                memory: memory.clone(),
                clock: self.clock.clone(),
                stale_after: 2 * self.config.lease.duration,
                streams,
            },
            members: Members {
                name: self.identity.name.clone(),
                peers: parts.peers.clone(),
                lease: parts.lease.snapshots(),
                memory: memory.clone(),
                clock: self.clock.clone(),
            },
            set: Set {
                name: self.identity.name.clone(),
                views: parts.set.clone(),
                memory: memory.clone(),
                clock: self.clock.clone(),
            },
            status: Status {
                readiness: self.readiness.clone(),
                version: super::VERSION,
                protocol: crate::peer::message::VERSION,
            },
        }
    }
}
