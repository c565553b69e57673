//! `/ids`: unique ids from this member's ordinal.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;

use super::giving::{JournalSink, record};
use super::numbers::nothing;
use crate::clock::Clock;
use crate::http::openapi;
use crate::server::exchange::Exchange;
use crate::server::format::{Format, fresh, json_values, lines, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

/// Ids in one response; a millisecond has 4,096 of them.
pub const IDS: RangeInclusive<i64> = 1..=1_000;

/// No id can be given out that is sure to be unique.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ids can't be given out: {reason}")]
pub struct IdsUnavailable {
    pub reason: String,
    /// None when no later request will get any either.
    pub retry_after: Option<Duration>,
}

/// Where ids come from: ascending, never repeated by an ordinal. Cancelling `take` may waste ids, never repeat them.
pub trait IdSource: Send + Sync + 'static {
    fn take(&self, count: usize) -> impl Future<Output = Result<Vec<u64>, IdsUnavailable>> + Send;
}

impl<I: IdSource> IdSource for Arc<I> {
    fn take(&self, count: usize) -> impl Future<Output = Result<Vec<u64>, IdsUnavailable>> + Send {
        (**self).take(count)
    }
}

/// What this path works with.
#[derive(Debug)]
pub struct Ids<I, J> {
    pub source: I,
    pub journal: J,
    pub clock: Clock,
}

/// `GET /ids?count=1` → `{"values": ["…"]}`, as text since JavaScript rounds numbers beyond 2^53; text: one a line.
#[utoipa::path(
    get,
    path = "/ids",
    summary = "Unique ids",
    tag = "ids",
    params(
        ("count" = Option<i64>, Query, description = "How many", minimum = 1, maximum = 1_000, example = 2, extensions(("x-default" = json!(1)))),
        ("format" = Option<openapi::JsonText>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The values", content((openapi::Values<String> = "application/json", example = json!({"values": ["117646201850957824", "117646201850957825"]})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn ids<I: IdSource, J: JournalSink>(
    State(state): State<Arc<Ids<I, J>>>,
    Extension(exchange): Extension<Exchange>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["count", "format"])?;
    let count = query.integer("count", IDS, 1)?;
    let format = negotiate(request.headers(), query.text("format"), &[Format::Json, Format::Text])?;
    if request.method() == Method::HEAD {
        return Ok(nothing(format));
    }
    let ids = state.source.take(count as usize).await;
    let ids = ids.map_err(|error| Problem::unavailable(error.to_string(), error.retry_after))?;
    record(
        &state.journal,
        &state.clock,
        &exchange,
        request.uri(),
        ids.len() as u64,
        None,
    )
    .await?;
    Ok(match format {
        Format::Text => fresh(format, lines(&ids)),
        _ => fresh(
            format,
            json_values(&ids, |text, id| {
                use std::fmt::Write;
                // Writing to a String does not fail.
                let _ = write!(text, "\"{id}\"");
            }),
        ),
    })
}
