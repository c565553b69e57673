//! Random numbers, each given out once. One file an endpoint; what they share is here and in [`values`].

pub mod bytes;
pub mod decimals;
pub mod gaussians;
pub mod integers;
pub mod root;
pub mod sequence;
pub mod shuffle;
pub mod strings;
pub mod uuids;
mod values;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Uri};
use axum::response::Response;
use rand::Rng;

use self::values::Value;
use super::giving::{JournalSink, record};
use crate::clock::Clock;
use crate::generator::distributions::DistributionError;
use crate::server::exchange::Exchange;
use crate::server::format::{Format, fresh};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Values in one response, of every kind but bytes and ids.
pub const VALUES: RangeInclusive<i64> = 1..=10_000;
/// A system without entropy has some again soon, or never.
const ENTROPY_RETRY: Duration = Duration::from_secs(1);

/// The operating system gives no entropy for a new seed: no number can be given out that is worth the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("numbers can't be drawn: {0}")]
pub struct NumbersUnavailable(pub String);

/// Where randomness comes from. Quick, and without waiting: it is called on the runtime's threads.
pub trait NumberSource: Send + Sync + 'static {
    /// What `make` makes of it, or nothing.
    fn draw<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, NumbersUnavailable>;
}

impl<N: NumberSource> NumberSource for Arc<N> {
    fn draw<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, NumbersUnavailable> {
        (**self).draw(make)
    }
}

impl From<NumbersUnavailable> for Problem {
    fn from(error: NumbersUnavailable) -> Problem {
        Problem::unavailable(error.to_string(), ENTROPY_RETRY)
    }
}

/// Parameters are checked before anything is drawn, each by its name; what the distributions themselves refuse comes here.
impl From<DistributionError> for Problem {
    fn from(error: DistributionError) -> Problem {
        Problem::malformed(error.to_string())
    }
}

/// What these paths work with.
#[derive(Debug)]
pub struct Numbers<N, J> {
    source: Arc<N>,
    journal: J,
    clock: Clock,
    /// What follows the number in the JSON of `/`.
    suffix: String,
}

impl<N, J> Numbers<N, J> {
    /// `id` is the UUID of this process.
    pub fn new(source: N, journal: J, clock: Clock, id: uuid::Uuid, version: &str) -> Numbers<N, J> {
        Numbers {
            source: Arc::new(source),
            journal,
            clock,
            suffix: format!(",\"id\":\"{id}\",\"version\":{}}}", serde_json::Value::from(version)),
        }
    }
}

impl<N: NumberSource, J: JournalSink> Numbers<N, J> {
    /// Makes values, journals that they are given out, and gives them out. For HEAD it makes none.
    async fn give<V: Value>(
        &self,
        exchange: &Exchange,
        method: &Method,
        uri: &Uri,
        format: Format,
        make: impl FnOnce(&mut dyn Rng) -> Result<Vec<V>, DistributionError> + Send,
    ) -> Result<Response, Problem> {
        if method == Method::HEAD {
            return Ok(nothing(format));
        }
        let values = self.source.draw(make)??;
        let count = values.len() as u64;
        record(&self.journal, &self.clock, exchange, uri, count, None).await?;
        Ok(values::response(format, &values))
    }
}

/// The headers that a GET would have: a HEAD gives no number out, so it makes none. Of unknown length, as the length of
/// a number that isn't made is.
pub(super) fn nothing(format: Format) -> Response {
    let empty = futures_util::stream::empty::<Result<Bytes, Infallible>>();
    fresh(format, Body::from_stream(empty))
}

/// A range whose min exceeds its max.
pub(super) fn reversed(query: &Query<'_>, min: impl Display, max: impl Display, allowed: &'static str) -> Problem {
    let detail = format!("the range is reversed: min is {min}, max is {max}");
    wrong_range(query, detail, allowed)
}

/// A range that its two bounds make wrong. The one that was given is to blame; if both were, it is max.
fn wrong_range(query: &Query<'_>, detail: String, allowed: impl Into<Cow<'static, str>>) -> Problem {
    let (name, given) = match query.text("max") {
        Some(given) => ("max", Some(given)),
        None => ("min", query.text("min")),
    };
    Problem::parameter(name, given, detail, allowed)
}
