//! The order of stopping, and who joins whom: first the office is laid down, then the listeners drain, then what keeps
//! volume and discovery ends.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal as Unix, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::error::MemberError;
use crate::local::parent::Parent;
use crate::shutdown::{Signal, Trigger, stage};

/// The lease is released within two operations of a third of the renew deadline each; it expires by itself otherwise.
const OFFICE_LIMIT: Duration = Duration::from_secs(10);
/// The journal's queue is flushed, threads are joined.
const KEEPERS_LIMIT: Duration = Duration::from_secs(10);
/// On top of the listeners' own drain limit.
const LISTENERS_SLACK: Duration = Duration::from_secs(2);

type Outcome = Result<&'static str, MemberError>;

struct Stage {
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

    fn spawn<F>(&mut self, name: &'static str, part: impl FnOnce(Signal) -> F)
    where
        F: Future<Output = Result<(), MemberError>> + Send + 'static,
    {
        let running = part(self.signal.clone());
        self.tasks.spawn(async move { running.await.map(|()| name) });
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
            Ok(())
        })
    }
}

fn outcome(ended: Result<Outcome, tokio::task::JoinError>) -> Outcome {
    ended.unwrap_or_else(|error| Err(MemberError::Panicked(error.to_string())))
}

/// All parts that run, by the stage in which they stop.
pub(super) struct Stages {
    office: Stage,
    listeners: Stage,
    keepers: Stage,
}

impl Stages {
    pub fn new() -> Stages {
        Stages {
            office: Stage::new(),
            listeners: Stage::new(),
            keepers: Stage::new(),
        }
    }

    /// What leads and draws: stops first, so that another member takes over while this one still serves.
    pub fn office<F>(&mut self, name: &'static str, part: impl FnOnce(Signal) -> F)
    where
        F: Future<Output = Result<(), MemberError>> + Send + 'static,
    {
        self.office.spawn(name, part);
    }

    /// What serves: stops when clients have had time to go.
    pub fn listener<F>(&mut self, name: &'static str, part: impl FnOnce(Signal) -> F)
    where
        F: Future<Output = Result<(), MemberError>> + Send + 'static,
    {
        self.listeners.spawn(name, part);
    }

    /// What requests in flight still need: stops last.
    pub fn keeper<F>(&mut self, name: &'static str, part: impl FnOnce(Signal) -> F)
    where
        F: Future<Output = Result<(), MemberError>> + Send + 'static,
    {
        self.keepers.spawn(name, part);
    }

    /// Returns when a part ended that nobody asked to.
    pub async fn failed(&mut self) -> MemberError {
        let ended = tokio::select! {
            biased;
            Some(ended) = self.office.tasks.join_next() => ended,
            Some(ended) = self.listeners.tasks.join_next() => ended,
            Some(ended) = self.keepers.tasks.join_next() => ended,
            else => return MemberError::Ended("every part"),
        };
        match outcome(ended) {
            Ok(name) => MemberError::Ended(name),
            Err(error) => error,
        }
    }

    /// Stops all in order; each stage within its limit.
    pub async fn stop(&mut self, delay: Duration, drain: Duration) -> Result<(), MemberError> {
        let office = self.office.stop(OFFICE_LIMIT).await;
        // Endpoints and their users need a moment to learn that this member isn't ready any more.
        sleep(delay).await;
        let listeners = self.listeners.stop(drain + LISTENERS_SLACK).await;
        let keepers = self.keepers.stop(KEEPERS_LIMIT).await;
        office.and(listeners).and(keepers)
    }
}

/// What asks this process to end: SIGTERM, SIGINT, the admin listener, or the end of its supervisor.
pub(super) struct Ending {
    terminate: Unix,
    interrupt: Unix,
    parent: Option<Parent>,
    requested: mpsc::Receiver<()>,
    requests: mpsc::Sender<()>,
}

impl Ending {
    pub fn listen(with_parent: bool) -> Result<Ending, MemberError> {
        let heard = |error: io::Error| MemberError::Signals(error);
        let (requests, requested) = mpsc::channel(1);
        Ok(Ending {
            terminate: signal(SignalKind::terminate()).map_err(heard)?,
            interrupt: signal(SignalKind::interrupt()).map_err(heard)?,
            parent: with_parent.then(Parent::on_stdin).transpose().map_err(heard)?,
            requested,
            requests,
        })
    }

    pub fn requests(&self) -> mpsc::Sender<()> {
        self.requests.clone()
    }

    /// Returns each time somebody asks.
    pub async fn asked(&mut self) {
        let Ending {
            terminate,
            interrupt,
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
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = requested.recv() => return,
            () = parent_gone => {}
        }
        // Gone once is gone for good: the next to ask is somebody else.
        self.parent = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[tokio::test]
    async fn a_part_that_panics_ends_the_member_as_a_bug() {
        let mut stages = Stages::new();
        stages.keeper("steady", |mut stop| async move {
            stop.requested().await;
            Ok(())
        });
        stages.office("rash", |_| async { panic!("unthinkable") });
        let failed = stages.failed().await;
        assert!(matches!(&failed, MemberError::Panicked(_)), "{failed}");
        assert_eq!(failed.exit(), Exit::Bug);
        stages.stop(Duration::ZERO, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn the_office_ends_before_the_listeners_and_they_before_what_their_requests_need() {
        let mut stages = Stages::new();
        let (ended, mut order) = mpsc::channel(3);
        let part = |name: &'static str| {
            let ended = ended.clone();
            move |mut stop: Signal| async move {
                stop.requested().await;
                let _ = ended.send(name).await;
                Ok(())
            }
        };
        stages.keeper("keeper", part("keeper"));
        stages.listener("listener", part("listener"));
        stages.office("office", part("office"));
        stages.stop(Duration::ZERO, Duration::ZERO).await.unwrap();
        let ended = [order.recv().await, order.recv().await, order.recv().await];
        assert_eq!(ended, [Some("office"), Some("listener"), Some("keeper")]);
    }
}
