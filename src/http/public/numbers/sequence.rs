//! `/sequence`: the same numbers for the same seed, as Java makes them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;

use super::{NumberSource, Numbers, VALUES};
use crate::generator::java_random::JavaRandom;
use crate::http::openapi;
use crate::http::public::giving::JournalSink;
use crate::server::conditional::{Freshness, Tag, kept};
use crate::server::exchange::Exchange;
use crate::server::format::{Format, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Places in a sequence: it repeats after so many numbers.
pub const PLACES: RangeInclusive<i64> = 0..=(1 << 48) - 1;

/// `GET /sequence?seed=42&from=0&count=4` → `{"values": […]}`: what `new java.util.Random(seed).nextInt()` gives, from the number
/// at place `from` on, which never change: a client that has them is told so (304); text: one a line; bytes: 4 each, big-endian. `seed` is any i64.
#[utoipa::path(
    get,
    path = "/sequence",
    summary = "Java's numbers for a seed",
    tag = "numbers",
    params(
        ("seed" = i64, Query, description = "As in new java.util.Random(seed)", example = 42),
        ("from" = Option<i64>, Query, description = "The place of the first, from 0", minimum = 0, maximum = 281_474_976_710_655_i64, extensions(("x-default" = json!(0)))),
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 10_000, example = 4, extensions(("x-default" = json!(4)))),
        ("format" = Option<openapi::JsonTextBytes>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The values", content((openapi::Values<i32> = "application/json", example = json!({"values": [-1170105035, 234785527, -1360544799, 205897768]})), (String = "text/plain"), (openapi::Raw = "application/octet-stream"))),
        (status = 206, description = "The part of them that Range asks for"),
        (status = 304, description = "The client has them already"),
        (status = 416, response = openapi::Problem),
    ),
)]
pub(in crate::http) async fn sequence<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["seed", "from", "count", "format"])?;
    let all = i64::MIN..=i64::MAX;
    if query.text("seed").is_none() {
        let allowed = format!("a whole number from {} to {}", all.start(), all.end());
        return Err(Problem::parameter("seed", None, "it is missing", allowed));
    }
    let seed = query.integer("seed", all, 0)?;
    let from = query.integer("from", PLACES, 0)?;
    let count = query.integer("count", VALUES, 4)?;
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    let make = |_: &mut dyn rand::Rng| {
        let mut random = JavaRandom::new(seed);
        random.skip(from.cast_unsigned());
        Ok((0..count).map(|_| random.next_int()).collect())
    };
    let tag = Tag::new(&[&"java", &seed, &from, &count, &format.name()]);
    let response = match tag.among(request.headers()) {
        true => Response::default(),
        false => {
            state
                .give(&exchange, request.method(), request.uri(), format, make)
                .await?
        }
    };
    let chosen_by = Some(header::ACCEPT);
    // A part is journalled as the whole that it was taken from.
    kept(
        request.method(),
        request.headers(),
        &tag,
        Freshness::Final,
        chosen_by,
        || response,
    )
}
