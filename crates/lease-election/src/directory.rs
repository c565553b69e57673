//! The lease store of several processes on one machine: a directory that they share. It is to the elector what the API server
//! is on Kubernetes, and a person reads it with `cat`. [`versions`] has the files and the compare-and-swap.
//!
//! All I/O happens on one thread, [`Worker`]'s, behind a bounded queue: a disk that hangs blocks nothing else.

#[cfg(test)]
mod interleavings;
mod versions;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use self::versions::LeaseDirectory;
use crate::payload::{Annotations, Payload};
use crate::store::{LeaseChange, LeaseObject, LeaseStore, StoreError, WatchEvent, WriteOutcome};

/// Requests waiting for the thread. An elector has one read and one write in flight.
const QUEUE: usize = 64;
/// A follower learns of a release within this, so that a graceful hand-over takes well under 200 ms.
const POLL: Duration = Duration::from_millis(25);
/// While the directory can't be used each look is a full read, and may take 100 ms.
const POLL_IN_TROUBLE: Duration = Duration::from_millis(500);
/// Longer than any request takes, unless the disk doesn't answer.
const ANSWER: Duration = Duration::from_secs(3);
const JOIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum DirectoryLeaseError {
    #[error("the lease directory: {0}")]
    Unusable(String),
    #[error("can't start the thread of the lease directory: {0}")]
    Thread(std::io::Error),
    #[error("the thread of the lease directory panicked")]
    Panicked,
    #[error("the thread of the lease directory did not end within {} s: its disk doesn't answer", JOIN.as_secs())]
    Stuck,
}

/// The store. Clones use the same thread.
#[derive(Clone, Debug)]
pub struct DirectoryLeaseStore<P> {
    requests: SyncSender<Request<P>>,
    state: watch::Receiver<State<P>>,
}

/// The thread, to be joined by the caller of [`DirectoryLeaseStore::open`]. Dropping this ends the thread.
#[derive(Debug)]
pub struct DirectoryLeaseTask<P> {
    thread: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    state: watch::Receiver<State<P>>,
}

/// What the thread saw last, for the watches: nothing yet, no Lease, or a Lease. The thread's end closes the channel.
type State<P> = Option<Option<Arc<LeaseObject<P>>>>;

#[derive(Debug)]
enum Request<P> {
    Read(oneshot::Sender<Result<Option<Arc<LeaseObject<P>>>, StoreError>>),
    Write(Box<(LeaseObject<P>, LeaseChange<P>)>, oneshot::Sender<WriteOutcome<P>>),
}

impl<P: Payload> DirectoryLeaseStore<P> {
    /// Opens the directory, and creates it if it is absent or empty. Waits for that at most 3 s.
    ///
    /// Fails only if the path can't hold a Lease: no directory above it, or a file system that can't rename or sync files. Each
    /// read reports what a person can repair meanwhile: damage, a file in its place, missing permission.
    pub async fn open(
        path: PathBuf,
        annotations: Annotations,
    ) -> Result<(DirectoryLeaseStore<P>, DirectoryLeaseTask<P>), DirectoryLeaseError> {
        let (requests, queue) = sync_channel(QUEUE);
        let (publisher, state) = watch::channel(None);
        let (ready, opened) = oneshot::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let mut worker = Worker {
            directory: LeaseDirectory::new(path, annotations),
            publisher,
            trouble: None,
        };
        let thread = thread::Builder::new()
            .name("lease-directory".to_owned())
            .spawn(move || {
                // Twice if it is absent: the first then creates it.
                let mut first = worker.directory.read();
                if matches!(first, Ok(None)) {
                    first = worker.directory.read();
                }
                worker.note(&first);
                let unusable = first.err().filter(|_| worker.directory.is_hopeless());
                // An error means that the caller gave up.
                let _ = ready.send(unusable);
                worker.serve(&queue, &stop);
            })
            .map_err(DirectoryLeaseError::Thread)?;
        let task = DirectoryLeaseTask {
            thread: Some(thread),
            stopping,
            state: state.clone(),
        };
        match timeout(ANSWER, opened).await {
            Ok(Ok(Some(StoreError::Refused(detail)))) => Err(DirectoryLeaseError::Unusable(detail)),
            Ok(Ok(_)) | Err(_) => Ok((DirectoryLeaseStore { requests, state }, task)),
            Ok(Err(_)) => Err(DirectoryLeaseError::Panicked),
        }
    }

    /// Queues a request and waits for its answer. `Err(Ok(_))` was never sent; after `Err(Err(_))` it may have happened.
    async fn ask<T>(&self, request: Request<P>, answer: oneshot::Receiver<T>) -> Result<T, Result<StoreError, String>> {
        self.requests
            .try_send(request)
            .map_err(|error| Ok(StoreError::Unreachable(format!("the lease directory's queue: {error}"))))?;
        match timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Err("the lease directory was closed".to_owned())),
            Err(_) => Err(Err(format!(
                "the lease directory gave no answer within {} s",
                ANSWER.as_secs()
            ))),
        }
    }
}

impl<P: Payload> LeaseStore<P> for DirectoryLeaseStore<P> {
    async fn read(&self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        match self.ask(Request::Read(reply), answer).await {
            Ok(found) => found,
            Err(error) => Err(error.unwrap_or_else(StoreError::Unreachable)),
        }
    }

    async fn write(&self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> WriteOutcome<P> {
        let (reply, answer) = oneshot::channel();
        let write = Box::new((base.clone(), change.clone()));
        match self.ask(Request::Write(write, reply), answer).await {
            Ok(outcome) => outcome,
            Err(error) => error.map_or_else(WriteOutcome::Unknown, WriteOutcome::Failed),
        }
    }

    /// Sends the present state first, then each change within about 25 ms. A slow receiver misses states in between.
    async fn watch(&self, events: mpsc::Sender<WatchEvent<P>>) {
        let mut state = self.state.clone();
        state.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = events.closed() => return,
                changed = state.changed() => if changed.is_err() { return },
            }
            let Ok(place) = events.reserve().await else { return };
            let seen = state.borrow_and_update().clone();
            if let Some(seen) = seen {
                place.send(seen.map_or(WatchEvent::Gone, WatchEvent::Seen));
            }
        }
    }
}

impl<P: Payload> DirectoryLeaseTask<P> {
    /// Runs until `stop` completes, then ends the thread and joins it. Stop it after the elector, which still releases.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) -> Result<(), DirectoryLeaseError> {
        tokio::select! {
            biased;
            () = stop => {}
            () = closed(&mut self.state) => {}
        }
        self.stopping.store(true, Ordering::SeqCst);
        if timeout(JOIN, closed(&mut self.state)).await.is_err() {
            return Err(DirectoryLeaseError::Stuck);
        }
        // Closing the channel was the last thing the thread did.
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(DirectoryLeaseError::Panicked),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl<P> Drop for DirectoryLeaseTask<P> {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
    }
}

async fn closed<P>(state: &mut watch::Receiver<State<P>>) {
    while state.changed().await.is_ok() {}
}

/// What the thread owns.
struct Worker<P> {
    directory: LeaseDirectory<P>,
    publisher: watch::Sender<State<P>>,
    trouble: Option<StoreError>,
}

impl<P: Payload> Worker<P> {
    /// Answers requests, and looks for changes between them.
    fn serve(mut self, requests: &Receiver<Request<P>>, stopping: &AtomicBool) {
        while !stopping.load(Ordering::SeqCst) {
            let poll = if self.trouble.is_some() { POLL_IN_TROUBLE } else { POLL };
            match requests.recv_timeout(poll) {
                // The caller gave up waiting and takes the outcome as unknown: better that it didn't happen.
                Ok(Request::Read(reply)) if reply.is_closed() => {}
                Ok(Request::Write(_, reply)) if reply.is_closed() => {}
                Ok(Request::Read(reply)) => {
                    let found = self.directory.read();
                    self.note(&found);
                    let _ = reply.send(found);
                }
                Ok(Request::Write(write, reply)) => {
                    let outcome = self.directory.write(&write.0, &write.1);
                    if let WriteOutcome::Written(object) = &outcome {
                        self.publish(Some(Arc::clone(object)));
                    }
                    let _ = reply.send(outcome);
                }
                Err(RecvTimeoutError::Timeout) if self.trouble.is_none() && self.directory.is_unchanged() => {}
                Err(RecvTimeoutError::Timeout) => {
                    let found = self.directory.look();
                    self.note(&found);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Publishes what was found, or logs why nothing was.
    fn note(&mut self, found: &Result<Option<Arc<LeaseObject<P>>>, StoreError>) {
        let trouble = match found {
            Ok(Some(_)) => None,
            // An absent Lease is not an error, nor does it prove that an earlier error is over.
            Ok(None) => self.trouble.clone(),
            Err(error) => Some(error.clone()),
        };
        if trouble != self.trouble {
            match &trouble {
                Some(error) => tracing::warn!("{error}"),
                None => tracing::info!("the lease directory can be read again"),
            }
            self.trouble = trouble;
        }
        if let Ok(seen) = found {
            self.publish(seen.clone());
        }
    }

    fn publish(&self, seen: Option<Arc<LeaseObject<P>>>) {
        self.publisher.send_if_modified(|state| {
            let changed = state.as_ref() != Some(&seen);
            *state = Some(seen);
            changed
        });
    }
}
