//! `/docs`: the description for people. One page that asks nobody else for anything, so that it works without a network.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{Html, IntoResponse, Response};

use crate::server::conditional::{Freshness, Tag, kept};
use crate::server::problem::Problem;

const PAGE: &str = include_str!("page.html");
/// It runs its own script and style, and talks to this member alone.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /docs`.
pub(in crate::http) async fn page(method: Method, request: HeaderMap) -> Result<Response, Problem> {
    static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::of(&[POLICY, PAGE].concat()));
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    // Nothing but the program changes it; its headers are kept with it, so they are a part of what is told apart.
    kept(&method, &request, &TAG, Freshness::Ask, None, || {
        (headers, Html(PAGE)).into_response()
    })
}
