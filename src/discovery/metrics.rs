//! What discovery counts.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::PeerList;
use crate::metrics::{register, register_with_unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// All outcomes of a look-up.
const OUTCOMES: [&str; 8] = [
    "found",
    "empty",
    "nxdomain",
    "timeout",
    "servfail",
    "refused",
    "truncated",
    "failed",
];

/// Clones count together. The default isn't registered anywhere.
#[derive(Clone, Debug, Default)]
pub struct DiscoveryMetrics {
    lookups: Family<OutcomeLabel, Counter>,
    peers: Gauge,
    stale: Gauge,
    /// A time rather than an age, which would stand still between two look-ups.
    last_answer: Gauge<i64, AtomicI64>,
}

impl DiscoveryMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let peers_help = "Members in the list, this one included";
        let stale_help = "1 while the last look-up failed and the previous list is in use";
        let answer_help = "Unix time of the last answer; 0 before the first. time() minus this is the age of the list";
        let answer = "discovery_last_answer_timestamp";
        let metrics = DiscoveryMetrics {
            lookups: register(registry, "discovery_lookups", "SRV look-ups by outcome"),
            peers: register(registry, "discovery_peers", peers_help),
            stale: register(registry, "discovery_stale", stale_help),
            last_answer: register_with_unit(registry, answer, answer_help, Unit::Seconds),
        };
        for outcome in OUTCOMES {
            drop(metrics.lookups.get_or_create(&OutcomeLabel { outcome }));
        }
        metrics
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.lookups.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn publish(&self, list: &PeerList) {
        self.peers.set(i64::try_from(list.peers.len()).unwrap_or(i64::MAX));
        self.stale.set(i64::from(list.stale));
        self.last_answer
            .set(list.resolved_at.map_or(0, |(_, wall)| wall.seconds()));
    }
}
