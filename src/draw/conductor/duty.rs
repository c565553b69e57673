//! The account of slots: which one is this holder's to draw, and when it was missed.

use rand::{Rng, RngExt};

use super::{Action, Conductor, Obstacle, Report, Work};
use crate::clock::Now;
use crate::record::Slot;

/// So many slots missed in a row, and another member may reach more.
const PATIENCE_SLOTS: u32 = 2;

/// The slot that this holder is to draw.
pub(super) struct Duty {
    pub slot: Slot,
    pub obstacle: Obstacle,
    pub undecided: bool,
}

impl Conductor {
    /// Keeps account of the slot that is this holder's to draw: begun while leading, ended by a draw or its deadline.
    pub(super) fn attend(&mut self, now: Now, head: Option<Slot>, rng: &mut impl Rng) {
        if let Some(duty) = &self.duty {
            if head.is_some_and(|head| head >= duty.slot) {
                self.duty = None;
            } else if !self.in_time(duty.slot, now) && !matches!(self.work, Work::Committing { .. }) {
                self.miss(rng);
            }
        }
        if self.duty.is_none()
            && let Some(slot) = self.due(now).filter(|slot| head.is_none_or(|head| *slot > head))
        {
            self.duty = Some(Duty {
                slot,
                obstacle: Obstacle::NotCommitted,
                undecided: false,
            });
        }
    }

    fn miss(&mut self, rng: &mut impl Rng) {
        let Some(duty) = self.duty.take() else {
            return;
        };
        if matches!(self.work, Work::Collecting(_)) {
            self.work = Work::Idle;
        }
        self.report(match duty.undecided {
            true => Report::Undecided { slot: duty.slot },
            false => Report::Missed {
                slot: duty.slot,
                obstacle: duty.obstacle,
            },
        });
        self.missed_in_row += 1;
        if self.missed_in_row >= PATIENCE_SLOTS {
            self.missed_in_row = 0;
            let longest = self.config.lease_duration * (1 << self.stays.min(2));
            self.stays += 1;
            self.actions
                .push(Action::StayOut(longest.mul_f64(rng.random_range(0.5..1.0))));
        }
    }

    /// The slot whose time it is.
    fn due(&self, now: Now) -> Option<Slot> {
        let slot = self.config.schedule.at_or_before(now.wall.seconds())?;
        self.in_time(slot, now).then_some(slot)
    }

    fn in_time(&self, slot: Slot, now: Now) -> bool {
        let since = now.wall.0.saturating_sub(slot.0.saturating_mul(1_000_000));
        u128::try_from(since).is_ok_and(|since| since < self.config.deadline(slot).as_micros())
    }
}
