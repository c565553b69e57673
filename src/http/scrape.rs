//! The metrics listener: the whole registry as OpenMetrics text.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;

use crate::server::exchange::Routes;
use crate::server::problem::Problem;

/// `GET /metrics`: the whole registry. It has to be complete by now.
pub fn router(registry: Arc<Registry>, routes: Routes) -> Router {
    routes
        .group(registry, |group| group.route("/metrics", "GET, HEAD", get(show)))
        .finish()
}

async fn show(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::with_capacity(16 * 1024);
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
        tracing::error!(%error, "can't write the metrics");
        return Problem::internal().into_response();
    }
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
