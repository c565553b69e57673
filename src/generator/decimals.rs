//! Decimals of a range: a multiple of a fine step, chosen uniformly, then rounded down to a double.
//!
//! `min + (max − min) × u` rounds to nearest, so it gives `max` and favours some doubles over others (Goualard, Drawing Random
//! Floating-Point Numbers from an Interval, ACM TOMACS 32(3), 2022). Here only integers are drawn and every step is exact.

use rand::Rng;
use rand::distr::{Distribution, Uniform};

/// The range has at least 2^62 steps, unless the smallest subnormal is the step. They fit 64 bits, and an end 128.
const STEPS_LOG2: i32 = 62;
/// Every double is a multiple of 2^-1074.
const SMALLEST: i32 = -1074;
const MANTISSA_BITS: u32 = 53;

/// The doubles from `min` to below `max`.
#[derive(Clone, Debug)]
pub struct Decimals {
    /// The binary exponent of the step.
    exponent: i32,
    /// The first multiple that is not below `min`, in steps.
    first: i128,
    /// From 0 to below the number of multiples up to `max`.
    offsets: Uniform<u64>,
}

impl Decimals {
    /// None unless both are finite and `min` < `max`.
    pub fn new(min: f64, max: f64) -> Option<Decimals> {
        if !(min.is_finite() && max.is_finite() && min < max) {
            return None;
        }
        let exponent = (width_log2(min, max) - STEPS_LOG2).max(SMALLEST);
        let first = steps_up(min, exponent);
        let count = u64::try_from(steps_up(max, exponent) - first).ok()?;
        Some(Decimals {
            exponent,
            first,
            offsets: Uniform::new(0, count).ok()?,
        })
    }

    /// A double comes with the probability of its distance to the next one, as far as the step resolves it.
    pub fn sample(&self, rng: &mut (impl Rng + ?Sized)) -> f64 {
        let steps = self.first + i128::from(self.offsets.sample(rng));
        let surplus = (128 - steps.unsigned_abs().leading_zeros()).saturating_sub(MANTISSA_BITS);
        // An arithmetic shift rounds down, so the result is below `max`, as the multiple is. It has 53 bits at most.
        (steps >> surplus) as f64 * power_of_2(self.exponent + surplus.cast_signed())
    }
}

/// The greatest n with 2^n ≤ `max` − `min`, give or take the rounding of that difference.
fn width_log2(min: f64, max: f64) -> i32 {
    let width = max - min;
    if width.is_infinite() {
        return f64::MAX_EXP;
    }
    let (mantissa, exponent) = parts(width);
    exponent + 127 - mantissa.unsigned_abs().leading_zeros().cast_signed()
}

/// `value` in steps of 2^`exponent`, rounded up.
fn steps_up(value: f64, exponent: i32) -> i128 {
    let (mantissa, own) = parts(value);
    match own - exponent {
        shift @ 0.. => mantissa << shift,
        // Shifted by 127, a mantissa is 0 or −1.
        shift => -(-mantissa >> shift.unsigned_abs().min(127)),
    }
}

/// Signed mantissa m of at most 53 bits, and exponent e ≥ −1074: the value is m × 2^e.
fn parts(value: f64) -> (i128, i32) {
    let bits = value.to_bits();
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let (mantissa, exponent) = match (bits >> 52 & 0x7ff) as i32 {
        0 => (fraction, SMALLEST),
        biased => (fraction | 1 << 52, biased - 1 + SMALLEST),
    };
    (if value < 0.0 { -mantissa } else { mantissa }, exponent)
}

/// 2^`exponent`, from −1074 to 1023.
fn power_of_2(exponent: i32) -> f64 {
    match exponent - f64::MIN_EXP + 2 {
        biased @ 1.. => f64::from_bits(u64::from(biased.unsigned_abs()) << 52),
        _ => f64::from_bits(1 << (exponent - SMALLEST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_powers_are_exact_at_the_ends_of_the_format() {
        for value in [
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            -1.0,
            1.5,
            -f64::MIN_POSITIVE / 2.0,
            0.0,
        ] {
            let (mantissa, exponent) = parts(value);
            assert_eq!(mantissa as f64 * power_of_2(exponent), value);
        }
        assert_eq!(
            (power_of_2(1023), power_of_2(-1022)),
            (f64::MAX / (2.0 - f64::EPSILON), f64::MIN_POSITIVE)
        );
    }

    #[test]
    fn steps_are_rounded_up_on_both_sides_of_zero() {
        assert_eq!(
            [2.5, -2.5, 1e-300, -1e-300, 0.0].map(|value| steps_up(value, 0)),
            [3, -2, 1, 0, 0]
        );
        assert_eq!(steps_up(-0.75, -2), -3);
    }

    #[test]
    fn a_range_has_at_least_2_to_the_62_steps_or_one_for_each_double() {
        let count = |min, max| {
            let decimals = Decimals::new(min, max).unwrap();
            steps_up(max, decimals.exponent) - decimals.first
        };
        for (min, max) in [
            (0.0, 1.0),
            (-f64::MAX, f64::MAX),
            (1.0, 1.0 + f64::EPSILON),
            (0.1, 1e300),
            (-1e-300, 3.0),
        ] {
            assert!((1 << 62..=1 << 63).contains(&count(min, max)), "from {min} to {max}");
        }
        assert_eq!(count(-5e-324, 1e-323), 3);
    }
}
