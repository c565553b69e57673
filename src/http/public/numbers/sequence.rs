//! `/sequence`: the numbers of java.util.Random, the same for the same seed.

use axum::http::header;
use axum::response::Response;
use std::convert::Infallible;
use std::ops::RangeInclusive;

use super::values::{Bounded, Writer};
use super::{NumberRequest, NumberSource, VALUES, nothing};
use crate::generator::java_random::JavaRandom;
use crate::http::public::entry::JournalSink;
use crate::http::public::request::Answer;
use crate::server::conditional::{Freshness, Tag, cacheable};
use crate::server::format::{JsonTextBytes, Raw, Values, respond};
use crate::server::parts::Parts;
use crate::server::problem::Problem;

/// Positions in a sequence: it repeats after the last.
pub const PLACES: RangeInclusive<i64> = 0..=(1 << 48) - 1;

/// `GET /sequence?seed=42&from=0&count=4` → `{"values": […]}`: what `new java.util.Random(seed).nextInt()` gives, starting at
/// position `from`; text: one a line; bytes: 4 each, big-endian. `seed` is any i64. The numbers never change, so a client that has
/// them gets a 304.
#[utoipa::path(
    get, path = "/sequence", tag = "numbers", summary = "Numbers of java.util.Random",
    params(
        ("seed" = i64, Query, description = "As in new java.util.Random(seed)", example = 42),
        ("from" = Option<i64>, Query, description = "Position of the first number, from 0", minimum = 0, maximum = 281_474_976_710_655_i64, extensions(("x-default" = json!(0)))),
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 10_000, example = 4, extensions(("x-default" = json!(4)))),
        ("format" = Option<JsonTextBytes>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The values", content((Values<i32> = "application/json", example = json!({"values": [-1170105035, 234785527, -1360544799, 205897768]})), (String = "text/plain"), (Raw = "application/octet-stream"))),
        (status = 304, description = "Not modified"),
    ),
)]
pub(in crate::http) async fn sequence<N: NumberSource, J: JournalSink>(request: NumberRequest<N, J>) -> Answer {
    let (query, format) = request.read::<JsonTextBytes>(&["seed", "from", "count", "format"])?;
    let all = i64::MIN..=i64::MAX;
    if query.text("seed").is_none() {
        let allowed = format!("a whole number from {} to {}", all.start(), all.end());
        return Err(Problem::parameter("seed", None, "missing", allowed));
    }
    let seed = query.integer("seed", all, 0)?;
    let from = query.integer("from", PLACES, 0)?;
    let count = query.integer("count", VALUES, 4)?;
    let tag = Tag::new(&[&"java", &seed, &from, &count, &format.name()]);
    let mut writer = Writer::new(format, i32::LONGEST, count as usize);
    let (most, length) = (writer.most(), writer.length::<i32>());
    let response = match tag.among(request.headers()) {
        true => Response::default(),
        false if request.is_head() => nothing(format, length),
        false => {
            let mut random = JavaRandom::new(seed);
            random.skip(from.cast_unsigned());
            let hold = request.state.memory.take_for_answer(most, 0).await?;
            let make = move |part: &mut Vec<u8>| Ok::<_, Infallible>(writer.write(part, || random.next_int()));
            let Ok(parts) = Parts::begin(hold, most, length, make).await;
            // Anyone can compute them again, so they are given out without a journal too.
            let _ = request.record(count as u64, None).await;
            respond(format, parts.into_body())
        }
    };
    let vary = Some(header::ACCEPT);
    Ok(cacheable(request.headers(), &tag, Freshness::Final, vary, || response))
}
