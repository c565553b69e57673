//! `/`: one number.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use random_generator::clock::Boot;
use random_generator::server::format::wanted;

use super::{JSON, Shared, parameter, with};
use crate::burn::draws;
use crate::java_number;
use crate::line;

/// `{"random": i32, "id": uuid of the process, "version": text}`, and `"pattern"` where there is one. `?burn=n` draws
/// n × 1,000,000 numbers before; 400 for what is no number of 64 bits, 406 without JSON in `Accept`, 503 when too many burn.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let began = shared.clock.boot();
    let (parts, _) = request.into_parts();
    match draw(&shared, &parts.headers, &parts.uri).await {
        Ok(number) => {
            shared.log(number, began).await;
            with(JSON, shared.body(number))
        }
        Err(status) => shared.fault(status, &parts.uri),
    }
}

async fn draw(shared: &Shared, headers: &HeaderMap, uri: &Uri) -> Result<i32, StatusCode> {
    if wanted(headers, JSON) == 0 {
        return Err(StatusCode::NOT_ACCEPTABLE);
    }
    let burn = match parameter(uri, "burn") {
        Ok(None) => 0,
        Ok(Some(text)) if text.trim().is_empty() => 0,
        Ok(Some(text)) => java_number::long(&text).ok_or(StatusCode::BAD_REQUEST)?,
        Err(()) => return Err(StatusCode::BAD_REQUEST),
    };
    let entropy = |_| StatusCode::INTERNAL_SERVER_ERROR;
    match draws(burn) {
        0 => shared.numbers.next().map_err(entropy),
        count => {
            let part = shared.numbers.part(count).map_err(entropy)?;
            let burnt = shared.burns.burn(part, count).await;
            let mut part = burnt.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
            shared.numbers.after(&mut part).map_err(entropy)
        }
    }
}

impl Shared {
    /// Queues the number for LOG_FILE and LOG_URL.
    async fn log(&self, number: i32, began: Boot) {
        if self.log_file.is_none() && self.log_url.is_none() {
            return;
        }
        let now = self.clock.now();
        let took = now.boot.since(began);
        if let Some(log_url) = &self.log_url {
            log_url.post(&self.id, number, took);
        }
        if let Some(log_file) = &self.log_file {
            let mut text = Vec::with_capacity(96);
            line::push(&mut text, now.wall, &self.id, took, number);
            log_file.append(&text).await;
        }
    }

    fn body(&self, number: i32) -> String {
        let mut body = String::with_capacity(24 + self.tail.len());
        // Writing to a String does not fail.
        let _ = write!(body, "{{\"random\":{number}{}", self.tail);
        body
    }
}

/// What follows the number in every answer.
pub(crate) fn tail(id: &str, version: &str, pattern: Option<&str>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut tail = format!(",\"id\":{},\"version\":{}", quoted(id), quoted(version));
    if let Some(pattern) = pattern.filter(|pattern| *pattern != "None") {
        // Writing to a String does not fail.
        let _ = write!(tail, ",\"pattern\":{}", quoted(pattern));
    }
    tail.push('}');
    tail
}
