//! What one connection is doing, since when, and when it will have taken too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::cut::Cut;
use super::limits::Limits;
use crate::clock::{Boot, Clock};

/// Between requests.
pub(super) const WAITING: u8 = 0;
/// A part of a request's headers has arrived.
pub(super) const RECEIVING: u8 = 1;
/// A request is being answered, until hyper has taken the whole response.
const ANSWERING: u8 = 2;

/// How long a connection keeps its buffers after an answer, at least: a client that asks again sooner finds them.
pub(super) const KEPT: Duration = Duration::from_millis(100);

/// The timer is never set further ahead: a deadline may come nearer meanwhile, and a request checks its limit only when polled.
const TICK: Duration = Duration::from_millis(500);

/// See [`Activity::look`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Again(Boot),
    /// Nothing was asked for a while.
    Quiet,
    Cut(Cut),
}

/// Marks a response that has no end of its own: a stream of events. It ends cleanly when its connection is asked to close, so
/// no drain waits for it. Its reader has to take each part whole within [`Limits::write_stall`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endless;

/// The state of one connection, shared by its task and the listener.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(super) clock: Clock,
    pub(super) stage: AtomicU8,
    /// When it entered this stage (boot time in ns), or 0 until that is recorded; not used while answering.
    pub(super) since: AtomicU64,
    /// When the socket stopped accepting bytes; 0 while it accepts them.
    pub(super) blocked_since: AtomicU64,
    /// Whether the current response, or the last one, is [`Endless`].
    pub(super) endless: AtomicBool,
    /// Since when part of an endless response waits for the client to read it; 0: the client has read all.
    pub(super) owed_since: AtomicU64,
    /// When it was asked to close; 0: not yet.
    pub(super) asked_at: AtomicU64,
    pub(super) asked: Notify,
    /// Whether the listener counts it among those asked to give way.
    pub(crate) giving_way: AtomicBool,
}

impl Activity {
    pub(crate) fn new(clock: Clock) -> Arc<Activity> {
        let now = clock.boot().0;
        Arc::new(Activity {
            clock,
            stage: AtomicU8::new(WAITING),
            since: AtomicU64::new(now),
            blocked_since: AtomicU64::new(0),
            endless: AtomicBool::new(false),
            owed_since: AtomicU64::new(0),
            asked_at: AtomicU64::new(0),
            asked: Notify::new(),
            giving_way: AtomicBool::new(false),
        })
    }

    /// Since when nothing is being answered or written; none while something is.
    pub(crate) fn idle_since(&self) -> Option<Boot> {
        let idle = self.stage.load(Ordering::Acquire) != ANSWERING && self.blocked_since.load(Ordering::Relaxed) == 0;
        let since = self.since.load(Ordering::Relaxed);
        (idle && since > 0).then_some(Boot(since))
    }

    /// From when on the connection needs no buffers, if no request comes before.
    fn quiet_from(&self) -> Option<Boot> {
        let waiting = self.stage.load(Ordering::Acquire) == WAITING && self.blocked_since.load(Ordering::Relaxed) == 0;
        let stays = self.asked_at.load(Ordering::Relaxed) == 0;
        (waiting && stays).then(|| Boot(self.since.load(Ordering::Relaxed)) + KEPT)
    }

    /// What has to be done with the connection.
    pub(super) fn look(&self, limits: &Limits, now: Boot) -> Look {
        let quiet = self.quiet_from();
        if quiet.is_some_and(|quiet| quiet <= now) {
            return Look::Quiet;
        }
        let deadline = match self.deadline(limits) {
            Some((deadline, cut)) if deadline <= now => return Look::Cut(cut),
            deadline => deadline.map(|(deadline, _)| deadline),
        };
        let next = [quiet, deadline].into_iter().flatten().min();
        Look::Again(next.unwrap_or(now + TICK).min(now + TICK))
    }

    /// Asks the connection to close: at once when idle, else after the response in flight.
    pub(crate) fn ask_to_close(&self) {
        self.asked_at.store(self.clock.boot().0.max(1), Ordering::Relaxed);
        self.asked.notify_one();
    }

    /// A response has no deadline here: exchange.rs bounds it.
    pub(super) fn begin_answer(&self) {
        self.stage.store(ANSWERING, Ordering::Release);
        self.set_endless(false);
    }

    pub(super) fn enter(&self, stage: u8) {
        self.since.store(0, Ordering::Relaxed);
        self.stage.store(stage, Ordering::Release);
    }

    /// Records when it entered the stage, soon after.
    pub(super) fn record_time(&self) {
        if self.since.load(Ordering::Relaxed) == 0 && self.stage.load(Ordering::Relaxed) != ANSWERING {
            self.since.store(self.clock.boot().0.max(1), Ordering::Relaxed);
        }
    }

    pub(super) fn set_endless(&self, endless: bool) {
        self.endless.store(endless, Ordering::Relaxed);
        self.owed_since.store(0, Ordering::Relaxed);
    }

    /// When the connection has to be cut if nothing happens until then, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<(Boot, Cut)> {
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        let answering = self.stage.load(Ordering::Acquire) == ANSWERING;
        // After its end, the last part may still wait for the reader.
        if self.endless.load(Ordering::Relaxed) && (answering || blocked > 0) {
            let owed = self.owed_since.load(Ordering::Relaxed);
            let behind = [blocked, owed].into_iter().filter(|since| *since > 0).min();
            let behind = behind.map(|since| (Boot(since) + limits.write_stall, Cut::SlowStream));
            // Its reader reconnects to another member, from the last event it has.
            let asked = Some(self.asked_at.load(Ordering::Relaxed)).filter(|asked| *asked > 0);
            let asked = asked.map(|asked| (Boot(asked) + limits.closing_grace, Cut::Asked));
            return [behind, asked].into_iter().flatten().min_by_key(|(at, _)| at.0);
        }
        if blocked > 0 {
            return Some((Boot(blocked) + limits.write_stall, Cut::Stalled));
        }
        let since = Boot(self.since.load(Ordering::Relaxed));
        let natural = match self.stage.load(Ordering::Acquire) {
            ANSWERING => return None,
            RECEIVING => (since + limits.header_time, Cut::HalfSent),
            _ => (since + limits.idle_time, Cut::Idle),
        };
        match self.asked_at.load(Ordering::Relaxed) {
            0 => Some(natural),
            asked => {
                let grace = (Boot(asked) + limits.closing_grace, Cut::Asked);
                Some(if grace.0 < natural.0 { grace } else { natural })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_connection_does_it_is_looked_at_again_within_a_tick() {
        let (clock, limits) = (Clock::system(), Limits::public());
        let activity = Activity::new(clock.clone());
        let demand = |what: &str| {
            let now = clock.boot();
            let Look::Again(at) = activity.look(&limits, now) else {
                panic!("{what}")
            };
            assert!(now < at && at <= now + TICK, "{what}");
        };
        demand("it waits");
        activity.enter(RECEIVING);
        activity.record_time();
        demand("half a request has arrived");
        activity.begin_answer();
        demand("a request is being answered");
        activity.blocked_since.store(clock.boot().0, Ordering::Relaxed);
        demand("its client doesn't read");
        activity.set_endless(true);
        demand("its client doesn't read a stream");
        activity.ask_to_close();
        demand("it was asked to close");
    }
}
