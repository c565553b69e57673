//! Writes the journal entry before the response is sent: an acknowledged number is in the journal.

use std::future::Future;
use std::time::Duration;

use super::request::PublicRequest;
use crate::clock::{Clock, Wall};
use crate::server::problem::Problem;

/// A response that gives something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When the request arrived.
    pub at: Wall,
    pub request_id: &'a str,
    /// From the request's arrival until its values were generated; without the journal's own time.
    pub duration: Duration,
    pub method: &'static str,
    pub path: &'a str,
    /// As the client sent it; may be empty.
    pub query: &'a str,
    /// How many values: numbers, bytes, ids.
    pub count: u64,
    /// The number itself, for `/`.
    pub value: Option<i32>,
}

/// The journal can't promise its durability mode, so nothing may be given out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't write the journal: {reason}")]
pub struct JournalUnavailable {
    pub reason: String,
    pub retry_after: Duration,
}

/// Takes journal entries. `record` returns when the entry is as durable as the mode promises, within a bounded time; when
/// cancelled it may leave an entry for a response that was never sent.
pub trait JournalSink: Send + Sync + 'static {
    fn record(&self, entry: Entry<'_>) -> impl Future<Output = Result<(), JournalUnavailable>> + Send;
}

/// Writes the journal entry of a response before that is sent, or says 503.
pub(super) async fn record<S>(
    journal: &impl JournalSink,
    clock: &Clock,
    request: &PublicRequest<S>,
    count: u64,
    value: Option<i32>,
) -> Result<(), Problem> {
    let entry = Entry {
        at: request.exchange.started.wall,
        request_id: request.exchange.id.as_str(),
        duration: clock.boot().since(request.exchange.started.boot),
        // HEAD gives nothing out, and nothing else is routed here.
        method: "GET",
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        count,
        value,
    };
    let recorded = journal.record(entry).await;
    recorded.map_err(|error| Problem::unavailable(error.to_string(), error.retry_after))
}
