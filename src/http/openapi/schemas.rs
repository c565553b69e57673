//! The shapes of what the public listener gives, for its description: what is sent is written by the handlers, and a test asks a
//! member for each path and reads the answer as the type here.
#![allow(dead_code)] // a member describes them, and makes none

use serde::Deserialize;
use utoipa::{ToResponse, ToSchema};

macro_rules! choices {
    // A literal that is taken as `literal` is wrapped, and utoipa reads no `rename` in it.
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $text:tt),+ $(,)? })+) => {
        $(#[derive(Deserialize, ToSchema)] $(#[$meta])* pub enum $name { $(#[serde(rename = $text)] $variant),+ })+
    };
}

choices! {
    #[schema(default = "json")]
    JsonTextBytes { Json = "json", Text = "text", Bytes = "bytes" }
    #[schema(default = "bytes")]
    BytesJsonText { Bytes = "bytes", Json = "json", Text = "text" }
    #[schema(default = "json")]
    JsonText { Json = "json", Text = "text" }
    #[schema(default = "json")]
    JsonLines { Json = "json", Jsonl = "jsonl" }
    #[schema(default = "alphanumeric")]
    Alphabet {
        Alphanumeric = "alphanumeric", Letters = "letters", Lowercase = "lowercase", Uppercase = "uppercase",
        Digits = "digits", Hex = "hex", Base64Url = "base64url",
    }
    #[schema(default = "4")]
    UuidVersion { Random = "4", Timed = "7" }
    /// Why an ordinal is not among the contributions.
    Reason {
        Unpublished = "unpublished", Unreachable = "unreachable", Timeout = "timeout", Refused = "refused",
        Invalid = "invalid", Ledger = "ledger",
    }
}

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Raw(Vec<u8>);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Values<T> {
    pub values: Vec<T>,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Item {
    Number(i64),
    Text(String),
}

#[derive(Deserialize, ToSchema)]
pub struct Root {
    pub random: i32,
    /// Of this process.
    #[schema(format = "uuid")]
    pub id: String,
    pub version: String,
}

/// A problem (RFC 9457): what was wrong, what is allowed, what to do.
#[derive(Deserialize, ToResponse, ToSchema)]
#[response(content_type = "application/problem+json", example = json!({
    "type": "urn:random-generator:problem:parameter", "title": "A parameter is wrong", "status": 400,
    "detail": "it is out of range", "parameter": "count", "given": "0", "allowed": "a whole number from 1 to 10000"
}))]
pub struct Problem {
    #[schema(pattern = "^urn:random-generator:problem:[a-z-]+$")]
    pub r#type: String,
    pub title: String,
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    pub detail: String,
    /// The parameter that was wrong.
    #[schema(nullable = false)]
    pub parameter: Option<String>,
    /// What was given for it; cut short if it was long.
    #[schema(nullable = false)]
    pub given: Option<String>,
    /// What is allowed instead.
    #[schema(nullable = false)]
    pub allowed: Option<String>,
    /// The oldest round that is kept, when an older one was asked for.
    #[schema(nullable = false)]
    pub oldest: Option<u64>,
}

/// A draw (docs/protocol.md, part 1): canonical JSON, with exactly these members.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    pub chain: String,
    pub contributions: Vec<Contribution>,
    #[schema(minimum = 1)]
    pub fence: u64,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub hash: String,
    pub holder: String,
    #[schema(minimum = 0, maximum = 100_000)]
    pub missed: u64,
    pub missing: Vec<Missing>,
    /// Null when nothing was revealed.
    #[schema(required, pattern = "^[0-9a-f]{128}$")]
    pub output: Option<String>,
    /// Null in round 1.
    #[schema(required, pattern = "^[0-9a-f]{64}$")]
    pub previous: Option<String>,
    #[schema(minimum = 1)]
    pub round: u64,
    pub schedule: String,
    #[schema(minimum = 1, maximum = 1)]
    pub schema: u64,
    pub set: String,
    #[schema(format = "date-time")]
    pub slot: String,
    #[schema(minimum = 1, maximum = 32)]
    pub voters: u16,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    pub member: String,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub next_commitment: String,
    #[schema(minimum = 0, maximum = 1023)]
    pub ordinal: u16,
    #[schema(required, pattern = "^[0-9a-f]{64}$")]
    pub reveal: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    #[schema(minimum = 0, maximum = 1023)]
    pub ordinal: u16,
    pub reason: Reason,
}

#[derive(Deserialize, ToSchema)]
pub struct Draws {
    pub draws: Vec<Record>,
    /// The round to go on from.
    #[schema(required)]
    pub next: Option<u64>,
}

#[derive(Deserialize, ToSchema)]
pub struct Derived {
    pub round: u64,
    /// The record's.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub hash: String,
    pub min: i64,
    pub max: i64,
    pub count: u64,
    pub unique: bool,
    pub values: Vec<i64>,
}

#[derive(Deserialize, ToSchema)]
pub struct Peers {
    #[serde(rename = "self")]
    pub own: String,
    /// When an answer last gave this list.
    #[schema(required, format = "date-time")]
    pub resolved_at: Option<String>,
    pub stale: bool,
    pub peers: Vec<Peer>,
}

#[derive(Deserialize, ToSchema)]
pub struct Peer {
    pub name: String,
    pub ordinal: u16,
    pub host: String,
    pub peer_port: u16,
    #[serde(rename = "self")]
    pub own: bool,
}

#[derive(Deserialize, ToSchema)]
pub struct Leader {
    /// The identity in the Lease.
    #[schema(required)]
    pub holder: Option<String>,
    /// The member's name in it.
    #[schema(required)]
    pub member: Option<String>,
    #[serde(rename = "self")]
    pub own: bool,
    pub fence: u64,
    #[schema(required, format = "date-time")]
    pub acquired_at: Option<String>,
    /// 0 when the lease has run out.
    #[schema(required)]
    pub remaining_ms: Option<u64>,
    /// How long ago the lease store last confirmed this.
    #[schema(required)]
    pub view_age_ms: Option<u64>,
}

#[derive(Deserialize, ToSchema)]
pub struct Live {
    pub alive: bool,
}

#[derive(Deserialize, ToSchema)]
pub struct Ready {
    pub ready: bool,
    pub stopping: bool,
    pub latches: Latches,
    pub degraded: Vec<Degraded>,
}

#[derive(Deserialize, ToSchema)]
pub struct Latches {
    pub listeners: bool,
    pub volume: bool,
    pub entropy: bool,
}

#[derive(Deserialize, ToSchema)]
pub struct Degraded {
    pub source: String,
    pub reason: String,
}

#[derive(Deserialize, ToSchema)]
pub struct Version {
    pub version: String,
    /// The newest peer protocol that is spoken.
    pub protocol: u64,
}
