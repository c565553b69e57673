//! The elector as a task: carries out what [`Elector`] decides, over a [`LeaseStore`]. The task owns both.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::elector::{Action, CommitOutcome, CommitRequest, Elector, ElectorConfig, Event};
use crate::leadership::{Leadership, LeaseSnapshot};
use crate::metrics::LeaseMetrics;
use crate::payload::Payload;
use crate::store::{LeaseStore, StoreError, WriteOutcome};

/// Requests that may wait for the elector; more are refused to their sender.
const QUEUE: usize = 64;
/// A tick comes at least this often: while a machine is suspended its boot time passes, and its timers stand still.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Sends requests to the elector, and shows what it publishes. Clones use the same elector.
#[derive(Clone, Debug)]
pub struct LeaseHandle<P> {
    events: mpsc::Sender<Event<P>>,
    snapshots: watch::Receiver<Arc<LeaseSnapshot<P>>>,
    clock: Clock,
}

impl<P: Payload> LeaseHandle<P> {
    /// The newest snapshot; the elector publishes one with each change.
    pub fn snapshots(&self) -> watch::Receiver<Arc<LeaseSnapshot<P>>> {
        self.snapshots.clone()
    }

    /// The fence, if this process leads now. Work under it until [`lost`](LeaseHandle::lost).
    pub fn leads(&self) -> Option<u64> {
        self.snapshots.borrow().leads(self.clock.boot())
    }

    /// Completes once this process doesn't lead under `fence`: at the renew deadline, or earlier if it is known earlier. Renewals
    /// move the deadline, so work may take longer than that.
    ///
    /// Poll it before the work that it guards: then a process that was stopped notices before it does anything else.
    pub async fn lost(&self, fence: u64) {
        let mut snapshots = self.snapshots.clone();
        loop {
            let left = match snapshots.borrow_and_update().leadership {
                Leadership::Leader {
                    fence: led,
                    renew_deadline,
                } if led == fence => renew_deadline.since(self.clock.boot()),
                _ => return,
            };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
                () = sleep(left.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    /// Asks to replace the payload. The outcome comes through the receiver of [`new`].
    ///
    /// `false` if the elector has ended or its queue is full: then nothing was sent.
    #[must_use]
    pub fn commit(&self, request: CommitRequest<P>) -> bool {
        self.send(Event::Commit(request))
    }

    /// From now on lead only under a greater fence. A leader whose fence is lower acquires the lease again.
    pub fn require_fence_above(&self, fence: u64) {
        self.send(Event::RequireFenceAbove(fence));
    }

    /// Reads the Lease now, and writes nothing before that.
    pub fn refresh(&self) {
        self.send(Event::Refresh);
    }

    /// Releases the lease, and doesn't acquire it for this long.
    pub fn stay_out(&self, time: Duration) {
        self.send(Event::StayOut(time));
    }

    /// Whether this process may stand for election. At the start it may not. `false` releases the lease.
    pub async fn stand(&self, standing: bool) {
        // An error means that the elector has ended.
        let _ = self.events.send(Event::Stand(standing)).await;
    }

    fn send(&self, event: Event<P>) -> bool {
        self.events.try_send(event).is_ok()
    }
}

/// What became of each commit, by its ticket.
pub type Outcomes = mpsc::Receiver<(u64, CommitOutcome)>;

/// The task that owns the elector and its store.
pub struct LeaseTask<S, P> {
    store: Arc<S>,
    elector: Elector<P>,
    clock: Clock,
    /// Bound of one read or write.
    operation: Duration,
    retry: Duration,
    events: mpsc::Receiver<Event<P>>,
    snapshots: watch::Sender<Arc<LeaseSnapshot<P>>>,
    outcomes: mpsc::Sender<(u64, CommitOutcome)>,
    metrics: LeaseMetrics,
    rng: StdRng,
}

/// Builds the task and its handle. The outcomes of [`LeaseHandle::commit`] come through the receiver, by ticket; a receiver that
/// nobody reads may be dropped.
///
/// Nothing happens until [`LeaseTask::run`], and this process stands for election only after [`LeaseHandle::stand`].
pub fn new<S: LeaseStore<P>, P: Payload>(
    config: ElectorConfig,
    store: S,
    clock: Clock,
    metrics: LeaseMetrics,
) -> (LeaseTask<S, P>, LeaseHandle<P>, Outcomes) {
    let (sender, events) = mpsc::channel(QUEUE);
    let (finished, outcomes) = mpsc::channel(QUEUE);
    let unknown = LeaseSnapshot {
        leadership: Leadership::Follower { holder: None },
        object: None,
        confirmed_at: None,
        expires_at: None,
        trouble: None,
    };
    let (publisher, snapshots) = watch::channel(Arc::new(unknown));
    let task = LeaseTask {
        store: Arc::new(store),
        operation: config.renew_deadline / 3,
        retry: config.retry,
        elector: Elector::new(config),
        clock: clock.clone(),
        events,
        snapshots: publisher,
        outcomes: finished,
        metrics,
        rng: rand::make_rng(),
    };
    let handle = LeaseHandle {
        events: sender,
        snapshots,
        clock,
    };
    (task, handle, outcomes)
}

type Operations<P> = FuturesUnordered<BoxFuture<'static, Event<P>>>;

impl<S: LeaseStore<P>, P: Payload> LeaseTask<S, P> {
    /// Runs until `stop` completes. Then releases the lease, and returns once it is released, or after two thirds of the renew
    /// deadline: then it expires by itself.
    ///
    /// Dropping the future stops at once, without a release.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let (watched, mut watching) = mpsc::channel(QUEUE);
        let (store, retry) = (self.store.clone(), self.retry);
        let watch = async move {
            loop {
                store.watch(watched.clone()).await;
                sleep(retry).await;
            }
        };
        tokio::pin!(watch, stop);
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
                () = &mut stop, if leave_at.is_none() => {
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

    /// Takes one step, and starts the actions that it asks for. True once the lease is released for good.
    fn step(&mut self, event: Event<P>, operations: &mut Operations<P>) -> bool {
        let mut resigned = false;
        for action in self.elector.step(self.clock.now(), event, &mut self.rng) {
            let (store, bound) = (self.store.clone(), self.operation);
            match action {
                Action::Read { op } => {
                    self.metrics.reads.inc();
                    operations.push(Box::pin(async move {
                        let result = timeout(bound, store.read()).await;
                        let late = || Err(StoreError::Unreachable(format!("no answer within {bound:.1?}")));
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
                        let late = || WriteOutcome::Unknown(format!("no answer within {bound:.1?}"));
                        Event::Wrote {
                            op,
                            outcome: outcome.unwrap_or_else(|_| late()),
                        }
                    }));
                }
                Action::Publish(snapshot) => self.publish(snapshot),
                Action::Commit { ticket, outcome } => {
                    // An error means that nobody waits for the outcome.
                    let _ = self.outcomes.try_send((ticket, outcome));
                }
                Action::Resigned => resigned = true,
            }
        }
        resigned
    }

    fn publish(&self, snapshot: LeaseSnapshot<P>) {
        let before = self.snapshots.borrow().clone();
        let fence = |leadership: &Leadership| match leadership {
            Leadership::Leader { fence, .. } => Some(*fence),
            Leadership::Follower { .. } => None,
        };
        match (fence(&before.leadership), fence(&snapshot.leadership)) {
            (was, Some(is)) if was != Some(is) => {
                self.metrics.terms.inc();
                tracing::info!(fence = is, "became the leader");
            }
            (Some(was), None) => tracing::info!(fence = was, "lost the lease"),
            _ => {}
        }
        self.metrics
            .leading
            .set(i64::from(fence(&snapshot.leadership).is_some()));
        if let Some(object) = &snapshot.object {
            self.metrics.fence.set(i64::try_from(object.fence).unwrap_or(i64::MAX));
        }
        self.metrics.set_trouble(snapshot.trouble.as_ref());
        self.snapshots.send_replace(Arc::new(snapshot));
    }
}
