//! What a client may cache, and what it has already: entity tags and 304 (RFC 9111; RFC 9110, 8.8.3 and 13).

use std::fmt::{Display, Write};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// How long a cache may use a response without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Not at all: it asks each time whether its copy is still valid.
    Ask,
    /// An hour, even when a page is reloaded (RFC 8246). A final record never changes; but a person may start a new chain,
    /// whose rounds begin at 1 again, so a round's URL doesn't name its record for ever.
    Final,
}

impl Freshness {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Freshness::Ask => "no-cache",
            Freshness::Final => "public, max-age=3600, immutable",
        })
    }
}

/// A strong entity tag: two are equal exactly when the responses are, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// `parts` identify the response, its format included. They come from this program, without `"` and `,`.
    pub fn new(parts: &[&dyn Display]) -> Tag {
        let mut text = String::from("\"");
        for (n, part) in parts.iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(text, "{}{part}", if n > 0 { "." } else { "" });
        }
        text.push('"');
        Tag(text)
    }

    /// The tag of a text that is compiled in: a hash of it.
    pub fn of(content: &str) -> Tag {
        Tag::new(&[&hex::encode(&Sha256::digest(content)[..16])])
    }

    /// Whether `If-None-Match` names it. That header compares weakly, so a weak tag matches too.
    pub fn among(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|there| there == "*" || there.strip_prefix("W/").unwrap_or(there) == self.0)
    }
}

/// Returns the response of `make`, or 304 without calling it if the client has that response. `vary` is the request's header
/// that its format was chosen by.
pub fn cacheable(
    request: &HeaderMap,
    tag: &Tag,
    freshness: Freshness,
    vary: Option<HeaderName>,
    make: impl FnOnce() -> Response,
) -> Response {
    let mut response = match tag.among(request) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => make(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, freshness.header());
    if let Some(name) = vary {
        headers.insert(header::VARY, HeaderValue::from(name));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag.0) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others_weak_or_strong_but_not_by_a_part_of_it() {
        let tag = Tag::new(&[&"abc", &1]);
        for (value, found) in [
            ("\"abc.1\"", true),
            ("W/\"abc.1\"", true),
            ("\"x\", \"abc.1\"", true),
            ("*", true),
            ("\"abc\"", false),
            ("abc.1", false),
            ("\"abc.12\"", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            assert_eq!(tag.among(&headers), found, "{value}");
        }
        assert!(!tag.among(&HeaderMap::new()));
    }
}
