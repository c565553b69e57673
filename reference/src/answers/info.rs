//! `/info`: the process's settings, memory and processors.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use random_generator::metrics::resident_memory;
use random_generator::server::format::wanted;
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;

use super::{JSON, Shared, with};
use crate::memory::{MB, Memory};

/// Bytes shown of a file of the downward API; Kubernetes allows annotations of 256 KiB.
const POD_INFO_MAX: u64 = 1024 * 1024;

/// One JSON object, with a key only where there is a value. `env` has only the image's variables: an environment holds secrets.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if wanted(request.headers(), JSON) == 0 {
        return shared.fault(StatusCode::NOT_ACCEPTABLE, request.uri());
    }
    // Off the threads that serve: this reads /proc and /sys.
    let memory = spawn_blocking(|| (Memory::read(), resident_memory())).await;
    let (memory, resident) = memory.unwrap_or_default();
    let resident = resident.unwrap_or(0);
    let settings = &shared.settings;
    let pattern = settings.pattern.as_ref().or(settings.random_pattern.as_ref());
    let env: Map<String, Value> = settings
        .variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .collect();
    let text = |value: &Option<String>| value.as_deref().map(Value::from);
    let log_file = settings.log_file.as_ref().map(|path| path.display().to_string());
    let counted = |lost: Option<u64>| lost.filter(|lost| *lost > 0).map(Value::from);
    let fields = [
        (
            "memory.free",
            Some((memory.most().saturating_sub(resident) / MB).into()),
        ),
        ("memory.used", Some((resident / MB).into())),
        ("memory.max", Some((memory.most() / MB).into())),
        ("cpu.procs", Some(processors().into())),
        ("seed", settings.seed.map(Value::from)),
        ("pattern", pattern.map(|pattern| pattern.as_str().into())),
        ("build-type", text(&settings.build_type)),
        ("version", Some(settings.version.as_str().into())),
        ("id", Some(shared.id.as_str().into())),
        ("logFile", log_file.map(Value::from)),
        ("logFile.lost", counted(shared.log_file.as_ref().map(|log| log.lost()))),
        ("logUrl", text(&settings.log_url)),
        ("logUrl.lost", counted(shared.log_url.as_ref().map(|log| log.lost()))),
        ("NODE_NAME", text(&settings.node_name)),
        ("POD_IP", text(&settings.pod_ip)),
        ("labels", pod_info(&shared.settings.root.join("pod-info/labels")).await),
        (
            "annotations",
            pod_info(&shared.settings.root.join("pod-info/annotations")).await,
        ),
        ("env", Some(env.into())),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    with(JSON, Value::Object(fields.collect()).to_string())
}

/// As many as this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The file's raw text; none where it isn't mounted.
async fn pod_info(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path)
        .await
        .ok()?
        .take(POD_INFO_MAX)
        .read_to_end(&mut bytes)
        .await
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into())
}
