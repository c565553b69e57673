//! `/`, `/integers` and `/bytes`: random numbers, each given out once.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;

use super::giving::{JournalSink, record};
use crate::clock::Clock;
use crate::http::exchange::Exchange;
use crate::http::format::{Format, fresh, json_values, lines, negotiate};
use crate::http::problem::Problem;
use crate::http::query::Query;

/// Integers in one response.
pub const INTEGERS: RangeInclusive<i64> = 1..=10_000;
/// Bytes in one response.
pub const BYTES: RangeInclusive<i64> = 1..=1024 * 1024;
/// A system without entropy has some again soon, or never.
const ENTROPY_RETRY: Duration = Duration::from_secs(1);

/// The operating system gives no entropy for a new seed: no number can be given out that is worth the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("numbers can't be drawn: {0}")]
pub struct NumbersUnavailable(pub String);

/// Where numbers come from. Quick, and without waiting: it is called on the runtime's threads.
pub trait NumberSource: Send + Sync + 'static {
    fn random_i32(&self) -> Result<i32, NumbersUnavailable>;

    /// `count` numbers, each value from `min` to `max` inclusive as likely as any other. `min` ≤ `max`.
    fn integers(&self, min: i64, max: i64, count: usize) -> Result<Vec<i64>, NumbersUnavailable>;

    fn bytes(&self, count: usize) -> Result<Vec<u8>, NumbersUnavailable>;
}

impl<N: NumberSource> NumberSource for Arc<N> {
    fn random_i32(&self) -> Result<i32, NumbersUnavailable> {
        (**self).random_i32()
    }

    fn integers(&self, min: i64, max: i64, count: usize) -> Result<Vec<i64>, NumbersUnavailable> {
        (**self).integers(min, max, count)
    }

    fn bytes(&self, count: usize) -> Result<Vec<u8>, NumbersUnavailable> {
        (**self).bytes(count)
    }
}

impl From<NumbersUnavailable> for Problem {
    fn from(error: NumbersUnavailable) -> Problem {
        Problem::unavailable(error.to_string(), ENTROPY_RETRY)
    }
}

/// What these paths work with.
#[derive(Debug)]
pub struct Numbers<N, J> {
    source: N,
    journal: J,
    clock: Clock,
    /// What follows the number in the JSON of `/`.
    suffix: String,
}

impl<N, J> Numbers<N, J> {
    /// `id` is the UUID of this process.
    pub fn new(source: N, journal: J, clock: Clock, id: uuid::Uuid, version: &str) -> Numbers<N, J> {
        Numbers {
            source,
            journal,
            clock,
            suffix: format!(",\"id\":\"{id}\",\"version\":{}}}", serde_json::Value::from(version)),
        }
    }
}

/// `GET /` → `{"random": i32, "id": uuid of this process, "version": text}`; text: the number; bytes: 4, big-endian.
pub(super) async fn random<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["format"])?;
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    if request.method() == Method::HEAD {
        return Ok(nothing(format));
    }
    let value = state.source.random_i32()?;
    record(&state.journal, &state.clock, &exchange, request.uri(), 1, Some(value)).await?;
    Ok(match format {
        Format::Text => fresh(format, format!("{value}\n")),
        Format::Bytes => fresh(format, value.to_be_bytes().to_vec()),
        Format::Json | Format::JsonLines => fresh(format, format!("{{\"random\":{value}{}", state.suffix)),
    })
}

/// `GET /integers?min=1&max=100&count=1` → `{"values": […]}`; text: one a line; bytes: 8 each, big-endian, two's complement.
///
/// `min` and `max` may be any i64. JSON has them as exact integers; JavaScript's `JSON.parse` rounds those beyond 2^53,
/// so a client in JavaScript asks for text, or for a smaller range.
pub(super) async fn integers<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["min", "max", "count", "format"])?;
    let min = query.integer("min", i64::MIN..=i64::MAX, 1)?;
    let max = query.integer("max", i64::MIN..=i64::MAX, 100)?;
    let count = query.integer("count", INTEGERS, 1)?;
    if min > max {
        // The one that was given is the wrong one; if both were, they are reversed.
        let (name, given) = match query.text("max") {
            Some(given) => ("max", given),
            None => ("min", query.text("min").unwrap_or_default()),
        };
        return Err(Problem::parameter(
            name,
            Some(given),
            format!("the range is reversed: min is {min}, max is {max}"),
            "min at most max (without them, min is 1 and max is 100)",
        ));
    }
    let available = [Format::Json, Format::Text, Format::Bytes];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    if request.method() == Method::HEAD {
        return Ok(nothing(format));
    }
    let values = state.source.integers(min, max, count as usize)?;
    record(
        &state.journal,
        &state.clock,
        &exchange,
        request.uri(),
        values.len(),
        None,
    )
    .await?;
    Ok(match format {
        Format::Text => fresh(format, lines(&values)),
        Format::Bytes => fresh(
            format,
            values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<_>>(),
        ),
        Format::Json | Format::JsonLines => fresh(
            format,
            json_values(&values, |text, value| {
                use std::fmt::Write;
                // Writing to a String does not fail.
                let _ = write!(text, "{value}");
            }),
        ),
    })
}

/// `GET /bytes?count=32` → the bytes; text: lower-case hexadecimal on one line; JSON: `{"values": ["that hexadecimal"]}`.
pub(super) async fn bytes<N: NumberSource, J: JournalSink>(
    State(state): State<Arc<Numbers<N, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["count", "format"])?;
    let count = query.integer("count", BYTES, 32)?;
    let available = [Format::Bytes, Format::Json, Format::Text];
    let format = negotiate(request.headers(), query.text("format"), &available)?;
    if request.method() == Method::HEAD {
        return Ok(nothing(format));
    }
    let values = state.source.bytes(count as usize)?;
    record(
        &state.journal,
        &state.clock,
        &exchange,
        request.uri(),
        values.len(),
        None,
    )
    .await?;
    Ok(match format {
        Format::Text => fresh(format, hex::encode(&values) + "\n"),
        Format::Json | Format::JsonLines => fresh(format, format!("{{\"values\":[\"{}\"]}}", hex::encode(&values))),
        Format::Bytes => fresh(format, values),
    })
}

/// The headers that a GET would have: a HEAD gives no number out, so it makes none. Of unknown length, as the length of
/// a number that isn't made is.
pub(super) fn nothing(format: Format) -> Response {
    let empty = futures_util::stream::empty::<Result<Bytes, Infallible>>();
    fresh(format, Body::from_stream(empty))
}
