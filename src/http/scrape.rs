//! The metrics listener: the whole registry, as OpenMetrics text or in the older text format of Prometheus.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::registry::Registry;

use crate::server::budget::Budget;
use crate::server::format::wanted;
use crate::server::problem::Problem;
use crate::server::routes::{Paths, Routes, get};

/// What an answer takes: the registry's text, in a buffer that doubles, and its translation. A member with many peers has about
/// 100 KB of it.
const ANSWER_BYTES: usize = 256 * 1024;

#[derive(Debug)]
struct Scrape {
    registry: Arc<Registry>,
    memory: Budget,
}

/// `GET /metrics`: the whole registry. It has to be complete by now.
pub fn paths(registry: Arc<Registry>, memory: Budget, routes: Routes) -> Paths {
    routes
        .group(Arc::new(Scrape { registry, memory }), |group| {
            group.route("/metrics", "GET, HEAD", get(show))
        })
        .finish()
}

const OPEN_METRICS: &str = "application/openmetrics-text";

async fn show(State(scrape): State<Arc<Scrape>>, headers: HeaderMap) -> Result<Response, Problem> {
    let hold = scrape.memory.take(ANSWER_BYTES).await?;
    let mut text = String::with_capacity(16 * 1024);
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &scrape.registry) {
        tracing::error!(%error, "can't write the metrics");
        return Err(Problem::internal());
    }
    // Prometheus says which one it prefers; what says nothing, such as curl for promtool, reads the older one.
    let (kind, text) = match wanted(&headers, OPEN_METRICS) > wanted(&headers, "text/plain") {
        true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        false => ("text/plain; version=0.0.4; charset=utf-8", without_open_metrics(&text)),
    };
    let text = hold.attach(text.into_bytes());
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// The same metrics in the text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>): it has neither units
/// nor an end, a counter has the name of its samples, and an info is a gauge.
fn without_open_metrics(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    // A HELP comes before its TYPE, which decides the name of both.
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), rest) => help = Some((name, rest.unwrap_or_default())),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                // Writing to a String can't fail.
                if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                    let _ = writeln!(older, "# HELP {name}{suffix} {help}");
                }
                let _ = writeln!(older, "# TYPE {name}{suffix} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                older.push_str(line);
                older.push('\n');
            }
        }
    }
    older
}
