//! The ledger's thread: it owns the file, what is known of it, and the contributor that answers from it. Requests come through
//! a bounded queue; what readers need goes out as a snapshot, only after the volume has it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::handle::Request;
pub use super::handle::{Busy, LedgerHandle, RestoreError};
use super::logic::Ledger;
pub use super::metrics::LedgerMetrics;
use super::storage::{Storage, StorageConfig, StorageError};
use super::{Condition, LedgerSnapshot, Write};
use crate::clock::Clock;
use crate::draw::contributor::Contributor;
use crate::lease::LeaseSnapshot;
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal};
use crate::record::Record;
use crate::shutdown::Signal;

/// Requests that may wait for the thread; more are answered as busy.
const QUEUE: usize = 64;
/// A volume that could not be written is tried again so often.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Records are pruned when so much of the ledger's share is used, …
const FULL_PERCENT: u64 = 85;
/// … down to this; and only below it are older ones fetched, so that what was pruned isn't fetched again.
const ROOM_PERCENT: u64 = 70;

#[derive(Clone, Debug)]
pub struct LedgerConfig {
    pub path: PathBuf,
    pub storage: StorageConfig,
    pub contributor: Contributor,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the ledger's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the ledger's thread ended by a panic")]
    Panicked,
}

/// The running thread, to be joined.
pub struct LedgerTask {
    thread: thread::JoinHandle<()>,
    requests: SyncSender<Request>,
}

/// Starts the thread. It opens the ledger itself, so that a slow volume doesn't hold up the start.
pub fn start(
    config: LedgerConfig,
    clock: Clock,
    metrics: LedgerMetrics,
) -> Result<(LedgerTask, LedgerHandle), LedgerError> {
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
    let thread = thread::Builder::new()
        .name("ledger".into())
        .spawn(move || worker.run(&receiver))?;
    let handle = LedgerHandle {
        requests: requests.clone(),
        snapshots,
    };
    Ok((LedgerTask { thread, requests }, handle))
}

impl LedgerTask {
    /// Hands every record seen in the Lease to the thread, until asked to stop; then joins it.
    pub async fn run(
        self,
        mut lease: watch::Receiver<Arc<LeaseSnapshot>>,
        mut stop: Signal,
    ) -> Result<(), LedgerError> {
        let mut told = None;
        let mut unsent = false;
        // A panic leaves the queue without a reader: nothing can be sent then, and nothing else would tell.
        while !self.thread.is_finished() {
            let head = lease.borrow_and_update().payload().cloned();
            if let Some(head) = head.filter(|head| told != Some(head.hash)) {
                let hash = head.hash;
                // A full queue drains within one answer's bound; the head is offered again then.
                unsent = self.requests.try_send(Request::Seen(head)).is_err();
                if !unsent {
                    told = Some(hash);
                }
            }
            tokio::select! {
                biased;
                () = stop.requested() => break,
                changed = lease.changed() => if changed.is_err() { stop.requested().await; break },
                () = tokio::time::sleep(if unsent { TRY_AGAIN / 10 } else { TRY_AGAIN }) => {}
            }
        }
        let requests = self.requests;
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || {
            // Blocks while the queue is full; the thread drains it, or has ended and the send fails.
            let _ = requests.send(Request::Stop);
            thread.join()
        });
        match joined.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(LedgerError::Panicked),
        }
    }
}

/// The snapshot of a ledger that isn't there.
pub fn unopened(condition: Condition) -> LedgerSnapshot {
    LedgerSnapshot {
        chain: Arc::new([]),
        newest: None,
        wanted: None,
        aside: Arc::new([]),
        condition,
        promised_fence: 0,
    }
}

struct Open {
    storage: Storage,
    ledger: Ledger,
}

impl Open {
    /// Makes writes durable, and then true.
    fn commit(&mut self, writes: &[Write]) -> Result<(), StorageError> {
        self.storage.commit(writes)?;
        writes.iter().for_each(|write| self.ledger.apply(write));
        Ok(())
    }

    /// As [`commit`](Open::commit). Where there is no room, because records are larger than those before them, the oldest go.
    fn commit_making_room(&mut self, writes: &[Write]) -> Result<(), StorageError> {
        match self.commit(writes) {
            Err(StorageError::Full) if self.prune()? => self.commit(writes),
            done => done,
        }
    }

    /// Prunes when so much is used that the next commits may not find room.
    fn keep_room(&mut self) -> Result<(), StorageError> {
        if percent(&self.storage) >= FULL_PERCENT {
            self.prune()?;
        }
        Ok(())
    }

    /// Deletes the oldest tenth. False when nothing may be deleted.
    fn prune(&mut self) -> Result<bool, StorageError> {
        let writes = self.ledger.prune(self.ledger.len() * 9 / 10);
        if writes.is_empty() {
            return Ok(false);
        }
        self.commit(&writes)?;
        Ok(true)
    }

    /// As many of these records as one commit has reserved space for.
    fn fitting<'a>(&self, records: &'a [Arc<Record>]) -> &'a [Arc<Record>] {
        let most = self.storage.largest_commit();
        let mut bytes = 0;
        let fits = records.iter().take_while(|record| {
            bytes += Storage::cost(record.canonical().len());
            bytes <= most
        });
        &records[..fits.count()]
    }
}

struct Worker {
    config: LedgerConfig,
    clock: Clock,
    metrics: LedgerMetrics,
    publisher: watch::Sender<Arc<LedgerSnapshot>>,
    open: Option<Open>,
    condition: Condition,
    /// Seen in the Lease, and not stored yet.
    unseen: Option<Arc<Record>>,
}

impl Worker {
    fn run(mut self, requests: &Receiver<Request>) {
        self.try_open();
        // By the clock and not by a quiet second: a holder that recovers asks more often than that, until it has its answers.
        let mut due = self.clock.boot() + TRY_AGAIN;
        loop {
            self.publish();
            let now = self.clock.boot();
            if now >= due {
                self.try_again();
                due = self.clock.boot() + TRY_AGAIN;
                continue;
            }
            match requests.recv_timeout(due.since(now)) {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(request) => self.answer(request),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn answer(&mut self, request: Request) {
        // A reply that nobody waits for any more is dropped: the holder asks again, and gets the same.
        match request {
            Request::Keep(request, reply) => drop(reply.send(self.keep(&request))),
            Request::Heads(request, reply) => drop(reply.send(self.heads(&request))),
            Request::Records(hash, count, reply) => {
                let found = self.open.as_ref().map(|open| open.ledger.ancestors(&hash, count));
                drop(reply.send(found.unwrap_or_default()));
            }
            Request::Seen(record) => {
                self.unseen = Some(record);
                self.see();
            }
            Request::Fill(asked, records) => {
                if let Some(open) = &self.open {
                    let writes = open.ledger.fill(asked, open.fitting(&records));
                    self.store(&writes);
                }
            }
            Request::Restore(reply) => drop(reply.send(self.restore())),
            Request::Stop => {}
        }
    }

    fn keep(&mut self, request: &KeepRequest) -> Result<KeepAnswer, Refusal> {
        let Some(open) = &self.open else {
            return Err(self.refusal());
        };
        let (writes, answer) = self.config.contributor.keep(&open.ledger, request, self.clock.wall())?;
        self.settled(&writes, answer)
    }

    fn heads(&mut self, request: &HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        let Some(open) = &self.open else {
            return Err(self.refusal());
        };
        let (writes, answer) = self.config.contributor.heads(&open.ledger, request)?;
        self.settled(&writes, answer)
    }

    /// An answer is given only once what it promises is durable.
    fn settled<T>(&mut self, writes: &[Write], answer: T) -> Result<T, Refusal> {
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

    /// D1: stores what was seen in the Lease; it is reported by the snapshot that follows.
    fn see(&mut self) {
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

    /// Makes writes durable, and then true, if there are any. False when the volume refused.
    fn store(&mut self, writes: &[Write]) -> bool {
        self.open.is_some() && (writes.is_empty() || self.commit(writes))
    }

    /// As [`store`](Worker::store), and tries the volume without any as well.
    fn commit(&mut self, writes: &[Write]) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        let stored = open.commit_making_room(writes);
        let durable = stored.is_ok();
        // The last error says how the ledger is now: one that had no room may prove to be damaged when room is made.
        match stored.and_then(|()| open.keep_room()) {
            Ok(()) => self.set_condition(Condition::Writable),
            Err(error) => self.failed(&error),
        }
        durable
    }

    fn failed(&mut self, error: &StorageError) {
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
                self.open = Some(Open {
                    storage,
                    ledger: Ledger::new(stored),
                });
                self.set_condition(Condition::Writable);
                self.see();
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Once a second: what could not be opened or written is tried again. A corrupt ledger waits for a person.
    fn try_again(&mut self) {
        match (&self.condition, &self.open) {
            (Condition::Corrupt(_), _) => {}
            (_, None) => self.try_open(),
            (Condition::Opening | Condition::Writable, Some(_)) => {}
            (Condition::Unwritable(_), Some(_)) => {
                self.see();
                // Nothing was to be stored: whether something could be only a commit tells, be it of nothing.
                if self.unseen.is_none() && matches!(self.condition, Condition::Unwritable(_)) {
                    self.commit(&[]);
                }
            }
        }
    }

    fn restore(&mut self) -> Result<PathBuf, RestoreError> {
        if !matches!(self.condition, Condition::Corrupt(_)) {
            return Err(RestoreError::Sound);
        }
        let aside = Storage::set_aside(&self.config.path, &self.clock)
            .map_err(|error| RestoreError::Failed(error.to_string()))?;
        tracing::warn!(path = %aside.display(), "the corrupt ledger is set aside, and a new one begun");
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
                tracing::warn!(%detail, "the ledger can't be written: this member doesn't stand for the lease")
            }
            Condition::Corrupt(detail) => tracing::error!(%detail,
                "the ledger is corrupt: this member doesn't draw; `random-generator ledger restore` restores it from its peers"),
        }
        self.metrics.tell(&condition);
        self.condition = condition;
    }

    fn publish(&self) {
        let snapshot = match &self.open {
            Some(open) => {
                let mut snapshot = open.ledger.snapshot(self.condition.clone());
                if percent(&open.storage) >= ROOM_PERCENT {
                    snapshot.wanted = None;
                }
                self.metrics
                    .records
                    .set(i64::try_from(open.ledger.len()).unwrap_or(i64::MAX));
                self.metrics
                    .used
                    .set(i64::try_from(open.storage.used()).unwrap_or(i64::MAX));
                snapshot
            }
            None => unopened(self.condition.clone()),
        };
        self.metrics.head.set(
            snapshot
                .head()
                .map_or(0, |head| i64::try_from(head.round).unwrap_or(i64::MAX)),
        );
        self.metrics
            .head_slot
            .set(snapshot.head().map_or(0, |head| head.slot.0));
        self.metrics
            .aside
            .set(i64::try_from(snapshot.aside.len()).unwrap_or(i64::MAX));
        self.metrics
            .fence
            .set(i64::try_from(snapshot.promised_fence).unwrap_or(i64::MAX));
        self.publisher.send_if_modified(|current| {
            let changed = **current != snapshot;
            if changed {
                *current = Arc::new(snapshot);
            }
            changed
        });
    }
}

fn percent(storage: &Storage) -> u64 {
    storage.used().saturating_mul(100) / storage.capacity().max(1)
}

#[cfg(test)]
mod tests {
    use lease_election::{Leadership, LeaseSpec};

    use super::*;
    use crate::lease::{Head, LeaseObject};
    use crate::record::{Draft, Hex, Slot};
    use crate::shutdown;

    fn view(head: Head) -> Arc<LeaseSnapshot> {
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

    fn record() -> Arc<Record> {
        let draft = Draft {
            set: "rg".into(),
            chain: Hex([7; 16]),
            round: 1,
            schedule: "@every 1s".into(),
            slot: Slot(1_800_000_000),
            missed: 0,
            holder: "rg-0_local-1".into(),
            fence: 1,
            voters: 1,
            previous: None,
            contributions: Vec::new(),
            missing: Vec::new(),
        };
        Arc::new(draft.seal())
    }

    #[tokio::test]
    async fn a_thread_that_panicked_is_noticed_though_a_head_waits_to_be_sent_to_it() {
        let (requests, receiver) = sync_channel(QUEUE);
        drop(receiver);
        let thread = thread::spawn(|| panic!("the thread of this test"));
        let task = LedgerTask { thread, requests };
        let (_lease, views) = watch::channel(view(Head::Valid(record())));
        let (_stop, stopped) = shutdown::stage();
        let ended = tokio::time::timeout(Duration::from_secs(30), task.run(views, stopped)).await;
        assert!(matches!(ended, Ok(Err(LedgerError::Panicked))), "{ended:?}");
    }
}
