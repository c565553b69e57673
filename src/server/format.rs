//! Formats: which one a request asks for, and responses in it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

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
    /// Its name in `?format=`.
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

/// The formats that a path has.
pub trait Formats {
    /// The first is the default.
    const ALL: &'static [Format];
}

macro_rules! formats {
    ($($name:ident: [$($format:ident),+];)+) => {$(
        #[derive(Debug)]
        pub struct $name;

        impl Formats for $name {
            const ALL: &'static [Format] = &[$(Format::$format),+];
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                one_of(Self::ALL.iter().map(|format| format.name()))
            }
        }

        impl ToSchema for $name {}
    )+};
}

formats! {
    JsonAlone: [Json];
    JsonText: [Json, Text];
    JsonTextBytes: [Json, Text, Bytes];
    BytesJsonText: [Bytes, Json, Text];
    JsonLines: [Json, JsonLines];
}

/// Describes a text that is one of `choices`, the first by default.
pub fn one_of(choices: impl Iterator<Item = &'static str>) -> RefOr<Schema> {
    let choices: Vec<_> = choices.collect();
    let text = ObjectBuilder::new().schema_type(Type::String);
    let default = choices.first().map(|first| (*first).into());
    text.default(default).enum_values(Some(choices)).into()
}

/// Picks one of the formats that a path has: by `?format=` if given, else by `Accept` (RFC 9110, 12.5.1).
pub fn negotiate<F: Formats>(headers: &HeaderMap, parameter: Option<&str>) -> Result<Format, Problem> {
    let available = F::ALL;
    if let Some(name) = parameter {
        return match ALL.iter().find(|format| format.name() == name) {
            None => {
                let detail = "unknown format";
                Err(Problem::parameter("format", Some(name), detail, names(available)))
            }
            Some(format) if available.contains(format) => Ok(*format),
            Some(_) => Err(not_acceptable(available)),
        };
    }
    if let ([first, ..], false) = (available, headers.contains_key(header::ACCEPT)) {
        return Ok(*first);
    }
    let mut best = None;
    for format in available {
        let quality = wanted(headers, format.essence());
        // The first of equals wins: `available` is in our order of preference.
        if quality > 0 && best.is_none_or(|(_, so_far)| quality > so_far) {
            best = Some((*format, quality));
        }
    }
    best.map(|(format, _)| format).ok_or_else(|| not_acceptable(available))
}

/// Whether the client would rather have a media type (without parameters) than any of the formats that a path has.
pub fn prefers<F: Formats>(headers: &HeaderMap, essence: &str) -> bool {
    if !headers.contains_key(header::ACCEPT) {
        return false;
    }
    let quality = wanted(headers, essence);
    F::ALL.iter().all(|format| quality > wanted(headers, format.essence()))
}

/// Refuses a request whose `Accept` leaves out the one media type that a path has.
pub fn require(headers: &HeaderMap, essence: &'static str) -> Result<(), Problem> {
    match wanted(headers, essence) {
        0 => Err(Problem::not_acceptable(format!("Accept: {essence}"))),
        _ => Ok(()),
    }
}

/// How much the client wants a media type (without parameters) by its `Accept`: from 0, not at all, to 1000. The most exact
/// range decides. Several lines are one list (RFC 9110, 5.3).
pub fn wanted(headers: &HeaderMap, essence: &str) -> u16 {
    let lines = headers.get_all(header::ACCEPT);
    if lines.iter().next().is_none() {
        return 1000;
    }
    let (kind, _) = essence.split_once('/').unwrap_or((essence, ""));
    let ranges = lines
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let matching = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next()?;
        let precision = match range.split_once('/')? {
            ("*", "*") => 0,
            (of, "*") if of.eq_ignore_ascii_case(kind) => 1,
            _ if range.eq_ignore_ascii_case(essence) => 2,
            _ => return None,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.map_or(Ok(1.0), str::parse::<f32>).ok()?;
        (0.0..=1.0)
            .contains(&quality)
            .then_some((precision, (quality * 1000.0) as u16))
    });
    matching
        .max_by_key(|(precision, _)| *precision)
        .map_or(0, |(_, quality)| quality)
}

fn not_acceptable(available: &[Format]) -> Problem {
    let types: Vec<_> = available.iter().map(|format| format.essence()).collect();
    Problem::not_acceptable(format!("Accept: {}; or ?format={}", types.join(", "), names(available)))
}

fn names(available: &[Format]) -> String {
    let names: Vec<_> = available.iter().map(|format| format.name()).collect();
    names.join(", ")
}

/// Values in the order in which they were made.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Values<T> {
    pub values: Vec<T>,
}

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Raw(pub Vec<u8>);

/// A response that no cache may store: a number is given out once.
pub fn respond(format: Format, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// As [`respond`], with the JSON of a value that is made of texts and numbers.
pub fn respond_json<T: Serialize>(value: &T) -> Response {
    respond(Format::Json, serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All;

    impl Formats for All {
        const ALL: &'static [Format] = &[Format::Json, Format::Text, Format::Bytes];
    }

    fn asked(lines: &[&str], parameter: Option<&str>) -> Result<Format, Problem> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT, line.parse().unwrap());
        }
        negotiate::<All>(&headers, parameter)
    }

    #[test]
    fn accept_is_answered_by_quality_and_precision() {
        use Format::{Bytes, Json, Text};
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
            assert_eq!(asked(&[accept], None).ok(), format, "{accept}");
        }
        assert_eq!(asked(&[], None), Ok(Json));
    }

    #[test]
    fn html_is_preferred_only_by_who_wants_it_more_than_every_format() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, preferred) in [
            (browser, true),
            ("text/html", true),
            ("text/html;q=0.2, application/json;q=0.1", true),
            ("text/html, application/json", false),
            ("text/html;q=0.5, */*", false),
            ("text/*", false),
            ("*/*", false),
            ("application/json, text/html;q=0", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers::<All>(&headers, "text/html"), preferred, "{accept}");
        }
        assert!(!prefers::<All>(&HeaderMap::new(), "text/html"));
    }

    #[test]
    fn accept_over_several_lines_is_read_as_one() {
        assert_eq!(
            asked(&["*/*", "application/json;q=0, text/plain"], None),
            Ok(Format::Text)
        );
    }

    #[test]
    fn the_format_parameter_overrides_accept() {
        assert_eq!(asked(&["text/plain"], Some("json")), Ok(Format::Json));
        let problem = asked(&[], Some("jsonl")).unwrap_err();
        assert_eq!(problem.status, 406);
        assert!(problem.allowed.clone().unwrap().contains("text/plain"));
        assert_eq!(asked(&[], Some("xml")).unwrap_err().status, 400);
    }
}
