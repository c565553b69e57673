//! Who this member is: set, ordinal, Pod UID, and the nonce of this process.

use std::fmt;

/// A member's name: `rg-2` is ordinal 2 of the set `rg`. A name without ordinal serves numbers, and can neither
/// contribute to draws nor give `/ids`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberName {
    /// 1 to 52 of `a-z 0-9 -` (a StatefulSet's own limit: its Pods' names are labels).
    pub set: String,
    pub ordinal: Option<u16>,
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordinal {
            Some(ordinal) => write!(f, "{}-{ordinal}", self.set),
            None => f.write_str(&self.set),
        }
    }
}
