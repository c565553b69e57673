//! Integers, with and without repetition.

use std::collections::HashSet;

use proptest::prelude::*;
use rand::Rng;
use random_generator::generator::distributions::{DistributionError, distinct_integers};

use crate::statistics::{CHI_SQUARE_LIMIT, chi_square, count};
use crate::{integers, rng};

/// Three quarters of the 64-bit numbers, in three equal parts: `number % (3 << 62)` falls into the first part twice as often
/// as into each other one.
const WIDTH: u64 = 3 << 62;
const MIN: i64 = -(1 << 62);
const MAX: i64 = MIN.wrapping_add_unsigned(WIDTH - 1);
const DRAWS: usize = 30_000;

fn thirds(values: impl Iterator<Item = u64>) -> Vec<u64> {
    count(3, values.map(|value| (value >> 62) as usize))
}

#[test]
fn a_range_that_shows_modulo_bias_is_even_and_the_modulo_method_is_rejected() {
    let values = integers(&mut rng(), MIN, MAX, DRAWS).unwrap();
    let cells = thirds(values.into_iter().map(|value| value.wrapping_sub(MIN).cast_unsigned()));
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");

    let mut rng = rng();
    let biased = thirds((0..DRAWS).map(|_| rng.next_u64() % WIDTH));
    assert!(chi_square(&biased) > CHI_SQUARE_LIMIT, "{biased:?}");
}

#[test]
fn the_faces_of_a_die_are_even_and_a_byte_modulo_6_is_rejected() {
    let faces = integers(&mut rng(), 1, 6, 600_000).unwrap();
    let cells = count(6, faces.into_iter().map(|face| face as usize - 1));
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");

    let mut rng = rng();
    let biased = count(6, (0..600_000).map(|_| (rng.next_u32() as u8 % 6) as usize));
    assert!(chi_square(&biased) > CHI_SQUARE_LIMIT, "{biased:?}");
}

#[test]
fn pairs_that_follow_each_other_are_even_and_those_of_a_bad_generator_are_rejected() {
    let pairs = |values: &[i64]| count(100, values.windows(2).map(|pair| (pair[0] * 10 + pair[1]) as usize));
    let cells = pairs(&integers(&mut rng(), 0, 9, 200_000).unwrap());
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");

    // RANDU's relatives: the low digits of a linear congruential generator modulo a power of 2 repeat soon.
    let mut state = 1_u32;
    let bad: Vec<i64> = (0..200_000)
        .map(|_| {
            state = state.wrapping_mul(65_539) & 0x7fff_ffff;
            i64::from(state % 10)
        })
        .collect();
    assert!(chi_square(&pairs(&bad)) > CHI_SQUARE_LIMIT);
}

#[test]
fn each_order_of_different_integers_is_as_likely_and_the_naive_shuffle_is_rejected() {
    // 3 of 5, in order: 60 cells.
    let cell = |values: &[i64]| (values[0] * 25 + values[1] * 5 + values[2]) as usize;
    let possible = |counts: Vec<u64>| counts.into_iter().filter(|&seen| seen > 0).collect::<Vec<_>>();
    let mut source = rng();
    let drawn = (0..60_000).map(|_| cell(&distinct_integers(&mut source, 0, 4, 3).unwrap()));
    let cells = possible(count(125, drawn));
    assert_eq!(cells.len(), 60);
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");

    // Each place is exchanged with any, in place of one from itself on.
    let naive = (0..60_000).map(|_| {
        let mut all = [0, 1, 2, 3, 4];
        for place in 0..5 {
            all.swap(place, integers(&mut source, 0, 4, 1).unwrap()[0] as usize);
        }
        cell(&all)
    });
    let biased = possible(count(125, naive));
    assert!(chi_square(&biased) > CHI_SQUARE_LIMIT, "{biased:?}");
}

#[test]
fn the_whole_of_64_bits_is_reached() {
    let values = integers(&mut rng(), i64::MIN, i64::MAX, 1_000).unwrap();
    assert!(values.iter().any(|&value| value < i64::MIN / 2) && values.iter().any(|&value| value > i64::MAX / 2));
    let different = distinct_integers(&mut rng(), i64::MIN, i64::MAX, 1_000).unwrap();
    assert!(different.iter().any(|&value| value < i64::MIN / 2) && different.iter().any(|&value| value > i64::MAX / 2));
}

proptest! {
    #[test]
    fn every_integer_is_within_its_range(a: i64, b: i64, count in 0_usize..100) {
        let (min, max) = (a.min(b), a.max(b));
        let values = integers(&mut rng(), min, max, count).unwrap();
        prop_assert_eq!(values.len(), count);
        prop_assert!(values.iter().all(|value| (min..=max).contains(value)));
    }

    #[test]
    fn a_narrow_range_reaches_both_ends(min in i64::MIN..i64::MAX - 3, width in 0_i64..3) {
        let values = integers(&mut rng(), min, min + width, 200).unwrap();
        prop_assert!((min..=min + width).all(|value| values.contains(&value)));
    }

    #[test]
    fn a_reversed_range_is_refused(min in i64::MIN + 1..=i64::MAX, below in 1_i64..1_000) {
        let max = min.saturating_sub(below);
        let refused = DistributionError::IntegerRange { min, max };
        prop_assert_eq!(integers(&mut rng(), min, max, 1), Err(refused));
        prop_assert_eq!(distinct_integers(&mut rng(), min, max, 1), Err(refused));
    }

    #[test]
    fn different_integers_are_different_and_within_their_range(min in i64::MIN..i64::MAX - 300, width in 1_usize..300, part in 0.0..=1.0) {
        let max = min + width as i64 - 1;
        let count = (width as f64 * part) as usize;
        let values = distinct_integers(&mut rng(), min, max, count).unwrap();
        prop_assert_eq!(values.iter().collect::<HashSet<_>>().len(), count);
        prop_assert!(values.iter().all(|value| (min..=max).contains(value)));
        prop_assert!(distinct_integers(&mut rng(), min, max, width + 1).is_err());
    }

    #[test]
    fn as_many_different_integers_as_there_are_is_all_of_them(min in i64::MIN..i64::MAX - 300, width in 1_i64..300) {
        let mut values = distinct_integers(&mut rng(), min, min + width - 1, width as usize).unwrap();
        values.sort_unstable();
        prop_assert_eq!(values, (min..min + width).collect::<Vec<_>>());
    }
}
