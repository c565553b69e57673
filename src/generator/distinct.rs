//! Distinct integers of a range, one at a time.
//!
//! The first `count` steps of a Fisher-Yates shuffle (Knuth, The Art of Computer Programming, volume 2, 3.4.2, algorithm P)
//! of the range, which stores only what was moved. Each number costs one draw, even the last ones of the range, for which
//! drawing again on a repetition would take ever longer.

use std::collections::HashMap;

/// What is left of the range: memory for the numbers given, however wide the range.
#[derive(Debug)]
pub struct Distinct {
    min: i64,
    /// Numbers of the range, up to 2^64.
    size: u128,
    given: u64,
    /// Place → the number moved there, both counted from `min`.
    moved: HashMap<u64, u64>,
}

impl Distinct {
    /// `min` ≤ `max`.
    pub fn new(min: i64, max: i64) -> Distinct {
        Distinct {
            min,
            size: size(min, max),
            given: 0,
            moved: HashMap::new(),
        }
    }

    /// The next number, from 64 random bits; none if they would bias the result (Lemire, Fast Random Integer Generation in an
    /// Interval, 2019), or if the range is used up.
    pub fn next(&mut self, random: u64) -> Option<i64> {
        let left = self.size.checked_sub(u128::from(self.given)).filter(|left| *left > 0)?;
        // At most (2^64 − 1) × 2^64.
        let product = u128::from(random) * left;
        let unfair = (1 << 64) % left;
        if product & u128::from(u64::MAX) < unfair {
            return None;
        }
        // `left` numbers from place `given` on, all below 2^64.
        let place = self.given + (product >> 64) as u64;
        let chosen = self.moved.remove(&place).unwrap_or(place);
        if place != self.given {
            let own = self.moved.remove(&self.given).unwrap_or(self.given);
            self.moved.insert(place, own);
        }
        self.given += 1;
        // Two's complement: min + chosen is within the range.
        Some(self.min.wrapping_add_unsigned(chosen))
    }
}

/// How many numbers there are from `min` to `max`; 0 when they are reversed.
pub fn size(min: i64, max: i64) -> u128 {
    u128::try_from(i128::from(max) - i128::from(min) + 1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng};

    use super::*;

    fn drawn(min: i64, max: i64, count: usize, seed: u64) -> Vec<i64> {
        let mut bits = rand::rngs::StdRng::seed_from_u64(seed);
        let mut distinct = Distinct::new(min, max);
        let mut numbers = Vec::new();
        while numbers.len() < count {
            numbers.extend(distinct.next(bits.random()));
        }
        numbers
    }

    #[test]
    fn a_whole_range_is_a_permutation_of_it() {
        let mut numbers = drawn(-5000, 4999, 10_000, 1);
        assert_ne!(numbers, (-5000..5000).collect::<Vec<_>>());
        numbers.sort();
        assert_eq!(numbers, (-5000..5000).collect::<Vec<_>>());
        let mut used_up = Distinct::new(3, 3);
        assert_eq!((used_up.next(u64::MAX), used_up.next(u64::MAX)), (Some(3), None));
    }

    #[test]
    fn the_ends_of_64_bits_are_reached_and_never_passed() {
        let mut all = Distinct::new(i64::MIN, i64::MAX);
        assert_eq!((all.next(0), all.next(u64::MAX)), (Some(i64::MIN), Some(i64::MAX)));
        let mut two = drawn(i64::MAX - 1, i64::MAX, 2, 2);
        two.sort();
        assert_eq!(two, [i64::MAX - 1, i64::MAX]);
    }

    /// Chi-square over the 24 orders of four numbers: 23 degrees of freedom, 1 in 10,000 above 56.
    #[test]
    fn every_order_is_as_likely_as_any_other() {
        let mut bits = rand::rngs::StdRng::seed_from_u64(3);
        let mut seen: BTreeMap<Vec<i64>, f64> = BTreeMap::new();
        let rounds = 24_000;
        for _ in 0..rounds {
            let mut distinct = Distinct::new(1, 4);
            let mut order = Vec::new();
            while order.len() < 4 {
                order.extend(distinct.next(bits.random()));
            }
            *seen.entry(order).or_default() += 1.0;
        }
        let expected = f64::from(rounds) / 24.0;
        let chi: f64 = seen.values().map(|count| (count - expected).powi(2) / expected).sum();
        assert_eq!(seen.len(), 24);
        assert!(chi < 56.0, "{chi}");
    }
}
