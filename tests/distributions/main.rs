//! Whether each distribution is what it says, by statistics, and whether those statistics would see it if it weren't: beside each
//! stands a generator that is known to be bad, and must be rejected. Seeds are fixed, so a test never fails by chance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod decimals;
mod integers;
mod orders;
mod statistics;
mod texts;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use random_generator::generator::distributions::{self, DistributionError};
use uuid::Uuid;

fn rng() -> StdRng {
    StdRng::from_seed([7; 32])
}

/// `count` values, one after another.
fn some<T>(rng: &mut dyn Rng, mut each: impl FnMut(&mut dyn Rng) -> T, count: usize) -> Vec<T> {
    (0..count).map(|_| each(rng)).collect()
}

fn integers(rng: &mut dyn Rng, min: i64, max: i64, count: usize) -> Result<Vec<i64>, DistributionError> {
    Ok(some(rng, distributions::integers(min, max)?, count))
}

fn decimals(rng: &mut dyn Rng, min: f64, max: f64, count: usize) -> Result<Vec<f64>, DistributionError> {
    Ok(some(rng, distributions::decimals(min, max)?, count))
}

fn gaussians(rng: &mut dyn Rng, mean: f64, deviation: f64, count: usize) -> Result<Vec<f64>, DistributionError> {
    Ok(some(rng, distributions::gaussians(mean, deviation)?, count))
}

fn strings(
    rng: &mut dyn Rng,
    characters: &[char],
    length: usize,
    count: usize,
) -> Result<Vec<String>, DistributionError> {
    Ok(some(rng, distributions::strings(characters.to_vec(), length)?, count))
}

fn random_uuids(rng: &mut dyn Rng, count: usize) -> Vec<Uuid> {
    some(rng, distributions::random_uuid, count)
}
