//! The journal: what was given out, on the volume.
//!
//! One thread owns the database. Requests reach it through a bounded queue, and it commits as many as are waiting in one
//! transaction. [`writer`] is that thread, [`store`] the database and its share of the volume
//! ([`ballast`] to leave a full one, [`log_index`] a trap in it), [`aside`] what becomes of a corrupt
//! one, [`reader`] how others look into it.
//!
//! The journal never takes the service down. On a full or broken volume it says so ([`JournalState`]), drops and counts what it
//! can't keep, or refuses it in a durable mode, and tries again by itself.

mod aside;
mod ballast;
mod log_index;
mod metrics;
mod reader;
mod store;
mod writer;

pub use metrics::JournalMetrics;
pub use reader::{MAX_PAGE, Row, read};
pub use store::cut;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Boot, Clock, Wall};
use crate::identity::Volume;
use crate::shutdown::{self, Signal, Trigger};

/// A request has one entry in the queue, so with the connections that are allowed unless told otherwise it is never full. Where it
/// is, a durable mode waits, and `none` drops and counts.
const QUEUE: usize = 20_000;
/// The share of a directory that is no file system of its own: nobody gave it that volume whole.
const SHARE_OF_A_DIRECTORY: u64 = 64 << 20;
/// The smallest share that holds database, log and ballast.
pub const MIN_BYTES: u64 = 2 << 20;

/// When a reply may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the commit: a number may be missing from the journal after any crash, and under a load that the volume can't
    /// follow.
    None,
    /// After a commit that survives the process.
    Crash,
    /// After a commit that survives the machine.
    Power,
}

#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The database; its log, its ballast, and corrupt ones moved aside stand beside it.
    pub path: PathBuf,
    pub durability: Durability,
    /// Bytes of database, log and ballast together, for ever. At least [`MIN_BYTES`].
    pub max_bytes: u64,
}

/// The share of a volume that its journal has unless told otherwise: 60 % of a file system of its own, else 64 MiB.
pub fn default_max_bytes(volume: &Volume) -> io::Result<u64> {
    Ok(match volume.is_mount()? {
        true => (volume.space()?.total / 10).saturating_mul(6).max(MIN_BYTES),
        false => SHARE_OF_A_DIRECTORY,
    })
}

/// One answered request. Texts that are longer than a row may be are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub time: Wall,
    pub request: String,
    pub duration: Duration,
    /// What was asked for: `GET /`, `GET /integers`, …
    pub method: Cow<'static, str>,
    pub parameters: String,
    /// How many values were given.
    pub count: u64,
    /// The value itself, for `/`.
    pub value: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("the journal's volume doesn't take the entry: {0}")]
    Volume(Arc<str>),
    #[error("the journal is stopping")]
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalFailure {
    #[error("a journal of {0} bytes can't work: give it at least {MIN_BYTES} with --journal-max")]
    TooSmall(u64),
    #[error("the journal's thread can't start: {0}")]
    Start(#[from] io::Error),
    #[error("the journal's thread panicked")]
    Panicked,
}

/// How the journal is; told on change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    Starting,
    Working,
    Degraded {
        /// False: entries are refused in a durable mode, else dropped. True: they are kept, in less than the journal's share.
        journalling: bool,
        /// For the operator.
        reason: Arc<str>,
    },
}

/// Gives entries to the journal's thread. Clones share its queue.
#[derive(Clone, Debug)]
pub struct JournalHandle {
    queue: mpsc::Sender<Message>,
    durability: Durability,
    clock: Clock,
    metrics: JournalMetrics,
    state: watch::Receiver<JournalState>,
    max_bytes: u64,
}

/// An entry on its way.
#[derive(Debug)]
struct Message {
    entry: Entry,
    sent: Boot,
    /// None when nobody waits.
    reply: Option<oneshot::Sender<Result<(), JournalError>>>,
}

impl JournalHandle {
    /// Returns when the entry is as durable as the mode promises; with `Durability::None` at once and always well. Cancelled,
    /// it may or may not have been recorded. A volume may be slow without end: whoever answers a request bounds that already, and
    /// a timer more for each would be felt.
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

    /// Entries, and bytes of database, log and ballast, as last measured: at most some seconds ago while there is work.
    pub fn size(&self) -> (i64, i64) {
        self.metrics.size()
    }

    /// Bytes that it may have.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
}

/// The journal's thread, to be joined by [`Journal::run`].
#[derive(Debug)]
pub struct Journal {
    thread: JoinHandle<io::Result<()>>,
    ended: oneshot::Receiver<()>,
    stop: Trigger,
}

impl Journal {
    /// Starts the thread, which opens the database in its own time: until then entries wait in the queue.
    pub fn start(
        config: JournalConfig,
        clock: Clock,
        metrics: JournalMetrics,
    ) -> Result<(JournalHandle, Journal), JournalFailure> {
        if config.max_bytes < MIN_BYTES {
            return Err(JournalFailure::TooSmall(config.max_bytes));
        }
        let (queue, entries) = mpsc::channel(QUEUE);
        let (told, state) = watch::channel(JournalState::Starting);
        let (end, ended) = oneshot::channel();
        let (stop, stopping) = shutdown::stage();
        let handle = JournalHandle {
            queue,
            durability: config.durability,
            clock: clock.clone(),
            metrics: metrics.clone(),
            state,
            max_bytes: config.max_bytes,
        };
        let writer = writer::Writer::new(config, clock, metrics, told);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
            let _end = end;
            // A runtime of its own, for timers only: SQLite blocks this thread and no other. Built here: it must not be
            // dropped in an async context, as it would be when no thread can be had.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            runtime.block_on(writer.run(entries, stopping));
            Ok(())
        })?;
        Ok((handle, Journal { thread, ended, stop }))
    }

    /// Returns when the stop was asked for and all that stood in the queue is committed or refused.
    pub async fn run(mut self, mut stop: Signal) -> Result<(), JournalFailure> {
        tokio::select! {
            biased;
            () = stop.requested() => {
                self.stop.pull();
                let _ = (&mut self.ended).await;
            }
            _ = &mut self.ended => {}
        }
        Ok(self.thread.join().map_err(|_| JournalFailure::Panicked)??)
    }
}
