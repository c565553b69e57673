//! What a member reports of itself: the answer to [`ReportRequest`](super::message::ReportRequest), and a part of `/set`.
//!
//! Members of different versions read each other's reports: one may leave out what only a newer version has, and skips what it
//! doesn't know.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lease::Leader;
use crate::readiness;
use crate::record::{Missing, Slot};

/// Bytes of an answer with a report. It is a small part of this, unless texts in it are as long as they may be.
pub const REPORT_MAX: usize = 32 * 1024;

/// How a member is, by what its parts publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemberReport {
    /// The node that it runs on; null if it doesn't know.
    #[schema(required)]
    pub node: Option<String>,
    pub version: String,
    /// When its process started.
    #[schema(format = "date-time")]
    pub started_at: String,
    /// As `/readyz` has it.
    pub readiness: readiness::Status,
    pub volume: VolumeReport,
    pub journal: JournalReport,
    /// Null for a member without ordinal.
    #[schema(required)]
    pub ledger: Option<LedgerReport>,
    /// As `/leader` has it.
    pub lease: Leader,
    /// Null for a member without ordinal.
    #[schema(required)]
    pub draws: Option<DrawsReport>,
}

/// The file system that the member's volume is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeReport {
    /// Null if it can't be measured.
    #[schema(required)]
    pub bytes: Option<u64>,
    #[schema(required)]
    pub used_bytes: Option<u64>,
}

/// The journal of what was given out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalReport {
    pub bytes: u64,
    /// Its share of the volume.
    pub max_bytes: u64,
    /// The share of its pages in use, from 0 to 1. Its oldest entries are dropped when it is full.
    pub fill: f64,
    /// From the oldest entry of the newest transaction to its commit; of one under way, if that takes longer already.
    pub lag_ms: u64,
}

/// The records on the member's volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerReport {
    /// How many rounds it keeps.
    pub rounds: u64,
    /// The oldest of them; null before the first draw.
    #[schema(required)]
    pub oldest: Option<u64>,
    /// The newest of them: its head.
    #[schema(required)]
    pub newest: Option<u64>,
}

/// The draws, as the member knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrawsReport {
    /// Null before the first draw.
    #[schema(required)]
    pub head: Option<HeadReport>,
    /// The next slot of its schedule, by its clock.
    #[schema(value_type = Option<String>, required, format = "date-time")]
    pub next_slot: Option<Slot>,
}

/// The newest draw that the member knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeadReport {
    pub round: u64,
    #[schema(value_type = String, format = "date-time")]
    pub slot: Slot,
    /// Slots without a draw between the one before and this one.
    pub missed: u64,
    /// Who did not contribute, and why.
    pub missing: Vec<Missing>,
}
