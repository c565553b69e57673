//! Derives integers from a draw's output, so that anyone can check a decision by that draw: `docs/protocol.md`, 1.4.

use std::collections::HashMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha512;
use utoipa::ToSchema;

use super::{Hash, Output, Record, prefixed};

/// The most integers of one question, as for `/integers`.
pub const MAX_COUNT: u64 = 10_000;

/// A question to a draw: `count` integers from `min` to `max`, both included; each at most once if `unique`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    min: i64,
    max: i64,
    count: u64,
    unique: bool,
}

/// `MIN.MAX.COUNT.UNIQUE`, which identifies a question.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.min, self.max, self.count, self.unique)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("the range is reversed: min is {min}, max is {max}")]
    Reversed { min: i64, max: i64 },
    #[error("the count is out of range: it is {0}, and 1 to {MAX_COUNT} are allowed")]
    Count(u64),
    #[error("from {min} to {max} there are only {size} different integers")]
    TooFew { min: i64, max: i64, size: u64 },
}

impl Question {
    /// # Errors
    /// `min` above `max`, a count that is not 1 to [`MAX_COUNT`], or more unique integers than there are.
    pub fn new(min: i64, max: i64, count: u64, unique: bool) -> Result<Question, QuestionError> {
        let question = Question {
            min,
            max,
            count,
            unique,
        };
        if min > max {
            return Err(QuestionError::Reversed { min, max });
        }
        if !(1..=MAX_COUNT).contains(&count) {
            return Err(QuestionError::Count(count));
        }
        match u64::try_from(question.size()) {
            Ok(size) if unique && count > size => Err(QuestionError::TooFew { min, max, size }),
            _ => Ok(question),
        }
    }

    /// How many integers there are from `min` to `max`: 1 to 2^64.
    fn size(&self) -> u128 {
        u128::from(self.max.abs_diff(self.min)) + 1
    }

    /// The integers, in the order in which they are drawn. A longer list of the same range begins with a shorter one.
    pub fn values(&self, output: &Output) -> Vec<i64> {
        let mut words = Words::new(output, self);
        let mut values = Vec::new();
        // The places 0, 1, … (for min, min + 1, …) that unique draws have swapped. All places would be up to 2^64.
        let mut swapped: HashMap<u64, u64> = HashMap::new();
        for place in 0..self.count {
            let drawn = if self.unique { place } else { 0 };
            let pick = drawn + words.below(self.size() - u128::from(drawn));
            let offset = swapped.get(&pick).copied().unwrap_or(pick);
            if self.unique {
                swapped.insert(pick, swapped.get(&place).copied().unwrap_or(place));
            }
            values.push(self.min.wrapping_add_unsigned(offset));
        }
        values
    }

    /// The answer for a record; none if its output is null.
    pub fn of(&self, record: &Record) -> Option<Integers> {
        Some(Integers {
            round: record.round,
            hash: record.hash,
            min: self.min,
            max: self.max,
            count: self.count,
            unique: self.unique,
            values: self.values(&record.output?),
        })
    }
}

/// Integers derived from a draw, with the request that they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Derived)]
pub struct Integers {
    pub round: u64,
    /// The record's.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub hash: Hash,
    pub min: i64,
    pub max: i64,
    pub count: u64,
    pub unique: bool,
    pub values: Vec<i64>,
}

/// Expands the output to 64-bit words, 8 from each HMAC-SHA-512.
struct Words {
    /// Keyed with the output, over the question.
    question: Hmac<Sha512>,
    block: [u8; 64],
    /// Words taken so far.
    taken: u64,
}

impl Words {
    fn new(output: &Output, question: &Question) -> Words {
        // RFC 2104 pads a shorter key with zeros to the block size.
        let mut key = [0; 128];
        key[..64].copy_from_slice(&output.0);
        let mut mac = Hmac::<Sha512>::new(&key.into());
        for part in [
            b"random-generator/integers/1".as_slice(),
            &question.min.to_be_bytes(),
            &question.max.to_be_bytes(),
            &u64::from(question.unique).to_be_bytes(),
        ] {
            prefixed(&mut mac, part);
        }
        Words {
            question: mac,
            block: [0; 64],
            taken: 0,
        }
    }

    fn next(&mut self) -> u64 {
        let (words, _) = self.block.as_chunks::<8>();
        let position = (self.taken % words.len() as u64) as usize;
        if position == 0 {
            let mut mac = self.question.clone();
            prefixed(&mut mac, &(self.taken / words.len() as u64).to_be_bytes());
            self.block = mac.finalize().into_bytes().into();
        }
        self.taken += 1;
        let (words, _) = self.block.as_chunks::<8>();
        words.get(position).copied().map_or(0, u64::from_be_bytes)
    }

    /// A uniform number from 0 to `size` − 1. Skips words from the last multiple of `size` on, fewer than half of all.
    fn below(&mut self, size: u128) -> u64 {
        const ALL: u128 = 1 << 64;
        let limit = ALL - ALL % size;
        loop {
            let word = u128::from(self.next());
            if word < limit {
                return (word % size) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Hex;

    fn output(byte: u8) -> Output {
        Hex([byte; 64])
    }

    /// A range with its ends in order, as often narrow as wide.
    fn ranges() -> impl Strategy<Value = (i64, i64)> {
        let narrow = (any::<i64>(), 0..300_i64).prop_map(|(min, size)| (min, min.saturating_add(size)));
        let wide = (any::<i64>(), any::<i64>()).prop_map(|(one, other)| (one.min(other), one.max(other)));
        prop_oneof![narrow, wide, Just((i64::MIN, i64::MAX))]
    }

    proptest! {
        #[test]
        fn values_are_within_their_range_follow_from_the_question_and_are_unique_when_asked_to(
            bytes in prop::array::uniform32(any::<u8>()), (min, max) in ranges(), count in 1..400_u64, unique: bool,
        ) {
            let output = Hex(std::array::from_fn(|n| bytes[n % 32]));
            let question = match Question::new(min, max, count, unique) {
                Ok(question) => question,
                Err(error) => {
                    prop_assert!(unique && max.abs_diff(min) < count - 1, "{error}");
                    return Ok(());
                }
            };
            let values = question.values(&output);
            prop_assert_eq!(values.len() as u64, count);
            prop_assert!(values.iter().all(|value| (min..=max).contains(value)));
            prop_assert_eq!(&values, &question.values(&output));
            if unique {
                let mut different = values.clone();
                different.sort_unstable();
                different.dedup();
                prop_assert_eq!(different.len(), values.len());
            }
            let fewer = Question::new(min, max, count.div_ceil(2), unique).unwrap().values(&output);
            prop_assert!(values.starts_with(&fewer));
        }
    }

    #[test]
    fn both_ends_are_reached_and_all_of_a_range_without_repetition_is_the_range() {
        for unique in [false, true] {
            let dice: Vec<i64> = (0..100)
                .flat_map(|n| Question::new(1, 6, 3, unique).unwrap().values(&output(n)))
                .collect();
            assert_eq!((dice.iter().min(), dice.iter().max()), (Some(&1), Some(&6)));
        }
        let mut all = Question::new(-100, 9_899, 10_000, true).unwrap().values(&output(1));
        assert_ne!(all[0], -100);
        all.sort_unstable();
        assert!(all.into_iter().eq(-100..=9_899));
    }

    #[test]
    fn questions_that_differ_are_independent_and_what_is_not_asked_of_anything_is_refused() {
        let ask = |min, max, unique| Question::new(min, max, 8, unique).unwrap().values(&output(7));
        let shifted: Vec<i64> = ask(2, 101, false).iter().map(|value| value - 1).collect();
        assert_ne!(ask(1, 100, false), shifted);
        assert_ne!(ask(1, 100, false), ask(1, 200, false));
        assert_ne!(ask(i64::MIN, i64::MAX, false), ask(i64::MIN, i64::MAX, true));
        assert_eq!(
            Question::new(2, 1, 1, false),
            Err(QuestionError::Reversed { min: 2, max: 1 })
        );
        for count in [0, MAX_COUNT + 1] {
            assert_eq!(Question::new(1, 2, count, false), Err(QuestionError::Count(count)));
        }
        let (min, max, size) = (-1, 1, 3);
        assert_eq!(
            Question::new(min, max, 4, true),
            Err(QuestionError::TooFew { min, max, size })
        );
        assert!(Question::new(min, max, 3, true).is_ok());
        assert!(Question::new(i64::MIN, i64::MAX, MAX_COUNT, true).is_ok());
    }

    /// Pearson's statistic of counts against equal ones.
    fn chi_square(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        counts
            .iter()
            .map(|count| (*count as f64 - expected).powi(2) / expected)
            .sum()
    }

    /// Where three quarters of 2^64 values are asked for, every word's remainder would come twice as often in the first third:
    /// the range in which a bias of `word % size` shows most.
    #[test]
    fn every_third_of_a_range_is_as_likely_and_the_remainder_of_a_word_alone_would_not_be() {
        let (third, mut derived, mut biased) = (1_u128 << 62, [0; 3], [0; 3]);
        let (min, max) = (i64::MIN, i64::MIN.wrapping_add_unsigned((3 * third - 1) as u64));
        for round in 0..=255 {
            let question = Question::new(min, max, 100, false).unwrap();
            for value in question.values(&output(round)) {
                derived[(u128::from(value.abs_diff(min)) / third) as usize] += 1;
            }
            let mut words = Words::new(&output(round), &question);
            for _ in 0..100 {
                biased[(u128::from(words.next()) % (3 * third) / third) as usize] += 1;
            }
        }
        // The quantile 0.999999 of chi-square with 2 degrees of freedom; outputs are fixed, so this doesn't vary.
        assert!(chi_square(&derived) < 27.6, "{derived:?}");
        assert!(chi_square(&biased) > 1_000.0, "{biased:?}");
    }

    #[test]
    fn every_pair_in_order_is_as_likely_without_repetition_and_a_naive_swap_would_not_be() {
        let (mut pairs, mut naive) = ([0; 12], [0; 12]);
        let slot = |values: &[i64]| (values[0] * 3 + values[1] - i64::from(values[1] > values[0])) as usize;
        for byte in 0..=255_u8 {
            for min in 0..50 {
                let question = Question::new(min, min + 3, 2, true).unwrap();
                let values: Vec<i64> = question.values(&output(byte)).iter().map(|value| value - min).collect();
                pairs[slot(&values)] += 1;
                // Every place swapped with any of all four: a usual mistake.
                let (mut row, mut words) = ([0, 1, 2, 3], Words::new(&output(byte), &question));
                (0..4).for_each(|place| row.swap(place, words.below(4) as usize));
                naive[slot(&row)] += 1;
            }
        }
        // The quantile 0.999999 with 11 degrees of freedom.
        assert!(chi_square(&pairs) < 49.8, "{pairs:?}");
        assert!(chi_square(&naive) > 49.8, "{naive:?}");
    }
}
