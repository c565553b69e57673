//! `/draws`, `/draws/latest`, `/draws/{round}`: the chain that this member reports, in canonical JSON, so that what is
//! downloaded can be verified as it stands. What is derived from a draw is in [`super::derived`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use tokio::sync::watch;

use super::stream::Streams;
use crate::clock::Clock;
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::http::openapi;
use crate::lease::LeaseSnapshot;
use crate::record::Record;
use crate::server::conditional::{Freshness, Tag, kept};
use crate::server::format::{Format, fresh, negotiate};
use crate::server::problem::Problem;
use crate::server::query::{Query, round};

/// Records in one response of `/draws`; JSON lines have no such limit, since the ledger is small and a verifier wants all.
const LIMIT: i64 = 1_000;
const LIMIT_DEFAULT: i64 = 100;

/// So often a ledger that could not be opened is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

static VIEW_AGE: HeaderName = HeaderName::from_static("random-generator-view-age-ms");
static NEXT: HeaderName = HeaderName::from_static("random-generator-next");

#[derive(Debug)]
pub struct Draws {
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub lease: watch::Receiver<Arc<LeaseSnapshot>>,
    pub clock: Clock,
    /// A view of the Lease that was confirmed longer ago than this is told as old.
    pub stale_after: Duration,
    pub streams: Streams,
}

/// `GET /draws?from=&limit=` → `{"draws": [record, …], "next": round or null}`, ascending from `from` (default: the oldest
/// kept). `next` is the round to go on from, null when there is none yet. JSON lines: one record a line, all of them
/// without `limit`; what `next` would be stands in a header then.
#[utoipa::path(
    get,
    path = "/draws",
    operation_id = "draws",
    summary = "The chain of draws",
    tag = "draws",
    params(
        ("from" = Option<i64>, Query, description = "The round to begin with; without it the oldest kept", minimum = 1, maximum = 9_007_199_254_740_991_i64),
        ("limit" = Option<i64>, Query, description = "How many at most; as JSON lines all, unless given", minimum = 1, maximum = 1_000, example = 1, extensions(("x-default" = json!(100)))),
        ("format" = Option<openapi::JsonLines>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "Records, ascending; as JSON lines one a line", content((openapi::Draws = "application/json"), (String = "application/x-ndjson"))),
        (status = 410, response = openapi::Problem)
    ),
)]
pub(in crate::http) async fn list(State(state): State<Arc<Draws>>, request: Request) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["from", "limit", "format"])?;
    let from = query.round("from")?;
    let format = negotiate(
        request.headers(),
        query.text("format"),
        &[Format::Json, Format::JsonLines],
    )?;
    let limit = match (format, query.text("limit")) {
        (Format::JsonLines, None) => usize::MAX,
        _ => query.integer("limit", 1..=LIMIT, LIMIT_DEFAULT)? as usize,
    };
    let ledger = state.known()?;
    let records = match from {
        Some(from) => after(&ledger, from)?,
        None => &ledger.chain[..],
    };
    let shown = &records[..records.len().min(limit)];
    let next = records.get(shown.len()).map(|record| record.round);
    let mut response = if format == Format::JsonLines {
        let mut text = String::new();
        for record in shown {
            text.push_str(&record.canonical());
            text.push('\n');
        }
        fresh(format, text)
    } else {
        let draws: Vec<_> = shown.iter().map(|record| record.canonical()).collect();
        let next = next.map_or("null".to_owned(), |next| next.to_string());
        fresh(format, format!("{{\"draws\":[{}],\"next\":{next}}}", draws.join(",")))
    };
    if let (Format::JsonLines, Some(next)) = (format, next) {
        response.headers_mut().insert(NEXT.clone(), HeaderValue::from(next));
    }
    Ok(state.with_age(response))
}

/// `GET /draws/latest` → the newest record, 404 before the first. Like the others, 503 while the ledger can't be read.
/// A cache asks each time; the answer is 304 while it is still that record.
#[utoipa::path(
    get,
    path = "/draws/latest",
    operation_id = "latest_draw",
    summary = "The newest draw",
    tag = "draws",
    params(
        ("format" = Option<openapi::JsonLines>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The newest record", content((openapi::Record = "application/json"), (String = "application/x-ndjson"))),
        (status = 206, description = "The part of it that Range asks for"),
        (status = 304, description = "The client has it already"),
        (status = 404, response = openapi::Problem),
        (status = 416, response = openapi::Problem),
    ),
)]
pub(in crate::http) async fn latest(State(state): State<Arc<Draws>>, request: Request) -> Result<Response, Problem> {
    let format = record_format(&request)?;
    let ledger = state.known()?;
    let record = ledger
        .head()
        .ok_or_else(|| Problem::not_found("nothing has been drawn yet"))?;
    one_record(&request, format, record, Freshness::Ask).map(|response| state.with_age(response))
}

/// `GET /draws/{round}` → that record; 404 for one not drawn yet, 410 for one older than the oldest kept. A final record
/// doesn't change, so a cache may keep it, and how old the view of the Lease is doesn't matter.
#[utoipa::path(
    get,
    path = "/draws/{round}",
    operation_id = "draw",
    summary = "One draw",
    tag = "draws",
    params(
        ("round" = i64, Path, description = "The round", minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 2),
        ("format" = Option<openapi::JsonLines>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "The record", content((openapi::Record = "application/json"), (String = "application/x-ndjson"))),
        (status = 206, description = "The part of it that Range asks for"),
        (status = 304, description = "The client has it already"),
        (status = 404, response = openapi::Problem),
        (status = 410, response = openapi::Problem),
        (status = 416, response = openapi::Problem)
    ),
)]
pub(in crate::http) async fn one(State(state): State<Arc<Draws>>, request: Request) -> Result<Response, Problem> {
    let format = record_format(&request)?;
    let record = state.record(&request)?;
    one_record(&request, format, &record, Freshness::Final)
}

fn record_format(request: &Request) -> Result<Format, Problem> {
    let query = Query::parse(request.uri().query(), &["format"])?;
    negotiate(
        request.headers(),
        query.text("format"),
        &[Format::Json, Format::JsonLines],
    )
}

fn one_record(request: &Request, format: Format, record: &Record, freshness: Freshness) -> Result<Response, Problem> {
    let tag = Tag::new(&[&record.hash, &format.name()]);
    let chosen_by = Some(header::ACCEPT);
    kept(request.method(), request.headers(), &tag, freshness, chosen_by, || {
        let mut text = record.canonical();
        if format == Format::JsonLines {
            text.push('\n');
        }
        fresh(format, text)
    })
}

/// The part of the chain from `round` on; 410 if it would begin before the oldest kept.
fn after(ledger: &LedgerSnapshot, round: u64) -> Result<&[Arc<Record>], Problem> {
    match ledger.chain.first() {
        Some(oldest) if round < oldest.round => Err(Problem::gone(
            oldest.round,
            format!("round {round} is no longer kept; the oldest is {}", oldest.round),
        )),
        _ => {
            let start = ledger.chain.partition_point(|record| record.round < round);
            Ok(&ledger.chain[start..])
        }
    }
}

impl Draws {
    /// What the ledger holds; 503 when that can't be said, since "nothing has been drawn" would take back what was reported
    /// before a restart.
    pub(super) fn known(&self) -> Result<Arc<LedgerSnapshot>, Problem> {
        let ledger = self.ledger.borrow().clone();
        let unknown = match &ledger.condition {
            Condition::Writable => return Ok(ledger),
            _ if !ledger.chain.is_empty() => return Ok(ledger),
            Condition::Opening => "the ledger is not opened yet".to_owned(),
            Condition::Unwritable(detail) | Condition::Corrupt(detail) => {
                format!("this member can't read its ledger: {detail}; ask another")
            }
        };
        Err(Problem::unavailable(unknown, RETRY_AFTER))
    }

    /// The record of the round that the path names, as `/draws/{round}` or what is below it.
    pub(super) fn record(&self, request: &Request) -> Result<Arc<Record>, Problem> {
        let text = request.uri().path().split('/').nth(2).unwrap_or_default();
        let round = round("round", text)?;
        let ledger = self.known()?;
        let record = after(&ledger, round)?.first();
        record.cloned().ok_or_else(|| {
            Problem::not_found(match ledger.head() {
                Some(head) => format!("round {round} has not been drawn; the newest is {}", head.round),
                None => "nothing has been drawn yet".to_owned(),
            })
        })
    }

    /// Says how old the view of the Lease is, when it is old: newer records may be final than are reported here.
    pub(super) fn with_age(&self, mut response: Response) -> Response {
        let lease = self.lease.borrow();
        let age = lease.age(self.clock.boot());
        let fresh = lease.trouble.is_none() && age.is_some_and(|age| age <= self.stale_after);
        if !fresh {
            let value = match age {
                Some(age) => HeaderValue::from(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                None => HeaderValue::from_static("unknown"),
            };
            response.headers_mut().insert(VIEW_AGE.clone(), value);
        }
        response
    }
}
