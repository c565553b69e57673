//! `/uuids`: universally unique identifiers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use super::{NumberSource, Numbers, VALUES};
use crate::generator::distributions;
use crate::http::openapi;
use crate::http::public::giving::JournalSink;
use crate::server::exchange::Exchange;
use crate::server::format::{Format, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// `GET /uuids?version=4&count=1` → `{"values": ["…"]}`; text: one a line; bytes: 16 each. Version 4 is random; version 7 begins
/// with the time in milliseconds, and ascends within a response (RFC 9562).
#[utoipa::path(
    get,
    path = "/uuids",
    summary = "UUIDs",
    tag = "numbers",
    params(
        ("version" = Option<openapi::UuidVersion>, Query, description = "4, random; or 7, which begins with the time and ascends"),
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<openapi::JsonTextBytes>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The values", content((openapi::Values<String> = "application/json", example = json!({"values": ["0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11", "c7e5a0f4-81d2-4b6e-a3f9-2d7c1e90b853", "5e19d3b8-f2a7-4c04-8b61-90de4fa7c62f"]})), (String = "text/plain"), (openapi::Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn uuids<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["version", "count", "format"])?;
    let timed = match query.text("version") {
        None | Some("4") => false,
        Some("7") => true,
        other => {
            return Err(Problem::parameter(
                "version",
                other,
                "there is no such version here",
                "4, 7",
            ));
        }
    };
    let count = query.integer("count", VALUES, 1)? as usize;
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    let milliseconds = u64::try_from(exchange.started.wall.0 / 1_000).unwrap_or(0);
    let make = |rng: &mut dyn rand::Rng| {
        Ok(match timed {
            true => distributions::timed_uuids(rng, milliseconds, count),
            false => distributions::random_uuids(rng, count),
        })
    };
    state
        .give(&exchange, request.method(), request.uri(), format, make)
        .await
}
