//! Metrics of the ledger.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Condition;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabel {
    condition: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct LedgerMetrics {
    pub(super) head: Gauge,
    pub(super) head_slot: Gauge,
    pub(super) records: Gauge,
    pub(super) used: Gauge,
    pub(super) aside: Gauge,
    pub(super) fence: Gauge,
    pub(super) failures: Counter,
    conditions: Family<ConditionLabel, Gauge>,
}

impl LedgerMetrics {
    pub fn register(registry: &mut Registry) -> LedgerMetrics {
        let metrics = LedgerMetrics::default();
        registry.register(
            "ledger_head_round",
            "Round of the newest final record",
            metrics.head.clone(),
        );
        registry.register_with_unit(
            "ledger_head_slot_timestamp",
            "Unix time of the newest final record's slot; 0 before the first. The head's age is time() minus this",
            Unit::Seconds,
            metrics.head_slot.clone(),
        );
        registry.register("ledger_records", "Records in the ledger", metrics.records.clone());
        registry.register_with_unit(
            "ledger_used",
            "Space used by records, of the space reserved",
            Unit::Bytes,
            metrics.used.clone(),
        );
        registry.register(
            "ledger_aside",
            "Tails set aside because the Lease went on without them",
            metrics.aside.clone(),
        );
        registry.register(
            "ledger_promised_fence",
            "Highest fence promised to a holder",
            metrics.fence.clone(),
        );
        registry.register(
            "ledger_write_failures",
            "Failed attempts to open or write the ledger",
            metrics.failures.clone(),
        );
        registry.register(
            "ledger_condition",
            "1 for the ledger's condition; a member stands for election only while it is `writable`",
            metrics.conditions.clone(),
        );
        metrics.set_condition(&Condition::Opening);
        metrics
    }

    pub(super) fn set_condition(&self, condition: &Condition) {
        let present = match condition {
            Condition::Opening => "opening",
            Condition::Writable => "writable",
            Condition::Unwritable(_) => "unwritable",
            Condition::Corrupt(_) => "corrupt",
        };
        for condition in ["opening", "writable", "unwritable", "corrupt"] {
            let gauge = self.conditions.get_or_create(&ConditionLabel { condition });
            gauge.set(i64::from(condition == present));
        }
    }
}
