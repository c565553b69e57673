//! Query parameters, read strictly: an unknown, repeated, malformed or out-of-range one gets a 400 that names it.
//!
//! Ignoring a misspelt `cuont=5` would answer another question than the client's.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::problem::{Problem, shown};

/// The parameters of one request, decoded; each is known to the endpoint, and given once.
#[derive(Debug)]
pub struct Query<'a> {
    pairs: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads `raw` (what follows `?`) as `application/x-www-form-urlencoded`. `known` are the endpoint's parameters.
    pub fn parse(raw: Option<&'a str>, known: &[&'static str]) -> Result<Query<'a>, Problem> {
        let mut pairs: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).ok_or_else(|| not_encoded(shown(name), name))?;
            let Some(name) = known.iter().find(|known| **known == decoded) else {
                let allowed = match known {
                    [] => "no parameter".to_owned(),
                    known => known.join(", "),
                };
                return Err(Problem::parameter(shown(&decoded), None, "unknown parameter", allowed));
            };
            if pairs.iter().any(|(there, _)| there == name) {
                return Err(Problem::parameter(*name, Some(value), "given more than once", "once"));
            }
            let value = decode(value).ok_or_else(|| not_encoded(*name, value))?;
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(there, _)| *there == name)
            .map(|(_, value)| value.as_ref())
    }

    /// A number with a decimal point, an exponent, or neither, from −10^300 to 10^300, or `default` when it is absent.
    pub fn decimal(&self, name: &'static str, default: f64) -> Result<f64, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        // `f64` also reads `inf` and `nan`.
        let digits = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        match text.parse::<f64>() {
            Ok(value) if digits && value.abs() <= DECIMAL_MAX => Ok(value),
            parsed => Err(Problem::parameter(
                name,
                Some(text),
                match digits && parsed.is_ok() {
                    true => "out of range",
                    false => "not a decimal number",
                },
                "a decimal number from -1e300 to 1e300",
            )),
        }
    }

    /// `true` or `false`, or `default` when it is absent.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, Problem> {
        match self.text(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            given => Err(Problem::parameter(name, given, "neither true nor false", "true, false")),
        }
    }

    /// A whole number in `range`, or `default` when it is absent.
    pub fn integer(&self, name: &'static str, range: RangeInclusive<i64>, default: i64) -> Result<i64, Problem> {
        match self.text(name) {
            Some(text) => integer(name, text, range),
            None => Ok(default),
        }
    }
}

/// The limit of [`Query::decimal`]: sums and differences of a few such numbers are still finite.
const DECIMAL_MAX: f64 = 1e300;

/// Reads a whole decimal number, as a parameter or a part of the path.
pub fn integer(name: &'static str, text: &str, range: RangeInclusive<i64>) -> Result<i64, Problem> {
    let allowed = || format!("a whole number from {} to {}", range.start(), range.end());
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::parameter(name, Some(text), "not a whole number", allowed()));
    }
    // It has digits only, so what doesn't parse exceeds 64 bits.
    match text.parse::<i64>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(Problem::parameter(name, Some(text), "out of range", allowed())),
    }
}

fn not_encoded(name: impl Into<Cow<'static, str>>, given: &str) -> Problem {
    Problem::parameter(
        name,
        Some(given),
        "not percent-encoded UTF-8",
        "UTF-8, where % is followed by two hexadecimal digits",
    )
}

/// Percent-decoding with `+` for a space; none when a `%` isn't followed by two digits or the bytes aren't UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                byte[0]
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(raw: &str) -> Problem {
        let query = match Query::parse(Some(raw), &["count", "min"]) {
            Ok(query) => query,
            Err(problem) => return problem,
        };
        query.integer("count", 1..=10, 1).unwrap_err()
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_was_given_and_what_is_allowed() {
        for (raw, name, given) in [
            ("cuont=5", "cuont", None),
            ("count=5&count=5", "count", Some("5")),
            ("count=five", "count", Some("five")),
            ("count=", "count", Some("")),
            ("count", "count", Some("")),
            ("count=%2B5", "count", Some("+5")),
            ("count=5.0", "count", Some("5.0")),
            ("count=0", "count", Some("0")),
            ("count=99999999999999999999", "count", Some("99999999999999999999")),
            ("count=%ff", "count", Some("%ff")),
            ("count=%4", "count", Some("%4")),
            ("%ff=1", "%ff", Some("%ff")),
        ] {
            let problem = refused(raw);
            assert_eq!(problem.status, 400, "{raw}");
            assert_eq!(problem.parameter.as_deref(), Some(name), "{raw}");
            assert_eq!(problem.given.as_deref(), given, "{raw}");
            assert!(problem.allowed.is_some(), "{raw}");
        }
    }

    #[test]
    fn encoded_names_and_values_are_decoded() {
        let query = Query::parse(Some("%63ount=%37&min=-3"), &["count", "min"]).unwrap();
        assert_eq!(query.integer("count", 1..=10, 1).unwrap(), 7);
        assert_eq!(query.integer("min", -5..=5, 0).unwrap(), -3);
    }

    #[test]
    fn the_ends_of_64_bits_are_numbers() {
        let query = Query::parse(
            Some("min=-9223372036854775808&count=9223372036854775807"),
            &["count", "min"],
        )
        .unwrap();
        assert_eq!(query.integer("min", i64::MIN..=i64::MAX, 0).unwrap(), i64::MIN);
        assert_eq!(query.integer("count", i64::MIN..=i64::MAX, 0).unwrap(), i64::MAX);
    }
}
