//! What a client may keep, what it has already, and what part of it it wants (RFC 9111; RFC 9110, 8.8.3 and 13).

use std::fmt::{Display, Write};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::range;

/// How long a cache may answer without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Not at all: it asks each time whether what it has is still so.
    Ask,
    /// An hour, within which nobody has to ask, though a page be loaded again (RFC 8246). A final record never changes; but
    /// rounds begin with 1 again in a new chain, which a person may begin, so a round's address isn't its record's for ever.
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

/// A strong entity tag: equal exactly where the representation is, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// `parts` name the representation, its format among them. They are texts of our own, without `"` and `,`.
    pub fn new(parts: &[&dyn Display]) -> Tag {
        let mut text = String::from("\"");
        for (n, part) in parts.iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(text, "{}{part}", if n > 0 { "." } else { "" });
        }
        text.push('"');
        Tag(text)
    }

    /// Of a representation that stands in the program, by its content.
    pub fn of(content: &str) -> Tag {
        Tag::new(&[&hex::encode(&Sha256::digest(content)[..16])])
    }

    /// With its quotes, as headers have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `If-None-Match` names it. A weak tag matches too: for that header the comparison is the weak one.
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

/// What `make` makes, with its body in memory, or the part of it that is asked for; or 304 for a client that has it: nothing is
/// made then. `chosen_by` is the request's header that the representation may have been chosen by, for `Vary`.
///
/// # Errors
/// 416: it has no such part.
pub fn kept(
    method: &Method,
    request: &HeaderMap,
    tag: &Tag,
    freshness: Freshness,
    chosen_by: Option<HeaderName>,
    make: impl FnOnce() -> Response,
) -> Result<Response, Problem> {
    let mut response = match tag.among(request) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => range::part(method, request, tag, make())?,
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, freshness.header());
    if let Some(name) = chosen_by {
        headers.insert(header::VARY, HeaderValue::from(name));
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(tag) = HeaderValue::from_str(&tag.0) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others_weak_or_strong_and_not_by_a_part_of_it() {
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
