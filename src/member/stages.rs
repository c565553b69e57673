//! The order of stopping: this member stops leading, then its listeners drain, then what they needed ends. Every task is joined.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::error::MemberError;
use crate::local::parent::Parent;
use crate::shutdown::{Signal, StopSignals, Trigger, repeats, stage};

/// The lease is released within two operations of a third of the renew deadline each; it expires by itself otherwise.
const LEADING_LIMIT: Duration = Duration::from_secs(10);
/// The journal's queue is flushed, threads are joined.
const SUPPORT_LIMIT: Duration = Duration::from_secs(10);
/// On top of the listeners' own drain limit.
const LISTENERS_SLACK: Duration = Duration::from_secs(2);

type Outcome = Result<&'static str, MemberError>;

/// How a part ends: some can fail.
pub(super) trait End: Send + 'static {
    fn result(self) -> Result<(), MemberError>;
}

impl End for () {
    fn result(self) -> Result<(), MemberError> {
        Ok(())
    }
}

impl<E: Into<MemberError> + Send + 'static> End for Result<(), E> {
    fn result(self) -> Result<(), MemberError> {
        self.map_err(Into::into)
    }
}

pub(super) struct Stage {
    trigger: Trigger,
    signal: Signal,
    tasks: JoinSet<Outcome>,
}

impl Stage {
    fn new() -> Stage {
        let (trigger, signal) = stage();
        Stage {
            trigger,
            signal,
            tasks: JoinSet::new(),
        }
    }

    /// Begins as the first thing of a stop, if this is the first stage.
    pub fn signal(&self) -> Signal {
        self.signal.clone()
    }

    pub fn spawn<F>(&mut self, name: &'static str, part: impl FnOnce(Signal) -> F)
    where
        F: Future<Output: End> + Send + 'static,
    {
        let running = part(self.signal.clone());
        self.tasks.spawn(async move { running.await.result().map(|()| name) });
    }

    async fn stop(&mut self, within: Duration) -> Result<(), MemberError> {
        self.trigger.pull();
        let joined = timeout(within, async {
            let mut result = Ok(());
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = outcome(ended) {
                    tracing::error!(%error, "a part failed while stopping");
                    result = result.and(Err(error));
                }
            }
            result
        });
        joined.await.unwrap_or_else(|_| {
            tracing::warn!(?within, "some parts did not stop in time");
            Err(MemberError::NotStopped)
        })
    }
}

fn outcome(ended: Result<Outcome, tokio::task::JoinError>) -> Outcome {
    ended.unwrap_or_else(|error| Err(MemberError::Panicked(error.to_string())))
}

/// All parts that run, by the stage in which they stop.
pub(super) struct Stages {
    /// What leads and draws: stops first, so that another member takes over while this one still serves.
    pub leading: Stage,
    /// What serves: stops when clients have had time to go.
    pub listeners: Stage,
    /// What requests in flight still need: stops last.
    pub support: Stage,
}

impl Stages {
    pub fn new() -> Stages {
        Stages {
            leading: Stage::new(),
            listeners: Stage::new(),
            support: Stage::new(),
        }
    }

    /// Waits until a part ends that was not asked to.
    pub async fn failed(&mut self) -> MemberError {
        let ended = tokio::select! {
            biased;
            Some(ended) = self.leading.tasks.join_next() => ended,
            Some(ended) = self.listeners.tasks.join_next() => ended,
            Some(ended) = self.support.tasks.join_next() => ended,
            else => return MemberError::Ended("every part"),
        };
        match outcome(ended) {
            Ok(name) => MemberError::Ended(name),
            Err(error) => error,
        }
    }

    /// Stops all in order; each stage within its limit.
    pub async fn stop(&mut self, delay: Duration, drain: Duration) -> Result<(), MemberError> {
        let leading = self.leading.stop(LEADING_LIMIT).await;
        // Endpoints and their users need a moment to learn that this member is no longer ready.
        sleep(delay).await;
        let listeners = self.listeners.stop(drain + LISTENERS_SLACK).await;
        let support = self.support.stop(SUPPORT_LIMIT).await;
        leading.and(listeners).and(support)
    }
}

/// Requests to stop: a signal, the admin listener, or the end of the supervisor.
pub(super) struct StopRequests {
    signals: StopSignals,
    parent: Option<Parent>,
    requested: mpsc::Receiver<()>,
    requests: mpsc::Sender<()>,
}

impl StopRequests {
    pub fn listen(with_parent: bool) -> Result<StopRequests, MemberError> {
        let (requests, requested) = mpsc::channel(1);
        Ok(StopRequests {
            signals: StopSignals::listen().map_err(MemberError::Signals)?,
            parent: with_parent
                .then(Parent::on_stdin)
                .transpose()
                .map_err(MemberError::Signals)?,
            requested,
            requests,
        })
    }

    pub fn sender(&self) -> mpsc::Sender<()> {
        self.requests.clone()
    }

    /// Waits for the next request.
    pub async fn next(&mut self) {
        let StopRequests {
            signals,
            parent,
            requested,
            ..
        } = self;
        let parent_gone = async {
            match parent {
                Some(parent) => parent.gone().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = signals.next() => return,
            _ = requested.recv() => return,
            () = parent_gone => {}
        }
        // A supervisor ends only once.
        self.parent = None;
    }

    /// Waits for a request after the `first`, and not of its moment.
    pub async fn second(&mut self, first: Instant) {
        self.next().await;
        while repeats(first) {
            self.next().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[tokio::test]
    async fn a_part_that_panics_ends_the_member_as_a_bug() {
        let mut stages = Stages::new();
        stages.support.spawn("steady", |mut stop| async move {
            stop.requested().await;
        });
        stages.leading.spawn("failing", |_| async {
            if true {
                panic!("a bug")
            }
        });
        let failed = stages.failed().await;
        assert!(matches!(&failed, MemberError::Panicked(_)), "{failed}");
        assert_eq!(failed.exit(), Exit::Bug);
        stages.stop(Duration::ZERO, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_stop_that_runs_out_of_time_is_no_success() {
        let mut stages = Stages::new();
        stages.listeners.spawn("stuck", |_| std::future::pending::<()>());
        let stopped = stages.stop(Duration::ZERO, Duration::ZERO).await.unwrap_err();
        assert_eq!(stopped.exit(), Exit::Io, "{stopped}");
    }

    #[tokio::test]
    async fn leading_ends_before_the_listeners_and_they_before_what_their_requests_need() {
        let mut stages = Stages::new();
        let (ended, mut order) = mpsc::channel(3);
        let part = |name: &'static str| {
            let ended = ended.clone();
            move |mut stop: Signal| async move {
                stop.requested().await;
                let _ = ended.send(name).await;
            }
        };
        stages.support.spawn("support", part("support"));
        stages.listeners.spawn("listener", part("listener"));
        stages.leading.spawn("leading", part("leading"));
        stages.stop(Duration::ZERO, Duration::ZERO).await.unwrap();
        let ended = [order.recv().await, order.recv().await, order.recv().await];
        assert_eq!(ended, [Some("leading"), Some("listener"), Some("support")]);
    }
}
