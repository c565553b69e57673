//! What stands behind the listeners, each part in the stage in which it stops.

use std::sync::Arc;
use std::time::Duration;

use lease_election::metrics::{LeaseMetrics, LeaseTimes};
use lease_election::task::{self as lease, Outcomes};
use lease_election::{ElectorConfig, StoreError};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use super::condition::{self, Conditions};
use super::error::MemberError;
use super::report::Reporter;
use super::stages::Stages;
use super::{adapters, error, lease_store, spans};
use crate::client::Client;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::discovery::{self, Discovery, DiscoveryConfig, DiscoveryMetrics, PeerList};
use crate::draw::catch_up;
use crate::draw::conductor::ConductorConfig;
use crate::draw::contributor::Contributor;
use crate::draw::ledger::history::History;
use crate::draw::ledger::storage::{MIN_MAX_BYTES, StorageConfig};
use crate::draw::ledger::task::{self as ledger, LedgerConfig, LedgerHandle, LedgerMetrics, LedgerTask};
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::draw::task::{DrawMetrics, DrawParts, DrawTask, Restart};
use crate::generator::ids;
use crate::identity::{Identity, Volume};
use crate::journal::{self, Journal, JournalConfig, JournalHandle, JournalMetrics};
use crate::lease::LeaseHandle;
use crate::peer::client::{LIMITS, PeerClient, REPORT_LIMITS};
use crate::peer::signature::PeerSecret;
use crate::readiness::Readiness;
use crate::set::{SetHandle, SetMetrics, SetParts, SetTask, question};
use crate::trace::Spans;

// The smallest sizes that the configuration takes are those that the parts work in.
const _: () = assert!(config::JOURNAL_MIN == journal::MIN_BYTES && config::LEDGER_MIN == MIN_MAX_BYTES);

/// The longest that a response waits for its journal entry or its id.
const VOLUME_PATIENCE: Duration = Duration::from_secs(5);

/// Why a store can't watch the Lease.
type WatchTrouble = watch::Receiver<Option<StoreError>>;
/// The handles of the running parts.
pub(super) struct Parts {
    pub journal: JournalHandle,
    pub ids: ids::IdSource,
    pub peers: watch::Receiver<Arc<PeerList>>,
    pub lease: LeaseHandle,
    /// Why the Lease can only be polled, if its store reports it.
    pub lease_watch: Option<WatchTrouble>,
    /// None for a member without ordinal, which takes no part in draws.
    pub draws: Option<DrawHandles>,
    /// Of the ledger, or of an empty one if there is none.
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub history: History,
    pub reporter: Reporter,
    pub set: SetHandle,
    pub secret: Option<PeerSecret>,
    pub spans: Spans,
}

pub(super) struct DrawHandles {
    pub ledger: LedgerHandle,
    pub restarts: mpsc::Sender<Restart>,
    pub trouble: watch::Receiver<Option<String>>,
}

impl Parts {
    /// Starts reporting in `/readyz` what is wrong with the parts.
    pub fn report_conditions(&self, config: &Config, readiness: &Readiness, stages: &mut Stages) {
        let conditions = Conditions {
            lease: self.lease.snapshots(),
            lease_watch: self.lease_watch.clone(),
            lease_made_by: lease_store::made_by(config),
            lease_own: lease_store::own(config),
            set: config.identity.pod_name.set.clone(),
            peers: self.peers.clone(),
            srv_name: srv_name(config),
            voters: config.draw.voters,
            journal: self.journal.state(),
            ids: self.ids.clone(),
            ledger: self.ledger.clone(),
            draw: self.draws.as_ref().map(|draws| draws.trouble.clone()),
        };
        let readiness = readiness.clone();
        stages
            .support
            .spawn("conditions", |stop| conditions.report(readiness, stop));
    }
}

/// What DNS is asked for to find the peers; empty without a governing Service.
fn srv_name(config: &Config) -> String {
    let governing = config.discovery.discovery_name.as_deref();
    governing.map(discovery::srv_name).unwrap_or_default()
}

/// A ledger that is being opened, and doesn't know the lease yet.
struct OwnLedger {
    ordinal: u16,
    task: LedgerTask,
    handle: LedgerHandle,
}

/// What the parts are built from.
pub(super) struct Setup<'a> {
    pub config: &'a Config,
    pub identity: &'a Identity,
    pub volume: &'a Volume,
    pub clock: &'a Clock,
    pub registry: &'a mut Registry,
    pub stages: &'a mut Stages,
}

impl Setup<'_> {
    /// Starts all parts.
    pub async fn start(mut self, readiness: &Readiness) -> Result<Parts, MemberError> {
        let started_at = self.clock.wall().timestamp().to_string();
        let spans = spans::start(self.config, self.identity, self.registry, self.stages);
        let secret = self.config.discovery.peer_secret_file.as_deref();
        let secret = secret.map(error::read_secret).transpose()?;
        // First the threads that open files: the volume takes longest.
        let journal = self.start_journal()?;
        let ids = self.start_ids()?;
        let ordinal = self.identity.name.ordinal;
        let ledger = ordinal.map(|ordinal| self.start_ledger(ordinal)).transpose()?;
        let peers = self.start_discovery()?;
        let (lease, lease_watch, outcomes) = self.start_elector().await?;
        let draws = match ledger {
            Some(ledger) => {
                let client = PeerClient::new(Client::new(LIMITS), secret.clone(), self.clock.clone());
                Some(self.start_draws(ledger, &lease, outcomes, &peers, client.into(), spans.clone()))
            }
            None => None,
        };
        let history = draws
            .as_ref()
            .map_or_else(History::none, |draws| draws.ledger.history().clone());
        let ledger = match &draws {
            Some(draws) => draws.ledger.snapshots(),
            None => {
                let none = ledger::unopened(Condition::Unwritable("a member without ordinal has no ledger".into()));
                watch::Sender::new(Arc::new(none)).subscribe()
            }
        };
        let reporter = Reporter {
            name: self.identity.name.clone(),
            node: self.identity.node_name.clone(),
            started_at,
            readiness: readiness.clone(),
            journal: journal.clone(),
            ledger: ledger.clone(),
            lease: lease.clone(),
            schedule: self.config.draw.schedule.clone(),
            clock: self.clock.clone(),
        };
        let set = self.start_set(&reporter, &peers, secret.clone());
        Ok(Parts {
            reporter,
            set,
            journal,
            ids,
            peers,
            lease,
            lease_watch,
            draws,
            ledger,
            history,
            secret,
            spans,
        })
    }

    fn start_journal(&mut self) -> Result<JournalHandle, MemberError> {
        let config = JournalConfig {
            path: self.volume.dir().join("journal.db"),
            durability: adapters::durability(self.config.volume.durability),
            max_bytes: match self.config.volume.journal_max {
                Some(bytes) => bytes,
                None => journal::default_max_bytes(self.volume).map_err(|source| MemberError::Volume {
                    path: self.volume.dir().to_owned(),
                    source,
                })?,
            },
        };
        let metrics = JournalMetrics::register(self.registry);
        let (handle, journal) = Journal::start(config, self.clock.clone(), metrics)?;
        self.stages.support.spawn("journal", |stop| journal.run(stop));
        Ok(handle)
    }

    fn start_ids(&mut self) -> Result<ids::IdSource, MemberError> {
        let config = ids::IdsConfig {
            path: self.volume.dir().join("ids.floor"),
            ordinal: self.identity.name.ordinal,
            patience: VOLUME_PATIENCE,
        };
        let (ids, reserver) = ids::start(config, self.clock.clone())?;
        self.stages.support.spawn("ids", |stop| reserver.run(stop));
        Ok(ids)
    }

    fn start_discovery(&mut self) -> Result<watch::Receiver<Arc<PeerList>>, MemberError> {
        let config = DiscoveryConfig {
            governing: self.config.discovery.discovery_name.clone(),
            nameservers: self.config.discovery.discovery_nameserver.clone().into(),
            member: self.identity.name.clone(),
            peer_port: self.config.listen.peer_listen.port(),
            interval: self.config.discovery.discovery_interval,
            timeout: DiscoveryConfig::TIMEOUT,
        };
        let metrics = DiscoveryMetrics::register(self.registry);
        let (discovery, peers) = Discovery::new(config, self.clock.clone(), metrics)?;
        self.stages.support.spawn("discovery", |stop| discovery.run(stop));
        Ok(peers)
    }

    async fn start_elector(&mut self) -> Result<(LeaseHandle, Option<WatchTrouble>, Outcomes), MemberError> {
        let (config, clock) = (self.config, self.clock);
        let (store, trouble) = lease_store::open(config, self.identity, clock, self.registry, self.stages).await?;
        let times = &config.lease;
        let config = ElectorConfig::new(self.identity.lease(), times.duration, times.renew_deadline, times.retry)?;
        let metrics = LeaseMetrics::register(self.registry);
        let (elector, lease, outcomes) = lease::new(config, store, clock.clone(), metrics);
        LeaseTimes::register(self.registry, lease.snapshots(), clock.clone());
        self.stages
            .leading
            .spawn("elector", |mut stop| elector.run(async move { stop.requested().await }));
        Ok((lease, trouble, outcomes))
    }

    fn start_set(
        &mut self,
        reporter: &Reporter,
        peers: &watch::Receiver<Arc<PeerList>>,
        secret: Option<PeerSecret>,
    ) -> SetHandle {
        let name = self.identity.name.clone();
        let client = PeerClient::new(Client::new(REPORT_LIMITS), secret, self.clock.clone());
        let own = reporter.clone();
        let parts = SetParts {
            // A member without ordinal takes no part in draws: it expects no voters.
            voters: name.ordinal.map(|_| self.config.draw.voters),
            ask: question::asking(client, &name),
            own: Arc::new(move || own.report()),
            name,
            peers: peers.clone(),
            metrics: SetMetrics::register(self.registry),
        };
        let (task, handle) = SetTask::new(parts, self.clock.clone());
        self.stages.support.spawn("set", |stop| task.run(stop));
        handle
    }

    fn start_ledger(&mut self, ordinal: u16) -> Result<OwnLedger, MemberError> {
        let config = LedgerConfig {
            path: self.volume.dir().join("ledger.db"),
            storage: StorageConfig {
                max_bytes: self.config.volume.ledger_max,
            },
            keep: self.config.volume.ledger_keep,
            contributor: Contributor {
                set: self.identity.name.set.clone(),
                ordinal,
            },
        };
        let metrics = LedgerMetrics::register(self.registry);
        let (task, handle) = ledger::start(config, self.clock.clone(), metrics)?;
        Ok(OwnLedger { ordinal, task, handle })
    }

    fn start_draws(
        &mut self,
        own: OwnLedger,
        lease: &LeaseHandle,
        outcomes: Outcomes,
        peers: &watch::Receiver<Arc<PeerList>>,
        client: Arc<PeerClient>,
        spans: Spans,
    ) -> DrawHandles {
        let OwnLedger {
            ordinal,
            task,
            handle: ledger,
        } = own;
        let set = self.identity.name.set.clone();
        let views = lease.snapshots();
        self.stages.support.spawn("ledger", |stop| task.run(views, stop));
        let (candidate, snapshots) = (lease.clone(), ledger.snapshots());
        self.stages
            .leading
            .spawn("standing", |stop| condition::stand(candidate, snapshots, stop));
        let (fetching, from, with) = (ledger.clone(), peers.clone(), client.clone());
        self.stages
            .leading
            .spawn("catch-up", |stop| catch_up::run(fetching, from, with, stop));
        let config = ConductorConfig {
            set,
            ordinal,
            identity: self.identity.lease(),
            voters: self.config.draw.voters,
            schedule: self.config.draw.schedule.clone(),
            deadline: self.config.draw.deadline,
            lease_duration: self.config.lease.duration,
        };
        let (restarts, restart_requests) = mpsc::channel(1);
        let parts = DrawParts {
            lease: lease.clone(),
            outcomes,
            ledger: ledger.clone(),
            peers: peers.clone(),
            srv_name: srv_name(self.config),
            client,
            restarts: restart_requests,
            metrics: DrawMetrics::register(self.registry),
            spans,
        };
        let (draw, trouble) = DrawTask::new(config, self.clock.clone(), parts, rand::random());
        self.stages.leading.spawn("draw", |stop| draw.run(stop));
        DrawHandles {
            ledger,
            restarts,
            trouble,
        }
    }
}
