//! Whether each distribution is what it says, by statistics, and whether those statistics would see it if it weren't: beside each
//! stands a generator that is known to be bad, and must be rejected. Seeds are fixed, so a test never fails by chance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod decimals;
mod integers;
mod orders;
mod statistics;
mod texts;

use rand::SeedableRng;
use rand::rngs::StdRng;

fn rng() -> StdRng {
    StdRng::from_seed([7; 32])
}
