//! `/draws/stream`: each draw as this member reports it, as Server-Sent Events (WHATWG HTML, 9.2).
//!
//! Nothing is queued for a reader: a stream reads the ledger's snapshots when its connection has room, and holds one page of
//! events. So a slow reader costs only its own connection, until that is cut, and delays nobody else.

mod cursor;
pub(super) mod permits;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use self::cursor::{Cursor, Next, Older, PAGE};
use self::permits::Open;
pub use self::permits::Streams;
use super::draws::{Draws, round};
use super::request::{Answer, PublicRequest};
use crate::draw::ledger::LedgerSnapshot;
use crate::draw::ledger::history::{History, HistoryError};
use crate::record::MAX_INTEGER;
use crate::server::activity::Endless;
use crate::server::budget::Budget;
use crate::server::format::require;
use crate::server::limits::StreamLimits;
use crate::server::problem::Problem;
use crate::server::query::{Query, integer};

const EVENTS: &str = "text/event-stream";

/// A change is in the member's snapshot at most this long after it is on the volume.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);

/// How long a reader waits before it reconnects, in milliseconds.
const RETRY: &str = "retry: 1000\n";
const HEARTBEAT: &str = ":\n\n";

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Without this header nginx buffers the events.
static BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `GET /draws/stream?from=` → events, each draw once and in order: `draw`, whose id is the round and whose data is the
/// record in canonical JSON. It begins after the round of `Last-Event-ID`, else with the round `from`, else with the next
/// draw. A reader that reconnects sends both, and the header is newer.
///
/// The first event is `position` `{"next"}`: the round that comes next; its id is the round before. Other events: `gap` `{"from", "oldest"}`: rounds before `oldest` are not kept here; `ahead` `{"from", "newest", "chain"}`: the
/// requested round is after the next draw, because this member is behind or its chain is a different one; `chain`
/// `{"chain", "from"}`: the chain changed from this round on.
#[utoipa::path(
    get, path = "/draws/stream", operation_id = "draw_stream", tag = "draws", summary = "A stream of draws",
    params(
        ("from" = Option<i64>, Query, description = "First round; the next draw without it", minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 1),
        ("Last-Event-ID" = Option<i64>, Header, description = "Last round seen, instead of from", minimum = 0, maximum = 9_007_199_254_740_990_i64),
    ),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String)),
)]
pub(in crate::http) async fn stream(request: PublicRequest<Draws>) -> Answer {
    let state = &request.state;
    let query = Query::parse(request.uri().query(), &["from"])?;
    require(request.headers(), EVENTS)?;
    let from = query.text("from").map(|text| round("from", text)).transpose()?;
    let last = last_event(request.headers())?;
    let next = last.map(|last| last + 1).or(from);
    let place = state.known().and_then(|known| Ok((known, state.streams.open()?)));
    let (known, open) = match place {
        Ok(place) => place,
        Err(problem) => return Ok(come_back(&problem, last)),
    };
    let (cursor, first) = Cursor::new(next, &known);
    let reader = Reader {
        ledger: state.ledger.clone(),
        history: state.history.clone(),
        memory: state.memory.clone(),
        cursor,
        limits: state.streams.limits(),
        first: Some(format!("{RETRY}{first}")),
        last_sent: Instant::now(),
        fetching: None,
        _open: open,
    };
    let events = futures_util::stream::unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        // Without memory for it the stream ends, and its reader comes back for what it misses.
        let hold = reader.memory.take(text.len()).await.ok()?;
        Some((Ok::<_, Infallible>(hold.attach(text.into_bytes())), reader))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(BUFFERING.clone(), HeaderValue::from_static("no"));
    response.extensions_mut().insert(Endless);
    Ok(state.with_age(response))
}

/// For "not now". An EventSource gives up for good at any status but 200 (WHATWG HTML, 9.2.2); this one reconnects. The reader's
/// own id is repeated, because some forget theirs at a block without.
fn come_back(problem: &Problem, last: Option<u64>) -> Response {
    let wait = problem.retry_after.unwrap_or_default().as_millis();
    let kind = [(header::CONTENT_TYPE, EVENTS), (header::CACHE_CONTROL, "no-store")];
    let id = last.map_or(String::new(), |last| format!("id: {last}\n"));
    (kind, format!("retry: {wait}\n{id}: {}\n\n", problem.detail)).into_response()
}

/// The round of `Last-Event-ID`. An empty one doesn't count.
fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut given = headers.get_all(&LAST_EVENT_ID).iter();
    let wrong = || Problem::malformed("Last-Event-ID is not a round: send the id of the last event, at most once");
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.is_empty() => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| wrong())?;
            Ok(Some(integer("Last-Event-ID", text, 0..=MAX_INTEGER as i64 - 1)? as u64))
        }
        (Some(_), Some(_)) => Err(wrong()),
    }
}

struct Reader {
    ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    history: History,
    memory: Budget,
    cursor: Cursor,
    limits: StreamLimits,
    /// Sent first, at once, so that the reader sees that it is connected.
    first: Option<String>,
    /// When something was last sent.
    last_sent: Instant,
    /// While records are being fetched: the oldest so far, and since when.
    fetching: Option<(u64, Instant)>,
    _open: Open,
}

impl Reader {
    /// The next text to send; none when the member ends.
    async fn next(&mut self) -> Option<String> {
        if let Some(text) = self.first.take() {
            return Some(text);
        }
        loop {
            let ledger = self.ledger.borrow_and_update().clone();
            let impatient = self.fetching.map(|(_, since)| since + self.limits.fetching);
            let patient = impatient.is_none_or(|at| Instant::now() < at);
            let mut wake = self.last_sent + self.limits.heartbeat;
            match self.cursor.take(&ledger, patient) {
                Next::Events(text) => {
                    self.fetching = None;
                    self.last_sent = Instant::now();
                    return Some(text);
                }
                Next::Nothing => self.fetching = None,
                Next::Older(round) => {
                    self.fetching = None;
                    drop(ledger);
                    let found = match self.history.page(round, PAGE).await {
                        Ok(records) => self.cursor.take_older(&records),
                        Err(HistoryError::Gone(_)) => Older::Gone,
                        // The stream ends, and its reader comes back for what it misses.
                        Err(HistoryError::Busy | HistoryError::Failed(_)) => return None,
                    };
                    if let Older::Events(text) = found {
                        self.last_sent = Instant::now();
                        return Some(text);
                    }
                    // The volume is ahead of the snapshot.
                    match timeout(REPORTED_WITHIN, self.ledger.changed()).await {
                        Ok(changed) => changed.ok()?,
                        Err(_) if found == Older::Parted => {}
                        Err(_) => return None,
                    }
                    match self.heartbeat() {
                        Some(heartbeat) => return Some(heartbeat),
                        None => continue,
                    }
                }
                Next::Fetching(oldest) => {
                    // Each one that arrives restarts the wait.
                    let (_, since) = self
                        .fetching
                        .take_if(|(before, _)| *before == oldest)
                        .unwrap_or((oldest, Instant::now()));
                    self.fetching = Some((oldest, since));
                    wake = wake.min(since + self.limits.fetching);
                }
            }
            drop(ledger);
            tokio::select! {
                biased;
                changed = self.ledger.changed() => changed.ok()?,
                () = sleep_until(wake) => {
                    if let Some(heartbeat) = self.heartbeat() {
                        return Some(heartbeat);
                    }
                }
            }
        }
    }

    /// If one is due.
    fn heartbeat(&mut self) -> Option<String> {
        let now = Instant::now();
        (now >= self.last_sent + self.limits.heartbeat).then(|| {
            self.last_sent = now;
            HEARTBEAT.to_owned()
        })
    }
}
