//! UUIDs of version 7 that ascend for as long as the process runs (RFC 9562, 5.7 and 6.2, method 2: monotonic random).
//!
//! The first UUID of a millisecond gets a random number of 74 bits, with the highest bit 0 to leave room above it. Each further one
//! adds a random step of 1 to 2^32. If the clock stands still or is set back, the steps go on from the last UUID. When a
//! millisecond has no room left, the next one is used, ahead of the clock.

use std::sync::{Mutex, PoisonError};

use rand::Rng;
use uuid::{Builder, Uuid};

/// 12 bits behind the version, 62 behind the variant.
const RANDOM_BITS: u32 = 74;

/// What [`TimedUuids::take`] takes for each: its step and itself.
pub const TIMED_UUID_BYTES: usize = 32;

/// What the last UUID was made from. Shared by all requests, so that each answer follows the one before.
#[derive(Debug, Default)]
pub struct TimedUuids {
    last: Mutex<Option<Position>>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    /// Since 1970.
    milliseconds: u64,
    random: u128,
}

impl TimedUuids {
    /// `count` UUIDs, ascending, above all that were given before. `milliseconds` since 1970 is the time now.
    pub fn take(&self, rng: &mut (impl Rng + ?Sized), milliseconds: u64, count: usize) -> Vec<Uuid> {
        // Drawn before the lock: others wait only for a few additions.
        let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let first = random >> (128 - (RANDOM_BITS - 1));
        let steps: Vec<u128> = (0..count).map(|_| 1 + u128::from(rng.next_u32())).collect();
        let total: u128 = steps.iter().sum();
        let mut position = self.reserve(milliseconds, first, total);
        let next = |step| {
            position.random += step;
            position.uuid()
        };
        steps.into_iter().map(next).collect()
    }

    /// The position before `total` free ones.
    fn reserve(&self, milliseconds: u64, first: u128, total: u128) -> Position {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seeded = |milliseconds| Position {
            milliseconds,
            random: first,
        };
        let start = match last.filter(|last| last.milliseconds >= milliseconds) {
            None => seeded(milliseconds),
            Some(last) if (last.random + total) >> RANDOM_BITS == 0 => last,
            Some(last) => seeded(last.milliseconds + 1),
        };
        *last = Some(Position {
            random: start.random + total,
            ..start
        });
        start
    }
}

impl Position {
    fn uuid(self) -> Uuid {
        // 16 and 64 bits with version and variant.
        let (high, low) = ((self.random >> 62) as u16, self.random as u64 & (u64::MAX >> 2));
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&high.to_be_bytes());
        bytes[2..].copy_from_slice(&low.to_be_bytes());
        Builder::from_unix_timestamp_millis(self.milliseconds, &bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_millisecond_that_is_used_up_continues_in_the_next() {
        let mut rng = StdRng::seed_from_u64(1);
        let source = TimedUuids::default();
        let before = source.take(&mut rng, 5_000, 1)[0];
        let end = 1 << RANDOM_BITS;
        *source.last.lock().unwrap() = Some(Position {
            milliseconds: 5_000,
            random: end - 2,
        });
        let mut given = vec![before];
        for _ in 0..3 {
            given.extend(source.take(&mut rng, 5_000, 100));
        }
        assert!(given.is_sorted_by(|one, next| one < next));
        assert!(given[1..].iter().all(|uuid| uuid.as_u128() >> 80 == 5_001));
    }
}
