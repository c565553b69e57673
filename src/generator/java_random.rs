//! The generator of `java.util.Random`, whose algorithm its documentation fixes
//! (<https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Random.html>): the same seed gives the same numbers
//! as in Java. It is no source of secrets: two numbers give away the rest.

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

/// A linear congruential generator modulo 2^48 (Knuth, volume 2, 3.2.1).
#[derive(Clone, Debug)]
pub struct JavaRandom {
    state: u64,
}

impl JavaRandom {
    /// As `new Random(seed)`.
    pub fn new(seed: i64) -> JavaRandom {
        JavaRandom {
            state: (seed.cast_unsigned() ^ MULTIPLIER) & MASK,
        }
    }

    /// As after `count` numbers, in about log2(count) steps: the square of a step is a step of the same form.
    pub fn skip(&mut self, mut count: u64) {
        let (mut multiplier, mut increment) = (MULTIPLIER, INCREMENT);
        while count > 0 {
            if count & 1 == 1 {
                self.state = self.state.wrapping_mul(multiplier).wrapping_add(increment) & MASK;
            }
            increment = increment.wrapping_mul(multiplier.wrapping_add(1));
            multiplier = multiplier.wrapping_mul(multiplier);
            count >>= 1;
        }
    }

    /// As `nextInt()`.
    pub fn next_int(&mut self) -> i32 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        ((self.state >> 16) as u32).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `count` numbers of `new Random(seed)`, from the one with this index on.
    fn numbers(seed: i64, from: u64, count: usize) -> Vec<i32> {
        let mut random = JavaRandom::new(seed);
        random.skip(from);
        (0..count).map(|_| random.next_int()).collect()
    }

    const JAVA: &[(i64, [i32; 4])] = &[
        (0, [-1155484576, -723955400, 1033096058, -1690734402]),
        (-1, [1155099827, 1887904451, 52699159, -1941176418]),
        (1, [-1155869325, 431529176, 1761283695, 1749940626]),
        (i64::MAX, [1155099827, 1887904451, 52699159, -1941176418]),
        (i64::MIN, [-1155484576, -723955400, 1033096058, -1690734402]),
    ];

    /// Printed by `new java.util.Random(seed).nextInt()` of OpenJDK 17, four times.
    #[test]
    fn the_numbers_are_those_of_java() {
        assert_eq!(numbers(42, 0, 4), [-1170105035, 234785527, -1360544799, 205897768]);
        for (seed, java) in JAVA {
            assert_eq!(numbers(*seed, 0, 4), java, "seed {seed}");
        }
    }

    proptest! {
        #[test]
        fn skipping_comes_to_where_counting_does(seed: i64, from in 0_usize..2_000) {
            let counted = numbers(seed, 0, from + 3).split_off(from);
            prop_assert_eq!(numbers(seed, from as u64, 3), counted);
        }
    }

    #[test]
    fn the_period_is_2_to_the_48th() {
        assert_eq!(numbers(42, 1 << 48, 4), numbers(42, 0, 4));
        assert_ne!(numbers(42, 1 << 47, 4), numbers(42, 0, 4));
    }
}
