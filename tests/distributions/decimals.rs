//! Decimals and gaussians, against their distribution functions.

use proptest::prelude::*;
use rand::{Rng, RngExt};
use random_generator::generator::distributions::{DistributionError, decimals, gaussians};

use crate::rng;
use crate::statistics::{KOLMOGOROV_SMIRNOV_LIMIT, kolmogorov_smirnov};

const DRAWS: usize = 100_000;

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

proptest! {
    #[test]
    fn every_decimal_is_from_min_to_below_max(a in -1e300_f64..1e300, b in -1e300_f64..1e300) {
        prop_assume!(a != b);
        let (min, max) = (a.min(b), a.max(b));
        let values = decimals(&mut rng(), min, max, 100).unwrap();
        prop_assert!(values.iter().all(|value| (min..max).contains(value)));
        prop_assert_eq!(decimals(&mut rng(), max, min, 1), Err(DistributionError::DecimalRange { min: max, max: min }));
    }

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
