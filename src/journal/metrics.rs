//! Metrics of the journal.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::{register, register_with_unit};

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
        let registry = registry.sub_registry_with_prefix("journal");
        let rows_per_commit = Histogram::new(exponential_buckets(1.0, 2.0, 11));
        let help = "Entries in one transaction";
        registry.register("rows_per_commit", help, rows_per_commit.clone());
        let lag = Histogram::new(exponential_buckets(0.000_1, 4.0, 9));
        let help = "Time from the oldest entry of a transaction to its commit";
        registry.register_with_unit("lag", help, Unit::Seconds, lag.clone());
        let (bytes, ratio) = (Unit::Bytes, Unit::Other("ratio".to_owned()));
        let metrics = JournalMetrics {
            commits: register(registry, "commits", "Transactions committed"),
            rows_per_commit,
            dropped: register(
                registry,
                "dropped",
                "Entries lost because the queue was full or the volume refused them",
            ),
            rows: register(registry, "rows", "Entries in the journal"),
            oldest_row: register(registry, "oldest_row", "Row id of the oldest entry"),
            newest_row: register(registry, "newest_row", "Row id of the newest entry"),
            bytes: register_with_unit(registry, "size", "Database, log and ballast on the volume", bytes),
            fill: register_with_unit(registry, "fill", "Share of the database's pages in use", ratio),
            lag,
            recoveries: register(registry, "recoveries", "Times the journal recovered from a failure"),
            corruptions: register(registry, "corruptions", "Corrupt databases moved aside"),
            working: register(
                registry,
                "working",
                "1 while the journal works and has its full share of the volume",
            ),
        };
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
