//! Unique 64-bit ids from the member's ordinal: a 0, 41 bits of milliseconds since 2026-01-01T00:00:00Z, 10 bits of ordinal,
//! 12 bits of counter.
//!
//! An ordinal never repeats one, whatever becomes of the process or the wall clock. A floor on the volume ([`floor`]) is
//! kept ahead of use: an id is given out only when the floor that lies above it is durable, and a new process begins at the
//! floor. [`source`] gives ids out, [`keeper`] keeps the floor ahead.

mod floor;
mod keeper;
mod source;

pub use keeper::{IdKeeper, KeeperError, start};
pub use source::{IdSource, IdsConfig, IdsError, MAX_IDS};

use crate::clock::Wall;

/// 2026-01-01T00:00:00Z, in milliseconds since the Unix epoch.
const EPOCH_MS: i64 = 1_767_225_600_000;
const COUNTER_BITS: u32 = 12;
const ORDINAL_BITS: u32 = 10;
/// The first millisecond that an id can't express: in September 2095.
const END_MS: u64 = 1 << 41;

/// Milliseconds since 2026; none before 2026, and none that an id can't express. A clock so wrong is not asked.
fn milliseconds(wall: Wall) -> Option<u64> {
    u64::try_from(wall.0.div_euclid(1_000) - EPOCH_MS)
        .ok()
        .filter(|&ms| ms < END_MS)
}

/// The id at a position: a position is a millisecond and a counter, 53 bits, and every one is used once at most.
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
