//! The source of the numbers: the operating system's entropy, or with SEED the sequence of java.util.Random.

use std::sync::{Mutex, PoisonError};

use random_generator::generator::java_random::JavaRandom;
use random_generator::generator::random::{EntropyError, draw};

pub(super) enum Numbers {
    /// One sequence for all requests; its lock is held for nanoseconds.
    Seeded(Mutex<JavaRandom>),
    Entropy,
}

impl Numbers {
    pub(super) fn new(seed: Option<i64>) -> Numbers {
        match seed {
            Some(seed) => Numbers::Seeded(Mutex::new(JavaRandom::new(seed))),
            None => Numbers::Entropy,
        }
    }

    pub(super) fn next(&self) -> Result<i32, EntropyError> {
        match self {
            Numbers::Seeded(sequence) => Ok(sequence.lock().unwrap_or_else(PoisonError::into_inner).next_int()),
            Numbers::Entropy => draw(|rng| rng.next_u32().cast_signed()),
        }
    }

    /// A generator for one request, which draws `count` numbers and then its answer. With a seed it is the next part of the
    /// sequence, which the others skip at once, so that they don't wait.
    pub(super) fn part(&self, count: u64) -> Result<JavaRandom, EntropyError> {
        match self {
            Numbers::Seeded(sequence) => {
                let mut sequence = sequence.lock().unwrap_or_else(PoisonError::into_inner);
                let part = sequence.clone();
                sequence.skip(count.saturating_add(1));
                Ok(part)
            }
            Numbers::Entropy => Ok(JavaRandom::new(draw(|rng| rng.next_u64().cast_signed())?)),
        }
    }

    /// The answer after a part was drawn.
    pub(super) fn after(&self, part: &mut JavaRandom) -> Result<i32, EntropyError> {
        match self {
            Numbers::Seeded(_) => Ok(part.next_int()),
            Numbers::Entropy => self.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burnt_part_of_a_sequence_is_what_would_have_been_drawn() {
        let mut plain = JavaRandom::new(42);
        plain.skip(1_000);
        let numbers = Numbers::new(Some(42));
        let mut part = numbers.part(1_000).unwrap();
        // Another request meanwhile gets what comes after it.
        let other = numbers.next().unwrap();
        for _ in 0..1_000 {
            part.next_int();
        }
        assert_eq!(numbers.after(&mut part).unwrap(), plain.next_int());
        assert_eq!(other, plain.next_int());
    }
}
