//! Whether this member should get requests, and what is wrong with it otherwise.
//!
//! A latch is released once, as its part comes up; all released means ready, until shutdown forces it off for good.
//! Anything else that goes wrong only degrades: `/readyz` reports it, and numbers are served all the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

/// What must happen once before this member is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latch {
    /// The listeners accept connections.
    Listeners,
    /// The volume is marked and locked as this member's.
    Volume,
    /// The operating system gave a seed for the generator.
    Entropy,
    /// The journal could be written but for a full volume, or its durability mode doesn't wait for it.
    Journal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latches {
    pub listeners: bool,
    pub volume: bool,
    pub entropy: bool,
    pub journal: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Degraded {
    /// The part that reports it: `lease`, `lease-watch`, `peers`, `draw`, `journal`, `ids` or `ledger`.
    pub source: Cow<'static, str>,
    pub reason: String,
}

/// All parts that report.
const SOURCES: [&str; 7] = ["draw", "ids", "journal", "ledger", "lease", "lease-watch", "peers"];

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Ready)]
pub struct Status {
    pub ready: bool,
    /// The shutdown has begun; `ready` stays false from here on.
    pub stopping: bool,
    pub latches: Latches,
    /// What is wrong, by source.
    pub degraded: Vec<Degraded>,
}

#[derive(Clone, Debug, Default)]
struct State {
    latches: Latches,
    stopping: bool,
    degraded: BTreeMap<&'static str, String>,
}

/// Clones share one state.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<State>);

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness::new()
    }
}

impl Readiness {
    pub fn new() -> Readiness {
        Readiness(watch::Sender::new(State::default()))
    }

    /// Releases a latch. It never closes again.
    pub fn release(&self, latch: Latch) {
        self.0.send_if_modified(|state| {
            let released = match latch {
                Latch::Listeners => &mut state.latches.listeners,
                Latch::Volume => &mut state.latches.volume,
                Latch::Entropy => &mut state.latches.entropy,
                Latch::Journal => &mut state.latches.journal,
            };
            !std::mem::replace(released, true)
        });
    }

    /// Makes the member unready for good: the first step of the shutdown.
    pub fn stop(&self) {
        self.0
            .send_if_modified(|state| !std::mem::replace(&mut state.stopping, true));
    }

    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    pub fn status(&self) -> Status {
        let state = self.0.borrow();
        Status {
            ready: state.is_ready(),
            stopping: state.stopping,
            latches: state.latches,
            degraded: state
                .degraded
                .iter()
                .map(|(source, reason)| Degraded {
                    source: Cow::Borrowed(source),
                    reason: reason.clone(),
                })
                .collect(),
        }
    }

    /// Reports what is wrong with a part, or that nothing is. Only a change is logged, so it may be called on every tick.
    pub fn report(&self, source: &'static str, reason: Option<String>) {
        self.0.send_if_modified(|state| {
            if state.degraded.get(source) == reason.as_ref() {
                return false;
            }
            match reason {
                Some(reason) => {
                    tracing::warn!(source, reason, "degraded");
                    state.degraded.insert(source, reason);
                }
                None => {
                    tracing::info!(source, "no longer degraded");
                    state.degraded.remove(source);
                }
            }
            true
        });
    }
}

impl State {
    fn is_ready(&self) -> bool {
        let Latches {
            listeners,
            volume,
            entropy,
            journal,
        } = self.latches;
        listeners && volume && entropy && journal && !self.stopping
    }
}

/// `/readyz`, as numbers.
#[derive(Debug)]
pub struct ReadinessMetrics(Readiness);

impl ReadinessMetrics {
    pub fn register(registry: &mut Registry, readiness: Readiness) {
        registry.register_collector(Box::new(ReadinessMetrics(readiness)));
    }
}

impl Collector for ReadinessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let state = self.0.0.borrow().clone();
        let help = "1 while /readyz answers 200.";
        let ready = encoder.encode_descriptor("ready", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(state.is_ready())).encode(ready)?;
        let help = "1 for each part that /readyz reports as degraded; /readyz and the log say why.";
        let mut parts = encoder.encode_descriptor("degraded", help, None, MetricType::Gauge)?;
        for source in SOURCES {
            let labels = [("source", source)];
            let degraded = ConstGauge::new(i64::from(state.degraded.contains_key(source)));
            degraded.encode(parts.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_ready_when_every_latch_is_released_and_until_it_stops() {
        let readiness = Readiness::new();
        readiness.release(Latch::Listeners);
        readiness.release(Latch::Volume);
        readiness.release(Latch::Entropy);
        assert!(!readiness.is_ready());
        readiness.release(Latch::Journal);
        assert!(readiness.is_ready());
        readiness.stop();
        readiness.release(Latch::Entropy);
        assert!(!readiness.is_ready(), "a stopping member is never ready again");
        assert!(readiness.status().stopping);
    }

    #[test]
    fn trouble_degrades_and_does_not_make_a_member_unready() {
        let readiness = Readiness::new();
        for latch in [Latch::Listeners, Latch::Volume, Latch::Entropy, Latch::Journal] {
            readiness.release(latch);
        }
        readiness.report("draw", Some("no majority".into()));
        readiness.report("lease", Some("unreachable".into()));
        let status = readiness.status();
        assert!(status.ready);
        let sources: Vec<_> = status.degraded.iter().map(|d| &*d.source).collect();
        assert_eq!(sources, ["draw", "lease"]);
        readiness.report("lease", None);
        assert_eq!(readiness.status().degraded.len(), 1);
    }
}
