//! `/`: one number, and the process it came from.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::values::Value;
use super::{NumberRequest, NumberSource, nothing};
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{Format, JsonTextBytes, Raw, respond, respond_json};

#[derive(Serialize, ToSchema)]
struct Root {
    random: i32,
    /// Id of this process.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    version: &'static str,
}

/// `GET /` → `{"random": i32, "id": uuid of this process, "version": text}`; text: the number; bytes: 4, big-endian.
#[utoipa::path(
    get, path = "/", tag = "numbers", summary = "A random number, and the process it came from",
    params(("format" = Option<JsonTextBytes>, Query, description = "Format, instead of the Accept header")),
    responses(
        (status = 200, description = "The number", content((Root = "application/json", example = json!({"random": -1170105035, "id": "0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11", "version": "0.1.0"})), (String = "text/plain"), (Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn random<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (_, format) = request.read::<JsonTextBytes>(&["format"])?;
    if request.is_head() {
        return Ok(nothing(format, i32::length(format)));
    }
    // Each i32 is equally likely.
    let random = request.state.source.draw(|rng| rng.next_u32().cast_signed())?;
    request.record(1, Some(random)).await?;
    Ok(match format {
        Format::Text => respond(format, format!("{random}\n")),
        Format::Bytes => respond(format, random.to_be_bytes().to_vec()),
        Format::Json | Format::JsonLines => {
            let (id, version) = (request.state.process, request.state.version);
            respond_json(&Root { random, id, version })
        }
    })
}
