//! The messages between members: `docs/protocol.md`, 3.1. All are JSON with one version number.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::report::MemberReport;
use crate::record::{ChainId, Commitment, Hash, Record, Reveal, Slot, Voters};

/// The version this build speaks. A member accepts this and the one before (there is none before 1).
pub const VERSION: u32 = 1;
/// One for each member that can have a chain of its own.
pub const MOST_PASSED_OVER: usize = 32;

/// A request to a member, the body of a POST.
pub trait Question: Serialize {
    const PATH: &'static str;
    type Answer: DeserializeOwned;
}

impl Question for KeepRequest {
    const PATH: &'static str = "/v1/keep";
    type Answer = KeepAnswer;
}

impl Question for HeadsRequest {
    const PATH: &'static str = "/v1/heads";
    type Answer = HeadsAnswer;
}

impl Question for ReportRequest {
    const PATH: &'static str = "/v1/report";
    type Answer = ReportAnswer;
}

/// The holder's request: keep `head`, and contribute to `round`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepRequest {
    pub version: u32,
    pub set: String,
    /// Name of the member that asks.
    pub from: String,
    /// Its lease identity.
    pub holder: String,
    pub fence: u64,
    pub voters: Voters,
    pub chain: ChainId,
    pub round: u64,
    pub slot: Slot,
    /// The record of `round` − 1; none for round 1.
    pub head: Option<Arc<Record>>,
    /// False beyond 32 members: the others keep only.
    pub contribute: bool,
    /// A person started this chain although members have older records.
    pub restart: bool,
    /// Newer records of other chains that a recovery passed over because no voter has them: at most [`MOST_PASSED_OVER`].
    pub passed_over: Vec<Hash>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub reveal: Option<Reveal>,
    pub next_commitment: Commitment,
}

/// The proof that `kept` is durable on this member's volume, and its contribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepAnswer {
    pub version: u32,
    pub set: String,
    pub member: String,
    pub ordinal: u16,
    pub chain: ChainId,
    pub round: u64,
    pub kept: Option<Hash>,
    pub contribution: Option<Given>,
}

/// Asks for the newest record a member knows, in recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadsRequest {
    pub version: u32,
    pub set: String,
    pub from: String,
    pub holder: String,
    pub fence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadsAnswer {
    pub version: u32,
    pub set: String,
    pub member: String,
    pub ordinal: u16,
    /// The newest by (fence, round); none in an empty ledger.
    pub head: Option<Arc<Record>>,
    /// The request's fence, which this member has promised.
    pub fence: u64,
}

/// Asks how a member is, for `/set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    pub version: u32,
    pub set: String,
    pub from: String,
}

/// It decides nothing, so it may have more than this version knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportAnswer {
    pub version: u32,
    pub set: String,
    pub member: String,
    /// None for a member without ordinal.
    pub ordinal: Option<u16>,
    pub report: MemberReport,
}

/// Why a message was not answered. `refusal` on the wire, HTTP status 409 (400 for `malformed`, 503 for `ledger`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "lowercase", deny_unknown_fields)]
pub enum Refusal {
    #[error("it speaks version {speaks}")]
    Version { speaks: u32 },
    #[error("it is a member of the set {set:?}")]
    Set { set: String },
    #[error("malformed: {detail}")]
    Malformed { detail: String },
    /// The slot is more than 5 s ahead of the member's clock.
    #[error("the slot is {ahead_ms} ms ahead of its clock")]
    Early { ahead_ms: u64 },
    /// It has promised this fence already.
    #[error("it has promised fence {fence}")]
    Fence { fence: u64 },
    /// The request's head is an ancestor of this record, which it has.
    #[error("it knows a newer record, round {}", head.round)]
    Ahead { head: Arc<Record> },
    #[error("its ledger can't be written: {detail}")]
    Ledger { detail: String },
}
