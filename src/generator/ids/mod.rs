//! Unique 64-bit ids from the member's ordinal: a 0, 41 bits of milliseconds since 2026-01-01T00:00:00Z, 10 bits of ordinal,
//! 12 bits of counter.
//!
//! An ordinal never repeats an id, whatever happens to the process or the wall clock. The floor on the volume ([`floor`]) is a
//! high-water mark: ids below it are reserved, only reserved ids are given out, and a new process starts at the floor.
//! [`source`] gives out ids, [`reservation`] raises the floor ahead of use.

mod floor;
mod reservation;
mod source;

pub use reservation::{ReservationError, Reserver, start};
pub use source::{IdSource, IdsConfig, IdsError, MAX_IDS};

use crate::clock::Wall;

/// 2026-01-01T00:00:00Z, in milliseconds since the Unix epoch.
const EPOCH_MS: i64 = 1_767_225_600_000;
const COUNTER_BITS: u32 = 12;
const ORDINAL_BITS: u32 = 10;
/// The first millisecond that an id can't express: in September 2095.
const END_MS: u64 = 1 << 41;

/// Milliseconds since 2026; none for a clock so wrong that an id can't express it.
fn milliseconds(wall: Wall) -> Option<u64> {
    u64::try_from(wall.0.div_euclid(1_000) - EPOCH_MS)
        .ok()
        .filter(|&ms| ms < END_MS)
}

/// The id at a position: a millisecond and a counter, 53 bits. Every position is used at most once.
fn id(position: u64, ordinal: u16) -> u64 {
    let (ms, counter) = (position >> COUNTER_BITS, position & ((1 << COUNTER_BITS) - 1));
    (ms << (ORDINAL_BITS + COUNTER_BITS)) | (u64::from(ordinal) << COUNTER_BITS) | counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_time_then_ordinal_then_counter() {
        assert_eq!(id((5 << 12) | 7, 3), (5 << 22) | (3 << 12) | 7);
        assert_eq!(id((END_MS << 12) - 1, 1023), u64::MAX >> 1);
    }

    #[test]
    fn time_counts_from_2026() {
        let at = |text: &str| milliseconds(text.parse::<jiff::Timestamp>().unwrap().into());
        assert_eq!(at("2026-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("2026-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(at("2025-12-31T23:59:59.999Z"), None);
        assert_eq!(at("2095-09-07T15:47:35.551Z"), Some(END_MS - 1));
        assert_eq!(at("2095-09-07T15:47:35.552Z"), None);
    }
}
