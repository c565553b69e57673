//! This member's report of itself, from what its parts publish: for its peers, and for `/set`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::draw::ledger::LedgerSnapshot;
use crate::identity::MemberName;
use crate::journal::JournalHandle;
use crate::lease::{Leader, LeaseHandle};
use crate::peer::message::{ReportAnswer, VERSION};
use crate::peer::report::{DrawsReport, HeadReport, JournalReport, LedgerReport, MemberReport, VolumeReport};
use crate::readiness::Readiness;
use crate::record::schedule::Schedule;

/// Characters of a text in the report, so that it stays far below what a peer reads.
const TEXT_MAX: usize = 400;

#[derive(Clone, Debug)]
pub(super) struct Reporter {
    pub name: MemberName,
    pub node: Option<String>,
    /// RFC 3339.
    pub started_at: String,
    pub readiness: Readiness,
    pub journal: JournalHandle,
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub lease: LeaseHandle,
    pub schedule: Schedule,
    pub clock: Clock,
}

impl Reporter {
    pub fn answer(&self) -> ReportAnswer {
        ReportAnswer {
            version: VERSION,
            set: self.name.set.clone(),
            member: self.name.to_string(),
            ordinal: self.name.ordinal,
            report: self.report(),
        }
    }

    pub fn report(&self) -> MemberReport {
        let mut readiness = self.readiness.status();
        for degraded in &mut readiness.degraded {
            degraded.reason = shortened(&degraded.reason);
        }
        // A member without ordinal has no ledger, only an empty snapshot of one.
        let ledger = self.name.ordinal.map(|_| self.ledger.borrow().clone());
        let now = self.clock.now();
        MemberReport {
            node: self.node.as_deref().map(shortened),
            version: super::VERSION.to_owned(),
            started_at: self.started_at.clone(),
            readiness,
            volume: self.volume(),
            journal: self.journal(),
            ledger: ledger.as_deref().map(|ledger| LedgerReport {
                rounds: ledger.rounds(),
                oldest: ledger.oldest(),
                newest: ledger.head().map(|record| record.round),
            }),
            lease: Leader::seen(&self.lease.snapshots().borrow(), now.boot),
            draws: ledger.map(|ledger| DrawsReport {
                head: ledger.head().map(|head| HeadReport {
                    round: head.round,
                    slot: head.slot,
                    missed: head.missed,
                    missing: head.missing.clone(),
                }),
                next_slot: self.schedule.next_after(now.wall.seconds()),
            }),
        }
    }

    fn volume(&self) -> VolumeReport {
        let space = self.journal.space();
        VolumeReport {
            bytes: space.map(|space| space.total),
            used_bytes: space.map(|space| space.total.saturating_sub(space.free)),
        }
    }

    fn journal(&self) -> JournalReport {
        let (_, bytes) = self.journal.size();
        JournalReport {
            bytes: u64::try_from(bytes).unwrap_or(0),
            max_bytes: self.journal.max_bytes(),
            fill: self.journal.fill(),
            lag_ms: whole_ms(self.journal.lag()),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
