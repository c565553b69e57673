//! The composition root: builds the parts, wires them, and starts and stops them in order.
//!
//! Data flows one way: config → parts → listeners. A part publishes snapshots through a `watch`, and takes requests through its
//! handle. [`parts`] starts what stands behind the listeners, [`listeners`] serves it, [`stages`] stops all of it; [`adapters`]
//! fits handles to the interfaces that HTTP defines, and [`condition`] turns snapshots into `/readyz`.

mod adapters;
mod condition;
mod error;
mod lease_store;
mod listeners;
mod parts;
mod report;
mod spans;
mod stages;

use tokio::time::Instant;

pub use self::error::MemberError;
use self::listeners::{AllSockets, Listening};
use self::parts::Setup;
use self::stages::{Stages, StopRequests};
use crate::clock::Clock;
use crate::config::{Config, Durability};
use crate::generator::random;
use crate::identity::{Identity, Volume};
use crate::metrics::Metrics;
use crate::readiness::{Latch, Readiness, ReadinessMetrics};
use crate::server::limits::raise_open_files_limit;
use crate::telemetry::LogControl;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs one member until it is asked to stop, or a part fails.
pub async fn run(config: Config, log: LogControl) -> Result<(), MemberError> {
    let clock = Clock::system();
    let readiness = Readiness::new();
    let mut stop_requests = StopRequests::listen(config.shutdown.stop_with_parent)?;
    let open_files = raise_open_files_limit();
    // Before anything else: a port in use is reported at once, and a restarted member is reachable while its volume opens.
    let sockets = AllSockets::bind(&config.listen)?;

    let identity = Identity::new(config.identity.clone())?;
    random::check_entropy()?;
    readiness.release(Latch::Entropy);
    let volume = Volume::claim(&config.volume.data_dir, &identity, &clock)?;
    readiness.release(Latch::Volume);
    if config.volume.durability == Durability::None {
        readiness.release(Latch::Journal);
    }
    log_start(&identity, &volume);
    sockets.log();

    let mut metrics = Metrics::new(VERSION, &clock);
    let mut stages = Stages::new();
    ReadinessMetrics::register(&mut metrics.registry, readiness.clone());
    let setup = Setup {
        config: &config,
        identity: &identity,
        volume: &volume,
        clock: &clock,
        registry: &mut metrics.registry,
        stages: &mut stages,
    };
    let parts = setup.start(&readiness).await?;
    parts.report_conditions(&config, &readiness, &mut stages);
    let listening = Listening {
        identity: &identity,
        config: &config,
        clock: &clock,
        readiness: &readiness,
        log,
        shutdown: stop_requests.sender(),
        open_files,
    };
    listening.serve(sockets, &parts, metrics, &mut stages);
    readiness.release(Latch::Listeners);

    let result = tokio::select! {
        biased;
        () = stop_requests.next() => Ok(()),
        failed = stages.failed() => Err(failed),
    };
    tracing::info!("stopping");
    let requested = Instant::now();
    readiness.stop();
    tokio::select! {
        biased;
        () = stop_requests.second(requested) => {
            tracing::warn!("second stop signal: exiting now");
            result
        }
        stopped = stages.stop(config.shutdown.shutdown_delay, config.shutdown.drain_limit) => result.and(stopped),
    }
}

fn log_start(identity: &Identity, volume: &Volume) {
    tracing::info!(
        member = %identity.name,
        lease = identity.lease(),
        volume = %volume.dir().display(),
        node = identity.node_name.as_deref(),
        address = identity.pod_ip.map(tracing::field::display),
        version = VERSION,
        "starting"
    );
    if identity.name.ordinal.is_none() {
        tracing::info!(
            "serves numbers, but neither leads nor draws: its name has no ordinal, as the names of a StatefulSet's Pods have"
        );
    }
}
