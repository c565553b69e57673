//! The ledger's interface for other parts: requests to its thread, and its snapshots.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::LedgerSnapshot;
use super::history::History;
use super::storage::StorageError;
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal};
use crate::record::{Hash, Record};

/// Bound of one request: several commits to a slow disk.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The ledger's thread can't answer in time, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is busy")]
pub struct Busy;

/// Why `restore` did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("the ledger is not damaged: there is nothing to restore")]
    Sound,
    #[error("can't move the ledger aside: {0}")]
    Failed(String),
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// A request to the thread.
pub(super) enum Request {
    Keep(Arc<KeepRequest>, oneshot::Sender<Result<KeepAnswer, Refusal>>),
    Heads(Arc<HeadsRequest>, oneshot::Sender<Result<HeadsAnswer, Refusal>>),
    Seen(Arc<Record>),
    Fill(Hash, Vec<Arc<Record>>),
    /// What the history's thread found.
    Damaged(StorageError),
    Restore(oneshot::Sender<Result<PathBuf, RestoreError>>),
    Stop,
}

/// Sends requests to the ledger's thread. Clones share its queue.
#[derive(Clone, Debug)]
pub struct LedgerHandle {
    pub(super) requests: SyncSender<Request>,
    pub(super) snapshots: watch::Receiver<Arc<LedgerSnapshot>>,
    pub(super) history: History,
}

impl LedgerHandle {
    pub fn snapshots(&self) -> watch::Receiver<Arc<LedgerSnapshot>> {
        self.snapshots.clone()
    }

    /// # Errors
    /// A refusal; `Busy` as [`Refusal::Ledger`], which is the same to a holder.
    pub async fn keep(&self, request: Arc<KeepRequest>) -> Result<KeepAnswer, Refusal> {
        self.ask(|reply| Request::Keep(request, reply))
            .await
            .unwrap_or_else(|busy| Err(busy.into()))
    }

    /// # Errors
    /// As [`LedgerHandle::keep`].
    pub async fn heads(&self, request: Arc<HeadsRequest>) -> Result<HeadsAnswer, Refusal> {
        self.ask(|reply| Request::Heads(request, reply))
            .await
            .unwrap_or_else(|busy| Err(busy.into()))
    }

    /// Up to `count` records from `hash` backwards, newest first.
    pub async fn records(&self, hash: Hash, count: usize) -> Result<Vec<Arc<Record>>, Busy> {
        self.history.ancestors(hash, count).await.map_err(|_| Busy)
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    /// Hands over the records that a peer sent for `asked`. A busy thread drops them; they will be fetched again.
    pub fn fill(&self, asked: Hash, records: Vec<Arc<Record>>) {
        let _ = self.requests.try_send(Request::Fill(asked, records));
    }

    /// Moves a corrupt ledger aside and starts a new one, which fills from the Lease and the peers.
    pub async fn restore(&self) -> Result<PathBuf, RestoreError> {
        self.ask(Request::Restore).await?
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Busy> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|_| Busy)?;
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }
}

impl From<Busy> for Refusal {
    fn from(busy: Busy) -> Refusal {
        Refusal::Ledger {
            detail: busy.to_string(),
        }
    }
}
