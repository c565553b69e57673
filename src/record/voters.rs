//! The ordinals whose majority decides what is final.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Object, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{MAX_CONTRIBUTIONS, MAX_ORDINAL};

/// So many ordinals, from the first on. As text, and in a record of schema 2, `5-7`; those from ordinal 0 on are only counted: `3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voters {
    pub first: u16,
    pub count: u16,
}

impl Voters {
    pub fn contains(self, ordinal: u16) -> bool {
        self.ordinals().contains(&ordinal)
    }

    pub fn ordinals(self) -> std::ops::Range<u16> {
        self.first..self.first.saturating_add(self.count)
    }

    /// Whether so many of them are more than half.
    pub fn is_majority(self, count: usize) -> bool {
        2 * count > usize::from(self.count)
    }

    pub fn is_valid(self) -> bool {
        let last = u32::from(self.first) + u32::from(self.count);
        (1..=MAX_CONTRIBUTIONS).contains(&usize::from(self.count)) && last <= u32::from(MAX_ORDINAL) + 1
    }

    /// `ordinals 5 to 7`, `ordinal 5`.
    pub fn describe(self) -> String {
        let last = self.ordinals().end.saturating_sub(1);
        match self.count {
            0 | 1 => format!("ordinal {}", self.first),
            _ => format!("ordinals {} to {last}", self.first),
        }
    }
}

/// The first ordinals, from 0.
impl From<u16> for Voters {
    fn from(count: u16) -> Voters {
        Voters { first: 0, count }
    }
}

impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            0 => write!(f, "{}", self.count),
            first => write!(f, "{first}-{}", self.ordinals().end.saturating_sub(1)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a number of voters, 1 to 32, which are the ordinals from 0 on, or a range of 1 to 32 ordinals up to 1023, such as 5-7"
)]
pub struct VotersError;

impl FromStr for Voters {
    type Err = VotersError;

    fn from_str(text: &str) -> Result<Voters, VotersError> {
        let number = |digits: &str| digits.parse().ok().filter(|number: &u16| number.to_string() == digits);
        let voters = match text.split_once('-') {
            None => number(text).map(Voters::from),
            Some((first, last)) => number(first).zip(number(last)).and_then(|(first, last)| {
                let count = last.checked_sub(first)?.checked_add(1)?;
                Some(Voters { first, count })
            }),
        };
        voters.filter(|voters| voters.is_valid()).ok_or(VotersError)
    }
}

impl PartialSchema for Voters {
    fn schema() -> RefOr<Schema> {
        let count: Object = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_CONTRIBUTIONS))
            .build();
        let range: Object = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[1-9][0-9]{0,3}-[1-9][0-9]{0,3}$"))
            .build();
        RefOr::T(Schema::OneOf(
            OneOfBuilder::new()
                .description(Some(
                    "1 to 32: their number, from ordinal 0 on (schema 1), or their range (schema 2).",
                ))
                .item(count)
                .item(range)
                .build(),
        ))
    }
}

impl ToSchema for Voters {}

impl Serialize for Voters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.first {
            0 => serializer.serialize_u16(self.count),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Voters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Voters, D::Error> {
        deserializer.deserialize_any(CountOrRange)
    }
}

struct CountOrRange;

impl Visitor<'_> for CountOrRange {
    type Value = Voters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of voters, or a range of ordinals that doesn't begin with 0")
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Voters, E> {
        let count = u16::try_from(count).map_err(|_| E::invalid_value(Unexpected::Unsigned(count), &self))?;
        Ok(count.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Voters, E> {
        let range = text.parse().ok();
        let range = range.filter(|voters: &Voters| voters.first != 0 && voters.to_string() == text);
        range.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_are_read_as_a_number_or_as_a_range() {
        let parsed = |text: &str| text.parse::<Voters>().map(|voters| (voters.first, voters.count));
        assert_eq!(parsed("3"), Ok((0, 3)));
        assert_eq!(parsed("0-2"), Ok((0, 3)));
        assert_eq!(parsed("5-7"), Ok((5, 3)));
        assert_eq!(parsed("1023-1023"), Ok((1023, 1)));
        for wrong in [
            "",
            "0",
            "33",
            "7-5",
            "5-",
            "-5",
            "5-7-9",
            "05-7",
            "+5-7",
            "0-32",
            "1000-1024",
            "65535-65535",
            "five",
        ] {
            assert_eq!(parsed(wrong), Err(VotersError), "{wrong}");
        }
    }

    #[test]
    fn json_has_one_form_for_the_same_voters() {
        let written = |text: &str| serde_json::to_string(&text.parse::<Voters>().unwrap()).unwrap();
        assert_eq!(written("0-2"), "3");
        assert_eq!(written("5-7"), "\"5-7\"");
        for text in [
            "\"0-2\"", "\"3\"", "\"05-7\"", "\"5-4\"", "\"\"", "null", "-1", "1.5", "true", "\"5-37\"",
        ] {
            assert!(serde_json::from_str::<Voters>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Voters>("\"5-7\"").unwrap().ordinals(), 5..8);
    }
}
