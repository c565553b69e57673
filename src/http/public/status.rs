//! `/livez`, `/readyz` and `/version`: how this member is. Probes may add parameters of their own, which are ignored here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json as value;

use crate::http::openapi;
use crate::peer::message;
use crate::readiness::Readiness;
use crate::server::format::json;

#[derive(Debug)]
pub struct Status {
    pub readiness: Readiness,
    pub version: &'static str,
}

/// `GET /livez` → 200 `{"alive": true}` as long as the runtime answers: nothing that a restart would not mend.
#[utoipa::path(
    get,
    path = "/livez",
    summary = "Whether the process answers",
    tag = "status",
    responses(
        (status = 200, description = "The process answers", body = openapi::Live),
    ),
)]
pub(in crate::http) async fn live() -> Response {
    json(&value!({"alive": true}))
}

/// `GET /readyz` → 200 or 503 `{"ready", "stopping", "latches": {…}, "degraded": [{"source", "reason"}]}`.
#[utoipa::path(
    get,
    path = "/readyz",
    summary = "Whether it is ready, and what is degraded",
    tag = "status",
    responses(
        (status = 200, description = "Ready", body = openapi::Ready),
        (status = 503, description = "Not ready", body = openapi::Ready)
    ),
)]
pub(in crate::http) async fn ready(State(state): State<Arc<Status>>) -> Response {
    let status = state.readiness.status();
    let mut response = json(&status);
    if !status.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `GET /version` → `{"version": text, "protocol": n}`; `protocol` is the newest peer protocol spoken.
#[utoipa::path(
    get,
    path = "/version",
    summary = "The version",
    tag = "status",
    responses(
        (status = 200, description = "The version, and that of the peer protocol", body = openapi::Version),
    ),
)]
pub(in crate::http) async fn version(State(state): State<Arc<Status>>) -> Response {
    json(&value!({"version": state.version, "protocol": message::VERSION}))
}
