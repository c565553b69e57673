//! How long entries wait for their commit now: a volume that hangs shows while it hangs, not only once it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Boot;

/// Clones share it: the writer sets it, readers look.
#[derive(Clone, Debug, Default)]
pub(super) struct Lag(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Of the newest commit, in nanoseconds.
    newest: AtomicU64,
    /// When the oldest entry of the commit that is under way was sent; 0 between commits.
    waiting_since: AtomicU64,
}

impl Lag {
    pub fn begin(&self, sent: Boot) {
        self.0.waiting_since.store(sent.0, Ordering::Relaxed);
    }

    pub fn end(&self, lag: Option<Duration>) {
        if let Some(lag) = lag {
            let nanos = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
            self.0.newest.store(nanos, Ordering::Relaxed);
        }
        self.0.waiting_since.store(0, Ordering::Relaxed);
    }

    /// That of the commit under way, if it takes longer than the newest one took.
    pub fn at(&self, now: Boot) -> Duration {
        let newest = Duration::from_nanos(self.0.newest.load(Ordering::Relaxed));
        match self.0.waiting_since.load(Ordering::Relaxed) {
            0 => newest,
            since => now.since(Boot(since)).max(newest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_hangs_shows_while_it_hangs() {
        let lag = Lag::default();
        let second = |n: u64| Boot(n * 1_000_000_000);
        assert_eq!(lag.at(second(9)), Duration::ZERO);
        lag.begin(second(10));
        assert_eq!(lag.at(second(17)), Duration::from_secs(7));
        lag.end(Some(Duration::from_secs(8)));
        assert_eq!(lag.at(second(60)), Duration::from_secs(8));
        lag.begin(second(100));
        lag.end(None);
        assert_eq!(lag.at(second(200)), Duration::from_secs(8), "nothing was committed");
    }
}
