//! `/integers`: whole numbers of a range.

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

/// `GET /integers?min=1&max=100&count=1&unique=false` → `{"values": […]}`; text: one a line; bytes: 8 each, big-endian, two's
/// complement.
///
/// `min` and `max` may be any i64. JSON has them as exact integers; JavaScript's `JSON.parse` rounds those beyond 2^53,
/// so a client in JavaScript asks for text, or for a smaller range. `unique=true` gives no value twice in one response.
#[utoipa::path(
    get,
    path = "/integers",
    summary = "Integers of a range",
    tag = "numbers",
    params(
        ("min" = Option<i64>, Query, description = "The least", example = 1, extensions(("x-default" = json!(1)))),
        ("max" = Option<i64>, Query, description = "The greatest, at least min", example = 6, extensions(("x-default" = json!(100)))),
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("unique" = Option<bool>, Query, description = "Whether no value comes twice. Then count is at most max − min + 1", extensions(("x-default" = json!(false)))),
        ("format" = Option<openapi::JsonTextBytes>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The values", content((openapi::Values<i64> = "application/json", example = json!({"values": [4, 1, 6]})), (String = "text/plain"), (openapi::Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn integers<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["min", "max", "count", "unique", "format"])?;
    let min = query.integer("min", i64::MIN..=i64::MAX, 1)?;
    let max = query.integer("max", i64::MIN..=i64::MAX, 100)?;
    let count = query.integer("count", VALUES, 1)?;
    let unique = query.flag("unique", false)?;
    if min > max {
        let allowed = "min at most max (without them, min is 1 and max is 100)";
        return Err(super::reversed(&query, min, max, allowed));
    }
    let different = i128::from(max) - i128::from(min) + 1;
    if unique && i128::from(count) > different {
        return Err(Problem::parameter(
            "count",
            query.text("count"),
            format!("from {min} to {max} there are only {different} different integers"),
            format!("at most {different}, or unique=false"),
        ));
    }
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    let count = count as usize;
    let make = |rng: &mut dyn rand::Rng| match unique {
        true => distributions::distinct_integers(rng, min, max, count),
        false => distributions::integers(rng, min, max, count),
    };
    state
        .give(&exchange, request.method(), request.uri(), format, make)
        .await
}
