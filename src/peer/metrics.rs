//! What the peers' listener counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::metrics::register;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// All reasons for refusing a message.
const REASONS: [&str; 12] = [
    "unsigned",
    "forged",
    "late",
    "malformed",
    "truncated",
    "busy",
    "version",
    "set",
    "early",
    "fence",
    "ahead",
    "ledger",
];

#[derive(Clone, Debug)]
pub struct PeerMetrics {
    refused: Family<ReasonLabel, Counter>,
}

impl PeerMetrics {
    pub fn register(registry: &mut Registry) -> PeerMetrics {
        let help = "Messages from peers that were refused, by reason";
        let refused: Family<ReasonLabel, Counter> = register(registry, "peer_messages_refused", help);
        // At 0 from the start, so that `increase()` sees the first one.
        for reason in REASONS {
            drop(refused.get_or_create(&ReasonLabel { reason }));
        }
        PeerMetrics { refused }
    }

    pub(super) fn count_refusal(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}
