//! The set as one answer: how every member is, for `/set`.
//!
//! One [task](SetTask) owns the view. It asks nobody while nobody wants the view; when someone does it asks all members at the
//! same time, each within [`ASK_WITHIN`], and publishes what they reported. [`roster`] decides whom to ask and what their silence
//! means; [`question`] asks a peer.

pub mod question;
mod roster;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::roster::Roster;
pub use self::roster::{MemberView, Reported, SetView, Silence};
use crate::clock::{Boot, Clock};
use crate::discovery::{Peer, PeerList};
use crate::identity::MemberName;
use crate::metrics::register;
use crate::peer::report::MemberReport;
use crate::record::Voters;
use crate::shutdown::Signal;

/// Bound of one question to one member.
pub const ASK_WITHIN: Duration = Duration::from_secs(1);
/// How long a view is given out. Members are asked at most once in this time, whatever the load.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How long a request waits for a view: a round, and as much again on a busy machine.
const WAIT: Duration = Duration::from_secs(3);

/// Asks a peer for its report. An error says in one line why there is none.
pub type Ask = dyn Fn(Peer) -> BoxFuture<'static, Result<MemberReport, String>> + Send + Sync;
/// This member's own report.
pub type Own = dyn Fn() -> MemberReport + Send + Sync;

/// What the task works with.
pub struct SetParts {
    /// This member.
    pub name: MemberName,
    /// Whose ordinals are expected; none for a member without ordinal.
    pub voters: Option<Voters>,
    pub peers: watch::Receiver<Arc<PeerList>>,
    pub ask: Box<Ask>,
    pub own: Arc<Own>,
    pub metrics: SetMetrics,
}

#[derive(Clone, Debug)]
pub struct SetMetrics {
    rounds: Counter,
}

impl SetMetrics {
    pub fn register(registry: &mut Registry) -> SetMetrics {
        let help = "Times this member asked all members how they are, for /set";
        SetMetrics {
            rounds: register(registry, "set_rounds", help),
        }
    }
}

/// There was no view in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the members' reports can't be collected now")]
pub struct NoView;

/// Gives out the newest view. Clones share it.
#[derive(Clone, Debug)]
pub struct SetHandle {
    wanted: mpsc::Sender<()>,
    published: watch::Receiver<Option<Published>>,
    clock: Clock,
}

#[derive(Clone, Debug)]
struct Published {
    view: Arc<SetView>,
    at: Boot,
}

impl Published {
    fn is_good(&self, now: Boot) -> bool {
        now.since(self.at) < GOOD_FOR
    }
}

impl SetHandle {
    /// The newest view; one that is older than a second is replaced first, by the round under way or a new one. If that takes
    /// too long, on an overloaded machine or while this member stops, the old one.
    ///
    /// # Errors
    /// There is no view, not even an old one.
    pub async fn view(&self) -> Result<Arc<SetView>, NoView> {
        let mut published = self.published.clone();
        let newest = published.borrow_and_update().clone();
        let now = self.clock.boot();
        if let Some(newest) = newest.filter(|newest| newest.is_good(now)) {
            return Ok(newest.view);
        }
        // If the queue is full, someone has asked already. If it is closed, nothing changes, which is seen at once.
        let _ = self.wanted.try_send(());
        let _ = timeout(WAIT, published.changed()).await;
        let newest = published.borrow().clone();
        newest.map(|newest| newest.view).ok_or(NoView)
    }
}

/// Owns the view. [`run`](SetTask::run) starts it.
pub struct SetTask {
    roster: Roster,
    parts: SetParts,
    clock: Clock,
    wanted: mpsc::Receiver<()>,
    published: watch::Sender<Option<Published>>,
}

impl SetTask {
    pub fn new(parts: SetParts, clock: Clock) -> (SetTask, SetHandle) {
        // One is enough: a round answers all who wait.
        let (want, wanted) = mpsc::channel(1);
        let (published, seen) = watch::channel(None);
        let handle = SetHandle {
            wanted: want,
            published: seen,
            clock: clock.clone(),
        };
        let task = SetTask {
            roster: Roster::new(parts.name.clone(), parts.voters),
            parts,
            clock,
            wanted,
            published,
        };
        (task, handle)
    }

    /// Asks when someone wants the view, until stopped. A round under way ends with it.
    pub async fn run(mut self, mut stop: Signal) {
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => return,
                wanted = self.wanted.recv() => if wanted.is_none() {
                    stop.requested().await;
                    return;
                }
            }
            // The round that has just ended was for this request too.
            let now = self.clock.boot();
            if self
                .published
                .borrow()
                .as_ref()
                .is_some_and(|newest| newest.is_good(now))
            {
                continue;
            }
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = self.round() => {}
            }
        }
    }

    /// Asks all members once, and publishes what they reported.
    async fn round(&mut self) {
        self.parts.metrics.rounds.inc();
        let list = self.parts.peers.borrow().clone();
        let asked = self.roster.begin(&list, self.clock.now());
        let mut answers: FuturesUnordered<_> = asked
            .into_iter()
            .map(|peer| {
                let ordinal = peer.ordinal;
                let answer = timeout(ASK_WITHIN, (self.parts.ask)(peer));
                async move { (ordinal, answer.await.unwrap_or_else(|_| Err(no_answer()))) }
            })
            .collect();
        while let Some((ordinal, answer)) = answers.next().await {
            self.roster.answered(ordinal, answer, self.clock.now());
        }
        drop(answers);
        let now = self.clock.now();
        let view = self.roster.view((self.parts.own)(), now);
        self.published.send_replace(Some(Published {
            view: Arc::new(view),
            at: now.boot,
        }));
    }
}

/// Why there is no report, of a member that takes the question and is silent.
fn no_answer() -> String {
    format!("no answer within {} s", ASK_WITHIN.as_secs())
}

#[cfg(test)]
mod tests;
