//! `/decimals`: floating-point numbers in a range.

use super::{NumberRequest, NumberSource, VALUES};
use crate::generator::distributions;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{JsonTextBytes, Raw, Values};

/// `GET /decimals?min=0&max=1&count=1` → `{"values": […]}`, from `min` to below `max`, each the shortest decimal that reads back
/// as the same double; text: one a line; bytes: 8 each, big-endian IEEE 754.
#[utoipa::path(
    get, path = "/decimals", tag = "numbers", summary = "Random decimals",
    params(
        ("min" = Option<f64>, Query, description = "Minimum", minimum = -1e300, maximum = 1e300, example = 0.0, extensions(("x-default" = json!(0.0)))),
        ("max" = Option<f64>, Query, description = "Upper bound, excluded; greater than min", minimum = -1e300, maximum = 1e300, example = 1.0, extensions(("x-default" = json!(1.0)))),
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("format" = Option<JsonTextBytes>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The values", content((Values<f64> = "application/json", example = json!({"values": [0.736412093104, 0.061942883501, 0.440857306192]})), (String = "text/plain"), (Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn decimals<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (query, format) = request.read::<JsonTextBytes>(&["min", "max", "count", "format"])?;
    let min = query.decimal("min", 0.0)?;
    let max = query.decimal("max", 1.0)?;
    let count = query.integer("count", VALUES, 1)?;
    if min >= max {
        let allowed = "min less than max (without them, min is 0 and max is 1)";
        return Err(super::reversed(&query, min, max, allowed));
    }
    request
        .give(format, count as usize, || distributions::decimals(min, max))
        .await
}
