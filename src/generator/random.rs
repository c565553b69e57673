//! Randomness from a cryptographically secure generator: ChaCha12, seeded from the operating system and reseeded every 64 KiB. A
//! kilobyte or more, for `/bytes` or for many values at once, is a stream of AES-256-CTR under a key from it, which is faster.
//! [`distributions`](super::distributions) makes values from it.

use std::cell::RefCell;
use std::convert::Infallible;

use aes::Aes256;
use ctr::Ctr32LE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// A generator reseeds after so many bytes: the memory of a process shows only the most recent output.
pub const BYTES_PER_SEED: usize = 64 * 1024;

/// From this size on a key stream is faster, despite its setup. SECURITY.md says why this cipher.
const STREAM_FROM: usize = 1024;

/// Random bits for many values, taken from a generator a kilobyte at a time: each call of that costs more than the bits.
/// rand_core's `BlockRng` needs a generator of blocks; this takes any.
pub struct Batched<'a> {
    rng: &'a mut dyn Rng,
    words: [u32; STREAM_FROM / 4],
    used: usize,
}

impl<'a> Batched<'a> {
    pub fn new(rng: &'a mut dyn Rng) -> Batched<'a> {
        let words = [0; STREAM_FROM / 4];
        let used = words.len();
        Batched { rng, words, used }
    }
}

impl TryRng for Batched<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        if self.used == self.words.len() {
            let mut bytes = [0; STREAM_FROM];
            self.rng.fill_bytes(&mut bytes);
            for (word, bytes) in self.words.iter_mut().zip(bytes.as_chunks().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            self.used = 0;
        }
        let word = self.words[self.used];
        self.used += 1;
        Ok(word)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.next_u32());
        Ok(u64::from(self.next_u32()) << 32 | low)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.rng.fill_bytes(bytes);
        Ok(())
    }
}

/// The operating system provides no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system provides no random bytes: {0}")]
pub struct EntropyError(String);

/// Calls `make` with this thread's generator. An error, and no value, if reseeding failed meanwhile. The caller bounds the work.
pub fn draw<T>(make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, EntropyError> {
    GENERATOR.with_borrow_mut(|slot| match slot {
        Some(generator) => generator.draw(make),
        None => slot.insert(Generator::new(SysRng)?).draw(make),
    })
}

/// Checks that the operating system provides entropy.
pub fn check_entropy() -> Result<(), EntropyError> {
    Generator::new(SysRng).map(drop)
}

thread_local! {
    // One for each worker thread, without a lock that handlers would wait for.
    static GENERATOR: RefCell<Option<Generator<SysRng>>> = const { RefCell::new(None) };
}

/// A generator and the source of its seeds.
struct Generator<S> {
    rng: StdRng,
    source: S,
    /// Bytes left for this seed.
    left: usize,
    /// Why the last reseeding failed.
    dry: Option<EntropyError>,
}

impl<S: TryRng> Generator<S> {
    fn new(mut source: S) -> Result<Self, EntropyError> {
        Ok(Generator {
            rng: seed(&mut source)?,
            source,
            left: BYTES_PER_SEED,
            dry: None,
        })
    }

    fn draw<T>(&mut self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, EntropyError> {
        let made = make(self);
        match self.dry.take() {
            None => Ok(made),
            Some(error) => Err(error),
        }
    }

    /// Accounts for `bytes`, at most [`BYTES_PER_SEED`], and reseeds if necessary. If that fails it continues with the old seed, because
    /// a sampler can't stop half-way, and [`draw`](Generator::draw) drops the result. The next call tries again.
    fn take(&mut self, bytes: usize) -> &mut StdRng {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => match seed(&mut self.source) {
                Ok(rng) => {
                    self.rng = rng;
                    self.left = BYTES_PER_SEED.saturating_sub(bytes);
                }
                Err(error) => self.dry = Some(error),
            },
        }
        &mut self.rng
    }
}

impl<S: TryRng> TryRng for Generator<S> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.take(4).next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.take(8).next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(BYTES_PER_SEED) {
            let rng = self.take(part.len());
            if part.len() < STREAM_FROM {
                rng.fill_bytes(part);
                continue;
            }
            // Each key is used for one stream, so it needs no nonce.
            let mut key = [0; 32];
            rng.fill_bytes(&mut key);
            Ctr32LE::<Aes256>::new(&key.into(), &[0; 16].into()).write_keystream(part);
        }
        Ok(())
    }
}

fn seed(source: &mut impl TryRng) -> Result<StdRng, EntropyError> {
    StdRng::try_from_rng(source).map_err(|error| EntropyError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
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

    impl Generator<Rationed> {
        fn bytes(&mut self, count: usize) -> Result<Vec<u8>, EntropyError> {
            self.draw(|rng| {
                let mut bytes = vec![0; count];
                rng.fill_bytes(&mut bytes);
                bytes
            })
        }
    }

    fn bytes(count: usize) -> Vec<u8> {
        draw(|rng| {
            let mut bytes = vec![0; count];
            rng.fill_bytes(&mut bytes);
            bytes
        })
        .unwrap()
    }

    #[test]
    fn an_operating_system_without_entropy_is_an_error_at_first_and_later() {
        assert!(Generator::new(rationed(0)).is_err());
        let mut generator = Generator::new(rationed(2)).unwrap();
        assert!(generator.bytes(2 * BYTES_PER_SEED).is_ok());
        assert!(generator.bytes(1).is_err());
        assert!(check_entropy().is_ok());
    }

    #[test]
    fn every_64_kib_come_from_a_new_seed() {
        let mut generator = Generator::new(rationed(1)).unwrap();
        assert!(generator.bytes(BYTES_PER_SEED).is_ok());
        assert!(generator.draw(|rng| rng.next_u32()).is_err());
        generator.source.left = 1;
        assert!(generator.draw(|rng| rng.next_u64()).is_ok());
        assert_eq!(generator.source.left, 0, "a new seed was taken");
    }

    #[test]
    fn what_was_made_of_an_old_seed_while_a_new_one_was_due_is_thrown_away() {
        let mut generator = Generator::new(rationed(1)).unwrap();
        assert!(generator.bytes(BYTES_PER_SEED - 4).is_ok());
        assert!(generator.draw(|rng| [rng.next_u32(), rng.next_u32()]).is_err());
    }

    #[test]
    fn no_two_key_streams_are_the_same() {
        let (first, second) = (bytes(2 * BYTES_PER_SEED), bytes(BYTES_PER_SEED));
        let parts: Vec<&[u8]> = first.chunks(BYTES_PER_SEED).chain([&second[..]]).collect();
        // With other keys, any of these blocks is another.
        let blocks: HashSet<&[u8]> = parts.iter().flat_map(|part| part.chunks(16)).collect();
        assert_eq!(blocks.len(), 3 * BYTES_PER_SEED / 16);
    }

    #[test]
    fn each_thread_draws_other_numbers() {
        let draw = || std::thread::spawn(|| bytes(32));
        let (first, second) = (draw(), draw());
        assert_ne!(first.join().unwrap(), second.join().unwrap());
    }

    proptest! {
        #[test]
        fn no_byte_is_left_as_it_was(count in 64_usize..200_000) {
            // 64 zeros in a row come once in 2^512 times.
            let drawn = bytes(count);
            prop_assert!(drawn.windows(64).step_by(64).all(|part| part.iter().any(|&byte| byte != 0)));
            prop_assert!(drawn[count - 64..].iter().any(|&byte| byte != 0));
        }
    }
}
