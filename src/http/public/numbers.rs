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
pub(super) mod values;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use rand::Rng;

pub use self::root::Process;
use self::values::{Bounded, Value, Writer};
use super::entry::{JournalSink, record};
use super::request::{Answer, PublicRequest};
use crate::clock::Clock;
use crate::generator::distributions::DistributionError;
use crate::generator::random::{Batched, EntropyError};
use crate::generator::timed_uuids::TimedUuids;
use crate::server::budget::Budget;
use crate::server::format::{Format, respond};
use crate::server::parts::Parts;
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Values in one response, except bytes and ids.
pub const VALUES: RangeInclusive<i64> = 1..=10_000;
/// From so many values on, little of a batch of randomness is wasted.
const BATCHED_FROM: u64 = 256;
/// The system has entropy again soon, or never.
const ENTROPY_RETRY: Duration = Duration::from_secs(1);

/// Gives randomness. It never blocks: it is called on the runtime's threads.
pub trait NumberSource: Send + Sync + 'static {
    /// Calls `make` with a generator.
    fn draw<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, EntropyError>;
}

impl From<EntropyError> for Problem {
    fn from(error: EntropyError) -> Problem {
        Problem::unavailable(format!("can't generate numbers: {error}"), ENTROPY_RETRY)
    }
}

/// Parameters are checked by name before a number is generated; this is what the distributions themselves refuse.
impl From<DistributionError> for Problem {
    fn from(error: DistributionError) -> Problem {
        Problem::malformed(error.to_string())
    }
}

/// The state of these paths.
#[derive(Debug)]
pub struct Numbers<N, J> {
    pub source: Arc<N>,
    pub journal: Arc<J>,
    pub memory: Budget,
    pub clock: Clock,
    pub timed_uuids: TimedUuids,
    pub process: Process,
}

type NumberRequest<N, J> = PublicRequest<Numbers<N, J>>;

impl<N: NumberSource, J: JournalSink> NumberRequest<N, J> {
    /// Answers with `count` values, each made by what `prepare` returns, when its part of the answer is. For HEAD it makes none.
    async fn give<V: Bounded, Each>(
        &self,
        format: Format,
        count: usize,
        prepare: impl FnOnce() -> Result<Each, DistributionError> + Send,
    ) -> Answer
    where
        Each: FnMut(&mut dyn Rng) -> V + Send + Unpin + 'static,
    {
        let writer = Writer::new(format, V::LONGEST, count);
        self.give_longer(writer, 0, |_| prepare()).await
    }

    /// As `give`, for values as long as `writer` says. What `prepare` makes of randomness and keeps takes `kept` bytes.
    async fn give_longer<V: Value, Each>(
        &self,
        mut writer: Writer,
        kept: usize,
        prepare: impl FnOnce(&mut dyn Rng) -> Result<Each, DistributionError> + Send,
    ) -> Answer
    where
        Each: FnMut(&mut dyn Rng) -> V + Send + Unpin + 'static,
    {
        let (format, count) = (writer.format(), writer.count() as u64);
        let (most, length) = (writer.most(), writer.length::<V>());
        if self.is_head() {
            return Ok(nothing(format, length));
        }
        let hold = self.state.memory.take_for_answer(most, kept).await?;
        let source = self.state.source.clone();
        let mut each = source.draw(prepare)??;
        // The first part is made before the journal entry: without entropy nothing is given out.
        let parts = Parts::begin(hold, most, length, move |part: &mut Vec<u8>| {
            source.draw(|rng| match count {
                ..BATCHED_FROM => writer.write(part, || each(rng)),
                _ => {
                    let mut rng = Batched::new(rng);
                    writer.write(part, || each(&mut rng))
                }
            })
        })
        .await?;
        self.record(count, None).await?;
        Ok(respond(format, parts.into_body()))
    }

    async fn record(&self, count: u64, value: Option<i32>) -> Result<(), Problem> {
        record(&*self.state.journal, &self.state.clock, self, count, value).await
    }
}

/// The headers of GET. HEAD gives no number out, so none is generated: `length` is that of GET if it is known without them.
pub(super) fn nothing(format: Format, length: Option<u64>) -> Response {
    let empty = futures_util::stream::empty::<Result<Bytes, Infallible>>();
    let mut response = respond(format, Body::from_stream(empty));
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

/// The problem of a range whose min exceeds its max.
pub(super) fn reversed(query: &Query<'_>, min: impl Display, max: impl Display, allowed: &'static str) -> Problem {
    let detail = format!("the range is reversed: min is {min}, max is {max}");
    wrong_range(query, detail, allowed)
}

/// The problem of a range that is wrong by its two bounds. It names the one that was given; max if both were.
fn wrong_range(query: &Query<'_>, detail: String, allowed: impl Into<Cow<'static, str>>) -> Problem {
    let (name, given) = match query.text("max") {
        Some(given) => ("max", Some(given)),
        None => ("min", query.text("min")),
    };
    Problem::parameter(name, given, detail, allowed)
}
