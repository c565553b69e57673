//! Parts of an answer: single ranges of bytes (RFC 9110, 14), of what has a strong entity tag and so is the same each time.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::FutureExt;

use super::conditional::Tag;
use super::problem::Problem;

/// What `Range` says, before the length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    From {
        first: u64,
        last: Option<u64>,
    },
    /// So many bytes at the end.
    Suffix(u64),
}

impl Asked {
    /// None is the whole: without the header, or with one that is not of bytes, not well formed, or of several ranges. All of
    /// these may be ignored (14.2), and an answer in several parts is more than these few kilobytes need.
    fn of(headers: &HeaderMap) -> Option<Asked> {
        let mut given = headers.get_all(header::RANGE).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return None;
        };
        let (unit, set) = value.to_str().ok()?.split_once('=')?;
        let (first, last) = set.trim().split_once('-')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first, last) {
            ("", count) => number(count).map(Asked::Suffix),
            (first, "") => number(first).map(|first| Asked::From { first, last: None }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                let last = Some(last);
                (Some(first) <= last).then_some(Asked::From { first, last })
            }
        }
    }

    /// Which bytes these are of so many; none when there is none of them.
    fn within(self, length: usize) -> Option<Range<usize>> {
        // What doesn't fit is beyond any length.
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let range = match self {
            Asked::From { first, last } => {
                let end = last.map_or(length, |last| place(last).saturating_add(1).min(length));
                place(first)..end
            }
            Asked::Suffix(count) => length.saturating_sub(place(count))..length,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// Digits alone; a number beyond 64 bits is beyond any length as well.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `If-Range` (13.1.5): a part is of use only beside other parts of the same, so a client names what it has. A weak tag is
/// never the same here, and a date names nothing.
fn is_of(headers: &HeaderMap, tag: &Tag) -> bool {
    let mut given = headers.get_all(header::IF_RANGE).iter();
    match (given.next(), given.next()) {
        (None, _) => true,
        (Some(value), None) => value.as_bytes() == tag.as_str().as_bytes(),
        (Some(_), Some(_)) => false,
    }
}

/// `response`, a 200 whose body is in memory, or the part of it that a GET asks for: 206; 416 when there is no such part.
pub(crate) fn part(method: &Method, headers: &HeaderMap, tag: &Tag, response: Response) -> Result<Response, Problem> {
    let asked = match Asked::of(headers) {
        Some(asked) if method == Method::GET && response.status() == StatusCode::OK && is_of(headers, tag) => asked,
        _ => return Ok(response),
    };
    let (mut head, body) = response.into_parts();
    // A body in memory is there at once.
    let whole = axum::body::to_bytes(body, usize::MAX).now_or_never();
    let Some(Ok(whole)) = whole else {
        return Err(Problem::internal());
    };
    let range = asked
        .within(whole.len())
        .ok_or_else(|| Problem::no_such_range(whole.len()))?;
    let told = format!("bytes {}-{}/{}", range.start, range.end - 1, whole.len());
    if let Ok(told) = HeaderValue::from_str(&told) {
        head.headers.insert(header::CONTENT_RANGE, told);
    }
    head.status = StatusCode::PARTIAL_CONTENT;
    Ok(Response::from_parts(head, Body::from(whole.slice(range))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Option<Asked> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(value).unwrap());
        Asked::of(&headers)
    }

    #[test]
    fn one_range_of_bytes_is_read_and_everything_else_is_the_whole() {
        let from = |first, last| Some(Asked::From { first, last });
        for (value, expected) in [
            ("bytes=0-3", from(0, Some(3))),
            ("BYTES=7-", from(7, None)),
            ("bytes=5-5", from(5, Some(5))),
            ("bytes= 1-2 ", from(1, Some(2))),
            ("bytes=99999999999999999999-", from(u64::MAX, None)),
            ("bytes=-4", Some(Asked::Suffix(4))),
            ("bytes=-0", Some(Asked::Suffix(0))),
            ("bytes=3-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("bytes=1", None),
            ("bytes", None),
            ("items=0-3", None),
            ("", None),
        ] {
            assert_eq!(asked(value), expected, "{value}");
        }
    }

    #[test]
    fn a_range_ends_with_the_answer_and_one_that_begins_after_it_is_none() {
        let of_ten = |value| asked(value).unwrap().within(10);
        assert_eq!(of_ten("bytes=0-3"), Some(0..4));
        assert_eq!(of_ten("bytes=9-9"), Some(9..10));
        assert_eq!(of_ten("bytes=8-99"), Some(8..10));
        assert_eq!(of_ten("bytes=8-99999999999999999999"), Some(8..10));
        assert_eq!(of_ten("bytes=4-"), Some(4..10));
        assert_eq!(of_ten("bytes=-3"), Some(7..10));
        assert_eq!(of_ten("bytes=-11"), Some(0..10));
        for none in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(of_ten(none), None, "{none}");
        }
    }
}
