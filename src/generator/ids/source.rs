//! Gives out ids. A caller takes positions with one compare-and-swap, and waits only if the floor is not ahead.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::{COUNTER_BITS, END_MS, id, milliseconds};
use crate::clock::{Clock, Now};

/// How far ids may run ahead of time when requests take more than 4,096 a millisecond.
const LEAD_MS: u64 = 1_000;
/// How far the floor is set ahead of use. A restart skips at most that; under load the file is written once in half of it.
/// More than twice the lead, which one request may take.
pub(super) const AHEAD_MS: u64 = 4_000;
/// Ids in one request: within the lead on any clock.
pub const MAX_IDS: u32 = 1 << 20;

#[derive(Clone, Debug)]
pub struct IdsConfig {
    /// The floor's file.
    pub path: PathBuf,
    /// Without an ordinal there are no ids.
    pub ordinal: Option<u16>,
    /// The longest wait for a floor.
    pub patience: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdsError {
    #[error("this member has no ordinal, so it can't give ids; ask one that is named SET-ORDINAL")]
    NoOrdinal,
    #[error("at most {MAX_IDS} ids at once")]
    TooMany,
    #[error("ids are requested faster than 4096 a millisecond; try again in a second")]
    TooFast,
    #[error("can't store the floor of ids on the volume: {0}")]
    Floor(Arc<str>),
    #[error("the volume is too slow to store the floor of ids; try again")]
    Timeout,
    #[error("the ids of this ordinal are used up, or its clock was once near the year 2095")]
    Exhausted,
    #[error("this member is stopping")]
    Stopped,
}

/// What the thread publishes.
#[derive(Clone, Debug, Default)]
pub(super) struct Reservation {
    /// Ids of milliseconds below this may be given out.
    pub reserved_ms: u64,
    /// Attempts to raise the floor, with failed ones.
    pub attempts: u64,
    pub trouble: Option<Arc<str>>,
}

/// Gives ids. Clones draw from the same positions.
#[derive(Clone, Debug)]
pub struct IdSource {
    ordinal: Option<u16>,
    patience: Duration,
    clock: Clock,
    shared: Arc<Shared>,
    reservations: watch::Receiver<Reservation>,
    raise: mpsc::Sender<()>,
}

/// Atomics, so that no caller waits for another.
#[derive(Debug)]
pub(super) struct Shared {
    /// The first free position: a millisecond and a counter.
    pub next: AtomicU64,
    /// Ids of milliseconds below this may be given out.
    pub reserved_ms: AtomicU64,
    /// Added to boot time it is the ids' own time. It only grows, so a wall clock that steps back changes nothing.
    offset_ms: AtomicI64,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            next: AtomicU64::new(0),
            reserved_ms: AtomicU64::new(0),
            // Before any time that a floor or a clock gives.
            offset_ms: AtomicI64::new(i64::MIN / 2),
        }
    }
}

impl Shared {
    /// The ids' own time: runs at the pace of boot time, follows the wall clock forwards, and never goes back.
    pub fn time_ms(&self, now: Now) -> u64 {
        let boot_ms = boot_ms(now);
        let mut offset = self.offset_ms.load(Ordering::Acquire);
        if let Some(wall_ms) = milliseconds(now.wall) {
            let by_wall = wall_ms.cast_signed() - boot_ms;
            offset = self.offset_ms.fetch_max(by_wall, Ordering::AcqRel).max(by_wall);
        }
        u64::try_from(boot_ms + offset).unwrap_or(0)
    }

    /// Starts at the floor that was read from the volume.
    pub fn start_at(&self, floor_ms: u64, now: Now) {
        self.next.fetch_max(floor_ms << COUNTER_BITS, Ordering::AcqRel);
        self.offset_ms
            .fetch_max(floor_ms.cast_signed() - boot_ms(now), Ordering::AcqRel);
    }
}

fn boot_ms(now: Now) -> i64 {
    (now.boot.0 / 1_000_000).cast_signed()
}

/// The outcome of one attempt to take positions.
enum Take {
    Taken(u64),
    /// The floor must rise above this millisecond first.
    Floor(u64),
}

impl IdSource {
    pub(super) fn new(
        config: &IdsConfig,
        clock: Clock,
        shared: Arc<Shared>,
        reservations: watch::Receiver<Reservation>,
        raise: mpsc::Sender<()>,
    ) -> IdSource {
        IdSource {
            ordinal: config.ordinal,
            patience: config.patience,
            clock,
            shared,
            reservations,
            raise,
        }
    }

    /// `count` new ids, ascending. Waits at most `patience`, and only if the floor is not ahead. Cancelling may leave a gap, never a
    /// repetition.
    pub async fn take(&self, count: u32) -> Result<Vec<u64>, IdsError> {
        let ordinal = self.ordinal.ok_or(IdsError::NoOrdinal)?;
        if count > MAX_IDS {
            return Err(IdsError::TooMany);
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let first = match self.attempt(count)? {
            Take::Taken(first) => first,
            Take::Floor(_) => tokio::time::timeout(self.patience, self.wait(count))
                .await
                .map_err(|_| IdsError::Timeout)??,
        };
        Ok((first..first + u64::from(count))
            .map(|position| id(position, ordinal))
            .collect())
    }

    /// Why ids can't be given out at present, for the operator.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.reservations.borrow().trouble.clone()
    }

    async fn wait(&self, count: u32) -> Result<u64, IdsError> {
        let mut reservations = self.reservations.clone();
        loop {
            let before = reservations.borrow_and_update().attempts;
            let needed_ms = match self.attempt(count)? {
                Take::Taken(first) => return Ok(first),
                Take::Floor(needed_ms) => needed_ms,
            };
            self.request()?;
            // An attempt that was already under way may not reach far enough: then this loops.
            let after = reservations
                .wait_for(|now| now.reserved_ms > needed_ms || now.attempts != before)
                .await
                .map_err(|_| IdsError::Stopped)?
                .clone();
            match self.attempt(count)? {
                Take::Taken(first) => return Ok(first),
                Take::Floor(_) => {
                    if let Some(trouble) = after.trouble {
                        return Err(IdsError::Floor(trouble));
                    }
                }
            }
        }
    }

    fn request(&self) -> Result<(), IdsError> {
        match self.raise.try_send(()) {
            // One request in the queue serves every caller.
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Closed(())) => Err(IdsError::Stopped),
        }
    }

    fn attempt(&self, count: u32) -> Result<Take, IdsError> {
        let shared = &self.shared;
        let time_ms = shared.time_ms(self.clock.now());
        // Before the position: if the floor rises meanwhile, this is only too careful.
        let reserved_ms = shared.reserved_ms.load(Ordering::Acquire);
        let mut next = shared.next.load(Ordering::Acquire);
        loop {
            let first = next.max(time_ms << COUNTER_BITS);
            let end = first + u64::from(count);
            let last_ms = (end - 1) >> COUNTER_BITS;
            if last_ms >= END_MS {
                return Err(IdsError::Exhausted);
            }
            // Before the floor is read, the position means nothing.
            if reserved_ms > 0 && last_ms > time_ms + LEAD_MS {
                return Err(IdsError::TooFast);
            }
            if last_ms >= reserved_ms {
                return Ok(Take::Floor(last_ms));
            }
            match shared
                .next
                .compare_exchange_weak(next, end, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    if last_ms + AHEAD_MS / 2 >= reserved_ms {
                        // Early, so that no caller waits. If it fails, the caller that needs it tries again.
                        let _ = self.request();
                    }
                    return Ok(Take::Taken(first));
                }
                Err(current) => next = current,
            }
        }
    }
}
