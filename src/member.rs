//! The composition root: builds every part, wires them, starts and stops them in order.
//!
//! Data flows one way: config → parts → HTTP. What a part says goes through a `watch`, what is asked of it through its
//! handle; [`adapters`] fits handles to the interfaces that HTTP defines, [`condition`] turns what parts say into `/readyz`.

mod adapters;
mod condition;
mod error;
mod lease_store;
mod spans;
mod stages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lease_election::metrics::{LeaseMetrics, LeaseTimes};
use lease_election::{CommitOutcome, ElectorConfig, StoreError, task as lease};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use self::adapters::{IdService, JournalService, PeerAnswers, RandomNumbers};
use self::condition::Conditions;
pub use self::error::MemberError;
use self::stages::{Ending, Stages};
use crate::client::Client;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::discovery::{Discovery, DiscoveryConfig, DiscoveryHandle, DiscoveryMetrics};
use crate::draw::catch_up;
use crate::draw::conductor::ConductorConfig;
use crate::draw::contributor::Contributor;
use crate::draw::ledger::storage::StorageConfig;
use crate::draw::ledger::task::{self as ledger, LedgerConfig, LedgerHandle, LedgerMetrics};
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::draw::task::{DrawMetrics, DrawParts, DrawTask, Restart};
use crate::generator::{ids, random};
use crate::http::admin::{self, Admin};
use crate::http::public::draws::Draws;
use crate::http::public::ids::Ids;
use crate::http::public::members::Members;
use crate::http::public::numbers::Numbers;
use crate::http::public::status::Status;
use crate::http::public::stream::Streams;
use crate::http::public::{self, Public};
use crate::identity::{Facts, Identity, Volume};
use crate::journal::{self, Journal, JournalConfig, JournalMetrics};
use crate::lease::LeaseHandle;
use crate::metrics::Metrics;
use crate::peer::client::{LIMITS, PeerClient};
use crate::peer::listener::{self as peer, Peer};
use crate::peer::signature::PeerSecret;
use crate::readiness::{Latch, Readiness, ReadinessMetrics};
use crate::server::cors::Readable;
use crate::server::exchange::{RequestLimits, Routes};
use crate::server::limits::{Limits, raise_open_files_limit};
use crate::server::listener::Listener;
use crate::server::metrics::HttpMetrics;
use crate::telemetry::LogControl;
use crate::trace::Spans;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The longest that a reply waits for its journal entry or its id.
const VOLUME_PATIENCE: Duration = Duration::from_secs(5);

/// Runs one member until it is asked to stop, or a part fails.
pub async fn run(config: Config, log: LogControl) -> Result<(), MemberError> {
    let clock = Clock::system();
    let readiness = Readiness::new();
    let mut ending = Ending::listen(config.shutdown.with_parent)?;
    let open_files = raise_open_files_limit();
    let sockets = Sockets::bind(&config.listen).await?;

    let identity = Identity::new(facts(&config.identity))?;
    random::check_entropy()?;
    readiness.release(Latch::Entropy);
    let volume = Volume::claim(&config.data_dir, &identity, &clock)?;
    readiness.release(Latch::Volume);
    tracing::info!(
        member = %identity.name,
        lease = identity.lease(),
        volume = %volume.dir().display(),
        node = identity.node_name.as_deref(),
        address = identity.pod_ip.map(tracing::field::display),
        version = VERSION,
        "starting"
    );

    let mut metrics = Metrics::new(VERSION, &clock);
    let mut stages = Stages::new();
    ReadinessMetrics::register(&mut metrics.registry, readiness.clone());
    let parts = Parts::start(&config, &identity, &volume, &clock, &mut metrics.registry, &mut stages).await?;
    parts.watch_conditions(&config, &readiness, &mut stages);
    let listening = Listening {
        identity: &identity,
        config: &config,
        clock: &clock,
        readiness: &readiness,
        log,
        shutdown: ending.requests(),
        open_files,
    };
    listening.serve(sockets, &parts, metrics, &mut stages);
    readiness.release(Latch::Listeners);

    let result = tokio::select! {
        biased;
        () = ending.asked() => Ok(()),
        failed = stages.failed() => Err(failed),
    };
    tracing::info!("stopping");
    readiness.stop();
    let orderly = stages.stop(config.shutdown.delay, config.shutdown.drain_limit);
    tokio::select! {
        biased;
        () = ending.asked() => tracing::warn!("asked to stop again: ending at once"),
        stopped = orderly => return result.and(stopped),
    }
    result
}

fn facts(identity: &config::Identity) -> Facts {
    Facts {
        pod_name: identity.pod_name.to_string(),
        namespace: identity.namespace.clone(),
        pod_uid: identity.pod_uid.clone(),
        pod_ip: identity.pod_ip,
        node_name: identity.node_name.clone(),
    }
}

/// The four listeners' sockets, bound before anything else: a port in use is told at once, and a restarted member is
/// reachable while its volume opens.
struct Sockets {
    public: TcpListener,
    peer: TcpListener,
    admin: TcpListener,
    metrics: TcpListener,
}

impl Sockets {
    async fn bind(listen: &config::Listen) -> Result<Sockets, MemberError> {
        Ok(Sockets {
            public: bind("--public-listen", listen.public).await?,
            peer: bind("--peer-listen", listen.peer).await?,
            admin: bind("--admin-listen", listen.admin).await?,
            metrics: bind("--metrics-listen", listen.metrics).await?,
        })
    }
}

async fn bind(argument: &'static str, address: SocketAddr) -> Result<TcpListener, MemberError> {
    let socket = TcpListener::bind(address).await;
    socket.map_err(|source| MemberError::Bind {
        argument,
        address,
        source,
    })
}

/// The handles of what runs.
struct Parts {
    journal: journal::JournalHandle,
    ids: ids::IdSource,
    discovery: DiscoveryHandle,
    lease: LeaseHandle,
    /// Why the lease may only be polled, where the store tells.
    lease_watch: Option<watch::Receiver<Option<StoreError>>>,
    /// None for a member without ordinal, which takes no part in draws.
    draws: Option<DrawHandles>,
    /// Of the ledger, or of none.
    ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    secret: Option<PeerSecret>,
    spans: Spans,
}

struct DrawHandles {
    ledger: LedgerHandle,
    restarts: mpsc::Sender<Restart>,
    trouble: watch::Receiver<Option<String>>,
}

impl Parts {
    /// Starts what stands behind the listeners, each part in the stage in which it stops.
    async fn start(
        config: &Config,
        identity: &Identity,
        volume: &Volume,
        clock: &Clock,
        registry: &mut Registry,
        stages: &mut Stages,
    ) -> Result<Parts, MemberError> {
        let spans = spans::start(config, identity, registry, stages);
        let secret = config.peer_secret_file.as_deref().map(error::read_secret).transpose()?;
        let journal = JournalConfig {
            path: volume.dir().join("journal.db"),
            durability: adapters::durability(config.journal.durability),
            max_bytes: match config.journal.max {
                Some(bytes) => bytes,
                None => journal::default_max_bytes(volume).map_err(|source| MemberError::Volume {
                    path: volume.dir().to_owned(),
                    source,
                })?,
            },
        };
        let (journal, journal_part) = Journal::start(journal, clock.clone(), JournalMetrics::register(registry))?;
        stages.keeper("journal", |stop| async move { Ok(journal_part.run(stop).await?) });

        let ids = ids::IdsConfig {
            path: volume.dir().join("ids.floor"),
            ordinal: identity.name.ordinal,
            patience: VOLUME_PATIENCE,
        };
        let (ids, reserver) = ids::start(ids, clock.clone())?;
        stages.keeper("ids", |stop| async move { Ok(reserver.run(stop).await?) });

        let discovery = DiscoveryConfig {
            governing: config.discovery.name.clone(),
            nameservers: config.discovery.nameservers.clone().into(),
            member: identity.name.clone(),
            peer_port: config.listen.peer.port(),
            interval: config.discovery.interval,
            timeout: DiscoveryConfig::TIMEOUT,
        };
        let (discovery_part, discovery) =
            Discovery::new(discovery, clock.clone(), DiscoveryMetrics::register(registry))?;
        stages.keeper("discovery", |stop| async move { Ok(discovery_part.run(stop).await?) });

        let (store, lease_watch) = lease_store::open(config, identity, clock, registry, stages).await?;
        let times = &config.lease;
        let elector = ElectorConfig::new(identity.lease(), times.duration, times.renew_deadline, times.retry)?;
        let (elector, lease, outcomes) = lease::new(elector, store, clock.clone(), LeaseMetrics::register(registry));
        LeaseTimes::register(registry, lease.snapshots(), clock.clone());
        stages.office("elector", |mut stop| async move {
            elector.run(async move { stop.requested().await }).await;
            Ok(())
        });

        let (draws, ledger) = match identity.name.ordinal {
            None => {
                let none = ledger::unopened(Condition::Unwritable("a member without ordinal has no ledger".into()));
                (None, watch::Sender::new(Arc::new(none)).subscribe())
            }
            Some(ordinal) => {
                let client = Client::new(LIMITS);
                let client = Arc::new(PeerClient::new(client, secret.clone(), clock.clone()));
                let wiring = Wiring {
                    config,
                    identity,
                    ordinal,
                    clock,
                    lease: &lease,
                    discovery: &discovery,
                    client,
                    spans: spans.clone(),
                };
                let draws = wiring.start(volume, outcomes, registry, stages)?;
                let snapshots = draws.ledger.snapshots();
                (Some(draws), snapshots)
            }
        };
        Ok(Parts {
            journal,
            ids,
            discovery,
            lease,
            lease_watch,
            draws,
            ledger,
            secret,
            spans,
        })
    }

    /// Has what the parts say told in `/readyz`, and the ledger's condition decide whether this member stands.
    fn watch_conditions(&self, config: &Config, readiness: &Readiness, stages: &mut Stages) {
        let conditions = Conditions {
            lease: self.lease.snapshots(),
            lease_watch: self.lease_watch.clone(),
            lease_made_by: lease_store::made_by(config),
            peers: self.discovery.peers(),
            voters: config.draw.voters,
            journal: self.journal.state(),
            ids: self.ids.clone(),
            ledger: self.ledger.clone(),
            draw: self.draws.as_ref().map(|draws| draws.trouble.clone()),
        };
        let told = conditions.tell(readiness);
        stages.keeper("conditions", |stop| async move {
            told.run(stop).await;
            Ok(())
        });
    }
}

/// What the parts of the draw are built from.
struct Wiring<'a> {
    config: &'a Config,
    identity: &'a Identity,
    ordinal: u16,
    clock: &'a Clock,
    lease: &'a LeaseHandle,
    discovery: &'a DiscoveryHandle,
    client: Arc<PeerClient>,
    spans: Spans,
}

impl Wiring<'_> {
    fn start(
        self,
        volume: &Volume,
        outcomes: mpsc::Receiver<(u64, CommitOutcome)>,
        registry: &mut Registry,
        stages: &mut Stages,
    ) -> Result<DrawHandles, MemberError> {
        let set = self.identity.name.set.clone();
        let ledger = LedgerConfig {
            path: volume.dir().join("ledger.db"),
            storage: StorageConfig {
                max_bytes: self.config.ledger_max,
            },
            contributor: Contributor {
                set: set.clone(),
                ordinal: self.ordinal,
            },
        };
        let (ledger_part, ledger) = ledger::start(ledger, self.clock.clone(), LedgerMetrics::register(registry))?;
        let views = self.lease.snapshots();
        stages.keeper("ledger", |stop| async move { Ok(ledger_part.run(views, stop).await?) });
        let (stands, snapshots) = (self.lease.clone(), ledger.snapshots());
        stages.office("standing", |stop| async move {
            condition::stand(stands, snapshots, stop).await;
            Ok(())
        });
        let (fetching, peers, client) = (ledger.clone(), self.discovery.peers(), self.client.clone());
        stages.office("catch-up", |stop| async move {
            catch_up::run(fetching, peers, client, stop).await;
            Ok(())
        });
        let conductor = ConductorConfig {
            set,
            ordinal: self.ordinal,
            identity: self.identity.lease(),
            voters: self.config.draw.voters,
            schedule: self.config.draw.schedule.clone(),
            deadline: self.config.draw.deadline,
            lease_duration: self.config.lease.duration,
        };
        let (restarts, asked) = mpsc::channel(1);
        let parts = DrawParts {
            lease: self.lease.clone(),
            outcomes,
            ledger: ledger.clone(),
            peers: self.discovery.peers(),
            client: self.client,
            restarts: asked,
            metrics: DrawMetrics::register(registry),
            spans: self.spans,
        };
        let (draw, trouble) = DrawTask::new(conductor, self.clock.clone(), parts, rand::random());
        stages.office("draw", |stop| async move {
            draw.run(stop).await;
            Ok(())
        });
        Ok(DrawHandles {
            ledger,
            restarts,
            trouble,
        })
    }
}

/// What the listeners are built from.
struct Listening<'a> {
    identity: &'a Identity,
    config: &'a Config,
    clock: &'a Clock,
    readiness: &'a Readiness,
    log: LogControl,
    shutdown: mpsc::Sender<()>,
    open_files: u64,
}

impl Listening<'_> {
    fn serve(self, sockets: Sockets, parts: &Parts, mut metrics: Metrics, stages: &mut Stages) {
        let http = HttpMetrics::register(&mut metrics.registry);
        let prefix: u32 = rand::random();
        let routes = |name, limits| {
            Routes::new(name, limits, self.clock.clone(), http.clone(), prefix).telling(parts.spans.clone())
        };
        let public_limits = Limits {
            connections: self.config.connection_limit,
            ..Limits::public()
        }
        .within(self.open_files);
        let streams = Streams::new(public_limits.streams(), &http);
        let readable = routes("public", RequestLimits::public()).readable(Readable::by(&self.config.allowed_origins));
        let public = public::router(self.public(parts, streams), readable);
        let peer = peer::router(
            Peer {
                service: PeerAnswers(parts.draws.as_ref().map(|draws| draws.ledger.clone())),
                set: self.identity.name.set.clone(),
                secret: parts.secret.clone(),
                clock: self.clock.clone(),
                metrics: http.clone(),
            },
            routes("peer", RequestLimits::peer()),
        );
        let admin = admin::router(
            Admin {
                actions: adapters::admin_actions(
                    &parts.draws,
                    parts.journal.clone(),
                    self.log.clone(),
                    self.shutdown.clone(),
                ),
                ledger: parts.ledger.clone(),
            },
            routes("admin", RequestLimits::admin()),
        );
        let registry = Arc::new(metrics.registry);
        let scraped = crate::http::scrape::router(registry, routes("metrics", RequestLimits::public()));
        let drain_time = self.config.shutdown.drain_limit;
        for (name, socket, router, limits) in [
            ("public", sockets.public, public, public_limits),
            ("peer", sockets.peer, peer, Limits::peer()),
            ("admin", sockets.admin, admin, Limits::internal()),
            ("metrics", sockets.metrics, scraped, Limits::internal()),
        ] {
            let listener = Listener {
                name,
                socket,
                router,
                limits: Limits { drain_time, ..limits },
                clock: self.clock.clone(),
                metrics: http.clone(),
            };
            stages.listener(name, |stop| async move { Ok(listener.run(stop).await?) });
        }
    }

    fn public(&self, parts: &Parts, streams: Streams) -> Public<RandomNumbers, IdService, JournalService> {
        let journal = JournalService(parts.journal.clone());
        Public {
            numbers: Numbers::new(
                RandomNumbers,
                journal.clone(),
                self.clock.clone(),
                self.identity.process,
                VERSION,
            ),
            ids: Ids {
                source: IdService(parts.ids.clone()),
                journal,
                clock: self.clock.clone(),
            },
            draws: Draws {
                ledger: parts.ledger.clone(),
                lease: parts.lease.snapshots(),
                clock: self.clock.clone(),
                stale_after: 2 * self.config.lease.duration,
                streams,
            },
            members: Members {
                name: self.identity.name.clone(),
                peers: parts.discovery.peers(),
                lease: parts.lease.snapshots(),
                clock: self.clock.clone(),
            },
            status: Status {
                readiness: self.readiness.clone(),
                version: VERSION,
            },
        }
    }
}
