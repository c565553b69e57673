//! What stands behind the listeners, each part in the stage in which it stops.

use std::sync::Arc;
use std::time::Duration;

use lease_election::metrics::{LeaseMetrics, LeaseTimes};
use lease_election::{CommitOutcome, ElectorConfig, StoreError, task as lease};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use super::condition::{self, Conditions};
use super::error::MemberError;
use super::stages::Stages;
use super::{adapters, error, lease_store, spans};
use crate::client::Client;
use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::{Discovery, DiscoveryConfig, DiscoveryMetrics, PeerList};
use crate::draw::catch_up;
use crate::draw::conductor::ConductorConfig;
use crate::draw::contributor::Contributor;
use crate::draw::ledger::storage::StorageConfig;
use crate::draw::ledger::task::{self as ledger, LedgerConfig, LedgerHandle, LedgerMetrics};
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::draw::task::{DrawMetrics, DrawParts, DrawTask, Restart};
use crate::generator::ids;
use crate::identity::{Identity, Volume};
use crate::journal::{self, Journal, JournalConfig, JournalMetrics};
use crate::lease::LeaseHandle;
use crate::peer::client::{LIMITS, PeerClient};
use crate::peer::signature::PeerSecret;
use crate::readiness::Readiness;
use crate::trace::Spans;

/// The longest that a response waits for its journal entry or its id.
const VOLUME_PATIENCE: Duration = Duration::from_secs(5);

/// The handles of the running parts.
pub(super) struct Parts {
    pub journal: journal::JournalHandle,
    pub ids: ids::IdSource,
    pub peers: watch::Receiver<Arc<PeerList>>,
    pub lease: LeaseHandle,
    /// Why the Lease can only be polled, if its store reports it.
    pub lease_watch: Option<watch::Receiver<Option<StoreError>>>,
    /// None for a member without ordinal, which takes no part in draws.
    pub draws: Option<DrawHandles>,
    /// Of the ledger, or of an empty one if there is none.
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub secret: Option<PeerSecret>,
    pub spans: Spans,
}

pub(super) struct DrawHandles {
    pub ledger: LedgerHandle,
    pub restarts: mpsc::Sender<Restart>,
    pub trouble: watch::Receiver<Option<String>>,
}

impl Parts {
    /// Starts all of them.
    pub async fn start(
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
        stages.spawn_support("journal", |stop| async move { Ok(journal_part.run(stop).await?) });

        let ids = ids::IdsConfig {
            path: volume.dir().join("ids.floor"),
            ordinal: identity.name.ordinal,
            patience: VOLUME_PATIENCE,
        };
        let (ids, reserver) = ids::start(ids, clock.clone())?;
        stages.spawn_support("ids", |stop| async move { Ok(reserver.run(stop).await?) });

        let discovery = DiscoveryConfig {
            governing: config.discovery.name.clone(),
            nameservers: config.discovery.nameservers.clone().into(),
            member: identity.name.clone(),
            peer_port: config.listen.peer.port(),
            interval: config.discovery.interval,
            timeout: DiscoveryConfig::TIMEOUT,
        };
        let (discovery, peers) = Discovery::new(discovery, clock.clone(), DiscoveryMetrics::register(registry))?;
        stages.spawn_support("discovery", |stop| async move {
            discovery.run(stop).await;
            Ok(())
        });

        let (store, lease_watch) = lease_store::open(config, identity, clock, registry, stages).await?;
        let times = &config.lease;
        let elector = ElectorConfig::new(identity.lease(), times.duration, times.renew_deadline, times.retry)?;
        let (elector, lease, outcomes) = lease::new(elector, store, clock.clone(), LeaseMetrics::register(registry));
        LeaseTimes::register(registry, lease.snapshots(), clock.clone());
        stages.spawn_leading("elector", |mut stop| async move {
            elector.run(async move { stop.requested().await }).await;
            Ok(())
        });

        let (draws, ledger) = match identity.name.ordinal {
            None => {
                let none = ledger::unopened(Condition::Unwritable("a member without ordinal has no ledger".into()));
                (None, watch::Sender::new(Arc::new(none)).subscribe())
            }
            Some(ordinal) => {
                let client = Arc::new(PeerClient::new(Client::new(LIMITS), secret.clone(), clock.clone()));
                let wiring = Wiring {
                    config,
                    identity,
                    ordinal,
                    clock,
                    lease: &lease,
                    peers: &peers,
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
            peers,
            lease,
            lease_watch,
            draws,
            ledger,
            secret,
            spans,
        })
    }

    /// Starts reporting in `/readyz` what is wrong with the parts.
    pub fn report_conditions(&self, config: &Config, readiness: &Readiness, stages: &mut Stages) {
        let conditions = Conditions {
            lease: self.lease.snapshots(),
            lease_watch: self.lease_watch.clone(),
            lease_made_by: lease_store::made_by(config),
            peers: self.peers.clone(),
            voters: config.draw.voters,
            journal: self.journal.state(),
            ids: self.ids.clone(),
            ledger: self.ledger.clone(),
            draw: self.draws.as_ref().map(|draws| draws.trouble.clone()),
        };
        let readiness = readiness.clone();
        stages.spawn_support("conditions", |stop| async move {
            conditions.report(readiness, stop).await;
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
    peers: &'a watch::Receiver<Arc<PeerList>>,
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
        stages.spawn_support("ledger", |stop| async move { Ok(ledger_part.run(views, stop).await?) });
        let (stands, snapshots) = (self.lease.clone(), ledger.snapshots());
        stages.spawn_leading("standing", |stop| async move {
            condition::stand(stands, snapshots, stop).await;
            Ok(())
        });
        let (fetching, peers, client) = (ledger.clone(), self.peers.clone(), self.client.clone());
        stages.spawn_leading("catch-up", |stop| async move {
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
            peers: self.peers.clone(),
            client: self.client,
            restarts: asked,
            metrics: DrawMetrics::register(registry),
            spans: self.spans,
        };
        let (draw, trouble) = DrawTask::new(conductor, self.clock.clone(), parts, rand::random());
        stages.spawn_leading("draw", |stop| async move {
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
