//! What stands behind a listener, in place of the real: numbers, journal and ids, which a test looks into and can hold up.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::{Rng, TryRng};
use random_generator::generator::random::EntropyError;
use random_generator::http::public::entry::{Entry, JournalSink, JournalUnavailable};
use random_generator::http::public::ids::{IdSource, IdsUnavailable};
use random_generator::http::public::numbers::NumberSource;
use tokio::sync::Semaphore;

/// Counts up where 32 bits are drawn, so that a test sees which number was given out; 64 bits differ each time, as its
/// distributions need; bytes are all 0xab.
#[derive(Default)]
pub struct Counting(AtomicUsize);

impl NumberSource for Counting {
    fn draw<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, EntropyError> {
        Ok(make(&mut &*self))
    }
}

impl TryRng for &Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        // Steps by the golden ratio come everywhere (Weyl's equidistribution).
        Ok((u64::from(self.try_next_u32()?) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0xab);
        // A batch for many values: of the same bits a sampler could refuse all.
        if bytes.len() == 1024 {
            for part in bytes.chunks_exact_mut(8) {
                part.copy_from_slice(&self.try_next_u64()?.to_le_bytes());
            }
        }
        Ok(())
    }
}

impl Counting {
    pub fn given(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// An entry that was taken.
pub struct Given {
    pub request_id: String,
    pub duration: Duration,
    pub method: &'static str,
    /// With the query, if there was one.
    pub target: String,
    pub count: u64,
    pub value: Option<i32>,
}

/// A journal that can be full, and that can be held up.
pub struct Journal {
    pub entries: std::sync::Mutex<Vec<Given>>,
    pub full: AtomicBool,
    /// An entry needs one permit; plenty unless a test takes them.
    pub room: Semaphore,
    pub waiting: AtomicUsize,
}

impl JournalSink for Journal {
    async fn record(&self, entry: Entry<'_>) -> Result<(), JournalUnavailable> {
        if self.full.load(Ordering::SeqCst) {
            let (reason, retry_after) = ("no space left".to_owned(), Duration::from_millis(2500));
            return Err(JournalUnavailable { reason, retry_after });
        }
        assert!(!entry.query.contains("count=13"), "a journal with a bug");
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _permit = self.room.acquire().await.unwrap();
        let mark = if entry.query.is_empty() { "" } else { "?" };
        self.entries.lock().unwrap().push(Given {
            request_id: entry.request_id.to_owned(),
            duration: entry.duration,
            method: entry.method,
            target: format!("{}{mark}{}", entry.path, entry.query),
            count: entry.count,
            value: entry.value,
        });
        Ok(())
    }
}

#[derive(Default)]
pub struct SomeIds {
    pub taken: AtomicUsize,
    pub unavailable: AtomicBool,
}

impl IdSource for SomeIds {
    async fn take(&self, count: usize) -> Result<Vec<u64>, IdsUnavailable> {
        if self.unavailable.load(Ordering::SeqCst) {
            let (reason, retry_after) = ("this member has no ordinal".to_owned(), None);
            return Err(IdsUnavailable { reason, retry_after });
        }
        let first = self.taken.fetch_add(count, Ordering::SeqCst) as u64;
        Ok((0..count as u64).map(|n| (1 << 60) + first + n).collect())
    }
}
