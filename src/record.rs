//! One draw, as the Lease, the ledgers and the wire have it: `docs/protocol.md`, part 1.

pub mod chain;
mod crontab;
mod hexadecimal;
pub mod integers;
mod parse;
pub mod schedule;
pub mod secrets;
mod voters;

use std::marker::PhantomData;
use std::str::FromStr;
use std::{fmt, io};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256, Sha512};
use utoipa::ToSchema;

use hexadecimal::Text;
pub use hexadecimal::{Hex, HexError};
use parse::no_majority;
pub use parse::{MAX_SET, MAX_TEXT, RecordError, Rule, is_holder};
pub use voters::{Voters, VotersError};

/// RFC 8785 numbers are doubles; integers beyond this would not survive a reader in JavaScript.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
/// The most contributions to a record, and the most voters. Keeps a record well under an annotation's 256 KiB.
pub const MAX_CONTRIBUTIONS: usize = 32;
pub const MAX_MISSING: usize = 64;
pub const MAX_ORDINAL: u16 = 1023;
/// `missed` counts no further: counting must not take minutes after a set slept for months.
pub const MAX_MISSED: u64 = 100_000;
/// Of a record whose voters are a number, and of one whose voters are a range that doesn't begin with ordinal 0. A set without
/// start ordinal writes the first, which every version reads.
pub const SCHEMAS: [u64; 2] = [1, 2];
/// 9998-12-31T23:59:59Z, the last slot: jiff's timestamps end within the year 9999.
pub const MAX_SLOT: Slot = Slot(253_370_764_799);

/// SHA-256 of a record's canonical JSON.
pub type Hash = Hex<32>;
/// A member's secret for one round, once it is public.
pub type Reveal = Hex<32>;
/// SHA-256 over a secret that is revealed one round later.
pub type Commitment = Hex<32>;
/// The result of a draw: SHA-512 over the reveals.
pub type Output = Hex<64>;
/// Identifies a chain; random.
pub type ChainId = Hex<16>;

/// The scheduled time of a draw, in whole seconds since the epoch. As text `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub i64);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            // Beyond MAX_SLOT. An error here would be a panic in `to_string`.
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.0)
    }
}

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected YYYY-MM-DDTHH:MM:SSZ, of the years 1970 to 9998")]
pub struct SlotError;

impl FromStr for Slot {
    type Err = SlotError;
    fn from_str(text: &str) -> Result<Slot, SlotError> {
        let slot = text.parse::<jiff::Timestamp>().map_err(|_| SlotError)?;
        let slot = Slot(slot.as_second());
        // RFC 3339 can write one instant in many ways; a record has one.
        if !(Slot(0)..=MAX_SLOT).contains(&slot) || slot.to_string() != text {
            return Err(SlotError);
        }
        Ok(slot)
    }
}

/// One member's part in a record.
// Fields in alphabetical order, here and below: serde writes them in this order, and RFC 8785 requires them sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    pub member: String,
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub next_commitment: Commitment,
    #[schema(maximum = 1023)]
    pub ordinal: u16,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, required, pattern = "^[0-9a-f]{64}$")]
    pub reveal: Option<Reveal>,
}

/// Why an ordinal that was asked, or is a voter, did not contribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// DNS does not list it.
    Unpublished,
    Unreachable,
    Timeout,
    /// It answered with a refusal.
    Refused,
    /// Its answer, or its reveal, did not verify.
    Invalid,
    /// It has no writable ledger.
    Ledger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    #[schema(maximum = 1023)]
    pub ordinal: u16,
    pub reason: Reason,
}

/// A draw, built by [`Draft::seal`] or read by [`Record::parse`]: both ensure that `hash` is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(description = "A draw (docs/protocol.md, part 1): canonical JSON, with exactly these members.")]
pub struct Record {
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    pub chain: ChainId,
    pub contributions: Vec<Contribution>,
    #[schema(minimum = 1)]
    pub fence: u64,
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub hash: Hash,
    pub holder: String,
    #[schema(maximum = 100_000)]
    pub missed: u64,
    pub missing: Vec<Missing>,
    /// Null if no contribution has a reveal.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, required, pattern = "^[0-9a-f]{128}$")]
    pub output: Option<Output>,
    /// Null in round 1.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, required, pattern = "^[0-9a-f]{64}$")]
    pub previous: Option<Hash>,
    #[schema(minimum = 1)]
    pub round: u64,
    pub schedule: String,
    #[schema(minimum = 1, maximum = 2)]
    pub schema: u64,
    pub set: String,
    #[schema(value_type = String, format = "date-time")]
    pub slot: Slot,
    #[schema(inline)]
    pub voters: Voters,
}

/// A record before its output and hash are known.
#[derive(Clone, Debug)]
pub struct Draft {
    pub set: String,
    pub chain: ChainId,
    pub round: u64,
    pub schedule: String,
    pub slot: Slot,
    pub missed: u64,
    pub holder: String,
    pub fence: u64,
    pub voters: Voters,
    pub previous: Option<Hash>,
    pub contributions: Vec<Contribution>,
    pub missing: Vec<Missing>,
}

#[cfg(test)]
impl Draft {
    /// The draft of the round after `previous`, without contributions, for unit tests.
    pub(crate) fn after(previous: Option<&Record>, fence: u64) -> Draft {
        let round = previous.map_or(1, |record| record.round + 1);
        Draft {
            set: "rg".to_owned(),
            chain: Hex([7; 16]),
            round,
            schedule: "@every 1s".to_owned(),
            slot: Slot(1_800_000_000 + round.cast_signed()),
            missed: 0,
            holder: format!("rg-0_local-{fence}"),
            fence,
            voters: 1.into(),
            previous: previous.map(|record| record.hash),
            contributions: Vec::new(),
            missing: Vec::new(),
        }
    }
}

impl Draft {
    /// Sorts the lists and computes output and hash.
    pub fn seal(self) -> Record {
        let mut record = Record {
            chain: self.chain,
            contributions: self.contributions,
            fence: self.fence,
            hash: Hex([0; 32]),
            holder: self.holder,
            missed: self.missed,
            missing: self.missing,
            output: None,
            previous: self.previous,
            round: self.round,
            schedule: self.schedule,
            schema: schema(self.voters),
            set: self.set,
            slot: self.slot,
            voters: self.voters,
        };
        record.contributions.sort_by_key(|c| c.ordinal);
        record.missing.sort_by_key(|m| m.ordinal);
        record.output = output(&record.chain, record.round, &record.contributions);
        record.hash = record.computed_hash();
        record
    }
}

/// The schema of a record with these voters.
pub(super) fn schema(voters: Voters) -> u64 {
    let [counted, ranged] = SCHEMAS;
    if voters.first == 0 { counted } else { ranged }
}

impl Record {
    /// Canonical JSON (RFC 8785): sorted members, no white space. A valid record has only ASCII texts and integers, so serde's output
    /// for sorted fields is canonical.
    pub fn canonical(&self) -> String {
        // Writing texts and integers to memory can't fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether this is its canonical JSON.
    fn is_canonical(&self, text: &str) -> bool {
        let mut expected = Expected(text.as_bytes());
        serde_json::to_writer(&mut expected, self).is_ok() && expected.0.is_empty()
    }

    /// The hash over the canonical JSON without `hash` itself.
    pub fn computed_hash(&self) -> Hash {
        Record::hash_of(&self.canonical())
    }

    fn hash_of(canonical: &str) -> Hash {
        const NAME: &str = "\"hash\":\"";
        // Its hash, a quote and a comma.
        const VALUE: usize = 2 * 32 + 2;
        // No text before it has these unescaped quotes, so the first match is the member.
        let (before, after) = canonical.split_once(NAME).unwrap_or((canonical, ""));
        let after = after.as_bytes().get(VALUE..).unwrap_or_default();
        let mut hasher = Sha256::new();
        prefixed(&mut hasher, b"random-generator/record/1");
        hasher.update(((before.len() + after.len()) as u64).to_be_bytes());
        hasher.update(before);
        hasher.update(after);
        Hex(hasher.finalize().into())
    }

    /// Orders all records that were ever final: for each, a majority of voters promised its fence first.
    pub fn age(&self) -> (u64, u64) {
        (self.fence, self.round)
    }

    pub fn contribution(&self, ordinal: u16) -> Option<&Contribution> {
        self.contributions.iter().find(|c| c.ordinal == ordinal)
    }
}

/// Takes these bytes and no others: a text is compared with what would be written, without a copy of it.
struct Expected<'a>(&'a [u8]);

impl io::Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// SHA-512 over chain, round and the reveals by ordinal; none without any reveal.
pub fn output(chain: &ChainId, round: u64, contributions: &[Contribution]) -> Option<Output> {
    let mut hasher = Sha512::new();
    prefixed(&mut hasher, b"random-generator/output/1");
    prefixed(&mut hasher, chain.to_string().as_bytes());
    prefixed(&mut hasher, &round.to_be_bytes());
    let mut any = false;
    for contribution in contributions {
        if let Some(reveal) = &contribution.reveal {
            any = true;
            prefixed(&mut hasher, &u64::from(contribution.ordinal).to_be_bytes());
            prefixed(&mut hasher, &reveal.0);
        }
    }
    any.then(|| Hex(hasher.finalize().into()))
}

/// Hashes a part with its length first, so that different lists of parts never give the same bytes.
pub(super) fn prefixed(hasher: &mut impl sha2::digest::Update, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_be_bytes());
    hasher.update(part);
}

/// Refuses an absent field, which serde would read as null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_canonical_in_its_own_json_and_in_no_longer_or_shorter_text() {
        let record = Draft::after(None, 7).seal();
        let text = record.canonical();
        assert!(record.is_canonical(&text));
        assert!(!record.is_canonical(&text[..text.len() - 1]));
        assert!(!record.is_canonical(&format!("{text} ")));
        assert!(!record.is_canonical(&text.replacen("\"fence\":7", "\"fence\":8", 1)));
    }
}
