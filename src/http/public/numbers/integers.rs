//! `/integers`: integers in a range.

use rand::Rng;

use super::values::{Bounded, Writer};
use super::{NumberRequest, NumberSource, VALUES};
use crate::generator::distributions;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::format::{JsonTextBytes, Raw, Values};
use crate::server::problem::Problem;

/// `GET /integers?min=1&max=100&count=1&unique=false` → `{"values": […]}`; text: one a line; bytes: 8 each, big-endian, two's
/// complement.
///
/// `min` and `max` may be any i64. JSON has exact integers, but JavaScript's `JSON.parse` rounds those beyond 2^53: a client in
/// JavaScript should ask for text, or for a smaller range. `unique=true` gives no value twice in one response.
#[utoipa::path(
    get, path = "/integers", tag = "numbers", summary = "Random integers",
    params(
        ("min" = Option<i64>, Query, description = "Minimum", example = 1, extensions(("x-default" = json!(1)))),
        ("max" = Option<i64>, Query, description = "Maximum, at least min", example = 6, extensions(("x-default" = json!(100)))),
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 10_000, example = 3, extensions(("x-default" = json!(1)))),
        ("unique" = Option<bool>, Query, description = "No value twice; then count is at most max − min + 1", extensions(("x-default" = json!(false)))),
        ("format" = Option<JsonTextBytes>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The values", content((Values<i64> = "application/json", example = json!({"values": [4, 1, 6]})), (String = "text/plain"), (Raw = "application/octet-stream"))),
    ),
)]
pub(in crate::http) async fn integers<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (query, format) = request.read::<JsonTextBytes>(&["min", "max", "count", "unique", "format"])?;
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
    let count = count as usize;
    let longest = [min, max].map(|end| end.to_string().len()).into_iter().max();
    let writer = Writer::new(format, longest.unwrap_or(i64::LONGEST), count);
    if !unique {
        return request
            .give_longer(writer, 0, |_| distributions::integers(min, max))
            .await;
    }
    let kept = count * distributions::DISTINCT_BYTES;
    let distinct = |rng: &mut dyn Rng| {
        let mut values = distributions::distinct_integers(rng, min, max, count)?.into_iter();
        Ok(move |_: &mut dyn Rng| values.next().unwrap_or(min))
    };
    request.give_longer(writer, kept, distinct).await
}
