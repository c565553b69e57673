//! What every listener counts.
//!
//! `/` is answered in microseconds, so what is counted for every request is held by its route: a label set is looked up only
//! for a rare kind of response.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::budget::Budget;
use super::cut::Cut;
use crate::metrics::{register, register_with_unit};

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

/// Upper bounds of the buckets of durations, in seconds.
const DURATIONS: [f64; 12] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
];
/// Reasons for ending a connection besides [`Cut`]: too many of them, and the shutdown.
const OTHER_CUTS: [&str; 2] = ["full", "drain"];
/// The metrics of all listeners. Clones count into the same ones.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<ListenerLabels, Gauge>,
    connections: Family<ListenerLabels, Gauge>,
    cut: Family<ReasonLabels, Counter>,
    held: Family<ListenerLabels, Gauge>,
    budgets: Family<ListenerLabels, Gauge>,
    refused: Family<ListenerLabels, Counter>,
}

impl HttpMetrics {
    pub fn register(registry: &mut Registry) -> HttpMetrics {
        let durations = Family::<RouteLabels, _, fn() -> Histogram>::new_with_constructor(|| Histogram::new(DURATIONS));
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's headers to its response's headers",
            Unit::Seconds,
            durations.clone(),
        );
        let requests_help = "Requests answered, by listener, route, method and status";
        let held_help =
            "Memory held for large requests and answers, by listener; on metrics a scrape counts its own 256 KiB";
        let budget_help = "Most memory that may be held for large requests and answers, by listener";
        let refused_help = "Requests refused because that memory was in use, by listener";
        let cut_help = "Connections ended by the member, by listener and reason";
        HttpMetrics {
            requests: register(registry, "http_requests", requests_help),
            durations,
            in_flight: register(registry, "http_requests_in_flight", "Requests in flight"),
            connections: register(registry, "http_connections", "Open connections"),
            cut: register(registry, "http_connections_cut", cut_help),
            held: register_with_unit(registry, "http_answer_memory_held", held_help, Unit::Bytes),
            budgets: register_with_unit(registry, "http_answer_memory_limit", budget_help, Unit::Bytes),
            refused: register(registry, "http_answer_memory_refusals", refused_help),
        }
    }

    /// The metrics of one route. `route` is the pattern (`/draws/{round}`), never what a client sent.
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

    /// A listener's memory for large requests and answers.
    pub fn budget(&self, listener: &'static str, bytes: u64) -> Budget {
        let labels = ListenerLabels { listener };
        let budget = Budget::new(
            bytes,
            self.held.get_or_create_owned(&labels),
            self.refused.get_or_create_owned(&labels),
        );
        self.budgets.get_or_create(&labels).set(budget.bytes());
        budget
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
}

/// The metrics of one route, looked up once.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    get_ok: Counter,
    duration: Histogram,
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
        self.duration.observe(took.as_secs_f64());
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

/// A request is in flight until its future ends, also when the client disconnects.
pub(crate) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The method as a label. A client may invent methods; a label has few values.
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
