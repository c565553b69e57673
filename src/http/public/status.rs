//! `/livez`, `/readyz` and `/version`: how this member is. Probes may add parameters of their own, which are ignored here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json as value;

use crate::draw::message;
use crate::http::format::json;
use crate::readiness::Readiness;

#[derive(Debug)]
pub struct Status {
    pub readiness: Readiness,
    pub version: &'static str,
}

/// `GET /livez` → 200 `{"alive": true}` as long as the runtime answers: nothing that a restart would not mend.
pub(super) async fn live() -> Response {
    json(&value!({"alive": true}))
}

/// `GET /readyz` → 200 or 503 `{"ready", "stopping", "latches": {…}, "degraded": [{"source", "reason"}]}`.
pub(super) async fn ready(State(state): State<Arc<Status>>) -> Response {
    let status = state.readiness.status();
    let mut response = json(&status);
    if !status.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `GET /version` → `{"version": text, "protocol": n}`; `protocol` is the newest peer protocol spoken.
pub(super) async fn version(State(state): State<Arc<Status>>) -> Response {
    json(&value!({"version": state.version, "protocol": message::VERSION}))
}
