//! Metrics of the ledger.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Condition;
use crate::metrics::{register, register_with_unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabel {
    condition: &'static str,
}

#[derive(Clone, Debug)]
pub struct LedgerMetrics {
    pub(super) head: Gauge,
    pub(super) head_slot: Gauge,
    pub(super) records: Gauge,
    pub(super) used: Gauge,
    pub(super) aside: Gauge,
    pub(super) forgotten: Counter,
    pub(super) fence: Gauge,
    pub(super) failures: Counter,
    conditions: Family<ConditionLabel, Gauge>,
}

impl LedgerMetrics {
    pub fn register(registry: &mut Registry) -> LedgerMetrics {
        let metrics = LedgerMetrics {
            head: register(registry, "ledger_head_round", "Round of the newest final record"),
            head_slot: register_with_unit(
                registry,
                "ledger_head_slot_timestamp",
                "Unix time of the newest final record's slot; 0 before the first. The head's age is time() minus this",
                Unit::Seconds,
            ),
            records: register(registry, "ledger_records", "Records in the ledger"),
            used: register_with_unit(
                registry,
                "ledger_used",
                "Space used by records, of the space reserved",
                Unit::Bytes,
            ),
            aside: register(
                registry,
                "ledger_aside",
                "Tails set aside because the Lease went on without them",
            ),
            forgotten: register(
                registry,
                "ledger_aside_forgotten",
                "Tails no longer listed, because 64 newer ones were set aside",
            ),
            fence: register(registry, "ledger_promised_fence", "Highest fence promised to a holder"),
            failures: register(
                registry,
                "ledger_write_failures",
                "Failed attempts to open or write the ledger",
            ),
            conditions: register(
                registry,
                "ledger_condition",
                "1 for the ledger's condition; a member stands for election only while it is `writable`",
            ),
        };
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
