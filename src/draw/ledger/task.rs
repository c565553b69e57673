//! The ledger's thread: it owns the file, the state and the contributor. Requests come through a bounded queue; snapshots go out
//! only once the volume has their content.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::handle::Request;
pub use super::handle::{Busy, LedgerHandle, RestoreError};
use super::history::{self, HistoryThread};
pub use super::metrics::LedgerMetrics;
use super::open::Open;
use super::storage::{Storage, StorageConfig, StorageError};
use super::{Condition, LedgerSnapshot, Write};
use crate::clock::Clock;
use crate::draw::contributor::Contributor;
use crate::lease::LeaseSnapshot;
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal};
use crate::record::{Record, Slot};
use crate::shutdown::Signal;

/// Requests that may wait for the thread; more fail as busy.
const QUEUE: usize = 64;
/// The wait before a failed volume is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Rows that are verified in one step, while there is nothing else to do, and the pause after it.
const VERIFIED_AT_ONCE: usize = 16;
const BETWEEN_STEPS: Duration = Duration::from_millis(10);
/// Older records are fetched only below this, so that pruned ones aren't fetched again.
const ROOM_PERCENT: u64 = 70;

#[derive(Clone, Debug)]
pub struct LedgerConfig {
    pub path: PathBuf,
    pub storage: StorageConfig,
    /// Records whose slots are longer ago are deleted; none keeps what there is space for.
    pub keep: Option<Duration>,
    pub contributor: Contributor,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("can't start the ledger's thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the ledger's thread panicked")]
    Panicked,
}

/// The running thread, to be joined.
pub struct LedgerTask {
    thread: thread::JoinHandle<()>,
    requests: SyncSender<Request>,
    history: HistoryThread,
}

/// Starts the thread, which opens the ledger itself: a slow volume doesn't delay the start.
pub fn start(
    config: LedgerConfig,
    clock: Clock,
    metrics: LedgerMetrics,
) -> Result<(LedgerTask, LedgerHandle), LedgerError> {
    let path = config.path.clone();
    let (requests, receiver) = sync_channel(QUEUE);
    let (publisher, snapshots) = watch::channel(Arc::new(unopened(Condition::Opening)));
    let worker = Worker {
        config,
        clock,
        metrics,
        publisher,
        open: None,
        condition: Condition::Opening,
        unseen: None,
    };
    let ledger = requests.clone();
    let (history_thread, history) = history::start(path, move |error| {
        // If the queue is full, the next who reads it reports it again.
        let _ = ledger.try_send(Request::Damaged(error.clone()));
    })?;
    let thread = thread::Builder::new()
        .name("ledger".into())
        .spawn(move || worker.run(&receiver))?;
    let handle = LedgerHandle {
        requests: requests.clone(),
        snapshots,
        history,
    };
    let task = LedgerTask {
        thread,
        requests,
        history: history_thread,
    };
    Ok((task, handle))
}

impl LedgerTask {
    /// Hands every record seen in the Lease to the thread until stopped, and joins it.
    pub async fn run(
        self,
        mut lease: watch::Receiver<Arc<LeaseSnapshot>>,
        mut stop: Signal,
    ) -> Result<(), LedgerError> {
        let mut sent = None;
        let mut unsent = false;
        // Only this notices a panic of the thread: it leaves the queue without a reader.
        while !self.thread.is_finished() && !self.history.is_finished() {
            let head = lease.borrow_and_update().payload().cloned();
            if let Some(head) = head.filter(|head| sent != Some(head.hash)) {
                let hash = head.hash;
                // A full queue drains within the bound of one answer; then the head is sent again.
                unsent = self.requests.try_send(Request::Seen(head)).is_err();
                if !unsent {
                    sent = Some(hash);
                }
            }
            tokio::select! {
                biased;
                () = stop.requested() => break,
                changed = lease.changed() => if changed.is_err() { stop.requested().await; break },
                () = tokio::time::sleep(if unsent { TRY_AGAIN / 10 } else { TRY_AGAIN }) => {}
            }
        }
        let LedgerTask {
            thread,
            requests,
            history,
        } = self;
        let joined = tokio::task::spawn_blocking(move || {
            // Blocks while the queue is full, and fails if the thread has ended.
            let _ = requests.send(Request::Stop);
            thread.join().and(history.stop())
        });
        match joined.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(LedgerError::Panicked),
        }
    }
}

/// The snapshot of a ledger that is not open.
pub fn unopened(condition: Condition) -> LedgerSnapshot {
    LedgerSnapshot {
        recent: Arc::new([]),
        below: 0,
        newest: None,
        wanted: None,
        aside: Arc::new([]),
        condition,
        promised_fence: 0,
    }
}

struct Worker {
    config: LedgerConfig,
    clock: Clock,
    metrics: LedgerMetrics,
    publisher: watch::Sender<Arc<LedgerSnapshot>>,
    open: Option<Open>,
    condition: Condition,
    /// Seen in the Lease, but not stored yet.
    unseen: Option<Arc<Record>>,
}

impl Worker {
    fn run(mut self, requests: &Receiver<Request>) {
        self.try_open();
        // By the clock and not after a quiet second: a recovering holder sends requests more often than that.
        let mut due = self.clock.boot() + TRY_AGAIN;
        loop {
            let more = self.has_more_to_verify() | self.recall();
            self.publish();
            let now = self.clock.boot();
            if now >= due {
                self.retry();
                due = self.clock.boot() + TRY_AGAIN;
                continue;
            }
            let wait = if more {
                BETWEEN_STEPS.min(due.since(now))
            } else {
                due.since(now)
            };
            match requests.recv_timeout(wait) {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(request) => self.answer(request),
                Err(RecvTimeoutError::Timeout) => self.verify(),
            }
        }
    }

    fn has_more_to_verify(&self) -> bool {
        let writable = self.condition == Condition::Writable;
        writable && self.open.as_ref().is_some_and(|open| !open.storage.is_verified())
    }

    /// Verifies some of the rows that weren't verified when the ledger was opened.
    fn verify(&mut self) {
        let verified = self.open.as_mut().map(|open| open.storage.verify(VERIFIED_AT_ONCE));
        if let Some(Err(error)) = verified {
            self.on_failure(&error);
        }
    }

    fn answer(&mut self, request: Request) {
        // A reply without a receiver is dropped: the holder will ask again, and get the same.
        match request {
            Request::Keep(request, reply) => drop(reply.send(self.keep(&request))),
            Request::Heads(request, reply) => drop(reply.send(self.heads(&request))),
            Request::Seen(record) => {
                self.unseen = Some(record);
                self.store_unseen();
            }
            Request::Fill(asked, records) => {
                if let Some(open) = &self.open {
                    let writes = open.ledger.fill(asked, open.fitting(&records));
                    self.store(&writes);
                }
            }
            Request::Damaged(error) => self.on_failure(&error),
            Request::Restore(reply) => drop(reply.send(self.restore())),
            Request::Stop => {}
        }
    }

    fn keep(&mut self, request: &KeepRequest) -> Result<KeepAnswer, Refusal> {
        let Some(open) = &self.open else {
            return Err(self.refusal());
        };
        let (writes, answer) = self.config.contributor.keep(&open.ledger, request, self.clock.wall())?;
        let writes = match open.without_stored(writes) {
            Ok(writes) => writes,
            Err(error) => {
                self.on_failure(&error);
                return Err(self.refusal());
            }
        };
        self.answer_once_stored(&writes, answer)
    }

    fn heads(&mut self, request: &HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        let Some(open) = &self.open else {
            return Err(self.refusal());
        };
        let (writes, answer) = self.config.contributor.heads(&open.ledger, request)?;
        self.answer_once_stored(&writes, answer)
    }

    /// The answer, once what it promises is durable.
    fn answer_once_stored<T>(&mut self, writes: &[Write], answer: T) -> Result<T, Refusal> {
        match self.store(writes) {
            true => Ok(answer),
            false => Err(self.refusal()),
        }
    }

    fn refusal(&self) -> Refusal {
        let detail = match &self.condition {
            Condition::Opening | Condition::Writable => "not opened yet".to_owned(),
            Condition::Unwritable(detail) | Condition::Corrupt(detail) => detail.to_string(),
        };
        Refusal::Ledger { detail }
    }

    /// D1: stores the record seen in the Lease; the next snapshot has it.
    fn store_unseen(&mut self) {
        let (Some(open), Some(record)) = (&self.open, &self.unseen) else {
            return;
        };
        let writes = open.ledger.seen(record);
        for write in &writes {
            if let Write::Aside(aside) = write {
                tracing::warn!(chain = %aside.chain, from = aside.from_round, to = aside.to_round,
                    "the Lease went on without these rounds: they are set aside");
            }
        }
        if self.store(&writes) {
            self.unseen = None;
        }
    }

    /// Joins what the volume has to the chain; true while there may be more.
    fn recall(&mut self) -> bool {
        let Some(open) = self.open.as_mut().filter(|_| self.condition == Condition::Writable) else {
            return false;
        };
        open.recall().unwrap_or_else(|error| {
            self.on_failure(&error);
            false
        })
    }

    /// Commits writes, if there are any. False if the volume failed.
    fn store(&mut self, writes: &[Write]) -> bool {
        self.open.is_some() && (writes.is_empty() || self.commit(writes))
    }

    /// As [`store`](Worker::store), but tries the volume even without writes.
    fn commit(&mut self, writes: &[Write]) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        let stored = open.commit_making_room(writes);
        let durable = stored.is_ok();
        // The last error counts: a ledger without room may turn out to be damaged when pruned.
        match stored.and_then(|()| open.keep_room()) {
            Ok(()) => self.set_condition(Condition::Writable),
            Err(error) => self.on_failure(&error),
        }
        durable
    }

    fn on_failure(&mut self, error: &StorageError) {
        self.metrics.failures.inc();
        let detail: Arc<str> = error.to_string().into();
        match error {
            StorageError::Corrupt(_) => {
                self.open = None;
                self.set_condition(Condition::Corrupt(detail));
            }
            _ => self.set_condition(Condition::Unwritable(detail)),
        }
    }

    fn try_open(&mut self) {
        match Storage::open(&self.config.path, self.config.storage, rand::random()) {
            Ok((storage, stored)) => {
                self.open = Some(Open::new(storage, stored));
                self.set_condition(Condition::Writable);
                self.store_unseen();
            }
            Err(error) => self.on_failure(&error),
        }
    }

    /// Every second: tries again to open or write a failed ledger. A corrupt one waits for an operator.
    fn retry(&mut self) {
        match (&self.condition, &self.open) {
            (Condition::Corrupt(_), _) => {}
            (_, None) => self.try_open(),
            (Condition::Opening | Condition::Writable, Some(_)) => self.prune_by_age(),
            (Condition::Unwritable(_), Some(_)) => {
                self.store_unseen();
                // With nothing to store, only an empty commit shows whether the volume works again.
                if self.unseen.is_none() && matches!(self.condition, Condition::Unwritable(_)) {
                    self.commit(&[]);
                }
            }
        }
    }

    /// Deletes what is older than `--ledger-keep`, some of it each second.
    fn prune_by_age(&mut self) {
        let (Some(keep), Some(open)) = (self.config.keep, &mut self.open) else {
            return;
        };
        let now = self.clock.wall().seconds();
        let age = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        if let Err(error) = open.prune_before(Slot(now.saturating_sub(age))) {
            self.on_failure(&error);
        }
    }

    fn restore(&mut self) -> Result<PathBuf, RestoreError> {
        if !matches!(self.condition, Condition::Corrupt(_)) {
            return Err(RestoreError::Sound);
        }
        let aside = Storage::set_aside(&self.config.path, &self.clock)
            .map_err(|error| RestoreError::Failed(error.to_string()))?;
        tracing::warn!(path = %aside.display(), "set the corrupt ledger aside and started a new one");
        self.try_open();
        Ok(aside)
    }

    fn set_condition(&mut self, condition: Condition) {
        if self.condition == condition {
            return;
        }
        match &condition {
            Condition::Opening => {}
            Condition::Writable if self.condition == Condition::Opening => tracing::debug!("the ledger is open"),
            Condition::Writable => tracing::info!("the ledger can be written again"),
            Condition::Unwritable(detail) => {
                tracing::warn!(%detail, "can't write the ledger: not standing for election")
            }
            Condition::Corrupt(detail) => tracing::error!(%detail,
                "the ledger is corrupt, so this member takes no part in draws; `random-generator ledger restore` fetches the records from its peers"),
        }
        self.metrics.set_condition(&condition);
        self.condition = condition;
    }

    fn publish(&mut self) {
        let snapshot = match &mut self.open {
            Some(open) => {
                let forgotten = open.ledger.take_forgotten();
                if forgotten > 0 {
                    self.metrics.forgotten.inc_by(forgotten);
                    tracing::warn!(
                        tails = forgotten,
                        "more tails were set aside than are listed: the oldest no longer are"
                    );
                }
                let mut snapshot = open.ledger.snapshot(self.condition.clone());
                let unwanted = open.outdated == snapshot.wanted;
                // Unless it is missing, the volume may have it.
                if unwanted || open.percent_used() >= ROOM_PERCENT || open.missing != snapshot.wanted {
                    snapshot.wanted = None;
                }
                self.metrics.records.set(gauge(open.storage.len()));
                self.metrics.used.set(gauge(open.storage.used()));
                snapshot
            }
            None => unopened(self.condition.clone()),
        };
        let (round, slot) = snapshot.head().map_or((0, 0), |head| (head.round, head.slot.0));
        self.metrics.head.set(gauge(round));
        self.metrics.head_slot.set(slot);
        self.metrics.aside.set(gauge(snapshot.aside.len() as u64));
        self.metrics.fence.set(gauge(snapshot.promised_fence));
        self.publisher.send_if_modified(|current| {
            let changed = **current != snapshot;
            if changed {
                *current = Arc::new(snapshot);
            }
            changed
        });
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(in crate::draw) mod tests {
    use lease_election::{Leadership, LeaseSpec};

    use super::*;
    use crate::lease::{Head, LeaseObject};
    use crate::record::Draft;
    use crate::shutdown;

    /// The Lease, held by nobody, with this head.
    pub(in crate::draw) fn view(head: Head) -> Arc<LeaseSnapshot> {
        Arc::new(LeaseSnapshot {
            leadership: Leadership::Follower { holder: None },
            object: Some(Arc::new(LeaseObject {
                uid: "u".into(),
                version: 1,
                spec: LeaseSpec::default(),
                fence: 1,
                payload: head,
                carried: Arc::default(),
            })),
            confirmed_at: None,
            expires_at: None,
            trouble: None,
        })
    }

    #[tokio::test]
    async fn a_thread_that_panicked_is_noticed_though_a_head_waits_to_be_sent_to_it() {
        let (requests, receiver) = sync_channel(QUEUE);
        drop(receiver);
        let thread = thread::spawn(|| panic!("the thread of this test"));
        let (history, _reader) = history::start("ledger.db".into(), |_| {}).unwrap();
        let task = LedgerTask {
            thread,
            requests,
            history,
        };
        let (_lease, views) = watch::channel(view(Head::Valid(Arc::new(Draft::after(None, 1).seal()))));
        let (_stop, stopped) = shutdown::stage();
        let ended = tokio::time::timeout(Duration::from_secs(30), task.run(views, stopped)).await;
        assert!(matches!(ended, Ok(Err(LedgerError::Panicked))), "{ended:?}");
    }
}
