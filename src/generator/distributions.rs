//! Values from a generator: integers, decimals, gaussians, strings and random UUIDs one at a time, distinct integers and permutations
//! whole. The generator is an argument, so that tests can use a seeded one.

use rand::Rng;
use rand::distr::{Distribution, Uniform};
use rand::seq::SliceRandom;
use rand_distr::Normal;
use uuid::{Builder, Uuid};

use super::decimals::Decimals;
use super::distinct::{self, Distinct};

/// Why values are impossible.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum DistributionError {
    #[error("the range is empty: min {min} is greater than max {max}")]
    IntegerRange { min: i64, max: i64 },
    #[error("{count} different values don't fit between {min} and {max}")]
    TooFew { min: i64, max: i64, count: usize },
    #[error("the range is empty or has no finite end: from {min} to below {max}")]
    DecimalRange { min: f64, max: f64 },
    #[error("the deviation {deviation} is negative or not a number")]
    Deviation { deviation: f64 },
    #[error("there is no character to choose from")]
    NoCharacters,
}

/// Integers from `min` to `max`, both included, exactly uniform.
pub fn integers(min: i64, max: i64) -> Result<impl FnMut(&mut dyn Rng) -> i64 + Send + use<>, DistributionError> {
    let error = DistributionError::IntegerRange { min, max };
    // Lemire's method with rejection, exact. `random_range` is Canon's, which without the feature `unbiased` accepts a small
    // bias. Most ranges need half the random bits.
    let narrow = max.checked_sub(min).and_then(|width| u32::try_from(width).ok());
    let narrow = narrow.map(|width| Uniform::new_inclusive(0, width)).transpose();
    let wide = Uniform::new_inclusive(min, max);
    let (Ok(narrow), Ok(wide)) = (narrow, wide) else {
        return Err(error);
    };
    Ok(move |rng: &mut dyn Rng| match &narrow {
        Some(narrow) => min + i64::from(narrow.sample(rng)),
        None => wide.sample(rng),
    })
}

/// What [`distinct_integers`] takes for each, at most: an i64, and a place in a table of pairs that doubles when it is 7/8 full.
pub const DISTINCT_BYTES: usize = 64;

/// `count` different integers from `min` to `max`, both included; every selection and order is equally likely.
pub fn distinct_integers(
    rng: &mut (impl Rng + ?Sized),
    min: i64,
    max: i64,
    count: usize,
) -> Result<Vec<i64>, DistributionError> {
    if min > max {
        return Err(DistributionError::IntegerRange { min, max });
    }
    if count as u128 > distinct::size(min, max) {
        return Err(DistributionError::TooFew { min, max, count });
    }
    let mut distinct = Distinct::new(min, max);
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        values.extend(distinct.next(rng.next_u64()));
    }
    Ok(values)
}

/// The integers from 0 to `count` − 1 in a uniformly random order.
pub fn permutation(rng: &mut (impl Rng + ?Sized), count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(rng);
    order
}

/// Decimals from `min` to below `max`, uniform: [`Decimals`] says how fine.
pub fn decimals(min: f64, max: f64) -> Result<impl FnMut(&mut dyn Rng) -> f64 + Send + use<>, DistributionError> {
    let range = Decimals::new(min, max).ok_or(DistributionError::DecimalRange { min, max })?;
    Ok(move |rng: &mut dyn Rng| range.sample(rng))
}

/// Values of the normal distribution with this mean and standard deviation, by the ziggurat of Marsaglia and Tsang (Journal of
/// Statistical Software 5, 2000).
pub fn gaussians(
    mean: f64,
    deviation: f64,
) -> Result<impl FnMut(&mut dyn Rng) -> f64 + Send + use<>, DistributionError> {
    let error = DistributionError::Deviation { deviation };
    // `Normal` accepts a negative deviation.
    if deviation.is_nan() || deviation < 0.0 {
        return Err(error);
    }
    let normal = Normal::new(mean, deviation).map_err(|_| error)?;
    Ok(move |rng: &mut dyn Rng| normal.sample(rng))
}

/// Strings of `length` characters, each of `characters` as likely at each place.
pub fn strings(
    characters: Vec<char>,
    length: usize,
) -> Result<impl FnMut(&mut dyn Rng) -> String + Send, DistributionError> {
    let places = Uniform::new(0, characters.len()).map_err(|_| DistributionError::NoCharacters)?;
    Ok(move |rng: &mut dyn Rng| (0..length).map(|_| characters[places.sample(rng)]).collect())
}

/// A UUID of version 4: 122 random bits (RFC 9562, 5.4).
pub fn random_uuid(rng: &mut dyn Rng) -> Uuid {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}
