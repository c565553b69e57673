//! Errors in the image's format: `{"timestamp", "status", "error", "path"}`.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use random_generator::clock::Wall;
use serde::Serialize;

#[derive(Serialize)]
struct Fault<'a> {
    timestamp: String,
    status: u16,
    error: &'static str,
    path: &'a str,
}

/// An error response to a request for `uri`.
pub(super) fn fault(status: StatusCode, uri: &Uri, now: Wall) -> Response {
    let body = Fault {
        timestamp: timestamp(now),
        status: status.as_u16(),
        error: status.canonical_reason().unwrap_or_default(),
        path: uri.path(),
    };
    // Text and numbers always serialise.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Milliseconds, and the zone as digits.
fn timestamp(now: Wall) -> String {
    now.timestamp().strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds_also_when_they_are_none() {
        assert_eq!(timestamp(Wall(1_795_231_629_005_999)), "2026-11-21T03:27:09.005+00:00");
        assert_eq!(timestamp(Wall(0)), "1970-01-01T00:00:00.000+00:00");
    }
}
