//! The one clock. All code gets the time here, so that a test can hold it.
//!
//! Two times, for two purposes. [`Boot`] is `CLOCK_BOOTTIME`: it never steps and counts suspended time too, so a lease
//! that expired while the machine slept has expired. [`Wall`] is for times that other machines read, such as `renewTime`.

use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// An instant of `CLOCK_BOOTTIME`, in nanoseconds since boot. Comparable only on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Boot(pub u64);

impl Boot {
    /// Time from `earlier` to this; zero when `earlier` is later.
    pub fn since(self, earlier: Boot) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Boot {
    type Output = Boot;
    fn add(self, rhs: Duration) -> Boot {
        Boot(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Microseconds since the Unix epoch, by this machine's wall clock. It may step either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

impl Wall {
    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// As a timestamp for people and for RFC 3339; clamped to what a timestamp can express.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl From<jiff::Timestamp> for Wall {
    fn from(timestamp: jiff::Timestamp) -> Wall {
        Wall(timestamp.as_microsecond())
    }
}

/// Both times at one moment: what the state machines take as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub boot: Boot,
    pub wall: Wall,
}

/// A source of [`Now`]: the system's, or one that a test holds. Clones read the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Held(Arc<Held>),
}

#[derive(Debug)]
struct Held {
    boot: AtomicU64,
    wall: AtomicI64,
}

impl Clock {
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands still until it is [set](Clock::set).
    pub fn held(now: Now) -> Clock {
        Clock(Source::Held(Arc::new(Held {
            boot: AtomicU64::new(now.boot.0),
            wall: AtomicI64::new(now.wall.0),
        })))
    }

    /// Moves a held clock. Does nothing to the system's clock.
    pub fn set(&self, now: Now) {
        if let Source::Held(held) = &self.0 {
            held.boot.store(now.boot.0, Ordering::SeqCst);
            held.wall.store(now.wall.0, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> Now {
        Now {
            boot: self.boot(),
            wall: self.wall(),
        }
    }

    pub fn boot(&self) -> Boot {
        match &self.0 {
            Source::System => boot_time(),
            Source::Held(held) => Boot(held.boot.load(Ordering::SeqCst)),
        }
    }

    pub fn wall(&self) -> Wall {
        match &self.0 {
            Source::System => wall_time(),
            Source::Held(held) => Wall(held.wall.load(Ordering::SeqCst)),
        }
    }
}

fn boot_time() -> Boot {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Boot(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
}

fn wall_time() -> Wall {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    Wall(t.tv_sec * 1_000_000 + t.tv_nsec / 1_000)
}
