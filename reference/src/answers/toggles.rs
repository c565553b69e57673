//! `/toggle-live`, `/toggle-ready`, `/shutdown`: for trying out probes and hooks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;

use super::{Shared, empty};

/// Flips the health in `/actuator/health`.
pub(super) async fn live(State(shared): State<Arc<Shared>>) -> Response {
    let was = shared.healthy.fetch_xor(true, Ordering::Relaxed);
    tracing::info!(healthy = !was, "/toggle-live");
    empty()
}

/// Removes the file of readiness, or makes it; 500 where neither can be done.
pub(super) async fn ready(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    match shared.ready.toggle().await {
        Ok(()) => empty(),
        Err(_) => shared.fault(StatusCode::INTERNAL_SERVER_ERROR, &uri),
    }
}

/// Ends the process gracefully, after this answer.
pub(super) async fn shutdown(State(shared): State<Arc<Shared>>) -> Response {
    tracing::info!("/shutdown: asked to end");
    // Full: somebody asked before.
    let _ = shared.shutdown.try_send(());
    let mut response = empty();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}
