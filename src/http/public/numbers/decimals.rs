//! `/decimals`: floating-point numbers of a range.

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

/// `GET /decimals?min=0&max=1&count=1` → `{"values": […]}`, from `min` to below `max`, each the shortest decimal that reads back
/// as the same double; text: one a line; bytes: 8 each, big-endian IEEE 754.
#[utoipa::path(
    get,
    path = "/decimals",
    summary = "Decimals of a range",
    tag = "numbers",
    params(
        ("min" = Option<f64>, Query, description = "The least", minimum = -1e300, maximum = 1e300, example = 0.0, extensions(("x-default" = json!(0.0)))),
        ("max" = Option<f64>, Query, description = "What all are below, more than min", minimum = -1e300, maximum = 1e300, example = 1.0, extensions(("x-default" = json!(1.0)))),
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<openapi::JsonTextBytes>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The values", content((openapi::Values<f64> = "application/json", example = json!({"values": [0.736412093104, 0.061942883501, 0.440857306192]})), (String = "text/plain"), (openapi::Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn decimals<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["min", "max", "count", "format"])?;
    let min = query.decimal("min", 0.0)?;
    let max = query.decimal("max", 1.0)?;
    let count = query.integer("count", VALUES, 1)?;
    if min >= max {
        let allowed = "min less than max (without them, min is 0 and max is 1)";
        return Err(super::reversed(&query, min, max, allowed));
    }
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    let make = |rng: &mut dyn rand::Rng| distributions::decimals(rng, min, max, count as usize);
    state
        .give(&exchange, request.method(), request.uri(), format, make)
        .await
}
