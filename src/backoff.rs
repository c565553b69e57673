//! The wait before a failed attempt is repeated.

use std::time::Duration;

use rand::RngExt;

/// Waits that double from `first` to `ceiling`, each with a jitter of ± 25 %.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    ceiling: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, ceiling: Duration) -> Backoff {
        Backoff {
            first,
            ceiling,
            next: first,
        }
    }

    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.ceiling);
        wait.mul_f64(rand::rng().random_range(0.75..1.25))
    }

    /// After a success: the next wait is the first one again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}
