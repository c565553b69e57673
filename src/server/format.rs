//! Representations: which one a request asks for, and lists of values in each.

use std::fmt::Display;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::problem::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    /// One value a line.
    Text,
    Bytes,
    /// One JSON value a line.
    JsonLines,
}

impl Format {
    /// What `?format=` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Text => "text",
            Format::Bytes => "bytes",
            Format::JsonLines => "jsonl",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Text => "text/plain; charset=utf-8",
            Format::Bytes => "application/octet-stream",
            Format::JsonLines => "application/x-ndjson",
        }
    }

    /// The media type without its parameters.
    fn essence(self) -> &'static str {
        match self {
            Format::Text => "text/plain",
            other => other.media_type(),
        }
    }
}

const ALL: [Format; 4] = [Format::Json, Format::Text, Format::Bytes, Format::JsonLines];

/// Picks one of `available` (the first is the default): by `?format=` if given, else by `Accept` (RFC 9110, 12.5.1).
pub fn negotiate(headers: &HeaderMap, parameter: Option<&str>, available: &[Format]) -> Result<Format, Problem> {
    let default = available.first().copied().unwrap_or(Format::Json);
    if let Some(name) = parameter {
        let Some(format) = ALL.iter().find(|format| format.name() == name) else {
            return Err(Problem::parameter(
                "format",
                Some(name),
                "there is no such format",
                names(available),
            ));
        };
        return match available.contains(format) {
            true => Ok(*format),
            false => Err(not_acceptable(available)),
        };
    }
    let accepts = headers.get_all(header::ACCEPT);
    let mut lines = accepts.iter();
    match (lines.next(), lines.next()) {
        (None, _) => return Ok(default),
        // What most clients send, answered without an allocation. Several lines are one list (RFC 9110, 5.3).
        (Some(only), None) if only == "*/*" => return Ok(default),
        _ => {}
    }
    let ranges: Vec<MediaRange<'_>> = accepts
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(MediaRange::parse)
        .collect();
    let mut best = None;
    for format in available {
        let quality = quality(&ranges, format.essence());
        // The first of equals wins: `available` is in our order of preference.
        if quality > 0 && best.is_none_or(|(_, so_far)| quality > so_far) {
            best = Some((*format, quality));
        }
    }
    best.map(|(format, _)| format).ok_or_else(|| not_acceptable(available))
}

/// How much the client wants a media type (without parameters) by its `Accept`: from 0, not at all, to 1000.
pub fn wanted(headers: &HeaderMap, essence: &str) -> u16 {
    let mut accepts = headers.get_all(header::ACCEPT).iter().peekable();
    match accepts.peek() {
        None => return 1000,
        Some(only) if *only == "*/*" => return 1000,
        Some(_) => {}
    }
    let texts = accepts.filter_map(|value| value.to_str().ok());
    let ranges: Vec<MediaRange<'_>> = texts
        .flat_map(|value| value.split(','))
        .filter_map(MediaRange::parse)
        .collect();
    quality(&ranges, essence)
}

fn not_acceptable(available: &[Format]) -> Problem {
    let types: Vec<_> = available.iter().map(|format| format.essence()).collect();
    Problem::not_acceptable(format!("Accept: {}; or ?format={}", types.join(", "), names(available)))
}

fn names(available: &[Format]) -> String {
    let names: Vec<_> = available.iter().map(|format| format.name()).collect();
    names.join(", ")
}

struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Option<MediaRange<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(Some(1.0), |q| q.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)))?;
        Some(MediaRange {
            kind,
            subtype,
            quality: (quality * 1000.0) as u16,
        })
    }

    /// How exactly it names a type; none when it doesn't.
    fn precision(&self, kind: &str, subtype: &str) -> Option<u8> {
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (k, "*") if k.eq_ignore_ascii_case(kind) => Some(1),
            (k, s) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// The quality that the most exact range gives to a type; 0 when none matches.
fn quality(ranges: &[MediaRange<'_>], essence: &str) -> u16 {
    let (kind, subtype) = essence.split_once('/').unwrap_or((essence, ""));
    ranges
        .iter()
        .filter_map(|range| Some((range.precision(kind, subtype)?, range.quality)))
        .max_by_key(|(precision, _)| *precision)
        .map_or(0, |(_, quality)| quality)
}

/// A body that must not be kept by a cache: a number is given out once.
pub fn fresh(format: Format, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `{"values":[…]}`, each value as `write` writes it.
pub fn json_values<T>(values: &[T], mut write: impl FnMut(&mut String, &T)) -> String {
    let mut text = String::with_capacity(16 + values.len() * 24);
    text.push_str("{\"values\":[");
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        write(&mut text, value);
    }
    text.push_str("]}");
    text
}

/// One value a line.
pub fn lines<T: Display>(values: &[T]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(values.len() * 24);
    for value in values {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{value}");
    }
    text
}

/// JSON of a value that is made of texts and numbers.
pub fn json<T: serde::Serialize>(value: &T) -> Response {
    fresh(Format::Json, serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str, available: &[Format]) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        negotiate(&headers, None, available).ok()
    }

    #[test]
    fn accept_is_answered_by_quality_and_precision() {
        use Format::{Bytes, Json, Text};
        let all = &[Json, Text, Bytes];
        for (accept, format) in [
            ("*/*", Some(Json)),
            ("text/plain", Some(Text)),
            ("text/*", Some(Text)),
            ("text/plain;q=0.5, application/octet-stream", Some(Bytes)),
            ("application/json;q=0, */*;q=0.1", Some(Text)),
            ("TEXT/PLAIN", Some(Text)),
            ("text/html, */*;q=0.8", Some(Json)),
            ("image/png", None),
            ("text/plain;q=0", None),
        ] {
            assert_eq!(asked(accept, all), format, "{accept}");
        }
    }

    #[test]
    fn accept_over_several_lines_is_read_as_one() {
        let mut headers = HeaderMap::new();
        for line in ["*/*", "application/json;q=0, text/plain"] {
            headers.append(header::ACCEPT, line.parse().unwrap());
        }
        let both = [Format::Json, Format::Text];
        assert_eq!(negotiate(&headers, None, &both), Ok(Format::Text));
    }

    #[test]
    fn the_format_parameter_overrides_accept() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, "text/plain".parse().unwrap());
        let both = [Format::Json, Format::Text];
        assert_eq!(negotiate(&headers, Some("json"), &both), Ok(Format::Json));
        let problem = negotiate(&headers, Some("bytes"), &both).unwrap_err();
        assert_eq!(problem.status, 406);
        assert!(problem.allowed.clone().unwrap().contains("text/plain"));
        assert_eq!(negotiate(&headers, Some("xml"), &both).unwrap_err().status, 400);
    }
}
