//! Errors as RFC 9457 `application/problem+json`: what was wrong, what is allowed, what to do.

use std::borrow::Cow;
use std::ops::Deref;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// So much of what a client sent is repeated to it, in characters.
const GIVEN_MAX: usize = 64;

/// One error as a client sees it. Boxed: it is the rare side of every `Result` here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem(Box<Members>);

impl Deref for Problem {
    type Target = Members;
    fn deref(&self) -> &Members {
        &self.0
    }
}

/// The members of a problem, and the headers that go with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Members {
    /// `urn:random-generator:problem:NAME`: stable, for programs.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub title: &'static str,
    #[serde(serialize_with = "as_number")]
    pub status: StatusCode,
    pub detail: Cow<'static, str>,
    /// The parameter that was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<Cow<'static, str>>,
    /// What was given for it; cut short if it was long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// What is allowed instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Cow<'static, str>>,
    /// The oldest round that is kept, when an older one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
    /// For the header `Content-Range` (416): how many bytes there are.
    #[serde(skip)]
    pub length: Option<usize>,
    /// For the header `Allow` (405).
    #[serde(skip)]
    pub methods: Option<&'static str>,
    /// For the header `Retry-After` (429, 503), rounded up to whole seconds.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

macro_rules! kind {
    ($name:literal) => {
        concat!("urn:random-generator:problem:", $name)
    };
}

impl Problem {
    fn new(status: u16, kind: &'static str, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem(Box::new(Members {
            kind,
            title,
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            detail: detail.into(),
            parameter: None,
            given: None,
            allowed: None,
            oldest: None,
            length: None,
            methods: None,
            retry_after: None,
        }))
    }

    fn allowing(mut self, allowed: impl Into<Cow<'static, str>>) -> Problem {
        self.0.allowed = Some(allowed.into());
        self
    }

    /// 400: a query parameter. `given` may be what a stranger sent: it is cut and made printable.
    pub fn parameter(
        name: impl Into<Cow<'static, str>>,
        given: Option<&str>,
        detail: impl Into<Cow<'static, str>>,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Problem {
        let mut problem = Problem::new(400, kind!("parameter"), "A parameter is wrong", detail);
        problem.0.parameter = Some(name.into());
        problem.0.given = given.map(shown);
        problem.allowing(allowed)
    }

    /// 400: a path, header or body that can't be understood.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(400, kind!("malformed"), "The request can't be understood", detail)
    }

    /// 401: a peer message whose signature is absent, wrong or late.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Problem {
        let title = "The message is not signed by a peer";
        Problem::new(401, kind!("unauthenticated"), title, detail)
    }

    /// 403: a request that a web page may have sent.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(403, kind!("forbidden"), "Not from there", detail)
    }

    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(404, kind!("not-found"), "There is no such thing", detail)
    }

    /// 405, with the header `Allow`.
    pub fn method_not_allowed(methods: &'static str) -> Problem {
        let detail = "this path doesn't have this method";
        let mut problem = Problem::new(405, kind!("method"), "The method is not allowed", detail);
        problem.0.methods = Some(methods);
        problem.allowing(methods)
    }

    pub fn not_acceptable(allowed: impl Into<Cow<'static, str>>) -> Problem {
        let detail = "none of the formats asked for is available here";
        Problem::new(406, kind!("not-acceptable"), "No such representation", detail).allowing(allowed)
    }

    /// 408: the client took too long to send its request.
    pub fn too_slow(detail: impl Into<Cow<'static, str>>) -> Problem {
        let title = "The request took too long to arrive";
        Problem::new(408, kind!("too-slow"), title, detail)
    }

    /// 409: what was asked contradicts the state.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(409, kind!("conflict"), "Not in this state", detail)
    }

    /// 410: a round older than the oldest kept.
    pub fn gone(oldest: u64, detail: impl Into<Cow<'static, str>>) -> Problem {
        let mut problem = Problem::new(410, kind!("gone"), "No longer kept", detail);
        problem.0.oldest = Some(oldest);
        problem
    }

    /// 413: a body over the limit.
    pub fn body_too_large(limit: usize) -> Problem {
        let title = "The body is too large";
        Problem::new(
            413,
            kind!("body-too-large"),
            title,
            "the body is over this path's limit",
        )
        .allowing(format!("a body of at most {limit} bytes"))
    }

    pub fn uri_too_long(limit: usize) -> Problem {
        let title = "The URI is too long";
        Problem::new(414, kind!("uri-too-long"), title, "path and query are over the limit")
            .allowing(format!("a path and query of at most {limit} bytes"))
    }

    pub fn unsupported_media_type(allowed: &'static str) -> Problem {
        let detail = "the header Content-Type names another type";
        let title = "The body's type is not understood";
        Problem::new(415, kind!("media-type"), title, detail).allowing(allowed)
    }

    /// 416, with the header `Content-Range`: none of the bytes asked for is there.
    pub fn no_such_range(length: usize) -> Problem {
        let title = "There is no such part";
        let detail = "the header Range asks for none of the bytes that there are";
        let mut problem = Problem::new(416, kind!("range"), title, detail);
        problem.0.length = Some(length);
        problem.allowing(format!("a range of bytes that begins before {length}, or no Range"))
    }

    /// 500: a bug.
    pub fn internal() -> Problem {
        let detail = "the request met a bug here; the log has more under this request's id";
        Problem::new(500, kind!("internal"), "A bug", detail)
    }

    /// 503, with `Retry-After` where it will help to come again.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, retry_after: impl Into<Option<Duration>>) -> Problem {
        let mut problem = Problem::new(503, kind!("unavailable"), "Not now", detail);
        problem.0.retry_after = retry_after.into();
        problem
    }
}

/// What a client sent, cut and without control characters.
pub(crate) fn shown(given: &str) -> String {
    let mut text: String = given
        .chars()
        .take(GIVEN_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if given.chars().nth(GIVEN_MAX).is_some() {
        text.push('…');
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A problem is made of texts and numbers; writing those to memory has no way to fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(length) = self.length
            && let Ok(told) = HeaderValue::from_str(&format!("bytes */{length}"))
        {
            headers.insert(header::CONTENT_RANGE, told);
        }
        if let Some(methods) = self.methods {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_repeated_short_and_printable() {
        let problem = Problem::parameter("count", Some(&"\u{1b}9".repeat(100)), "wrong", "1 to 10");
        let given = problem.given.clone().unwrap();
        assert_eq!(given.chars().count(), GIVEN_MAX + 1);
        assert!(!given.contains('\u{1b}'));
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_too_early() {
        let response = Problem::unavailable("full", Duration::from_millis(1200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.status(), 503);
    }
}
