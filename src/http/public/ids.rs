//! `/ids`: unique ids from this member's ordinal.

use std::convert::Infallible;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{JournalSink, record};
use super::numbers::nothing;
use super::numbers::values::Writer;
use super::request::{Answer, PublicRequest};
use crate::clock::Clock;
use crate::server::budget::Budget;
use crate::server::format::{JsonText, Values, respond};
use crate::server::parts::Parts;
use crate::server::problem::Problem;

/// Ids in one response; there are 4,096 a millisecond.
pub const IDS: RangeInclusive<i64> = 1..=1_000;
/// 20 digits and two quotes.
const ID_LONGEST: usize = 22;

/// No id can be given out that is certain to be unique.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't give out ids: {reason}")]
pub struct IdsUnavailable {
    pub reason: String,
    /// None when later requests will fail too.
    pub retry_after: Option<Duration>,
}

/// Gives ids: ascending, never repeated by an ordinal. Cancelling `take` may waste ids, never repeat them.
pub trait IdSource: Send + Sync + 'static {
    fn take(&self, count: usize) -> impl Future<Output = Result<Vec<u64>, IdsUnavailable>> + Send;
}

/// The state of this path.
#[derive(Debug)]
pub struct Ids<I, J> {
    pub source: Arc<I>,
    pub journal: Arc<J>,
    pub memory: Budget,
    pub clock: Clock,
}

/// `GET /ids?count=1` → `{"values": ["…"]}`, as strings since JavaScript rounds numbers beyond 2^53; text: one a line.
#[utoipa::path(
    get, path = "/ids", tag = "ids", summary = "Unique ids",
    params(
        ("count" = Option<i64>, Query, description = "Number of values", minimum = 1, maximum = 1_000, example = 2, extensions(("x-default" = json!(1)))),
        ("format" = Option<JsonText>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The values", content((Values<String> = "application/json", example = json!({"values": ["117646201850957824", "117646201850957825"]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn ids<I: IdSource, J: JournalSink>(request: PublicRequest<Ids<I, J>>) -> Answer {
    let (query, format) = request.read::<JsonText>(&["count", "format"])?;
    let count = query.integer("count", IDS, 1)?;
    if request.is_head() {
        return Ok(nothing(format, None));
    }
    let state = &request.state;
    let mut writer = Writer::new(format, ID_LONGEST, count as usize);
    let (most, kept) = (writer.most(), count as usize * size_of::<u64>());
    let hold = state.memory.take_for_answer(most, kept).await?;
    let ids = state.source.take(count as usize).await;
    let ids = ids.map_err(|error| Problem::unavailable(error.to_string(), error.retry_after))?;
    record(&*state.journal, &state.clock, &request, ids.len() as u64, None).await?;
    let mut ids = ids.into_iter();
    let make = move |part: &mut Vec<u8>| {
        let next = || ids.next().unwrap_or_default().to_string();
        Ok::<_, Infallible>(writer.write(part, next))
    };
    let Ok(parts) = Parts::begin(hold, most, None, make).await;
    Ok(respond(format, parts.into_body()))
}
