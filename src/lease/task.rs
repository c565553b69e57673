//! The elector's shell: carries out what [`Elector`] decides, over a [`LeaseStore`]. One task owns both.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::elector::{Action, CommitOutcome, CommitRequest, Elector, ElectorConfig, Event};
pub use super::metrics::LeaseMetrics;
use super::{Leadership, LeaseSnapshot, LeaseStore, StoreError, WriteOutcome};
use crate::clock::Clock;
use crate::shutdown::Signal;

/// Requests that may wait for the elector; more are refused to their sender.
const QUEUE: usize = 64;
/// A tick comes at least this often: boot time goes on while a suspended machine's timers stand still.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What other parts ask of the elector, and see of it.
#[derive(Clone, Debug)]
pub struct LeaseHandle {
    events: mpsc::Sender<Event>,
    snapshots: watch::Receiver<Arc<LeaseSnapshot>>,
}

impl LeaseHandle {
    pub fn snapshots(&self) -> watch::Receiver<Arc<LeaseSnapshot>> {
        self.snapshots.clone()
    }

    /// False when the elector has ended, or its queue is full: nothing was sent, and the request has to be made again.
    #[must_use]
    pub fn commit(&self, request: CommitRequest) -> bool {
        self.send(Event::Commit(request))
    }

    pub fn floor(&self, fence: u64) {
        self.send(Event::Floor(fence));
    }

    pub fn look(&self) {
        self.send(Event::Look);
    }

    pub fn stay_out(&self, time: Duration) {
        self.send(Event::StayOut(time));
    }

    /// Whether this member's ledger is fit for the office.
    pub async fn stand(&self, standing: bool) {
        // An error means that the elector has ended, and nobody stands any more.
        let _ = self.events.send(Event::Stand(standing)).await;
    }

    fn send(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }
}

/// The task that owns the elector and its store.
pub struct LeaseTask<S> {
    store: Arc<S>,
    elector: Elector,
    clock: Clock,
    /// Bound of one read or write.
    operation: Duration,
    retry: Duration,
    events: mpsc::Receiver<Event>,
    snapshots: watch::Sender<Arc<LeaseSnapshot>>,
    outcomes: mpsc::Sender<(u64, CommitOutcome)>,
    metrics: LeaseMetrics,
    rng: StdRng,
}

/// Builds the task and its handle; outcomes of commits come through the receiver, by ticket.
pub fn new<S: LeaseStore>(
    config: ElectorConfig,
    store: S,
    clock: Clock,
    metrics: LeaseMetrics,
    seed: [u8; 32],
) -> (LeaseTask<S>, LeaseHandle, mpsc::Receiver<(u64, CommitOutcome)>) {
    let (sender, events) = mpsc::channel(QUEUE);
    let (told, outcomes) = mpsc::channel(QUEUE);
    let nobody = LeaseSnapshot {
        leadership: Leadership::Follower { holder: None },
        object: None,
        confirmed_at: None,
        expires_at: None,
        trouble: None,
    };
    let (publisher, snapshots) = watch::channel(Arc::new(nobody));
    let task = LeaseTask {
        store: Arc::new(store),
        operation: config.renew_deadline / 3,
        retry: config.retry,
        elector: Elector::new(config),
        clock,
        events,
        snapshots: publisher,
        outcomes: told,
        metrics,
        rng: StdRng::from_seed(seed),
    };
    let handle = LeaseHandle {
        events: sender,
        snapshots,
    };
    (task, handle, outcomes)
}

type Operations = FuturesUnordered<BoxFuture<'static, Event>>;

impl<S: LeaseStore> LeaseTask<S> {
    /// Runs until asked to stop, and then until the lease is released or two operations' time has passed.
    pub async fn run(mut self, mut stop: Signal) {
        let (watched, mut watching) = mpsc::channel(QUEUE);
        let (store, retry) = (self.store.clone(), self.retry);
        let watch = async move {
            loop {
                store.watch(watched.clone()).await;
                sleep(retry).await;
            }
        };
        tokio::pin!(watch);
        let mut operations = Operations::new();
        let mut leave_at = None;
        self.step(Event::Tick, &mut operations);
        loop {
            let now = self.clock.boot();
            if leave_at.is_some_and(|at| now >= at) {
                tracing::warn!("the lease could not be released in time; it will expire");
                return;
            }
            let wake = self
                .elector
                .wake_at()
                .map_or(LONGEST_SLEEP, |wake| wake.since(now))
                .min(LONGEST_SLEEP);
            let event = tokio::select! {
                biased;
                () = stop.requested(), if leave_at.is_none() => {
                    leave_at = Some(now + 2 * self.operation);
                    Event::Resign
                }
                Some(event) = operations.next(), if !operations.is_empty() => event,
                Some(event) = self.events.recv() => event,
                Some(event) = watching.recv() => Event::Watched(event),
                () = &mut watch => Event::Tick,
                () = sleep(wake) => Event::Tick,
            };
            self.metrics.count(&event);
            if self.step(event, &mut operations) {
                return;
            }
        }
    }

    /// Takes one step, and starts what it asks for. True when the lease has been let go for good.
    fn step(&mut self, event: Event, operations: &mut Operations) -> bool {
        let mut resigned = false;
        for action in self.elector.step(self.clock.now(), event, &mut self.rng) {
            let (store, bound) = (self.store.clone(), self.operation);
            match action {
                Action::Read { op } => {
                    self.metrics.reads.inc();
                    operations.push(Box::pin(async move {
                        let result = timeout(bound, store.read()).await;
                        let late = || Err(StoreError::Unreachable(format!("no answer within {bound:?}")));
                        Event::Read {
                            op,
                            result: result.unwrap_or_else(|_| late()),
                        }
                    }));
                }
                Action::Write { op, base, change } => {
                    self.metrics.writes.inc();
                    operations.push(Box::pin(async move {
                        let outcome = timeout(bound, store.write(&base, &change)).await;
                        let late = || WriteOutcome::Unknown(format!("no answer within {bound:?}"));
                        Event::Wrote {
                            op,
                            outcome: outcome.unwrap_or_else(|_| late()),
                        }
                    }));
                }
                Action::Publish(snapshot) => self.publish(snapshot),
                Action::Commit { ticket, outcome } => {
                    // The conductor may have ended already; then nobody waits for the outcome.
                    let _ = self.outcomes.try_send((ticket, outcome));
                }
                Action::Resigned => resigned = true,
            }
        }
        resigned
    }

    fn publish(&self, snapshot: LeaseSnapshot) {
        let before = self.snapshots.borrow().clone();
        let fence = |leadership: &Leadership| match leadership {
            Leadership::Leader { fence, .. } => Some(*fence),
            Leadership::Follower { .. } => None,
        };
        match (fence(&before.leadership), fence(&snapshot.leadership)) {
            (was, Some(is)) if was != Some(is) => {
                self.metrics.terms.inc();
                tracing::info!(fence = is, "this member holds the lease");
            }
            (Some(was), None) => tracing::info!(fence = was, "this member holds the lease no more"),
            _ => {}
        }
        self.metrics
            .leading
            .set(i64::from(fence(&snapshot.leadership).is_some()));
        if let Some(object) = &snapshot.object {
            self.metrics.fence.set(i64::try_from(object.fence).unwrap_or(i64::MAX));
        }
        self.metrics.tell(snapshot.trouble.as_ref());
        self.snapshots.send_replace(Arc::new(snapshot));
    }
}
