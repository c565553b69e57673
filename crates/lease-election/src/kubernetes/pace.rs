//! When a watch of the Lease is given up, and how long after its end the next one begins.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// A bookmark comes about once a minute when nothing changes.
const SILENCE: Duration = Duration::from_secs(90);
/// How long the watch may lag behind a read or a write.
const LAG: Duration = Duration::from_secs(5);
/// How many seconds the API server is asked to serve one watch, at random: members' watches don't end together.
const LIFE: std::ops::RangeInclusive<u32> = 300..=600;
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A watch that lasted this long counts as healthy.
const HEALTHY: Duration = Duration::from_secs(10);

/// In whole seconds.
pub(super) fn life() -> u32 {
    rand::random_range(LIFE)
}

/// How long to wait for the next event of a watch.
pub(super) struct Patience {
    silent_at: Instant,
    late_at: Option<Instant>,
}

impl Patience {
    pub fn new(now: Instant) -> Patience {
        Patience {
            silent_at: now + SILENCE,
            late_at: None,
        }
    }

    /// Waits for an event. Dropped before it has come, it changes nothing.
    pub async fn wait<T>(&mut self, event: impl Future<Output = T>) -> Result<T, Elapsed> {
        let event = timeout_at(self.ends_at(), event).await;
        self.silent_at = Instant::now() + SILENCE;
        event
    }

    /// The newest version that reads and writes have shown, and the one that the watch reported last: 0 for an absent Lease, of
    /// which nothing is known to be missing.
    pub fn compare(&mut self, newest: u64, reported: u64, now: Instant) {
        let behind = reported > 0 && newest > reported;
        self.late_at = behind.then(|| self.late_at.unwrap_or(now + LAG));
    }

    pub fn is_behind(&self) -> bool {
        self.late_at.is_some()
    }

    fn ends_at(&self) -> Instant {
        self.late_at.map_or(self.silent_at, |late| late.min(self.silent_at))
    }
}

/// The waits between one watch and the next.
#[derive(Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    /// After a watch that lasted so long: 0.5 s, 1 s, 2 s, … at most 10 s, ± 20 %. None after one that lasted long and didn't
    /// fail.
    pub fn after(&mut self, lasted: Duration, failed: bool) -> Option<Duration> {
        let healthy = lasted >= HEALTHY;
        self.failures = if healthy { 0 } else { self.failures + 1 };
        let wait = BACKOFF * 2_u32.pow(self.failures.saturating_sub(1).min(5));
        let wait = wait.min(BACKOFF_MAX).mul_f64(rand::random_range(0.8..1.2));
        (failed || !healthy).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_watch_is_given_up_after_90_seconds_of_silence() {
        let now = Instant::now();
        let mut patience = Patience::new(now);
        assert_eq!(patience.ends_at(), now + 90 * SECOND);
        patience.silent_at = now + SECOND;
        let before = Instant::now();
        assert!(patience.wait(std::future::ready(())).await.is_ok());
        assert!(patience.ends_at() >= before + 90 * SECOND, "since the last event");

        patience.silent_at = now;
        let silence = patience.wait(std::future::pending::<()>());
        let given_up = tokio::time::timeout(SECOND, silence).await;
        assert!(given_up.is_ok_and(|event| event.is_err()));
    }

    #[test]
    fn a_watch_is_given_up_5_seconds_after_something_newer_than_it_reported_was_seen() {
        let now = Instant::now();
        let after = |newest, reported| {
            let mut patience = Patience::new(now);
            patience.compare(newest, reported, now);
            patience.ends_at() - now
        };
        assert_eq!(after(10, 9), 5 * SECOND);
        for (newest, reported) in [(9, 9), (9, 10), (10, 0)] {
            assert_eq!(after(newest, reported), 90 * SECOND, "{newest} {reported}");
        }

        let mut patience = Patience::new(now);
        patience.compare(10, 9, now);
        patience.compare(11, 9, now + 3 * SECOND);
        assert_eq!(patience.ends_at(), now + 5 * SECOND, "since the first");
        patience.compare(11, 10, now + 4 * SECOND);
        assert_eq!(patience.ends_at(), now + 5 * SECOND, "it is still behind");
        patience.compare(11, 11, now + 4 * SECOND);
        assert_eq!(patience.ends_at(), now + 90 * SECOND);
        patience.compare(12, 11, now + 6 * SECOND);
        assert_eq!(patience.ends_at(), now + 11 * SECOND);
    }

    #[test]
    fn a_watch_that_fails_begins_again_after_half_a_second_and_then_less_often_up_to_10_seconds() {
        let mut pause = Pause::default();
        for millis in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            let wait = pause.after(SECOND, true).unwrap();
            let (least, most) = (millis * 4 / 5, millis * 6 / 5);
            assert!((least..=most).contains(&wait.as_millis()), "{wait:?} for {millis} ms");
        }
        // A watch that ends soon without an error waits too.
        assert!(pause.after(9 * SECOND, false).is_some_and(|wait| wait >= 8 * SECOND));
        assert_eq!(pause.after(10 * SECOND, false), None);
        assert!(pause.after(SECOND, true).is_some_and(|wait| wait <= SECOND));
        let after_a_long_one = pause.after(10 * SECOND, true);
        assert!(
            after_a_long_one.is_some_and(|wait| wait <= SECOND),
            "it begins with the first wait"
        );
    }

    #[test]
    fn no_two_waits_and_no_two_watches_are_meant_to_take_the_same_time() {
        let waits: Vec<_> = (0..200)
            .map(|_| Pause::default().after(SECOND, true).unwrap())
            .collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            *least < Duration::from_millis(440) && *most > Duration::from_millis(560),
            "{least:?} to {most:?}"
        );
        let lives: Vec<_> = (0..200).map(|_| life()).collect();
        let (least, most) = (lives.iter().min().unwrap(), lives.iter().max().unwrap());
        assert!(
            (300..400).contains(least) && (501..=600).contains(most),
            "{least} s to {most} s"
        );
    }
}
