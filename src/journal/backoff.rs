//! How long to wait before a volume that failed is tried again.

use std::time::Duration;

use crate::generator::random;

/// Doubles from `first` to `ceiling`, ± 25 %.
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

    pub fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.ceiling);
        // Without entropy the wait is the same each time, which does no harm on a disk of our own.
        let percent = random::draw(|rng| 75 + rng.next_u32() % 51);
        wait * percent.unwrap_or(100) / 100
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }
}
