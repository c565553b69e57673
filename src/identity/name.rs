//! A member's name, and the set and ordinal in it.

use std::fmt;
use std::str::FromStr;

use crate::record::MAX_ORDINAL;

/// The longest name of a set: a StatefulSet's limit, because the names of its Pods and revisions are labels.
pub const MAX_SET: usize = 52;

/// A member's name: `rg-2` is ordinal 2 of the set `rg`. A member without an ordinal serves numbers, but neither contributes to
/// draws nor gives out `/ids`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberName {
    /// 1 to 52 of `a-z 0-9 -`.
    pub set: String,
    /// At most 1023: ten bits of an id.
    pub ordinal: Option<u16>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "member name {0:?} is not allowed: SET-ORDINAL, with a set of 1 to 52 of a-z, 0-9 and \"-\" and an ordinal of 0 to 1023 \
     (rg-0), or a set alone; set POD_NAME from metadata.name"
)]
pub struct NameError(String);

impl FromStr for MemberName {
    type Err = NameError;

    /// Parses a Pod's name. An ending that isn't a StatefulSet's ordinal (`rg-7d4b-x2x4z`, `rg-02`, `rg-1024`) is part of the set's
    /// name, so a Deployment's Pod is a member without an ordinal.
    fn from_str(text: &str) -> Result<MemberName, NameError> {
        let (set, ordinal) = match text.rsplit_once('-') {
            Some((set, digits)) if !set.is_empty() => match ordinal(digits) {
                Some(ordinal) => (set, Some(ordinal)),
                None => (text, None),
            },
            _ => (text, None),
        };
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=MAX_SET).contains(&set.len()) || !set.bytes().all(allowed) {
            return Err(NameError(text.to_owned()));
        }
        Ok(MemberName {
            set: set.to_owned(),
            ordinal,
        })
    }
}

/// An ordinal as a StatefulSet writes it: decimal, without leading zeros.
fn ordinal(digits: &str) -> Option<u16> {
    let ordinal: u16 = digits.parse().ok()?;
    (ordinal <= MAX_ORDINAL && ordinal.to_string() == digits).then_some(ordinal)
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordinal {
            Some(ordinal) => write!(f, "{}-{ordinal}", self.set),
            None => f.write_str(&self.set),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (String, Option<u16>) {
        let name: MemberName = text.parse().unwrap();
        (name.set, name.ordinal)
    }

    #[test]
    fn the_number_at_the_end_is_the_ordinal() {
        assert_eq!(parsed("rg-2"), ("rg".into(), Some(2)));
        assert_eq!(parsed("rg-0"), ("rg".into(), Some(0)));
        assert_eq!(parsed("my-rg-1023"), ("my-rg".into(), Some(1023)));
    }

    #[test]
    fn a_name_without_a_statefulsets_ordinal_has_none() {
        for name in [
            "rg",
            "rg-02",
            "rg-1024",
            "rg-99999999999",
            "rg-7d4b9c5f6-24568",
            "rg-",
            "-1",
        ] {
            assert_eq!(parsed(name), (name.into(), None));
        }
    }

    #[test]
    fn a_name_that_a_record_could_not_carry_is_refused() {
        for name in [
            "",
            "RG-0",
            "rg.x-0",
            "rg 0",
            "rg_0",
            "rg-+1",
            "ümlaut-0",
            &format!("{}-0", "s".repeat(53)),
            &"s".repeat(53),
        ] {
            let error = name.parse::<MemberName>().unwrap_err();
            assert!(error.to_string().contains("POD_NAME"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_written_as_it_was_read(text in "[a-z0-9-]{1,54}(-[0-9]{1,5})?") {
            if let Ok(name) = text.parse::<MemberName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
