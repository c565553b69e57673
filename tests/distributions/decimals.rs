//! Decimals and gaussians, against their distribution functions.

use std::convert::Infallible;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng, TryRng};
use random_generator::generator::distributions::DistributionError;

use crate::statistics::{CHI_SQUARE_LIMIT, KOLMOGOROV_SMIRNOV_LIMIT, chi_square, count, kolmogorov_smirnov};
use crate::{decimals, gaussians, rng};

const DRAWS: usize = 100_000;

/// The same bits for ever. Not 0: a method that rejects for evenness would wait for others.
struct Constant(u64);

impl TryRng for Constant {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0 as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0 as u8);
        Ok(())
    }
}

#[test]
fn decimals_are_even_and_squares_are_rejected() {
    let sample = decimals(&mut rng(), -3.0, 5.0, DRAWS).unwrap();
    let even = |value: f64| (value + 3.0) / 8.0;
    let distance = kolmogorov_smirnov(sample.clone(), even);
    assert!(distance < KOLMOGOROV_SMIRNOV_LIMIT, "{distance}");

    // Each a hundredth of the way towards its square.
    let bent = sample
        .into_iter()
        .map(even)
        .map(|u| 8.0 * (u + (u * u - u) * 0.1) - 3.0);
    let distance = kolmogorov_smirnov(bent.collect(), even);
    assert!(distance > KOLMOGOROV_SMIRNOV_LIMIT, "{distance}");
}

#[test]
fn decimals_have_all_their_digits_and_those_made_of_16_bits_are_rejected() {
    // What is left of a decimal beyond its first 16 bits is even too.
    let rest = |value: f64| (value * 65_536.0).fract();
    let fine = decimals(&mut rng(), 0.0, 1.0, DRAWS).unwrap();
    let distance = kolmogorov_smirnov(fine.into_iter().map(rest).collect(), |value| value);
    assert!(distance < KOLMOGOROV_SMIRNOV_LIMIT, "{distance}");

    let mut rng = rng();
    let coarse = (0..DRAWS).map(|_| f64::from(rng.next_u32() as u16) / 65_536.0);
    let distance = kolmogorov_smirnov(coarse.map(rest).collect(), |value| value);
    assert!(distance > KOLMOGOROV_SMIRNOV_LIMIT, "{distance}");
}

/// The distribution function of the standard normal distribution: its power series (Abramowitz and Stegun, 26.2.11), exact to
/// 10^-12 where it is asked, within 8 deviations.
fn normal(value: f64) -> f64 {
    let (mut term, mut sum, mut n) = (value, value, 1.0);
    while term.abs() > 1e-17 && n < 400.0 {
        n += 2.0;
        term *= value * value / n;
        sum += term;
    }
    (0.5 + sum * (-value * value / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()).clamp(0.0, 1.0)
}

#[test]
fn gaussians_are_normal_and_sums_of_four_decimals_are_rejected() {
    for (value, expected) in [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-2.0, 0.022_750_131_948_179)] {
        assert!((normal(value) - expected).abs() < 1e-12, "{value}");
    }
    let sample = gaussians(&mut rng(), 10.0, 2.5, DRAWS).unwrap();
    let distance = kolmogorov_smirnov(sample.into_iter().map(|value| (value - 10.0) / 2.5).collect(), normal);
    assert!(distance < KOLMOGOROV_SMIRNOV_LIMIT, "{distance}");

    // Mean 0 and deviation 1, but no tails.
    let mut rng = rng();
    let mut four = || (0..4).map(|_| rng.random::<f64>() - 0.5).sum::<f64>() * 3.0_f64.sqrt();
    let distance = kolmogorov_smirnov((0..DRAWS).map(|_| four()).collect(), normal);
    assert!(distance > KOLMOGOROV_SMIRNOV_LIMIT, "{distance}");
}

#[test]
fn gaussians_have_tails() {
    let sample = gaussians(&mut rng(), 0.0, 1.0, 1_000_000).unwrap();
    // 2.7 in a thousand lie beyond three deviations: 2,700, with a deviation of 52.
    let beyond = sample.iter().filter(|value| value.abs() > 3.0).count();
    assert!((2_440..2_960).contains(&beyond), "{beyond}");
}

/// What most libraries do: it rounds to the nearest double.
fn scaled(rng: &mut impl Rng, min: f64, max: f64) -> f64 {
    min + (max - min) * rng.random::<f64>()
}

#[test]
fn where_doubles_are_few_each_is_as_likely_and_scaling_is_rejected() {
    // A second in milliseconds since 1970: 4,096 doubles.
    let (min, max) = (1_767_225_600_000.0, 1_767_225_600_001.0);
    let place = |value: f64| ((value - min) * 4_096.0) as usize;
    let values = decimals(&mut rng(), min, max, DRAWS).unwrap();
    let cells = count(4_096, values.into_iter().map(place));
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT);

    let mut rng = rng();
    let excluded = (0..DRAWS).filter(|_| scaled(&mut rng, min, max) == max).count();
    assert!(excluded > 0);
}

#[test]
fn a_double_is_as_likely_as_it_is_far_from_the_next_and_scaling_is_rejected() {
    // Below 1 doubles lie half as far apart: one, at a third of the range, and 1 itself.
    let (min, max) = (1.0_f64.next_down(), 1.0_f64.next_up());
    let thirds = |ones: usize| [ones as u64, 2 * (DRAWS - ones) as u64];
    let ones = decimals(&mut rng(), min, max, DRAWS).unwrap();
    let ones = ones.into_iter().filter(|value| *value == 1.0).count();
    assert!(chi_square(&thirds(ones)) < CHI_SQUARE_LIMIT, "{ones}");

    let mut rng = rng();
    let ones = (0..DRAWS).filter(|_| scaled(&mut rng, min, max) == 1.0).count();
    assert!(chi_square(&thirds(ones)) > CHI_SQUARE_LIMIT, "{ones}");
}

#[test]
fn decimals_of_the_widest_range_are_even() {
    let values = decimals(&mut rng(), -f64::MAX, f64::MAX, DRAWS).unwrap();
    let distance = kolmogorov_smirnov(values, |value| 0.5 + value / f64::MAX / 2.0);
    assert!(distance < KOLMOGOROV_SMIRNOV_LIMIT, "{distance}");
}

#[test]
fn small_decimals_have_as_many_digits_as_others() {
    // Multiples of 2^-53 would have ten fewer.
    let values = decimals(&mut rng(), 0.0, 1.0, DRAWS).unwrap();
    let fine = |value: &&f64| **value < 0.001 && (**value * 2.0_f64.powi(53)).fract() != 0.0;
    assert!(values.iter().filter(fine).count() > 50);
}

/// Any finite double, and often one that is special: subnormal, around zero, at an end of the format, a power of 2.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
        2 => (any::<bool>(), 0_u64..1 << 52).prop_map(|(negative, bits)| f64::from_bits(u64::from(negative) << 63 | bits)),
        2 => (-1074_i32..1024, prop::sample::select(vec![1.0, -1.0])).prop_map(|(power, sign)| sign * 2.0_f64.powi(power)),
        1 => prop::sample::select(vec![0.0, -0.0, f64::MAX, -f64::MAX, f64::MIN_POSITIVE, 5e-324, -5e-324, 1.0]),
        1 => -1e15_f64..1e15,
    ]
}

/// Two ends that differ: independent ones, neighbours, and close ones.
fn ends() -> impl Strategy<Value = (f64, f64)> {
    let near = (double(), 1_u32..40).prop_map(|(start, distance)| {
        let end = (0..distance).fold(start, |value, _| value.next_up());
        (start, end)
    });
    prop_oneof![
        (double(), double()),
        double().prop_map(|start| (start, start.next_up())),
        near
    ]
    .prop_map(|(a, b)| (a.min(b), a.max(b)))
    .prop_filter("a range", |(min, max)| min < max && max.is_finite())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_decimal_is_from_min_to_below_max((min, max) in ends(), seed: u64) {
        let values = decimals(&mut StdRng::seed_from_u64(seed), min, max, 50).unwrap();
        prop_assert!(values.iter().all(|value| (min..max).contains(value)), "{values:?}");
        prop_assert_eq!(decimals(&mut rng(), max, min, 1), Err(DistributionError::DecimalRange { min: max, max: min }));
    }

    #[test]
    fn the_lowest_and_the_highest_random_bits_stay_in_range((min, max) in ends(), bits in prop::sample::select(vec![1, u64::MAX])) {
        let value = decimals(&mut Constant(bits), min, max, 1).unwrap()[0];
        prop_assert!((min..max).contains(&value), "{value:?}");
    }

    #[test]
    fn between_neighbours_there_is_only_the_lower(min in double().prop_filter("not the last", |value| *value < f64::MAX)) {
        prop_assert_eq!(decimals(&mut rng(), min, min.next_up(), 3).unwrap(), [min, min, min]);
    }
}

#[test]
fn what_is_no_range_of_decimals_is_refused() {
    for (min, max) in [
        (1.0, 1.0),
        (0.0, -0.0),
        (f64::NAN, 1.0),
        (0.0, f64::NAN),
        (0.0, f64::INFINITY),
        (-f64::INFINITY, 0.0),
    ] {
        assert!(decimals(&mut rng(), min, max, 1).is_err(), "from {min} to {max}");
    }
}

proptest! {
    #[test]
    fn every_gaussian_is_finite(mean in -1e300_f64..1e300, deviation in 0.0..1e300_f64) {
        let values = gaussians(&mut rng(), mean, deviation, 100).unwrap();
        prop_assert!(values.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_deviation_below_zero_is_refused_and_zero_is_the_mean() {
    assert_eq!(gaussians(&mut rng(), 3.0, 0.0, 2).unwrap(), [3.0, 3.0]);
    for deviation in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(gaussians(&mut rng(), 0.0, deviation, 1).is_err(), "{deviation}");
    }
}
