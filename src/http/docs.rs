//! `/openapi.json` and `/docs`: the description of the public listener, for programs and for people.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use crate::server::conditional::{Freshness, Tag, cacheable};

/// Compiled in, so that a member needn't make it: a test compares it with the code.
const DESCRIPTION: &str = include_str!("../../docs/openapi.json");
/// The description in a browser. The page loads nothing from elsewhere, so it works without a network.
const PAGE: &str = include_str!("docs.html");
/// The page runs its own script and style, and talks to this member alone.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json`. Only another version of the program changes it.
pub(super) async fn description(request: HeaderMap) -> Response {
    static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::of(DESCRIPTION));
    let json = HeaderValue::from_static("application/json");
    cacheable(&request, &TAG, Freshness::Ask, None, || {
        ([(header::CONTENT_TYPE, json)], DESCRIPTION).into_response()
    })
}

/// `GET /docs`. Its policy is cached with it, so it is a part of the tag.
pub(super) async fn page(request: HeaderMap) -> Response {
    static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::of(&[POLICY, PAGE].concat()));
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    cacheable(&request, &TAG, Freshness::Ask, None, || {
        (headers, Html(PAGE)).into_response()
    })
}
