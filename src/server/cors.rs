//! Which web pages may read the public listener: none, unless configured (Fetch Standard, "CORS protocol").
//!
//! tower-http's layer answers every OPTIONS as a preflight; here any other OPTIONS gets its 405 or 404.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};

/// What a page may read beside the body.
const EXPOSED: &str = "etag, retry-after, x-request-id, random-generator-next, random-generator-view-age-ms";

/// The origins whose pages may read the responses.
#[derive(Clone, Debug)]
pub enum AllowedOrigins {
    Any,
    These(Vec<HeaderValue>),
}

impl AllowedOrigins {
    /// `*` means any origin. None without origins.
    pub fn new(origins: &[String]) -> Option<AllowedOrigins> {
        if origins.iter().any(|origin| origin == "*") {
            return Some(AllowedOrigins::Any);
        }
        // Each was read as an origin, which is a header's value.
        let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        let origins: Vec<_> = origins.collect();
        (!origins.is_empty()).then_some(AllowedOrigins::These(origins))
    }

    /// Adds the headers that let a page of `origin` read the response, if it may.
    pub(crate) fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let allowed = match (self, origin) {
            (AllowedOrigins::Any, _) => HeaderValue::from_static("*"),
            (AllowedOrigins::These(origins), origin) => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                match origin.filter(|origin| origins.contains(origin)) {
                    Some(origin) => origin.clone(),
                    None => return,
                }
            }
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

/// Whether a browser asks what a page may do (Fetch Standard, "CORS-preflight fetch").
pub(crate) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight. A browser need not ask again for an hour.
pub(crate) fn preflight() -> Response {
    [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "last-event-id"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ]
    .into_response()
}
