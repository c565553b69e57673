//! The journal: everything that was given out, on the volume.
//!
//! One thread commits. Entries wait in a bounded queue, and it commits all that wait in one transaction. When the log is long, a
//! second thread empties it meanwhile, with a connection of its own. [`batches`] is the queue's other end, on the runtime;
//! [`writer`] is that thread; [`store`] is the database, [`rows`] its table, and [`budget`] its share of the volume ([`ballast`] and
//! [`log_index`] keep it working on a full one, [`checkpoint`] keeps its log short); [`aside`] keeps corrupt databases; [`reader`]
//! reads from any process.
//!
//! The journal never takes the service down. On a full or broken volume it reports that ([`JournalState`]), drops and counts
//! entries, or refuses them in a durable mode, and recovers by itself.

mod aside;
mod ballast;
mod batches;
mod budget;
mod checkpoint;
mod lag;
mod log_index;
mod metrics;
mod reader;
mod rows;
mod store;
mod writer;

pub use metrics::JournalMetrics;
pub use reader::{MAX_PAGE, Row, read};
pub use rows::truncate;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Boot, Clock, Wall};
use crate::identity::{Space, Volume};
use crate::shutdown::Signal;
use batches::{ANSWERS, Answered, Collector};
use lag::Lag;

/// Each request has one entry in the queue, so with the default number of connections it is never full. If it is, a durable mode
/// waits, and `none` drops and counts.
const QUEUE: usize = 20_000;
/// The default share of a directory that is not a mount point, and so shares its volume.
const SHARE_OF_A_DIRECTORY: u64 = 64 << 20;
/// The smallest share that holds database, log and ballast.
pub const MIN_BYTES: u64 = 2 << 20;

/// When a response may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the commit: entries may be lost in a crash, and under a load that the volume can't follow.
    None,
    /// After a commit that survives a crash of the process.
    Crash,
    /// After a commit that survives a power failure.
    Power,
}

#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The database; its log, its ballast and corrupt databases are beside it.
    pub path: PathBuf,
    pub durability: Durability,
    /// Bytes of database, log and ballast together, at any time; at least [`MIN_BYTES`].
    pub max_bytes: u64,
}

/// The default share of a volume: 60 % of a mounted file system, else 64 MiB.
pub fn default_max_bytes(volume: &Volume) -> io::Result<u64> {
    Ok(match volume.is_mount()? {
        true => (volume.space()?.total / 10).saturating_mul(6).max(MIN_BYTES),
        false => SHARE_OF_A_DIRECTORY,
    })
}

/// One answered request. Long texts are truncated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub time: Wall,
    pub request: String,
    pub duration: Duration,
    /// `GET /`, `GET /integers`, …
    pub method: Cow<'static, str>,
    pub parameters: String,
    /// Number of values given out.
    pub count: u64,
    /// The value itself, for `/`.
    pub value: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("can't write to the journal's volume: {0}")]
    Volume(Arc<str>),
    #[error("the journal is stopping")]
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalFailure {
    #[error("a journal of {0} bytes is too small: --journal-max must be at least {MIN_BYTES}")]
    TooSmall(u64),
    #[error("can't start the journal's thread: {0}")]
    Start(#[from] io::Error),
    #[error("the journal's thread panicked")]
    Panicked,
}

/// The journal's state, published on change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    Starting,
    Working,
    Degraded {
        /// True: entries are stored, in less than the journal's share. False: they are refused in a durable mode, else dropped.
        journalling: bool,
        /// The volume has no space left. Nothing else is wrong.
        full: bool,
        /// For the operator.
        reason: Arc<str>,
    },
}

/// Sends entries to the journal's thread. Clones share its queue.
#[derive(Clone, Debug)]
pub struct JournalHandle {
    queue: mpsc::Sender<Message>,
    durability: Durability,
    clock: Clock,
    metrics: JournalMetrics,
    state: watch::Receiver<JournalState>,
    max_bytes: u64,
    lag: Lag,
    space: watch::Receiver<Option<Space>>,
}

/// An entry in the queue.
#[derive(Debug)]
struct Message {
    entry: Entry,
    sent: Boot,
    /// None if no request waits.
    reply: Option<oneshot::Sender<Result<(), JournalError>>>,
}

impl JournalHandle {
    /// Returns once the entry is as durable as the mode promises; with `Durability::None` at once, and never with an error. If it is
    /// cancelled, the entry may or may not be recorded. It has no timeout of its own: the listener bounds every request already.
    pub async fn record(&self, entry: Entry) -> Result<(), JournalError> {
        let sent = self.clock.boot();
        if self.durability == Durability::None {
            let message = Message {
                entry,
                sent,
                reply: None,
            };
            if self.queue.try_send(message).is_err() {
                self.metrics.dropped_for("queue", 1);
            }
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let message = Message {
            entry,
            sent,
            reply: Some(reply),
        };
        match self.queue.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(message)) => {
                self.queue.send(message).await.map_err(|_| JournalError::Stopped)?;
            }
            Err(TrySendError::Closed(_)) => return Err(JournalError::Stopped),
        }
        answer.await.map_err(|_| JournalError::Stopped)?
    }

    pub fn state(&self) -> watch::Receiver<JournalState> {
        self.state.clone()
    }

    /// Entries, and bytes of database, log and ballast, as last measured: some seconds ago at most, while there is work.
    pub fn size(&self) -> (i64, i64) {
        self.metrics.size()
    }

    /// The share of the database's pages in use, as last measured: from 0 to 1.
    pub fn fill(&self) -> f64 {
        self.metrics.fill.get()
    }

    /// From the oldest entry of the newest transaction to its commit; of one under way, if that takes longer already.
    pub fn lag(&self) -> Duration {
        self.lag.at(self.clock.boot())
    }

    /// Of the volume, as last measured: some seconds ago at most. None if it can't be measured.
    pub fn space(&self) -> Option<Space> {
        *self.space.borrow()
    }

    /// The journal's share, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

/// The journal's thread, to be joined by [`Journal::run`].
#[derive(Debug)]
pub struct Journal {
    thread: JoinHandle<io::Result<()>>,
    collector: Collector,
    answers: mpsc::Receiver<Answered>,
    ended: oneshot::Receiver<()>,
}

impl Journal {
    /// Starts the thread, which opens the database; until then entries wait in the queue. Nothing is written before [`Journal::run`].
    pub fn start(
        config: JournalConfig,
        clock: Clock,
        metrics: JournalMetrics,
    ) -> Result<(JournalHandle, Journal), JournalFailure> {
        if config.max_bytes < MIN_BYTES {
            return Err(JournalFailure::TooSmall(config.max_bytes));
        }
        let (queue, entries) = mpsc::channel(QUEUE);
        let (batches, collected) = mpsc::channel(1);
        let (publisher, state) = watch::channel(JournalState::Starting);
        let (measured, space) = watch::channel(None);
        let lag = Lag::default();
        let (answered, answers) = mpsc::channel(ANSWERS);
        let (end, ended) = oneshot::channel();
        let collector = Collector {
            queue: entries,
            batches,
            durability: config.durability,
        };
        let handle = JournalHandle {
            queue,
            durability: config.durability,
            clock: clock.clone(),
            metrics: metrics.clone(),
            state,
            max_bytes: config.max_bytes,
            lag: lag.clone(),
            space,
        };
        let writer = writer::Writer::new(config, clock, metrics, publisher, measured, lag, answered);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
            let _end = end;
            // A runtime of its own, for timers: SQLite blocks this thread alone. Built here: an async context must not drop a
            // runtime, as it would if the thread could not start.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            runtime.block_on(writer.run(collected));
            Ok(())
        })?;
        let journal = Journal {
            thread,
            collector,
            answers,
            ended,
        };
        Ok((handle, journal))
    }

    /// Hands entries to the thread and answers their requests. Returns after a stop, once all entries in the queue are committed or
    /// refused.
    pub async fn run(self, stop: Signal) -> Result<(), JournalFailure> {
        // Once the collector has ended the thread ends, and with it the answers; so they do if it panics.
        tokio::join!(self.collector.run(stop), batches::answer(self.answers));
        let _ = self.ended.await;
        Ok(self.thread.join().map_err(|_| JournalFailure::Panicked)??)
    }
}
