//! The lease store of a set on one machine: a SQLite file that several processes share. What Kubernetes' API server is to the
//! elector there, this is here; the file can be read with the sqlite3 tool.
//!
//! Every call of SQLite is made on one thread, [`serve`]'s, behind a bounded queue. A process that is stopped (SIGSTOP) within
//! the millisecond of a transaction holds the file's locks until it goes on or is killed: no file can tell the two apart.

mod database;
mod document;
mod row;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use self::document::{LeaseFile, Signature};
use crate::payload::{Annotations, Payload};
use crate::store::{LeaseChange, LeaseObject, LeaseStore, StoreError, WatchEvent, WriteOutcome};

/// Requests waiting for the thread. A member has one read and one write in flight.
const QUEUE: usize = 64;
/// A follower learns of a release within this, so that a graceful hand-over takes well under 200 ms.
const POLL: Duration = Duration::from_millis(25);
/// With nobody watching the thread only looks whether it is to end.
const IDLE: Duration = Duration::from_millis(250);
/// After a change the file is read at so many polls (100 ms): two writes within one tick of the kernel's clock look alike.
const SETTLING: u32 = 4;
/// And at every so manieth poll (1 s) whatever it looks like.
const FULL_READ: u32 = 40;
/// Longer than a request takes when it waits for both locks, 1 s each.
const ANSWER: Duration = Duration::from_secs(3);
/// Longer than any request takes: then a disk doesn't answer.
const JOIN: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum FileLeaseError {
    #[error("the lease file {path}: {detail}")]
    Unusable { path: PathBuf, detail: String },
    #[error("the thread of the lease file can't be started: {0}")]
    Thread(std::io::Error),
    #[error("the thread of the lease file ended with a panic")]
    Panicked,
    #[error("the thread of the lease file did not end within {} s: its disk doesn't answer", JOIN.as_secs())]
    Stuck,
}

/// The store: clones speak to the same thread.
#[derive(Clone, Debug)]
pub struct FileLeaseStore<P> {
    requests: SyncSender<Request<P>>,
    /// Closed when the thread ends.
    ended: watch::Receiver<()>,
}

/// The thread, to be joined by whoever runs this. Dropping it makes the thread end.
#[derive(Debug)]
pub struct FileLeaseTask {
    thread: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    ended: watch::Receiver<()>,
}

#[derive(Debug)]
enum Request<P> {
    Read(oneshot::Sender<Result<Option<Arc<LeaseObject<P>>>, StoreError>>),
    Write(Box<(LeaseObject<P>, LeaseChange<P>)>, oneshot::Sender<WriteOutcome<P>>),
    /// The future of `watch` holds the strong end, so that a cancelled watch ends here too.
    Watch(mpsc::WeakSender<WatchEvent<P>>),
}

impl<P: Payload> FileLeaseStore<P> {
    /// Opens the file, and makes it if it is absent or empty. Waits for that at most 3 s.
    ///
    /// Fails only for what no wait will mend: no such directory, no permission. A damaged file is told by each read, since it
    /// can be replaced while members run.
    pub async fn open(
        path: PathBuf,
        annotations: Annotations,
    ) -> Result<(FileLeaseStore<P>, FileLeaseTask), FileLeaseError> {
        let (requests, queue) = sync_channel(QUEUE);
        let (alive, ended) = watch::channel(());
        let (ready, first) = oneshot::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let mut file = LeaseFile::new(path.clone(), annotations);
        let thread = thread::Builder::new()
            .name("lease-file".to_owned())
            .spawn(move || {
                let _alive = alive;
                let made = file.make();
                // Nobody waits for it any more: then nobody asks anything either.
                let _ = ready.send((made, file.stands()));
                serve(file, &queue, &stop);
            })
            .map_err(FileLeaseError::Thread)?;
        let task = FileLeaseTask {
            thread: Some(thread),
            stopping,
            ended: ended.clone(),
        };
        match timeout(ANSWER, first).await {
            Ok(Ok((Err(StoreError::Refused(detail)), false))) => Err(FileLeaseError::Unusable { path, detail }),
            Ok(Ok(_)) | Err(_) => Ok((FileLeaseStore { requests, ended }, task)),
            Ok(Err(_)) => Err(FileLeaseError::Panicked),
        }
    }

    fn send(&self, request: Request<P>) -> Result<(), StoreError> {
        self.requests
            .try_send(request)
            .map_err(|error| StoreError::Unreachable(format!("the lease file's queue: {error}")))
    }
}

impl<P: Payload> LeaseStore<P> for FileLeaseStore<P> {
    async fn read(&self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Read(reply))?;
        match timeout(ANSWER, answer).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(StoreError::Unreachable("the lease file was closed".to_owned())),
            Err(_) => Err(StoreError::Unreachable(no_answer())),
        }
    }

    async fn write(&self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> WriteOutcome<P> {
        let (reply, answer) = oneshot::channel();
        if let Err(error) = self.send(Request::Write(Box::new((base.clone(), change.clone())), reply)) {
            return WriteOutcome::Failed(error);
        }
        match timeout(ANSWER, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => WriteOutcome::Unknown("the lease file was closed".to_owned()),
            Err(_) => WriteOutcome::Unknown(no_answer()),
        }
    }

    /// Tells the present state first, then each change within about 25 ms.
    async fn watch(&self, events: mpsc::Sender<WatchEvent<P>>) {
        let mut ended = self.ended.clone();
        while self.send(Request::Watch(events.downgrade())).is_err() {
            tokio::select! {
                biased;
                () = events.closed() => return,
                _ = ended.changed() => return,
                () = sleep(RETRY) => {}
            }
        }
        tokio::select! {
            biased;
            () = events.closed() => {}
            _ = ended.changed() => {}
        }
    }
}

impl FileLeaseTask {
    /// Runs until `stop`, then ends the thread and joins it. Stop it after whoever still releases the lease.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) -> Result<(), FileLeaseError> {
        tokio::select! {
            biased;
            () = stop => {}
            // Nobody sends: an answer means that the thread is gone.
            _ = self.ended.changed() => {}
        }
        self.stopping.store(true, Ordering::SeqCst);
        if timeout(JOIN, self.ended.changed()).await.is_err() {
            return Err(FileLeaseError::Stuck);
        }
        // The thread closed `ended` as the last thing it did.
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(FileLeaseError::Panicked),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Drop for FileLeaseTask {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
    }
}

fn no_answer() -> String {
    format!("the lease file gave no answer within {} s", ANSWER.as_secs())
}

/// The thread: answers requests, and between them looks for changes while anybody watches.
fn serve<P: Payload>(mut file: LeaseFile<P>, requests: &Receiver<Request<P>>, stopping: &AtomicBool) {
    let mut watchers = Watchers {
        list: Vec::new(),
        signature: None,
        seen: None,
        settling: 0,
        polls: 0,
        trouble: None,
    };
    while !stopping.load(Ordering::SeqCst) {
        match requests.recv_timeout(if watchers.list.is_empty() { IDLE } else { POLL }) {
            // Whoever gave up waiting has taken the outcome for unknown: better that it didn't happen.
            Ok(Request::Read(reply)) if reply.is_closed() => {}
            Ok(Request::Write(_, reply)) if reply.is_closed() => {}
            Ok(Request::Read(reply)) => {
                let _ = reply.send(file.read());
            }
            Ok(Request::Write(write, reply)) => {
                let _ = reply.send(file.write(&write.0, &write.1));
            }
            Ok(Request::Watch(events)) => watchers.list.push(Watcher { events, told: None }),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        watchers.poll(&mut file);
    }
}

struct Watcher<P> {
    events: mpsc::WeakSender<WatchEvent<P>>,
    told: Option<Option<Arc<LeaseObject<P>>>>,
}

struct Watchers<P> {
    list: Vec<Watcher<P>>,
    signature: Option<Signature>,
    /// The last state read.
    seen: Option<Option<Arc<LeaseObject<P>>>>,
    settling: u32,
    polls: u32,
    trouble: Option<StoreError>,
}

impl<P: Payload> Watchers<P> {
    fn poll(&mut self, file: &mut LeaseFile<P>) {
        if self.list.is_empty() {
            return;
        }
        let signature = file.signature();
        self.polls += 1;
        if signature != self.signature || signature.is_none() {
            self.settling = SETTLING;
        } else if self.polls >= FULL_READ {
            self.settling = self.settling.max(1);
            self.polls = 0;
        }
        self.signature = signature;
        if self.settling > 0 || self.seen.is_none() {
            self.settling = self.settling.saturating_sub(1);
            match file.read() {
                Ok(found) => {
                    self.note(None);
                    self.seen = Some(found);
                }
                Err(error) => self.note(Some(error)),
            }
        }
        if let Some(seen) = &self.seen {
            self.list.retain_mut(|watcher| watcher.tell(seen));
        }
    }

    fn note(&mut self, trouble: Option<StoreError>) {
        if trouble != self.trouble {
            match &trouble {
                Some(error) => tracing::warn!("{error}"),
                None => tracing::info!("the lease file can be read again"),
            }
            self.trouble = trouble;
        }
    }
}

impl<P: Payload> Watcher<P> {
    /// False when nobody listens any more. With a full queue it is told at a later poll, what then is the state.
    fn tell(&mut self, seen: &Option<Arc<LeaseObject<P>>>) -> bool {
        let Some(events) = self.events.upgrade() else {
            return false;
        };
        if self.told.as_ref() == Some(seen) {
            return !events.is_closed();
        }
        let event = seen.clone().map_or(WatchEvent::Gone, WatchEvent::Seen);
        match events.try_send(event) {
            Ok(()) => {
                self.told = Some(seen.clone());
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}
