//! What the listeners count.
//!
//! `/` is answered in microseconds, so whatever is counted for every request is an atomic that the route already holds:
//! no label set is looked up, and no lock taken, until a response is of a rare kind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};

use super::connection::Cut;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    listener: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    listener: &'static str,
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    listener: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

/// Why a connection is ended by the member beside the reasons of [`Cut`]: too many of them, and the shutdown.
const OTHER_CUTS: [&str; 2] = ["full", "drain"];
/// Why a peer's message is refused.
const PEER_REFUSALS: [&str; 12] = [
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

/// The metrics of all listeners. Clones count into the same ones.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Durations>,
    in_flight: Family<ListenerLabels, Gauge>,
    connections: Family<ListenerLabels, Gauge>,
    cut: Family<ReasonLabels, Counter>,
    peer_refusals: Family<RefusalLabels, Counter>,
    draw_streams: Gauge,
}

impl HttpMetrics {
    pub fn register(registry: &mut Registry) -> HttpMetrics {
        let metrics = HttpMetrics {
            requests: Family::default(),
            durations: Family::default(),
            in_flight: Family::default(),
            connections: Family::default(),
            cut: Family::default(),
            peer_refusals: Family::default(),
            draw_streams: Gauge::default(),
        };
        registry.register(
            "http_requests",
            "Requests answered, by listener, route, method and status",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's headers to its response's headers",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered",
            metrics.in_flight.clone(),
        );
        registry.register("http_connections", "Connections open", metrics.connections.clone());
        registry.register(
            "http_connections_cut",
            "Connections ended by the member, by listener and reason",
            metrics.cut.clone(),
        );
        registry.register(
            "peer_messages_refused",
            "Messages of peers that were refused, by reason",
            metrics.peer_refusals.clone(),
        );
        registry.register(
            "http_draw_streams",
            "Streams of draws that are open; those cut because their reader is slow are connections cut as slow_stream",
            metrics.draw_streams.clone(),
        );
        // There from the first, so that what happens once is seen as an increase.
        for reason in PEER_REFUSALS {
            drop(metrics.peer_refusals.get_or_create(&RefusalLabels { reason }));
        }
        metrics
    }

    /// What one route counts into. `route` is the pattern (`/draws/{round}`), never what a client sent.
    pub(crate) fn route(&self, listener: &'static str, route: &'static str) -> RouteMetrics {
        RouteMetrics {
            get_ok: self.requests.get_or_create_owned(&RequestLabels {
                listener,
                route,
                method: "GET",
                status: 200,
            }),
            duration: self.durations.get_or_create_owned(&RouteLabels { listener, route }),
            in_flight: self.in_flight.get_or_create_owned(&ListenerLabels { listener }),
            requests: self.requests.clone(),
            listener,
            route,
        }
    }

    pub(crate) fn connections(&self, listener: &'static str) -> Gauge {
        for reason in Cut::ALL.map(Cut::name).into_iter().chain(OTHER_CUTS) {
            drop(self.cut.get_or_create(&ReasonLabels { listener, reason }));
        }
        self.connections.get_or_create_owned(&ListenerLabels { listener })
    }

    pub(crate) fn connection_cut(&self, listener: &'static str, reason: &'static str) {
        self.cut.get_or_create(&ReasonLabels { listener, reason }).inc();
    }

    pub(crate) fn draw_streams(&self) -> Gauge {
        self.draw_streams.clone()
    }

    pub(crate) fn peer_refused(&self, reason: &'static str) {
        self.peer_refusals.get_or_create(&RefusalLabels { reason }).inc();
    }
}

/// The handles of one route, resolved once.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    get_ok: Counter,
    duration: Durations,
    in_flight: Gauge,
    requests: Family<RequestLabels, Counter>,
    listener: &'static str,
    route: &'static str,
}

impl RouteMetrics {
    /// The route's pattern, or `other`.
    pub(crate) fn pattern(&self) -> &'static str {
        self.route
    }

    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(crate) fn answered(&self, method: &Method, status: StatusCode, took: Duration) {
        self.duration.observe(took);
        if *method == Method::GET && status == StatusCode::OK {
            self.get_ok.inc();
            return;
        }
        self.requests
            .get_or_create(&RequestLabels {
                listener: self.listener,
                route: self.route,
                method: label(method),
                status: status.as_u16(),
            })
            .inc();
    }
}

/// A request counts as in flight until its future ends, also when the client goes away.
pub(crate) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A client may invent methods; a label may not have as many values as that.
pub(crate) fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// Upper bounds of the buckets, in microseconds.
const BOUNDS_US: [u64; 12] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000,
];

/// A histogram of durations without the lock that the library's own takes on every observation.
#[derive(Clone, Debug, Default)]
struct Durations(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// One more than the bounds: the last is what is beyond them.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Durations {
    fn observe(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1_000 < ns);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.0.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Summed from what is shown, so that count and +Inf agree though others observe meanwhile.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.0.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_cumulative_buckets_and_requests_by_status() {
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry);
        let route = metrics.route("public", "/");
        for us in [50, 51, 10_000_000] {
            route.answered(&Method::GET, StatusCode::OK, Duration::from_micros(us));
        }
        let invented = Method::from_bytes(b"BREW").unwrap();
        route.answered(&invented, StatusCode::METHOD_NOT_ALLOWED, Duration::ZERO);
        drop(route.begin());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let labels = "listener=\"public\",route=\"/\"";
        for line in [
            format!("http_request_duration_seconds_bucket{{le=\"0.00005\",{labels}}} 2"),
            format!("http_request_duration_seconds_bucket{{le=\"0.0001\",{labels}}} 3"),
            format!("http_request_duration_seconds_bucket{{le=\"5.0\",{labels}}} 3"),
            format!("http_request_duration_seconds_bucket{{le=\"+Inf\",{labels}}} 4"),
            format!("http_requests_total{{{labels},method=\"GET\",status=\"200\"}} 3"),
            format!("http_requests_total{{{labels},method=\"other\",status=\"405\"}} 1"),
            "http_requests_in_flight{listener=\"public\"} 0".to_owned(),
        ] {
            assert!(text.contains(&line), "no {line} in\n{text}");
        }
    }
}
