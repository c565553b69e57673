//! What is given out is journalled before it is sent: an acknowledged number is in the journal.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;

use crate::clock::{Clock, Wall};
use crate::server::exchange::Exchange;
use crate::server::problem::Problem;

/// One response that gives something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When the request came.
    pub at: Wall,
    pub request_id: &'a str,
    /// From the request's coming to the making of the values; the journal's own time isn't in it.
    pub duration: Duration,
    pub method: &'static str,
    pub path: &'a str,
    /// As it was sent; empty when there was none.
    pub query: &'a str,
    /// How many values: numbers, bytes, ids.
    pub count: u64,
    /// The number itself, for `/`.
    pub value: Option<i32>,
}

/// The journal can't promise what its durability mode names: nothing may be given out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal can't keep what would be given out: {reason}")]
pub struct JournalUnavailable {
    pub reason: String,
    pub retry_after: Duration,
}

/// Where entries go. Resolves when the entry is as durable as the mode promises, within a bounded time; cancelling it may
/// leave an entry for a response that was never sent.
pub trait JournalSink: Send + Sync + 'static {
    fn record(&self, entry: Entry<'_>) -> impl Future<Output = Result<(), JournalUnavailable>> + Send;
}

impl<J: JournalSink> JournalSink for Arc<J> {
    fn record(&self, entry: Entry<'_>) -> impl Future<Output = Result<(), JournalUnavailable>> + Send {
        (**self).record(entry)
    }
}

/// Journals a response, or says 503.
pub(super) async fn record(
    journal: &impl JournalSink,
    clock: &Clock,
    exchange: &Exchange,
    uri: &Uri,
    count: u64,
    value: Option<i32>,
) -> Result<(), Problem> {
    let entry = Entry {
        at: exchange.started.wall,
        request_id: exchange.id.as_str(),
        duration: clock.boot().since(exchange.started.boot),
        // HEAD gives nothing out, and nothing else is routed here.
        method: "GET",
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        count,
        value,
    };
    journal
        .record(entry)
        .await
        .map_err(|error| Problem::unavailable(error.to_string(), error.retry_after))
}
