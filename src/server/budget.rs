//! The memory that a listener holds for its clients, beyond each connection's own.
//!
//! An answer of at most [`SMALL`] bytes belongs to its connection, which holds one answer at a time: it is given at once,
//! whatever others hold. A larger one takes its memory from the budget before it is made, waits briefly if there is none, and
//! gives it back when its last byte is in the socket. Above [`PARTS`] it holds the
//! same however long it is: it is made in parts ([`parts`](super::parts)), in turns ([`Turn`]).

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::body::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::problem::Problem;

/// Bytes of an answer, or of a request's body, that are not taken from the budget.
pub const SMALL: usize = 16 * 1024;
/// Bytes in one part of an answer.
pub const PART: usize = 32 * 1024;
/// What an answer in parts holds: hyper queues less than 32 KiB (`max_buf_size` in listener.rs), and then takes one more part.
pub const PARTS: usize = 32 * 1024 + PART;
/// Bytes in one part of a long stream of bytes, while memory is plentiful: each costs a system call. A part of a MiB takes
/// longer than four of these: it outgrows a processor's own cache before the kernel has copied it.
pub const WIDE_PART: usize = 256 * 1024;
/// What such a stream holds: a part stays allocated until its last byte is in the socket, and hyper takes the next one before.
pub const WIDE_PARTS: usize = 2 * WIDE_PART;
/// Memory is plentiful while at most one part in so many is held.
pub const PLENTY: u32 = 4;
/// The smallest budget: any answer fits, alone. A request that asks for more than all of it takes all of it.
pub const MIN: u64 = 1 << 20;

/// The default where no limit is set.
const DEFAULT: u64 = 64 << 20;
/// The default is one part of so many of the limit: the rest is for connections, the listeners of the members and of metrics, and the databases.
const SHARE: u64 = 8;

/// How long an answer waits for memory.
pub const WAIT: Duration = Duration::from_millis(500);
/// Others end their answers all the time; a client that takes nothing is cut after `write_stall`.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The unit in which memory is counted.
const UNIT: usize = 1024;

/// The default of `--answer-memory`, under the limit of the process.
pub fn default_bytes(limit: Option<u64>) -> u64 {
    limit.map_or(DEFAULT, |limit| (limit / SHARE).max(MIN))
}

/// The budget of one listener. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    room: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    units: u32,
    held: Gauge,
    refused: Counter,
}

impl Budget {
    /// `held` counts bytes, `refused` answers.
    pub(super) fn new(bytes: u64, held: Gauge, refused: Counter) -> Budget {
        let units = u32::try_from(bytes.max(MIN) / UNIT as u64).unwrap_or(u32::MAX);
        let room = Semaphore::new(units as usize);
        Budget {
            room: Arc::new(room),
            turns: Arc::new(Semaphore::new(
                available_parallelism().map_or(1, |all| all.get().div_ceil(2)),
            )),
            units,
            held,
            refused,
        }
    }

    /// All of it.
    pub(super) fn bytes(&self) -> i64 {
        i64::from(self.units) * UNIT as i64
    }

    /// Takes memory for something of at most `bytes`: none for what is small. 503 if there is none in time.
    pub async fn take(&self, bytes: usize) -> Result<Hold, Problem> {
        self.take_with(bytes, None).await
    }

    /// As [`Budget::take`], for an answer of at most `bytes`, made in parts if it is long, plus the `kept` bytes that its maker needs
    /// until the end.
    pub async fn take_for_answer(&self, bytes: usize, kept: usize) -> Result<Hold, Problem> {
        match bytes > PARTS {
            true => self.take_with(kept + PARTS, Some(&self.turns)).await,
            false => self.take_with(kept + bytes, None).await,
        }
    }

    /// As [`Budget::take_for_answer`], for bytes that can be made in parts of any size: in [`WIDE_PART`]s while memory is plentiful.
    pub async fn take_for_bytes(&self, bytes: usize) -> Result<Hold, Problem> {
        let units = (WIDE_PARTS / UNIT) as u32;
        let held = (self.units as usize).saturating_sub(self.room.available_permits());
        if bytes > PARTS
            && held + units as usize <= (self.units / PLENTY) as usize
            && let Ok(permit) = self.room.clone().try_acquire_many_owned(units)
        {
            return Ok(self.hold(permit, WIDE_PART, Some(&self.turns)));
        }
        self.take_for_answer(bytes, 0).await
    }

    async fn take_with(&self, bytes: usize, turns: Option<&Arc<Semaphore>>) -> Result<Hold, Problem> {
        if bytes <= SMALL {
            return Ok(Hold(None));
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        let Ok(Ok(permit)) = timeout(WAIT, self.room.clone().acquire_many_owned(units)).await else {
            self.refused.inc();
            let detail = "slow clients hold all the memory for large answers: ask for less, or again later";
            return Err(Problem::unavailable(detail, RETRY_AFTER));
        };
        Ok(self.hold(permit, PART, turns))
    }

    fn hold(&self, permit: OwnedSemaphorePermit, part: usize, turns: Option<&Arc<Semaphore>>) -> Hold {
        let bytes = (permit.num_permits() * UNIT) as i64;
        self.held.inc_by(bytes);
        Hold(Some(Arc::new(Held {
            bytes,
            part,
            held: self.held.clone(),
            turns: turns.cloned(),
            _permit: permit,
        })))
    }
}

/// Memory that was taken. It is given back with the last clone, and with the last bytes that it was attached to.
#[derive(Clone, Debug)]
pub struct Hold(Option<Arc<Held>>);

#[derive(Debug)]
struct Held {
    bytes: i64,
    part: usize,
    held: Gauge,
    /// Only for an answer longer than [`PARTS`].
    turns: Option<Arc<Semaphore>>,
    _permit: OwnedSemaphorePermit,
}

/// The right to make a part of a long answer. There is one for every second processor, so that small answers come at once though
/// hundreds of long ones are wanted.
#[derive(Debug)]
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.dec_by(self.bytes);
    }
}

impl Hold {
    /// Bytes that a part may have.
    pub(super) fn part(&self) -> usize {
        self.0.as_ref().map_or(PART, |held| held.part)
    }

    /// Waits for a turn, first come, first served. A turn takes no longer than it takes to make a part.
    pub fn turn(&self) -> impl Future<Output = Turn> + Send + use<> {
        let turns = self.turns().cloned();
        async move {
            let Some(turns) = turns else {
                return Turn { _permit: None };
            };
            // They are never closed.
            let permit = turns.acquire_owned().await.ok();
            Turn { _permit: permit }
        }
    }

    /// A turn, if one is free.
    pub(super) fn try_turn(&self) -> Option<Turn> {
        let permit = match self.turns() {
            None => None,
            Some(turns) => Some(turns.clone().try_acquire_owned().ok()?),
        };
        Some(Turn { _permit: permit })
    }

    fn turns(&self) -> Option<&Arc<Semaphore>> {
        self.0.as_ref()?.turns.as_ref()
    }

    /// Holds the memory until these bytes are dropped: hyper still has them when it has dropped their body.
    pub fn attach(&self, bytes: Vec<u8>) -> Bytes {
        match &self.0 {
            None => bytes.into(),
            Some(held) => Bytes::from_owner(Attached {
                bytes,
                _held: held.clone(),
            }),
        }
    }
}

struct Attached {
    bytes: Vec<u8>,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Attached {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::ready;
    use std::sync::Mutex;

    use axum::http::Response;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::select;

    use super::*;
    use crate::server::limits::Limits;
    use crate::server::listener::builder;
    use crate::server::parts::{More, Parts};

    #[tokio::test]
    async fn memory_comes_back_with_the_last_of_its_bytes_and_small_answers_need_none() {
        let (held, refused) = (Gauge::default(), Counter::default());
        let budget = Budget::new(MIN, held.clone(), refused.clone());
        let whole = budget.take(MIN as usize).await.unwrap();
        assert_eq!(held.get(), MIN as i64);
        let problem = budget.take(SMALL + 1).await.unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.retry_after), (503, Some(RETRY_AFTER)));
        assert_eq!(refused.get(), 1);
        let small = budget.take(SMALL).await.unwrap();
        assert_eq!(small.attach(vec![1; 3]), vec![1; 3]);
        let bytes = whole.attach(vec![2; 3]);
        drop(whole);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert!(budget.take(PARTS).await.is_err());
        drop(part);
        assert_eq!(held.get(), 0);
        // What is larger than the budget takes all of it.
        assert!(budget.take(3 * MIN as usize).await.is_ok());
    }

    /// Bytes of `parts` that are allocated at most, while a client reads `read` of them, a little at a time.
    async fn most_allocated(hold: Hold, read: usize) -> usize {
        let part = hold.part();
        let (mut client, server) = duplex(1024);
        let endless = move |bytes: &mut Vec<u8>| {
            bytes.resize(part, 1);
            Ok::<_, Infallible>(More::Yes)
        };
        let body = Parts::begin(hold.clone(), usize::MAX, None, endless)
            .await
            .unwrap()
            .into_body();
        // One here, one in the body, and one for the first part, which is made already.
        let own = Arc::strong_count(hold.0.as_ref().unwrap());
        let body = Mutex::new(Some(body));
        let service = service_fn(|_| ready(Ok::<_, Infallible>(Response::new(body.lock().unwrap().take().unwrap()))));
        let connection = builder(&Limits::public()).serve_connection(TokioIo::new(server), service);
        let reading = async {
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let (mut left, mut most, mut bytes) = (read, 0, [0; 1024]);
            while left > 0 {
                left = left.saturating_sub(client.read(&mut bytes).await.unwrap());
                most = most.max(Arc::strong_count(hold.0.as_ref().unwrap()));
            }
            (most + 1 - own) * part
        };
        select! {
            most = reading => most,
            ended = connection => panic!("it ended: {ended:?}"),
        }
    }

    #[tokio::test]
    async fn a_long_answer_never_has_more_allocated_than_it_holds() {
        let budget = Budget::new(8 * MIN, Gauge::default(), Counter::default());
        let wide = budget.take_for_bytes(1 << 30).await.unwrap();
        assert_eq!(most_allocated(wide, 5 * WIDE_PART).await, WIDE_PARTS);
        let hold = budget.take_for_answer(1 << 30, 0).await.unwrap();
        assert_eq!(most_allocated(hold, 5 * PART).await, PARTS);
    }

    #[tokio::test]
    async fn parts_are_wide_while_no_more_than_a_quarter_of_the_memory_is_held() {
        let budget = Budget::new(8 * MIN, Gauge::default(), Counter::default());
        let mut holds = Vec::new();
        for _ in 0..10 {
            holds.push(budget.take_for_bytes(1 << 30).await.unwrap());
        }
        let wide = 2 * MIN as usize / WIDE_PARTS;
        assert!(wide > 3);
        let parts: Vec<usize> = holds.iter().map(Hold::part).collect();
        assert_eq!(parts, [vec![WIDE_PART; wide], vec![PART; 10 - wide]].concat());
        holds.clear();
        assert_eq!(budget.take_for_bytes(PARTS).await.unwrap().part(), PART);
        assert_eq!(budget.take_for_bytes(1 << 30).await.unwrap().part(), WIDE_PART);
    }
}
