//! Older records, which are only on the volume: a thread of its own reads them, so that those who read the history never stand in a
//! keep's way.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::storage::StorageError;
use super::storage::read::Reader;
use crate::record::{Hash, Record};

/// Requests that may wait for the thread; more wait for a place.
const QUEUE: usize = 16;
/// Bound of one request, with the wait for others and for a commit.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("the ledger is busy")]
    Busy,
    /// It was pruned, or the chain is another.
    #[error("round {0} is no longer kept")]
    Gone(u64),
    #[error("can't read the ledger: {0}")]
    Failed(Arc<str>),
}

/// What it answers with; an error is a text.
type Records = Result<Vec<Arc<Record>>, Arc<str>>;

pub(super) enum Read {
    Page(u64, usize, oneshot::Sender<Records>),
    Ancestors(Hash, usize, oneshot::Sender<Records>),
    Stop,
}

/// Sends requests to the thread. Clones share its queue.
#[derive(Clone, Debug)]
pub struct History {
    requests: mpsc::Sender<Read>,
}

impl History {
    /// Of a member without a ledger: it is always busy.
    pub fn none() -> History {
        History {
            requests: mpsc::channel(1).0,
        }
    }

    /// The records of the chain from round `from` on, ascending: at least one, and so many that `bytes` are reached.
    pub async fn page(&self, from: u64, bytes: usize) -> Result<Vec<Arc<Record>>, HistoryError> {
        let found = self.ask(|reply| Read::Page(from, bytes, reply)).await?;
        match found.first() {
            Some(first) if first.round == from => Ok(found),
            _ => Err(HistoryError::Gone(from)),
        }
    }

    /// Up to `count` records from `hash` backwards, newest first.
    pub async fn ancestors(&self, hash: Hash, count: usize) -> Result<Vec<Arc<Record>>, HistoryError> {
        self.ask(|reply| Read::Ancestors(hash, count, reply)).await
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Records>) -> Read,
    ) -> Result<Vec<Arc<Record>>, HistoryError> {
        let asked = async {
            let (reply, answer) = oneshot::channel();
            self.requests.send(request(reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(ANSWER_WITHIN, asked).await {
            Ok(Some(found)) => found.map_err(HistoryError::Failed),
            Ok(None) | Err(_) => Err(HistoryError::Busy),
        }
    }
}

/// The running thread, to be joined.
#[derive(Debug)]
pub(super) struct HistoryThread {
    thread: thread::JoinHandle<()>,
    requests: mpsc::Sender<Read>,
}

/// Starts the thread, which calls `on_damage` with what it finds.
pub(super) fn start(
    path: PathBuf,
    on_damage: impl Fn(&StorageError) + Send + 'static,
) -> io::Result<(HistoryThread, History)> {
    let (requests, mut receiver) = mpsc::channel(QUEUE);
    let thread = thread::Builder::new().name("history".into()).spawn(move || {
        let mut reader = Reader::new(path);
        while let Some(request) = receiver.blocking_recv() {
            let (found, reply) = match request {
                Read::Page(from, bytes, reply) => (reader.page(from, bytes), reply),
                Read::Ancestors(hash, count, reply) => (reader.ancestors(&hash, count), reply),
                Read::Stop => return,
            };
            // Damage in a file that was set aside meanwhile is none of the new one.
            if let Err(error @ StorageError::Corrupt(_)) = &found
                && reader.is_present()
            {
                on_damage(error);
            }
            // A reply without a receiver is dropped: it was too late.
            drop(reply.send(found.map_err(|error| error.to_string().into())));
        }
    })?;
    let handle = HistoryThread {
        thread,
        requests: requests.clone(),
    };
    Ok((handle, History { requests }))
}

impl HistoryThread {
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Blocks until what it was asked before is answered.
    pub fn stop(self) -> thread::Result<()> {
        let _ = self.requests.blocking_send(Read::Stop);
        self.thread.join()
    }
}
