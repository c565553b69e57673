//! A member's report, a ledger and a chain, such as a healthy member has them.

use std::sync::Arc;

use random_generator::draw::ledger::{Condition, LedgerSnapshot};
use random_generator::lease::Leader;
use random_generator::peer::report::{
    DrawsReport, HeadReport, JournalReport, LedgerReport, MemberReport, VolumeReport,
};
use random_generator::readiness::{Latch, Readiness};
use random_generator::record::{Missing, Reason, Record, Slot};

use super::linked::linked;

/// What a member reports that is well.
pub fn report() -> MemberReport {
    let readiness = Readiness::new();
    for latch in [Latch::Listeners, Latch::Volume, Latch::Entropy, Latch::Journal] {
        readiness.release(latch);
    }
    MemberReport {
        node: Some("worker-2".into()),
        version: "1.2.3".into(),
        started_at: "2027-01-15T07:00:00.000001Z".into(),
        readiness: readiness.status(),
        volume: VolumeReport {
            bytes: Some(1_000_000),
            used_bytes: Some(400_000),
        },
        journal: JournalReport {
            bytes: 200_000,
            max_bytes: 600_000,
            fill: 0.25,
            lag_ms: 2,
        },
        ledger: Some(LedgerReport {
            rounds: 5,
            oldest: Some(1),
            newest: Some(5),
        }),
        lease: Leader {
            holder: Some("rg-1_uid-0123abcd".into()),
            member: Some("rg-1".into()),
            own: true,
            fence: 3,
            acquired_at: Some("2027-01-15T07:00:01Z".into()),
            remaining_ms: Some(13_870),
            view_age_ms: Some(1_130),
        },
        draws: Some(DrawsReport {
            head: Some(HeadReport {
                round: 5,
                slot: Slot(1_800_000_000),
                missed: 1,
                missing: vec![Missing {
                    ordinal: 0,
                    reason: Reason::Timeout,
                }],
            }),
            next_slot: Some(Slot(1_800_000_010)),
        }),
    }
}

pub fn ledger(chain: Vec<Arc<Record>>) -> LedgerSnapshot {
    LedgerSnapshot {
        newest: chain.last().cloned(),
        recent: chain.into(),
        below: 0,
        wanted: None,
        aside: Arc::new([]),
        condition: Condition::Writable,
        promised_fence: 1,
    }
}

/// Linked records of these rounds.
pub fn chain(rounds: std::ops::RangeInclusive<u64>) -> Vec<Arc<Record>> {
    linked(7, 1_800_000_000, rounds).into_iter().map(Arc::new).collect()
}
