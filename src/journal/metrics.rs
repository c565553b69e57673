//! Metrics of the journal.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Clones share their metrics.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    pub(super) commits: Counter,
    pub(super) rows_per_commit: Histogram,
    dropped: Family<Reason, Counter>,
    pub(super) rows: Gauge,
    pub(super) oldest_row: Gauge,
    pub(super) newest_row: Gauge,
    pub(super) bytes: Gauge,
    pub(super) fill: Gauge<f64, AtomicU64>,
    pub(super) lag: Histogram,
    pub(super) recoveries: Counter,
    pub(super) corruptions: Counter,
    pub(super) working: Gauge,
}

impl JournalMetrics {
    pub fn register(registry: &mut Registry) -> JournalMetrics {
        let metrics = JournalMetrics {
            commits: Counter::default(),
            rows_per_commit: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            dropped: Family::default(),
            rows: Gauge::default(),
            oldest_row: Gauge::default(),
            newest_row: Gauge::default(),
            bytes: Gauge::default(),
            fill: Gauge::default(),
            lag: Histogram::new(exponential_buckets(0.000_1, 4.0, 9)),
            recoveries: Counter::default(),
            corruptions: Counter::default(),
            working: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("journal");
        registry.register("commits", "Transactions committed", metrics.commits.clone());
        registry.register(
            "rows_per_commit",
            "Entries in one transaction",
            metrics.rows_per_commit.clone(),
        );
        registry.register(
            "dropped",
            "Entries lost because the queue was full or the volume refused them",
            metrics.dropped.clone(),
        );
        registry.register("rows", "Entries in the journal", metrics.rows.clone());
        registry.register("oldest_row", "Row id of the oldest entry", metrics.oldest_row.clone());
        registry.register("newest_row", "Row id of the newest entry", metrics.newest_row.clone());
        registry.register_with_unit(
            "size",
            "Database, log and ballast on the volume",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register_with_unit(
            "fill",
            "Share of the database's pages in use",
            Unit::Other("ratio".to_owned()),
            metrics.fill.clone(),
        );
        registry.register_with_unit(
            "lag",
            "Time from the oldest entry of a transaction to its commit",
            Unit::Seconds,
            metrics.lag.clone(),
        );
        registry.register(
            "recoveries",
            "Times the journal recovered from a failure",
            metrics.recoveries.clone(),
        );
        registry.register(
            "corruptions",
            "Corrupt databases moved aside",
            metrics.corruptions.clone(),
        );
        registry.register(
            "working",
            "1 while the journal works and has its full share of the volume",
            metrics.working.clone(),
        );
        for reason in ["queue", "volume"] {
            metrics.dropped_for(reason, 0);
        }
        metrics
    }

    /// As last measured: entries, and bytes of database, log and ballast.
    pub(super) fn size(&self) -> (i64, i64) {
        (self.rows.get(), self.bytes.get())
    }

    pub(super) fn dropped_for(&self, reason: &'static str, entries: u64) {
        self.dropped.get_or_create(&Reason { reason }).inc_by(entries);
    }
}
