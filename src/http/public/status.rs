//! `/livez`, `/readyz` and `/version`: this member's state. Parameters are ignored, since probes add their own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::readiness::{self, Readiness};
use crate::server::format::respond_json;

#[derive(Debug)]
pub struct Status {
    pub readiness: Readiness,
    pub version: &'static str,
    /// Newest supported version of the peer protocol.
    pub protocol: u32,
}

#[derive(Serialize, ToSchema)]
struct Live {
    alive: bool,
}

#[derive(Serialize, ToSchema)]
struct Version {
    version: &'static str,
    /// Newest supported version of the peer protocol.
    protocol: u32,
}

/// `GET /livez` → 200 `{"alive": true}` as long as the runtime answers: only what a restart would repair makes it fail.
#[utoipa::path(
    get, path = "/livez", tag = "status", summary = "Whether the process answers",
    responses((status = 200, description = "The process answers", body = Live)),
)]
pub(in crate::http) async fn live() -> Response {
    respond_json(&Live { alive: true })
}

/// `GET /readyz` → 200 or 503 `{"ready", "stopping", "latches": {…}, "degraded": [{"source", "reason"}]}`.
#[utoipa::path(
    get, path = "/readyz", tag = "status", summary = "Whether this member is ready, and what is degraded",
    responses(
        (status = 200, description = "Ready", body = readiness::Status),
        (status = 503, description = "Not ready", body = readiness::Status)
    ),
)]
pub(in crate::http) async fn ready(State(state): State<Arc<Status>>) -> Response {
    let status = state.readiness.status();
    let mut response = respond_json(&status);
    if !status.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `GET /version` → `{"version": text, "protocol": n}`; `protocol` is the newest peer protocol spoken.
#[utoipa::path(
    get, path = "/version", tag = "status", summary = "The version",
    responses((status = 200, description = "The version of the program, and of the peer protocol", body = Version)),
)]
pub(in crate::http) async fn version(State(state): State<Arc<Status>>) -> Response {
    respond_json(&Version {
        version: state.version,
        protocol: state.protocol,
    })
}
