//! `/gaussians`: numbers of a normal distribution.

use super::{NumberRequest, NumberSource, VALUES};
use crate::generator::distributions;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{JsonTextBytes, Raw, Values};
use crate::server::problem::Problem;

/// `GET /gaussians?mean=0&deviation=1&count=1` → `{"values": […]}`, each the shortest decimal that reads back as the same double;
/// text: one a line; bytes: 8 each, big-endian IEEE 754. `deviation` is the standard deviation, at least 0.
#[utoipa::path(
    get, path = "/gaussians", tag = "numbers", summary = "Normally distributed decimals",
    params(
        ("mean" = Option<f64>, Query, description = "The mean", minimum = -1e300, maximum = 1e300, example = 100.0, extensions(("x-default" = json!(0.0)))),
        ("deviation" = Option<f64>, Query, description = "The standard deviation", minimum = 0, maximum = 1e300, example = 15.0, extensions(("x-default" = json!(1.0)))),
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<JsonTextBytes>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The values", content((Values<f64> = "application/json", example = json!({"values": [94.1063027114839, 121.84730951066, 103.20985446183]})), (String = "text/plain"), (Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn gaussians<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (query, format) = request.read::<JsonTextBytes>(&["mean", "deviation", "count", "format"])?;
    let mean = query.decimal("mean", 0.0)?;
    let deviation = query.decimal("deviation", 1.0)?;
    let count = query.integer("count", VALUES, 1)?;
    if deviation < 0.0 {
        let (given, detail) = (query.text("deviation"), "negative");
        return Err(Problem::parameter("deviation", given, detail, "a number from 0"));
    }
    request
        .give(format, count as usize, || distributions::gaussians(mean, deviation))
        .await
}
