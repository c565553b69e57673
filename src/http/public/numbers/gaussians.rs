//! `/gaussians`: numbers of a normal distribution.

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

/// `GET /gaussians?mean=0&deviation=1&count=1` → `{"values": […]}`, each the shortest decimal that reads back as the same double;
/// text: one a line; bytes: 8 each, big-endian IEEE 754. `deviation` is the standard deviation, at least 0.
#[utoipa::path(
    get,
    path = "/gaussians",
    summary = "Numbers of a normal distribution",
    tag = "numbers",
    params(
        ("mean" = Option<f64>, Query, description = "The mean", minimum = -1e300, maximum = 1e300, example = 100.0, extensions(("x-default" = json!(0.0)))),
        ("deviation" = Option<f64>, Query, description = "The standard deviation", minimum = 0, maximum = 1e300, example = 15.0, extensions(("x-default" = json!(1.0)))),
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<openapi::JsonTextBytes>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The values", content((openapi::Values<f64> = "application/json", example = json!({"values": [94.1063027114839, 121.84730951066, 103.20985446183]})), (String = "text/plain"), (openapi::Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn gaussians<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["mean", "deviation", "count", "format"])?;
    let mean = query.decimal("mean", 0.0)?;
    let deviation = query.decimal("deviation", 1.0)?;
    let count = query.integer("count", VALUES, 1)?;
    if deviation < 0.0 {
        let (given, detail) = (query.text("deviation"), "it is negative");
        return Err(Problem::parameter("deviation", given, detail, "a number from 0 on"));
    }
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    let make = |rng: &mut dyn rand::Rng| distributions::gaussians(rng, mean, deviation, count as usize);
    state
        .give(&exchange, request.method(), request.uri(), format, make)
        .await
}
