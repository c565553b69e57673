//! `/actuator` and `/actuator/health`: health as probes read it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use random_generator::metrics::resident_memory;
use random_generator::server::format::wanted;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::info::processors;
use super::{JSON, Shared, with};
use crate::memory::{MB, Memory};

const V3: &str = "application/vnd.spring-boot.actuator.v3+json";
const V2: &str = "application/vnd.spring-boot.actuator.v2+json";
/// Of those that a client wants alike, the first.
const MEDIA_TYPES: [&str; 3] = [V3, V2, JSON];
/// Groups that Spring Boot 2.7 adds on Kubernetes, and their components.
const PROBES: [&str; 2] = ["liveness", "readiness"];
const PROBE_STATES: [&str; 2] = ["livenessState", "readinessState"];
/// Bytes that must be free.
const THRESHOLD: u64 = 10 * 1024 * 1024;

/// Where health is.
pub(super) async fn links(State(shared): State<Arc<Shared>>, headers: HeaderMap, uri: Uri) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let link = |path: &str, templated: bool| json!({ "href": format!("http://{host}{path}"), "templated": templated });
    let links = json!({ "_links": {
        "self": link("/actuator", false),
        "health": link("/actuator/health", false),
        "health-path": link("/actuator/health/{*path}", true),
    }});
    shared.in_wanted_type(&headers, &uri, StatusCode::OK, &links)
}

/// 200 when all is UP, else 503.
pub(super) async fn health(State(shared): State<Arc<Shared>>, headers: HeaderMap, uri: Uri) -> Response {
    let (disk, toggle) = (disk_space().await, shared.toggle().await);
    let up = [&disk, &toggle].iter().all(|component| component["status"] == "UP");
    let mut health = json!({
        "status": status(up),
        "components": { "diskSpace": disk, "healthToggleIndicator": toggle, "ping": always_up() },
    });
    if shared.settings.has_probes {
        for state in PROBE_STATES {
            health["components"][state] = always_up();
        }
        health["groups"] = json!(PROBES);
    }
    shared.in_wanted_type(&headers, &uri, code(up), &health)
}

/// `ping`, `diskSpace` and what probes ask for; others have no path in the image, and its 404 is empty, but for a client that
/// wants none of its types.
pub(super) async fn component(
    State(shared): State<Arc<Shared>>,
    Path(component): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if preferred(&headers).is_none() {
        return shared.fault(StatusCode::NOT_ACCEPTABLE, &uri);
    }
    let found = match component.as_str() {
        "ping" => always_up(),
        "diskSpace" => disk_space().await,
        probe if shared.settings.has_probes && [PROBES, PROBE_STATES].concat().contains(&probe) => always_up(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    shared.in_wanted_type(&headers, &uri, code(found["status"] == "UP"), &found)
}

/// `24.4 MB`.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / MB as f64)
}

fn status(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}

fn code(up: bool) -> StatusCode {
    if up {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn always_up() -> Value {
    json!({ "status": "UP" })
}

/// Of the file system that the working directory is on, in bytes.
async fn disk_space() -> Value {
    // It may be a network's, and slow to say.
    let space = spawn_blocking(|| rustix::fs::statvfs(".")).await;
    let (total, free, exists) = match space {
        Ok(Ok(space)) => {
            let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
            (bytes(space.f_blocks), bytes(space.f_bavail), true)
        }
        _ => (0, 0, false),
    };
    json!({
        "status": status(exists && free >= THRESHOLD),
        "details": { "total": total, "free": free, "threshold": THRESHOLD, "exists": exists },
    })
}

impl Shared {
    /// There is no heap that grows in steps, so all that the process may have is its total.
    async fn toggle(&self) -> Value {
        let healthy = self.healthy.load(Ordering::Relaxed);
        let memory = spawn_blocking(|| (Memory::read(), resident_memory())).await;
        let (memory, resident) = memory.unwrap_or_default();
        let (most, used) = (memory.most(), resident.unwrap_or(0));
        json!({
            "status": status(healthy),
            "details": {
                "toggle": healthy,
                "usedMemory": megabytes(used),
                "totalMemory": megabytes(most),
                "maxMemory": megabytes(most),
                "freeMemory": megabytes(most.saturating_sub(used)),
                "availableProcessors": processors(),
            },
        })
    }

    /// In the type that the client prefers. Version 2 has other words for the components of a whole.
    fn in_wanted_type(&self, headers: &HeaderMap, uri: &Uri, status: StatusCode, body: &Value) -> Response {
        let Some(media_type) = preferred(headers) else {
            return self.fault(StatusCode::NOT_ACCEPTABLE, uri);
        };
        let mut body = body.clone();
        if media_type == V2
            && let Some(components) = body.as_object_mut().and_then(|whole| whole.remove("components"))
        {
            body["details"] = components;
        }
        let mut response = with(media_type, body.to_string());
        *response.status_mut() = status;
        response
    }
}

fn preferred(headers: &HeaderMap) -> Option<&'static str> {
    let most = MEDIA_TYPES.iter().map(|media_type| wanted(headers, media_type)).max()?;
    let mut alike = MEDIA_TYPES
        .into_iter()
        .filter(|media_type| wanted(headers, media_type) == most);
    alike.next().filter(|_| most > 0)
}
