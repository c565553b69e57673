//! What this member asks of the API server, as numbers.

use hyper::StatusCode;
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
            "1 while a watch of the Lease stands; without one the Lease is only polled, and a hand-over takes longer",
            metrics.watching.clone(),
        );
        // An alert on requests that get no answer needs the number from before the first.
        for verb in ["GET", "PUT", "WATCH"] {
            drop(metrics.requests.get_or_create(&Labels {
                verb: verb.to_owned(),
                code: "none".to_owned(),
            }));
        }
        metrics
    }

    pub(super) fn count(&self, verb: &str, code: Option<StatusCode>) {
        let labels = Labels {
            verb: verb.to_owned(),
            code: code.map_or_else(|| "none".to_owned(), |code| code.as_str().to_owned()),
        };
        self.requests.get_or_create(&labels).inc();
    }

    pub(super) fn watching(&self, stands: bool) {
        self.watching.set(i64::from(stands));
    }
}
