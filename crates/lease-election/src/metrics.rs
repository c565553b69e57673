//! Metrics of the election, for `prometheus-client`. The names are theirs with the prefix of the registry.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::elector::Event;
use crate::leadership::{Leadership, LeaseSnapshot, LeaseTrouble};
use crate::payload::Payload;
use crate::store::{StoreError, WriteOutcome};

/// `absent`, `refused` or `unreachable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TroubleLabels {
    reason: &'static str,
}

/// What the elector counts. [`default`](LeaseMetrics::default) counts without a registry.
#[derive(Clone, Debug, Default)]
pub struct LeaseMetrics {
    pub(super) leading: Gauge,
    pub(super) fence: Gauge,
    pub(super) terms: Counter,
    pub(super) writes: Counter,
    conflicts: Counter,
    doubtful: Counter,
    pub(super) reads: Counter,
    failures: Counter,
    trouble: Family<TroubleLabels, Gauge>,
}

impl LeaseMetrics {
    /// Registers them all, each with its help text.
    pub fn register(registry: &mut Registry) -> LeaseMetrics {
        let metrics = LeaseMetrics::default();
        registry.register("lease_leading", "1 while this member leads", metrics.leading.clone());
        registry.register("lease_fence", "Fence of the lease as last seen", metrics.fence.clone());
        registry.register(
            "lease_terms",
            "Times this member became the holder",
            metrics.terms.clone(),
        );
        registry.register("lease_writes", "Writes sent to the lease store", metrics.writes.clone());
        registry.register(
            "lease_conflicts",
            "Writes rejected because another write came first",
            metrics.conflicts.clone(),
        );
        registry.register(
            "lease_doubtful_writes",
            "Writes whose answer was lost",
            metrics.doubtful.clone(),
        );
        registry.register("lease_reads", "Reads sent to the lease store", metrics.reads.clone());
        registry.register(
            "lease_failures",
            "Reads and writes that the lease store failed or refused",
            metrics.failures.clone(),
        );
        registry.register(
            "lease_trouble",
            "1 while the lease is unusable: there is no Lease (absent), no permission or credentials (refused), or no answer (unreachable)",
            metrics.trouble.clone(),
        );
        metrics.set_trouble(None);
        metrics
    }

    pub(super) fn set_trouble(&self, trouble: Option<&LeaseTrouble>) {
        let present = trouble.map(|trouble| match trouble {
            LeaseTrouble::Absent => "absent",
            LeaseTrouble::Store(StoreError::Refused(_)) => "refused",
            LeaseTrouble::Store(StoreError::Unreachable(_)) => "unreachable",
        });
        for reason in ["absent", "refused", "unreachable"] {
            let gauge = self.trouble.get_or_create(&TroubleLabels { reason });
            gauge.set(i64::from(present == Some(reason)));
        }
    }

    pub(super) fn count<P>(&self, event: &Event<P>) {
        match event {
            Event::Wrote {
                outcome: WriteOutcome::Conflict,
                ..
            } => drop(self.conflicts.inc()),
            Event::Wrote {
                outcome: WriteOutcome::Unknown(_),
                ..
            } => drop(self.doubtful.inc()),
            Event::Wrote {
                outcome: WriteOutcome::Failed(_),
                ..
            }
            | Event::Read { result: Err(_), .. } => {
                self.failures.inc();
            }
            _ => {}
        }
    }
}

/// Metrics that change with time alone, computed when they are scraped.
#[derive(Debug)]
pub struct LeaseTimes<P> {
    snapshots: watch::Receiver<Arc<LeaseSnapshot<P>>>,
    clock: Clock,
}

impl<P: Payload> LeaseTimes<P> {
    /// `snapshots` are those of [`LeaseHandle::snapshots`](crate::LeaseHandle::snapshots).
    pub fn register(registry: &mut Registry, snapshots: watch::Receiver<Arc<LeaseSnapshot<P>>>, clock: Clock) {
        registry.register_collector(Box::new(LeaseTimes { snapshots, clock }));
    }
}

impl<P: Payload> Collector for LeaseTimes<P> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let lease = self.snapshots.borrow().clone();
        let now = self.clock.boot();
        let present = match &lease.object {
            _ if lease.leads(now).is_some() => "leading",
            None => "unknown",
            Some(object) if object.spec.held_by().is_none() => "free",
            Some(_) if lease.expires_at.is_some_and(|at| at <= now) => "expired",
            Some(_) => "following",
        };
        let mut states = encoder.encode_descriptor(
            "lease_state",
            "1 for the lease's state as this member sees it: leading, following a holder, free, expired, or unknown.",
            None,
            MetricType::Gauge,
        )?;
        for state in ["leading", "following", "free", "expired", "unknown"] {
            let labels = [("state", state)];
            let value = ConstGauge::new(i64::from(state == present));
            value.encode(states.encode_family(&labels)?)?;
        }
        let mut seconds = |name: &str, help: &str, value: f64| {
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        seconds(
            "lease_renew_deadline_remaining",
            "Time until this member stops leading unless a renewal succeeds; 0 while it does not lead.",
            match lease.leadership {
                Leadership::Leader { renew_deadline, .. } => renew_deadline.since(now).as_secs_f64(),
                Leadership::Follower { .. } => 0.0,
            },
        )?;
        seconds(
            "lease_expiry_remaining",
            "Time until the lease expires unless its holder renews it; 0 when no member holds it.",
            lease
                .expires_at
                .map_or(Duration::ZERO, |at| at.since(now))
                .as_secs_f64(),
        )?;
        seconds(
            "lease_view_age",
            "Time since the lease store last confirmed this member's view of the lease; +Inf before the first time.",
            lease.age(now).map_or(f64::INFINITY, |age| age.as_secs_f64()),
        )
    }
}
