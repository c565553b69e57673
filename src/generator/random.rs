//! Numbers from a cryptographically secure generator: ChaCha12, seeded from the operating system and again after every
//! 64 KiB.

use std::cell::RefCell;

use rand::distr::{Distribution, Uniform};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// After so many bytes a generator takes a new seed: who reads a process's memory learns what it gave lately, and no more.
const BYTES_PER_SEED: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum RandomError {
    #[error("the operating system gives no random bytes: {0}")]
    Entropy(String),
    #[error("the range is empty: min {min} is greater than max {max}")]
    Range { min: i64, max: i64 },
}

/// Any 32-bit integer, each as likely.
pub fn number() -> Result<i32, RandomError> {
    // As bits: two's complement gives every i32 once.
    with(|generator| Ok(generator.seeded(4)?.next_u32().cast_signed()))
}

/// `count` integers from `min` to `max`, both included, each exactly as likely. The caller limits `count`.
pub fn integers(min: i64, max: i64, count: usize) -> Result<Vec<i64>, RandomError> {
    with(|generator| generator.integers(min, max, count))
}

/// `count` bytes. The caller limits `count`.
pub fn bytes(count: usize) -> Result<Vec<u8>, RandomError> {
    with(|generator| generator.bytes(count))
}

/// Draws a seed and throws it away: whether the operating system has entropy to give.
pub fn check_entropy() -> Result<(), RandomError> {
    Generator::new(SysRng).map(drop)
}

thread_local! {
    // One a worker thread, so that a handler never waits for another's: the lock that `rand` would need is never taken.
    static GENERATOR: RefCell<Option<Generator<SysRng>>> = const { RefCell::new(None) };
}

fn with<T>(draw: impl FnOnce(&mut Generator<SysRng>) -> Result<T, RandomError>) -> Result<T, RandomError> {
    GENERATOR.with_borrow_mut(|slot| match slot {
        Some(generator) => draw(generator),
        None => draw(slot.insert(Generator::new(SysRng)?)),
    })
}

/// A generator and where its seeds come from.
struct Generator<S> {
    rng: StdRng,
    source: S,
    /// Bytes that may still be taken from this seed.
    left: usize,
}

impl<S: TryRng> Generator<S> {
    fn new(mut source: S) -> Result<Self, RandomError> {
        Ok(Generator {
            rng: seed(&mut source)?,
            source,
            left: BYTES_PER_SEED,
        })
    }

    /// The generator, for about `bytes` bytes, which are at most [`BYTES_PER_SEED`].
    fn seeded(&mut self, bytes: usize) -> Result<&mut StdRng, RandomError> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                self.rng = seed(&mut self.source)?;
                self.left = BYTES_PER_SEED.saturating_sub(bytes);
            }
        }
        Ok(&mut self.rng)
    }

    fn integers(&mut self, min: i64, max: i64, count: usize) -> Result<Vec<i64>, RandomError> {
        // Lemire's method with rejection, exact. `random_range` is Canon's, which without the feature `unbiased` accepts a small
        // bias.
        let range = Uniform::new_inclusive(min, max).map_err(|_| RandomError::Range { min, max })?;
        let mut values = Vec::with_capacity(count);
        while values.len() < count {
            let part = (count - values.len()).min(BYTES_PER_SEED / 8);
            let rng = self.seeded(part * 8)?;
            values.extend((0..part).map(|_| range.sample(rng)));
        }
        Ok(values)
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, RandomError> {
        let mut bytes = vec![0; count];
        for part in bytes.chunks_mut(BYTES_PER_SEED) {
            self.seeded(part.len())?.fill_bytes(part);
        }
        Ok(bytes)
    }
}

fn seed(source: &mut impl TryRng) -> Result<StdRng, RandomError> {
    StdRng::try_from_rng(source).map_err(|error| RandomError::Entropy(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;

    /// Seeds that repeat in every run, and end after `left`.
    struct Rationed {
        rng: StdRng,
        left: usize,
    }

    fn rationed(seeds: usize) -> Rationed {
        Rationed {
            rng: StdRng::from_seed([7; 32]),
            left: seeds,
        }
    }

    impl TryRng for Rationed {
        type Error = io::Error;
        fn try_next_u32(&mut self) -> io::Result<u32> {
            Ok(self.rng.next_u32())
        }
        fn try_next_u64(&mut self) -> io::Result<u64> {
            Ok(self.rng.next_u64())
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> io::Result<()> {
            self.left = self.left.checked_sub(1).ok_or_else(|| io::Error::other("dry"))?;
            self.rng.fill_bytes(bytes);
            Ok(())
        }
    }

    /// Pearson's statistic for equally likely cells.
    fn chi_square(cells: &[u64]) -> f64 {
        let expected = cells.iter().sum::<u64>() as f64 / cells.len() as f64;
        cells
            .iter()
            .map(|&seen| (seen as f64 - expected).powi(2) / expected)
            .sum()
    }

    /// Three quarters of the 64-bit numbers, in three equal parts: `number % (3 << 62)` falls into the first part twice as often
    /// as into each other one.
    const WIDTH: u64 = 3 << 62;
    const MIN: i64 = -(1 << 62);
    const MAX: i64 = MIN.wrapping_add_unsigned(WIDTH - 1);
    /// With two degrees of freedom chance exceeds this once in 10^6 times; the seed is fixed, so never from run to run.
    const LIMIT: f64 = 27.6;
    const DRAWS: usize = 30_000;

    fn thirds(values: impl Iterator<Item = u64>) -> [u64; 3] {
        let mut cells = [0; 3];
        for value in values {
            cells[(value >> 62) as usize] += 1;
        }
        cells
    }

    #[test]
    fn a_range_that_shows_modulo_bias_is_even() {
        let mut generator = Generator::new(rationed(100)).unwrap();
        let values = generator.integers(MIN, MAX, DRAWS).unwrap();
        let cells = thirds(values.into_iter().map(|value| value.wrapping_sub(MIN).cast_unsigned()));
        assert!(chi_square(&cells) < LIMIT, "{cells:?}");
    }

    #[test]
    fn the_test_for_bias_rejects_the_modulo_method() {
        let mut rng = StdRng::from_seed([7; 32]);
        let cells = thirds((0..DRAWS).map(|_| rng.next_u64() % WIDTH));
        assert!(chi_square(&cells) > 100.0 * LIMIT, "{cells:?}");
    }

    #[test]
    fn the_faces_of_a_die_are_even() {
        let mut generator = Generator::new(rationed(100)).unwrap();
        let mut cells = [0; 6];
        for face in generator.integers(1, 6, 60_000).unwrap() {
            cells[face as usize - 1] += 1;
        }
        // Five degrees of freedom, once in 10^6.
        assert!(chi_square(&cells) < 35.9, "{cells:?}");
    }

    #[test]
    fn the_whole_range_of_integers_is_reached() {
        let values = integers(i64::MIN, i64::MAX, 1_000).unwrap();
        assert!(values.iter().any(|&value| value < i64::MIN / 2) && values.iter().any(|&value| value > i64::MAX / 2));
        let numbers: Vec<i32> = (0..1_000).map(|_| number().unwrap()).collect();
        assert!(numbers.iter().any(|&n| n < i32::MIN / 2) && numbers.iter().any(|&n| n > i32::MAX / 2));
    }

    #[test]
    fn an_operating_system_without_entropy_is_an_error_at_first_and_later() {
        assert!(matches!(Generator::new(rationed(0)), Err(RandomError::Entropy(_))));
        let mut generator = Generator::new(rationed(2)).unwrap();
        assert!(generator.bytes(2 * BYTES_PER_SEED).is_ok());
        assert!(matches!(generator.bytes(1), Err(RandomError::Entropy(_))));
        assert!(check_entropy().is_ok());
    }

    #[test]
    fn every_64_kib_come_from_a_new_seed() {
        let mut generator = Generator::new(rationed(1)).unwrap();
        assert!(generator.bytes(BYTES_PER_SEED).is_ok());
        assert!(generator.integers(0, 1, 1).is_err());
    }

    #[test]
    fn each_thread_draws_other_numbers() {
        let draw = || std::thread::spawn(|| bytes(32).unwrap());
        let (first, second) = (draw(), draw());
        assert_ne!(first.join().unwrap(), second.join().unwrap());
    }

    proptest! {
        #[test]
        fn every_integer_is_within_its_range(a: i64, b: i64, count in 0_usize..100) {
            let (min, max) = (a.min(b), a.max(b));
            let values = integers(min, max, count).unwrap();
            prop_assert_eq!(values.len(), count);
            prop_assert!(values.iter().all(|value| (min..=max).contains(value)));
        }

        #[test]
        fn a_narrow_range_reaches_both_ends(min in i64::MIN..i64::MAX - 3, width in 0_i64..3) {
            let values = integers(min, min + width, 200).unwrap();
            prop_assert!((min..=min + width).all(|value| values.contains(&value)));
        }

        #[test]
        fn a_reversed_range_is_refused(min in i64::MIN + 1..=i64::MAX, below in 1_i64..1_000) {
            let max = min.saturating_sub(below);
            prop_assert!(matches!(integers(min, max, 1), Err(RandomError::Range { .. })), "range should be refused");
        }

        #[test]
        fn bytes_are_as_many_as_asked_for(count in 0_usize..200_000) {
            prop_assert_eq!(bytes(count).unwrap().len(), count);
        }
    }
}
