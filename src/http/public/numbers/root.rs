//! `/`: one number, and the process it came from; for a browser the dashboard.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::values::{Bounded, Value};
use super::{NumberRequest, NumberSource, nothing};
use crate::http::dashboard;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{Format, JsonTextBytes, Raw, negotiate, prefers, respond};
use crate::server::query::Query;

const BEFORE: &str = "{\"random\":";

#[derive(Serialize, ToSchema)]
struct Root {
    random: i32,
    /// Id of this process.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    version: &'static str,
}

/// The process, as `/` shows it.
#[derive(Debug)]
pub struct Process {
    /// The JSON of a [`Root`] after its number, which is the same in all of them.
    rest: String,
}

impl Process {
    pub fn new(id: Uuid, version: &'static str) -> Process {
        let random = 0;
        // It is made of texts and numbers.
        let json = serde_json::to_string(&Root { random, id, version }).unwrap_or_default();
        let rest = json.strip_prefix(BEFORE).and_then(|json| json.strip_prefix('0'));
        Process {
            rest: rest.unwrap_or_default().to_owned(),
        }
    }

    fn json(&self, random: i32) -> Vec<u8> {
        let mut json = Vec::with_capacity(BEFORE.len() + i32::LONGEST + self.rest.len());
        json.extend_from_slice(BEFORE.as_bytes());
        random.text(&mut json);
        json.extend_from_slice(self.rest.as_bytes());
        json
    }
}

/// `GET /` → `{"random": i32, "id": uuid of this process, "version": text}`; text: the number; bytes: 4, big-endian. A client
/// that prefers HTML, as browsers do, gets the dashboard.
#[utoipa::path(
    get, path = "/", tag = "numbers", summary = "A random number, and the process it came from",
    description = "A client that prefers HTML, as browsers do, gets the dashboard instead, and no number is given out.",
    params(("format" = Option<JsonTextBytes>, Query, description = "Format, instead of the Accept header")),
    responses(
        (status = 200, description = "The number", content((Root = "application/json", example = json!({"random": -1170105035, "id": "0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11", "version": "0.1.0"})), (String = "text/plain"), (Raw = "application/octet-stream"), (String = "text/html"))),
    ),
)]
pub(in crate::http) async fn random<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let query = Query::parse(request.uri().query(), &["format"])?;
    let (headers, format) = (request.headers(), query.text("format"));
    if format.is_none() && prefers::<JsonTextBytes>(headers, "text/html") {
        return Ok(dashboard::root(headers));
    }
    let format = negotiate::<JsonTextBytes>(headers, format)?;
    if request.is_head() {
        return Ok(varying(nothing(format, i32::length(format))));
    }
    // Each i32 is equally likely.
    let random = request.state.source.draw(|rng| rng.next_u32().cast_signed())?;
    request.record(1, Some(random)).await?;
    Ok(varying(match format {
        Format::Text => respond(format, format!("{random}\n")),
        Format::Bytes => respond(format, random.to_be_bytes().to_vec()),
        Format::Json | Format::JsonLines => respond(format, request.state.process.json(random)),
    }))
}

/// A cache that has the dashboard must not give it to a client that asks for a number.
fn varying(mut response: Response) -> Response {
    let accept = HeaderValue::from_static("accept");
    response.headers_mut().insert(header::VARY, accept);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_that_of_its_schema() {
        let (id, version) = (Uuid::from_u128(7), "1.2.3");
        for random in [i32::MIN, -1, 0, i32::MAX] {
            let expected = serde_json::to_vec(&Root { random, id, version }).unwrap();
            assert_eq!(Process::new(id, version).json(random), expected);
        }
    }
}
