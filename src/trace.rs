//! What a piece of work belongs to: the request that asked for it, and the trace that it is a part of. Log lines say both,
//! and what is asked of a peer carries the trace on.
//!
//! A scope belongs to a future, not to a span of `tracing`: that costs a request some copied bytes and no allocation, and its
//! ids are in every log line, whatever the filter says. The ids of a new trace are made when they are first needed.

pub mod context;
#[cfg(feature = "otlp")]
mod opentelemetry;
mod spans;

use std::cell::OnceCell;
use std::fmt;
use std::future::Future;

pub use self::context::TraceContext;
pub use self::spans::{Kind, Spans, Work};
use crate::clock::Now;

/// Bytes of a request's id.
pub const REQUEST_ID_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: Scope;
}

/// A request that this member answers.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The client's `X-Request-Id` if it is 1 to 64 visible characters, else a new one; also a header of the response.
    pub id: RequestId,
    /// When its headers had arrived.
    pub started: Now,
}

/// A request, or a draw, that work is done for.
#[derive(Debug)]
pub struct Scope {
    request: Option<Request>,
    context: OnceCell<TraceContext>,
}

impl Scope {
    /// Of a request; without a context, as the first work of a new trace.
    pub fn request(request: Request, context: Option<TraceContext>) -> Scope {
        Scope {
            request: Some(request),
            context: context.map_or_else(OnceCell::new, OnceCell::from),
        }
    }

    /// Of work that no request asked for.
    pub fn work(context: TraceContext) -> Scope {
        Scope {
            request: None,
            context: OnceCell::from(context),
        }
    }

    fn context(&self) -> &TraceContext {
        self.context.get_or_init(TraceContext::begin)
    }
}

/// Does the work of `future` in this scope. Tasks that it spawns are not in it.
pub fn within<F: Future>(scope: Scope, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(scope, future)
}

/// As [`within`], for work that does not wait.
pub fn within_now<T>(scope: Scope, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(scope, work)
}

/// The request that the work at hand is done for.
pub fn request() -> Option<Request> {
    CURRENT.try_with(|scope| scope.request).ok().flatten()
}

/// The trace that the work at hand is a part of; none outside of every scope.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|scope| scope.context().clone()).ok()
}

/// Shows `see` the request's id, if it is a request's work, and the trace, and returns what it says; none outside of every
/// scope.
pub fn describe<T>(see: impl FnOnce(Option<&str>, &TraceContext) -> T) -> Option<T> {
    CURRENT
        .try_with(|scope| {
            let id = scope.request.as_ref().map(|request| request.id.as_str());
            see(id, scope.context())
        })
        .ok()
}

/// An id on the stack: every request has one, and hardly any logs a line. What is written to it is appended.
#[derive(Clone, Copy)]
pub struct RequestId {
    bytes: [u8; REQUEST_ID_MAX],
    length: u8,
}

impl RequestId {
    /// Cut where it is too long.
    pub fn new(id: &str) -> RequestId {
        let id = &id.as_bytes()[..id.floor_char_boundary(REQUEST_ID_MAX)];
        let mut bytes = [0; REQUEST_ID_MAX];
        bytes[..id.len()].copy_from_slice(id);
        RequestId {
            bytes,
            length: id.len() as u8,
        }
    }

    pub fn as_str(&self) -> &str {
        let whole = &self.bytes[..usize::from(self.length)];
        std::str::from_utf8(whole).unwrap_or_default()
    }
}

impl fmt::Write for RequestId {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let length = usize::from(self.length);
        let place = self.bytes.get_mut(length..length + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length += text.len() as u8;
        Ok(())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_scope_goes_with_its_future_and_keeps_one_trace() {
        let request = |id: &str| Request {
            id: RequestId::new(id),
            started: Clock::system().now(),
        };
        assert_eq!(describe(|_, _| ()), None);
        let brought = TraceContext::begin();
        let scope = Scope::request(request("r-1"), Some(brought.clone()));
        let seen = within(scope, async {
            tokio::task::yield_now().await;
            let id = describe(|request, _| request.map(str::to_owned)).flatten();
            (id, current())
        });
        assert_eq!(seen.await, (Some("r-1".to_owned()), Some(brought)));
        let made = within(Scope::request(request("r-2"), None), async { (current(), current()) }).await;
        assert!(made.0.is_some() && made.0 == made.1, "made once, when it is wanted");
        assert_eq!(current(), None);
    }

    #[test]
    fn an_id_that_is_too_long_is_cut() {
        let long = "é".repeat(50);
        assert_eq!(RequestId::new(&long).as_str(), "é".repeat(32));
        assert_eq!(RequestId::new("").as_str(), "");
    }
}
