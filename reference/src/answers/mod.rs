//! The paths of the image, one file a group. Every path takes any method, except the actuator's, as in the image.

mod actuator;
mod info;
mod logs;
mod memory_eater;
mod number;
mod toggles;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{any, get};
use random_generator::clock::Clock;
use tokio::sync::mpsc;

use super::burn::Burns;
use super::fault::fault;
use super::log_file::LogFile;
use super::log_url::LogUrl;
use super::memory::Eater;
use super::numbers::Numbers;
use super::ready_file::ReadyFile;
use super::settings::Settings;

pub(super) const JSON: &str = "application/json";

/// The state that all answers share.
pub(super) struct Shared {
    /// Of this process.
    pub id: String,
    /// The text after the number in every answer of `/`.
    pub tail: String,
    pub settings: Settings,
    pub numbers: Numbers,
    pub clock: Clock,
    /// What `/toggle-live` flips.
    pub healthy: AtomicBool,
    pub ready: ReadyFile,
    pub burns: Burns,
    pub eater: Eater,
    pub log_file: Option<LogFile>,
    pub log_url: Option<LogUrl>,
    pub shutdown: mpsc::Sender<()>,
}

pub(super) use number::tail;

impl Shared {
    /// An error in the image's shape.
    fn fault(&self, status: StatusCode, uri: &Uri) -> Response {
        fault(status, uri, self.clock.wall())
    }
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", any(number::answer))
        .route("/info", any(info::answer))
        .route("/logs", any(logs::answer))
        .route("/tmp/logs", any(logs::answer))
        .route("/toggle-live", any(toggles::live))
        .route("/toggle-ready", any(toggles::ready))
        .route("/shutdown", any(toggles::shutdown))
        .route("/memory-eater", any(memory_eater::answer))
        .route("/actuator", get(actuator::links).fallback(only_get))
        .route("/actuator/", get(actuator::links).fallback(only_get))
        .route("/actuator/health", get(actuator::health).fallback(only_get))
        .route("/actuator/health/", get(actuator::health).fallback(only_get))
        .route(
            "/actuator/health/{*component}",
            get(actuator::component).fallback(only_get),
        )
        .fallback(async |State(shared): State<Arc<Shared>>, uri: Uri| shared.fault(StatusCode::NOT_FOUND, &uri))
        .with_state(shared)
}

async fn only_get(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let mut response = shared.fault(StatusCode::METHOD_NOT_ALLOWED, &uri);
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// 200 without a body.
fn empty() -> Response {
    Response::new(Body::empty())
}

/// 200 with a body of this type.
fn with(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let media_type = HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// The first value of a parameter, decoded. Err for a wrong encoding.
fn parameter(uri: &Uri, name: &str) -> Result<Option<String>, ()> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(None);
    }
    let Query(pairs): Query<Vec<(String, String)>> = Query::try_from_uri(uri).map_err(|_| ())?;
    Ok(pairs
        .into_iter()
        .find(|(there, _)| there == name)
        .map(|(_, value)| value))
}
