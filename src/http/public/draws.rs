//! `/draws`, `/draws/latest`, `/draws/{round}`: the chain that this member reports, in canonical JSON, which can be verified as
//! downloaded. [`super::derived`] has what is derived from a draw.

mod page;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use tokio::sync::watch;

use self::page::{Page, PageWriter};
use super::request::{Answer, PublicRequest};
use super::stream::permits::Streams;
use crate::clock::Clock;
use crate::draw::ledger::history::{History, HistoryError};
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::lease::LeaseSnapshot;
use crate::record::{MAX_INTEGER, Record};
use crate::server::budget::{Budget, SMALL};
use crate::server::conditional::{Freshness, Tag, cacheable};
use crate::server::format::{Format, JsonLines, respond};
use crate::server::problem::Problem;
use crate::server::query::integer;

/// Records in one response of `/draws`. JSON lines have no limit: a verifier wants all of the chain.
const LIMIT: i64 = 1_000;
const LIMIT_DEFAULT: i64 = 100;
/// More than a record has with 32 contributions.
const RECORD_BYTES: usize = SMALL;

/// How often the ledger task tries again to open its database.
const RETRY_AFTER: Duration = Duration::from_secs(1);

static VIEW_AGE: HeaderName = HeaderName::from_static("random-generator-view-age-ms");
static NEXT: HeaderName = HeaderName::from_static("random-generator-next");

#[derive(Debug)]
pub struct Draws {
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub history: History,
    pub lease: watch::Receiver<Arc<LeaseSnapshot>>,
    pub memory: Budget,
    pub clock: Clock,
    /// A view of the Lease that was confirmed longer ago than this is reported as old.
    pub stale_after: Duration,
    pub streams: Streams,
}

/// `GET /draws?from=&limit=` → `{"draws": [record, …], "next": round or null}`, ascending from `from` (default: the oldest
/// kept). `next` is the round to continue from, null when there is none yet. JSON lines: one record a line, all of them
/// without `limit`; the header `Random-Generator-Next` then has `next`.
#[utoipa::path(
    get, path = "/draws", operation_id = "draws", tag = "draws", summary = "The chain of draws",
    params(
        ("from" = Option<i64>, Query, description = "First round; the oldest kept without it", minimum = 1, maximum = 9_007_199_254_740_991_i64),
        ("limit" = Option<i64>, Query, description = "Maximum number of records; JSON lines have no default limit", minimum = 1, maximum = 1_000, example = 1, extensions(("x-default" = json!(100)))),
        ("format" = Option<JsonLines>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "Records, oldest first; one a line as JSON lines", content((Page = "application/json"), (String = "application/x-ndjson"))),
        (status = 410, response = Problem)
    ),
)]
pub(in crate::http) async fn list(request: PublicRequest<Draws>) -> Answer {
    let (query, format) = request.read::<JsonLines>(&["from", "limit", "format"])?;
    let from = query.text("from").map(|text| round("from", text)).transpose()?;
    let limit = match (format, query.text("limit")) {
        (Format::JsonLines, None) => u64::MAX,
        _ => query.integer("limit", 1..=LIMIT, LIMIT_DEFAULT)?.unsigned_abs(),
    };
    let ledger = request.state.known()?;
    let oldest = ledger.oldest().unwrap_or(1);
    let newest = ledger.head().map_or(0, |head| head.round);
    let from = from.unwrap_or(oldest);
    check_kept(&ledger, from)?;
    let end = from.saturating_add(limit).min(newest + 1).max(from);
    let next = (end <= newest).then_some(end);
    let page = PageWriter::new(format, ledger, request.state.history.clone(), from..end, next);
    let most = usize::try_from(end - from)
        .unwrap_or(usize::MAX)
        .max(1)
        .saturating_mul(RECORD_BYTES);
    let hold = request.state.memory.take_for_answer(most, page.kept_bytes()).await?;
    let mut response = respond(format, page.into_body(hold).await?);
    if let Some(next) = next.filter(|_| format == Format::JsonLines) {
        response.headers_mut().insert(NEXT.clone(), HeaderValue::from(next));
    }
    Ok(request.state.with_age(response))
}

/// `GET /draws/latest` → the newest record, 404 before the first. Like the others, 503 while the ledger can't be read.
/// A cache asks each time, and gets a 304 until there is a newer one.
#[utoipa::path(
    get, path = "/draws/latest", operation_id = "latest_draw", tag = "draws", summary = "The newest draw",
    params(("format" = Option<JsonLines>, Query, description = "Format, instead of the Accept header")),
    responses(
        (status = 200, description = "The newest record", content((Record = "application/json"), (String = "application/x-ndjson"))),
        (status = 304, description = "Not modified"),
        (status = 404, response = Problem),
    ),
)]
pub(in crate::http) async fn latest(request: PublicRequest<Draws>) -> Answer {
    let (_, format) = request.read::<JsonLines>(&["format"])?;
    let ledger = request.state.known()?;
    let record = ledger
        .head()
        .ok_or_else(|| Problem::not_found("nothing has been drawn yet"))?;
    Ok(request
        .state
        .with_age(one_record(&request, format, record, Freshness::Ask)))
}

/// `GET /draws/{round}` → that record; 404 for one not drawn yet, 410 for one older than the oldest kept. A final record
/// never changes, so a cache may store it, and the age of the view of the Lease doesn't matter.
#[utoipa::path(
    get, path = "/draws/{round}", operation_id = "draw", tag = "draws", summary = "One draw",
    params(
        ("round" = i64, Path, description = "The round", minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 2),
        ("format" = Option<JsonLines>, Query, description = "Format, instead of the Accept header"),
    ),
    responses(
        (status = 200, description = "The record", content((Record = "application/json"), (String = "application/x-ndjson"))),
        (status = 304, description = "Not modified"),
        (status = 404, response = Problem),
        (status = 410, response = Problem),
    ),
)]
pub(in crate::http) async fn one(request: PublicRequest<Draws>) -> Answer {
    let (_, format) = request.read::<JsonLines>(&["format"])?;
    let record = request.record().await?;
    Ok(one_record(&request, format, &record, Freshness::Final))
}

fn one_record(request: &PublicRequest<Draws>, format: Format, record: &Record, freshness: Freshness) -> Response {
    let tag = Tag::new(&[&record.hash, &format.name()]);
    let vary = Some(header::ACCEPT);
    cacheable(request.headers(), &tag, freshness, vary, || {
        let mut text = record.canonical();
        if format == Format::JsonLines {
            text.push('\n');
        }
        respond(format, text)
    })
}

/// Reads a round, a parameter or a part of the path. Rounds begin at 1.
pub(super) fn round(name: &'static str, text: &str) -> Result<u64, Problem> {
    Ok(integer(name, text, 1..=MAX_INTEGER as i64)?.unsigned_abs())
}

/// 410 if `round` is older than the oldest kept.
fn check_kept(ledger: &LedgerSnapshot, round: u64) -> Result<(), Problem> {
    match ledger.oldest() {
        Some(oldest) if round < oldest => Err(Problem::gone(
            oldest,
            format!("round {round} is no longer kept; the oldest is {oldest}"),
        )),
        _ => Ok(()),
    }
}

/// Why older records can't be read.
fn unread(error: &HistoryError, ledger: &LedgerSnapshot) -> Problem {
    match error {
        // The chain may have changed since.
        HistoryError::Gone(round) => match check_kept(ledger, *round) {
            Err(gone) => gone,
            Ok(()) => Problem::unavailable("the chain has just changed: ask again", RETRY_AFTER),
        },
        HistoryError::Busy | HistoryError::Failed(_) => Problem::unavailable(error.to_string(), RETRY_AFTER),
    }
}

impl Draws {
    /// The ledger; 503 when it can't be read, since "nothing has been drawn" would contradict what was reported before a
    /// restart.
    pub(super) fn known(&self) -> Result<Arc<LedgerSnapshot>, Problem> {
        let ledger = self.ledger.borrow().clone();
        let unknown = match &ledger.condition {
            Condition::Writable => return Ok(ledger),
            _ if !ledger.recent.is_empty() => return Ok(ledger),
            Condition::Opening => "the ledger is not open yet".to_owned(),
            Condition::Unwritable(detail) | Condition::Corrupt(detail) => {
                format!("this member can't read its ledger: {detail}; ask another")
            }
        };
        Err(Problem::unavailable(unknown, RETRY_AFTER))
    }

    /// Adds the age of the view of the Lease when it is old: there may be newer final records than these.
    pub(super) fn with_age(&self, mut response: Response) -> Response {
        let lease = self.lease.borrow();
        let age = lease.age(self.clock.boot());
        let recent = lease.trouble.is_none() && age.is_some_and(|age| age <= self.stale_after);
        if !recent {
            let value = match age {
                Some(age) => HeaderValue::from(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                None => HeaderValue::from_static("unknown"),
            };
            response.headers_mut().insert(VIEW_AGE.clone(), value);
        }
        response
    }
}

impl PublicRequest<Draws> {
    /// The record of the round in the path.
    pub(super) async fn record(&self) -> Result<Arc<Record>, Problem> {
        let text = self.uri().path().split('/').nth(2).unwrap_or_default();
        let round = round("round", text)?;
        let ledger = self.state.known()?;
        check_kept(&ledger, round)?;
        match (ledger.get(round), ledger.head()) {
            (Some(record), _) => Ok(record.clone()),
            (None, Some(head)) if round <= head.round => {
                let found = self.state.history.page(round, 1).await;
                let found = found.map_err(|error| unread(&error, &self.state.ledger.borrow()))?;
                found.into_iter().next().ok_or_else(Problem::internal)
            }
            (None, Some(head)) => {
                let newest = head.round;
                Err(Problem::not_found(format!(
                    "round {round} has not been drawn; the newest is {newest}"
                )))
            }
            (None, None) => Err(Problem::not_found("nothing has been drawn yet")),
        }
    }
}
