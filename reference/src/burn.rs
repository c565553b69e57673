//! `?burn=n` draws numbers and drops them, to keep a processor busy: on threads of their own, so that other requests don't wait.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use random_generator::generator::java_random::JavaRandom;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Draws of `burn=1`.
const UNIT: u64 = 1_000_000;
/// The most that `burn` counts for: a quarter of a minute on a processor of today.
pub(super) const MOST: u64 = 10_000;
/// At once; the system shares the processors between them.
const THREADS: usize = 64;
/// How long a request waits for one of those threads.
const QUEUED: Duration = Duration::from_secs(300);
/// Draws between two checks that the client still waits: a tenth of a millisecond.
const CHUNK: u64 = 65_536;

pub(super) struct Burns {
    free: Arc<Semaphore>,
}

/// No thread became free in time.
#[derive(Debug)]
pub(super) struct Busy;

impl Default for Burns {
    fn default() -> Burns {
        Burns {
            free: Arc::new(Semaphore::new(THREADS)),
        }
    }
}

/// How many numbers `burn=n` draws.
pub(super) fn draws(burn: i64) -> u64 {
    u64::try_from(burn).unwrap_or(0).min(MOST) * UNIT
}

impl Burns {
    /// Draws `count` numbers of `random`, and gives it back. When the caller goes away, so does the work.
    pub(super) async fn burn(&self, mut random: JavaRandom, count: u64) -> Result<JavaRandom, Busy> {
        let Ok(Ok(thread)) = timeout(QUEUED, self.free.clone().acquire_owned()).await else {
            return Err(Busy);
        };
        let given_up = Arc::new(AtomicBool::new(false));
        let _guard = StopOnDrop(given_up.clone());
        let work = spawn_blocking(move || {
            let _thread = thread;
            let mut left = count;
            while left > 0 && !given_up.load(Ordering::Relaxed) {
                let chunk = left.min(CHUNK);
                for _ in 0..chunk {
                    black_box(random.next_int());
                }
                left -= chunk;
            }
            random
        });
        work.await.map_err(|_| Busy)
    }
}

/// Stops the work when the waiting future is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_that_the_type_has_is_clamped_and_nothing_overflows() {
        assert_eq!(draws(i64::MIN), 0);
        assert_eq!(draws(-1), 0);
        assert_eq!(draws(2), 2_000_000);
        assert_eq!(draws(2_148), 2_148_000_000);
        assert_eq!((draws(10_000), draws(i64::MAX)), (10_000_000_000, 10_000_000_000));
    }

    #[tokio::test]
    async fn what_was_burnt_is_drawn_in_full() {
        let mut plain = JavaRandom::new(42);
        plain.skip(3 * CHUNK + 5);
        let mut burnt = Burns::default().burn(JavaRandom::new(42), 3 * CHUNK + 5).await.unwrap();
        assert_eq!(burnt.next_int(), plain.next_int());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_thread_to_others() {
        let burns = Burns::default();
        {
            let endless = burns.burn(JavaRandom::new(1), u64::MAX);
            assert!(timeout(Duration::from_millis(20), endless).await.is_err());
        }
        // All threads are free again, or this would wait for the one.
        let all = burns.free.acquire_many(THREADS as u32);
        assert!(timeout(Duration::from_secs(60), all).await.is_ok());
    }
}
