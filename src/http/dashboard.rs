//! `/dashboard`, and `/` for a browser: the page for people, and `/dashboard/{file}`, what it loads.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

use super::public::request::Answer;
use crate::dashboard::{FILES, File, PAGE, POLICY};
use crate::server::conditional::{Freshness, Tag, cacheable};
use crate::server::problem::Problem;

/// `GET /dashboard`.
pub(super) async fn page(request: HeaderMap) -> Response {
    whole_page(&request, None)
}

/// `GET /` of a client that prefers HTML.
pub(super) fn root(request: &HeaderMap) -> Response {
    whole_page(request, Some(header::ACCEPT))
}

/// Its policy is cached with it, so it is a part of the tag.
fn whole_page(request: &HeaderMap, vary: Option<HeaderName>) -> Response {
    static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::of(&[POLICY, PAGE.content].concat()));
    cacheable(request, &TAG, Freshness::Ask, vary, || {
        let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
        (policy, respond(&PAGE)).into_response()
    })
}

/// `GET /dashboard/{file}`. A cache asks each time, so that the files of a page are always of one version.
pub(super) async fn file(uri: Uri, request: HeaderMap) -> Answer {
    static TAGS: LazyLock<Vec<Tag>> = LazyLock::new(|| FILES.iter().map(|file| Tag::of(file.content)).collect());
    let name = uri.path().strip_prefix("/dashboard/");
    let mut known = FILES.iter().zip(&*TAGS);
    let (file, tag) = known
        .find(|(file, _)| Some(file.name) == name)
        .ok_or_else(|| Problem::not_found("the dashboard has no such file"))?;
    Ok(cacheable(&request, tag, Freshness::Ask, None, || respond(file)))
}

fn respond(file: &File) -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.media_type)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, file.content).into_response()
}
