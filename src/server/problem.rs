//! Errors as RFC 9457 `application/problem+json`: what was wrong, what is allowed, what to do.

use std::borrow::Cow;
use std::ops::Deref;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{ToResponse, ToSchema};

/// How much of a client's input is repeated to it, in characters.
const GIVEN_MAX: usize = 64;

/// One error as a client sees it. Boxed: it is the rare side of every `Result` here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToResponse)]
#[response(description = "What was wrong, what is allowed, what to do", content_type = "application/problem+json", example = json!({
    "type": "urn:random-generator:problem:parameter", "title": "Invalid parameter", "status": 400,
    "detail": "out of range", "parameter": "count", "given": "0", "allowed": "a whole number from 1 to 10000"
}))]
pub struct Problem(Box<Members>);

impl Deref for Problem {
    type Target = Members;
    fn deref(&self) -> &Members {
        &self.0
    }
}

/// A problem (RFC 9457): what was wrong, what is allowed, what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Members {
    /// `urn:random-generator:problem:NAME`: stable, for programs.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:random-generator:problem:[a-z-]+$")]
    pub kind: &'static str,
    pub title: &'static str,
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16, minimum = 400, maximum = 599)]
    pub status: StatusCode,
    pub detail: Cow<'static, str>,
    /// The parameter that was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parameter: Option<Cow<'static, str>>,
    /// What was given for it; cut short if it was long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub given: Option<String>,
    /// What is allowed instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allowed: Option<Cow<'static, str>>,
    /// The oldest round that is kept, when an older one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub oldest: Option<u64>,
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

/// Constructors that take the detail, each with its status, its name and its title.
macro_rules! problems {
    ($($(#[doc = $doc:literal])* $vis:vis $new:ident: $status:ident, $name:literal, $title:literal;)+) => {
        impl Problem {$(
            $(#[doc = $doc])*
            $vis fn $new(detail: impl Into<Cow<'static, str>>) -> Problem {
                Problem(Box::new(Members {
                    kind: concat!("urn:random-generator:problem:", $name),
                    title: $title,
                    status: StatusCode::$status,
                    detail: detail.into(),
                    ..Members::default()
                }))
            }
        )+}
    };
}

problems! {
    wrong_parameter: BAD_REQUEST, "parameter", "Invalid parameter";
    /// 400: a path, header or body that can't be understood.
    pub malformed: BAD_REQUEST, "malformed", "Malformed request";
    /// 401: a peer message whose signature is absent, wrong or late.
    pub unauthenticated: UNAUTHORIZED, "unauthenticated", "The message has no valid peer signature";
    /// 403: a request that a web page may have sent.
    pub forbidden: FORBIDDEN, "forbidden", "Requests from web pages are refused";
    pub not_found: NOT_FOUND, "not-found", "Not found";
    wrong_method: METHOD_NOT_ALLOWED, "method", "Method not allowed";
    no_format: NOT_ACCEPTABLE, "not-acceptable", "No acceptable format";
    /// 408: the client took too long to send its request.
    pub too_slow: REQUEST_TIMEOUT, "too-slow", "The request took too long to arrive";
    /// 409: the request contradicts the state.
    pub conflict: CONFLICT, "conflict", "Conflict with the current state";
    no_longer_kept: GONE, "gone", "Round no longer kept";
    large_body: PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    long_uri: URI_TOO_LONG, "uri-too-long", "The URI is too long";
    wrong_media_type: UNSUPPORTED_MEDIA_TYPE, "media-type", "Unsupported media type";
    bug: INTERNAL_SERVER_ERROR, "internal", "Internal error";
    busy: SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable";
}

impl Problem {
    fn allowing(mut self, allowed: impl Into<Cow<'static, str>>) -> Problem {
        self.0.allowed = Some(allowed.into());
        self
    }

    /// 400: a query parameter. `given` may be anything: it is shortened and made printable.
    pub fn parameter(
        name: impl Into<Cow<'static, str>>,
        given: Option<&str>,
        detail: impl Into<Cow<'static, str>>,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Problem {
        let mut problem = Problem::wrong_parameter(detail).allowing(allowed);
        problem.0.parameter = Some(name.into());
        problem.0.given = given.map(shown);
        problem
    }

    /// 405, with the header `Allow`.
    pub fn method_not_allowed(methods: &'static str) -> Problem {
        let mut problem = Problem::wrong_method("this path doesn't allow this method").allowing(methods);
        problem.0.methods = Some(methods);
        problem
    }

    pub fn not_acceptable(allowed: impl Into<Cow<'static, str>>) -> Problem {
        Problem::no_format("this path has none of the requested formats").allowing(allowed)
    }

    /// 410: a round older than the oldest kept.
    pub fn gone(oldest: u64, detail: impl Into<Cow<'static, str>>) -> Problem {
        let mut problem = Problem::no_longer_kept(detail);
        problem.0.oldest = Some(oldest);
        problem
    }

    pub fn body_too_large(limit: usize) -> Problem {
        let allowed = format!("a body of at most {limit} bytes");
        Problem::large_body("the body exceeds this path's limit").allowing(allowed)
    }

    pub fn uri_too_long(limit: usize) -> Problem {
        let allowed = format!("a path and query of at most {limit} bytes");
        Problem::long_uri("path and query exceed the limit").allowing(allowed)
    }

    pub fn unsupported_media_type(allowed: &'static str) -> Problem {
        Problem::wrong_media_type("unsupported Content-Type").allowing(allowed)
    }

    /// 500: a bug.
    pub fn internal() -> Problem {
        Problem::bug("an internal error; the log has the details under this request's id")
    }

    /// 503, with `Retry-After` where it helps to try again.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, retry_after: impl Into<Option<Duration>>) -> Problem {
        let mut problem = Problem::busy(detail);
        problem.0.retry_after = retry_after.into();
        problem
    }
}

/// A client's input, shortened and without control characters.
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
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
    fn a_clients_input_is_repeated_short_and_printable() {
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
