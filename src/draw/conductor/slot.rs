//! The slot that this holder has to draw, and when it counts as missed.

use rand::{Rng, RngExt};

use super::{Action, Conductor, Obstacle, Report, Work};
use crate::clock::Now;
use crate::record::Slot;

/// After so many missed slots in a row, another member should try.
const MOST_MISSED: u32 = 2;

/// The slot to draw, and why it isn't drawn yet.
pub(super) struct PendingSlot {
    pub slot: Slot,
    pub obstacle: Obstacle,
    pub undecided: bool,
}

impl Conductor {
    /// Sets the pending slot when one is due, and clears it after its draw or its deadline.
    pub(super) fn update_pending(&mut self, now: Now, head: Option<Slot>, rng: &mut impl Rng) {
        if let Some(pending) = &self.pending {
            if head.is_some_and(|head| head >= pending.slot) {
                self.pending = None;
            } else if !self.in_time(pending.slot, now) && !matches!(self.work, Work::Committing { .. }) {
                self.miss(rng);
            }
        }
        if self.pending.is_none()
            && let Some(slot) = self.due(now).filter(|slot| head.is_none_or(|head| *slot > head))
        {
            self.pending = Some(PendingSlot {
                slot,
                obstacle: Obstacle::NotCommitted,
                undecided: false,
            });
        }
    }

    fn miss(&mut self, rng: &mut impl Rng) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        if matches!(self.work, Work::Collecting(_)) {
            self.work = Work::Idle;
        }
        self.report(match pending.undecided {
            true => Report::Undecided { slot: pending.slot },
            false => Report::Missed {
                slot: pending.slot,
                obstacle: pending.obstacle,
            },
        });
        self.missed_in_row += 1;
        if self.missed_in_row >= MOST_MISSED {
            self.missed_in_row = 0;
            let longest = self.config.lease_duration * (1 << self.stays.min(2));
            self.stays += 1;
            self.actions
                .push(Action::StayOut(longest.mul_f64(rng.random_range(0.5..1.0))));
        }
    }

    /// The slot that is due now.
    fn due(&self, now: Now) -> Option<Slot> {
        let slot = self.config.schedule.at_or_before(now.wall.seconds())?;
        self.in_time(slot, now).then_some(slot)
    }

    fn in_time(&self, slot: Slot, now: Now) -> bool {
        let since = now.wall.0.saturating_sub(slot.0.saturating_mul(1_000_000));
        u128::try_from(since).is_ok_and(|since| since < self.config.deadline(slot).as_micros())
    }
}
