//! The ledger, as numbers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Default)]
pub struct LedgerMetrics {
    pub(super) head: Gauge,
    pub(super) records: Gauge,
    pub(super) used: Gauge,
    pub(super) aside: Gauge,
    pub(super) fence: Gauge,
    pub(super) failures: Counter,
}

impl LedgerMetrics {
    pub fn register(registry: &mut Registry) -> LedgerMetrics {
        let metrics = LedgerMetrics::default();
        registry.register(
            "ledger_head_round",
            "Round of the newest final record",
            metrics.head.clone(),
        );
        registry.register("ledger_records", "Records in the ledger", metrics.records.clone());
        registry.register(
            "ledger_used_bytes",
            "Bytes of records in the ledger",
            metrics.used.clone(),
        );
        registry.register(
            "ledger_aside",
            "Tails that the Lease left behind",
            metrics.aside.clone(),
        );
        registry.register(
            "ledger_promised_fence",
            "Greatest fence promised to a holder",
            metrics.fence.clone(),
        );
        registry.register(
            "ledger_write_failures",
            "Writes to the ledger that failed",
            metrics.failures.clone(),
        );
        metrics
    }
}
