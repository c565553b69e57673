//! `/uuids`: universally unique identifiers.

use rand::Rng;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::values::{Bounded, Writer};
use super::{NumberRequest, NumberSource, VALUES};
use crate::generator::distributions;
use crate::generator::timed_uuids::TIMED_UUID_BYTES;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{JsonTextBytes, Raw, Values, one_of};
use crate::server::problem::Problem;

/// The values of `?version=`, for the description.
pub(in crate::http) struct UuidVersion;

impl PartialSchema for UuidVersion {
    fn schema() -> RefOr<Schema> {
        one_of(["4", "7"].into_iter())
    }
}

impl ToSchema for UuidVersion {}

/// `GET /uuids?version=4&count=1` → `{"values": ["…"]}`; text: one a line; bytes: 16 each. Version 4 is random; version 7 begins
/// with the time in milliseconds, and ascends over all responses of this process (RFC 9562).
#[utoipa::path(
    get, path = "/uuids", tag = "numbers", summary = "UUIDs",
    params(
        ("version" = Option<UuidVersion>, Query, description = "4 is random; 7 begins with the time and ascends"),
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<JsonTextBytes>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The values", content((Values<String> = "application/json", example = json!({"values": ["0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11", "c7e5a0f4-81d2-4b6e-a3f9-2d7c1e90b853", "5e19d3b8-f2a7-4c04-8b61-90de4fa7c62f"]})), (String = "text/plain"), (Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn uuids<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (query, format) = request.read::<JsonTextBytes>(&["version", "count", "format"])?;
    let timed = match query.text("version") {
        None | Some("4") => false,
        Some("7") => true,
        other => {
            return Err(Problem::parameter("version", other, "unsupported version", "4, 7"));
        }
    };
    let count = query.integer("count", VALUES, 1)? as usize;
    let milliseconds = u64::try_from(request.exchange.started.wall.0 / 1_000).unwrap_or(0);
    if !timed {
        return request.give(format, count, || Ok(distributions::random_uuid)).await;
    }
    let ascending = |rng: &mut dyn Rng| {
        let mut uuids = request.state.timed_uuids.take(rng, milliseconds, count).into_iter();
        Ok(move |_: &mut dyn Rng| uuids.next().unwrap_or_default())
    };
    let writer = Writer::new(format, Uuid::LONGEST, count);
    request.give_longer(writer, count * TIMED_UUID_BYTES, ascending).await
}
