//! Metrics of the requests to the API server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verb: String,
    code: String,
}

#[derive(Clone, Debug, Default)]
pub struct KubernetesMetrics {
    requests: Family<Labels, Counter>,
    watching: Gauge,
}

impl KubernetesMetrics {
    pub fn register(registry: &mut Registry) -> KubernetesMetrics {
        let metrics = KubernetesMetrics::default();
        registry.register(
            "lease_api_requests",
            "Requests to the Kubernetes API server, by verb and status code; code is `none` when no answer came",
            metrics.requests.clone(),
        );
        registry.register(
            "lease_watching",
            "1 while the Lease is watched; otherwise it is only polled, and a hand-over takes longer",
            metrics.watching.clone(),
        );
        // An alert on unanswered requests needs the counter before the first of them.
        for verb in ["GET", "PUT", "WATCH"] {
            drop(metrics.requests.get_or_create(&labels(verb, None)));
        }
        metrics
    }

    pub(super) fn count(&self, verb: &str, code: Option<u16>) {
        self.requests.get_or_create(&labels(verb, code)).inc();
    }

    pub(super) fn set_watching(&self, watching: bool) {
        self.watching.set(i64::from(watching));
    }
}

fn labels(verb: &str, code: Option<u16>) -> Labels {
    Labels {
        verb: verb.to_owned(),
        code: code.map_or_else(|| "none".to_owned(), |code| code.to_string()),
    }
}
