//! The conductor's shell: sends the [`Conductor`]'s requests to the members, this one included, and its records to the elector.
//! One task owns it; every request has a bound.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lease_election::CommitOutcome;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::conductor::{Action, AskError, Conductor, ConductorConfig, Event, Obstacle, Report};
use super::ledger::task::LedgerHandle;
pub use super::metrics::DrawMetrics;
use super::voter::Voter;
use super::voting;
use crate::clock::{Boot, Clock};
use crate::discovery::PeerList;
use crate::lease::LeaseHandle;
use crate::peer::client::PeerClient;
use crate::record::{Slot, Voters};
use crate::shutdown::Signal;
use crate::trace::{self, Kind, Scope, Spans, TraceContext, Work};

const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// A recovery that takes longer is reported: most end within a round trip.
const QUIET_RECOVERY: Duration = Duration::from_secs(1);

/// An operator's request to start a new chain.
pub type Restart = tokio::sync::oneshot::Sender<Result<(), RestartRefused>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartRefused {
    #[error("this member does not hold the lease; {} does", .0.as_deref().unwrap_or("no member"))]
    NotHolder(Option<String>),
    #[error("a new chain needs a majority of the voters: {0}")]
    NoMajority(String),
}

/// The other parts that the conductor uses.
pub struct DrawParts {
    pub lease: LeaseHandle,
    pub outcomes: mpsc::Receiver<(u64, CommitOutcome)>,
    pub ledger: LedgerHandle,
    pub peers: watch::Receiver<Arc<PeerList>>,
    /// What DNS is asked for to find them; empty without a governing Service.
    pub srv_name: String,
    pub client: Arc<PeerClient>,
    pub restarts: mpsc::Receiver<Restart>,
    pub metrics: DrawMetrics,
    pub spans: Spans,
}

pub struct DrawTask {
    conductor: Conductor,
    ordinal: u16,
    voters: Voters,
    clock: Clock,
    parts: DrawParts,
    /// Why this leader can't draw; none if it can, or doesn't lead.
    trouble: watch::Sender<Option<String>>,
    waiting: Option<Waiting>,
    /// The work on the slot that is being drawn, or, without one, on a recovery.
    work: Option<(Option<Slot>, Work)>,
    rng: StdRng,
}

/// A recovery that waits for answers.
struct Waiting {
    since: Boot,
    /// Which voters are missing and what to do, for the operator.
    why: String,
    is_reported: bool,
}

type Requests = FuturesUnordered<BoxFuture<'static, Event>>;

impl DrawTask {
    pub fn new(
        config: ConductorConfig,
        clock: Clock,
        mut parts: DrawParts,
        seed: [u8; 32],
    ) -> (DrawTask, watch::Receiver<Option<String>>) {
        let (trouble, troubles) = watch::channel(None);
        parts.metrics.begin(&config, clock.wall());
        let task = DrawTask {
            ordinal: config.ordinal,
            voters: config.voters,
            conductor: Conductor::new(config),
            clock,
            parts,
            trouble,
            waiting: None,
            work: None,
            rng: StdRng::from_seed(seed),
        };
        (task, troubles)
    }

    /// Conducts until stopped. A draw in progress is abandoned; if its record was sent, the elector deals with it.
    pub async fn run(mut self, mut stop: Signal) {
        let mut requests = Requests::new();
        let mut lease = self.parts.lease.snapshots();
        let mut ledger = self.parts.ledger.snapshots();
        let mut peers = self.parts.peers.clone();
        lease.mark_changed();
        ledger.mark_changed();
        peers.mark_changed();
        loop {
            let now = self.clock.now();
            let wake = self
                .conductor
                .wake_at(now)
                .map_or(LONGEST_SLEEP, |wake| wake.since(now.boot))
                .min(LONGEST_SLEEP);
            let event = tokio::select! {
                biased;
                () = stop.requested() => return,
                Some((ticket, outcome)) = self.parts.outcomes.recv() => Event::Committed { ticket, outcome },
                Ok(()) = lease.changed() => Event::Lease(lease.borrow_and_update().clone()),
                Ok(()) = ledger.changed() => Event::Ledger(ledger.borrow_and_update().clone()),
                Ok(()) = peers.changed() => {
                    let list = peers.borrow_and_update().clone();
                    Event::Published(list.peers.iter().map(|peer| peer.ordinal).collect())
                }
                Some(reply) = self.parts.restarts.recv() => match self.restart(reply) {
                    Some(event) => event,
                    None => continue,
                },
                Some(event) = requests.next(), if !requests.is_empty() => event,
                () = sleep(wake) => Event::Tick,
            };
            self.step(event, &mut requests);
        }
    }

    /// Accepts an operator's request for a new chain if this member leads, and enough voters are published to draw one.
    fn restart(&self, reply: Restart) -> Option<Event> {
        let lease = self.parts.lease.snapshots();
        let snapshot = lease.borrow();
        let leads = snapshot.leads(self.clock.boot()).is_some();
        let holder = snapshot
            .object
            .as_ref()
            .and_then(|object| object.spec.held_by().map(str::to_owned));
        let list = self.parts.peers.borrow();
        let published: Vec<u16> = list.peers.iter().map(|peer| peer.ordinal).collect();
        let there = self.voters.ordinals().filter(|ordinal| published.contains(ordinal));
        let answer = match voting::unpublished(self.voters, &published, &self.parts.srv_name) {
            _ if !leads => Err(RestartRefused::NotHolder(holder)),
            Some(missing) if !self.voters.is_majority(there.count()) => Err(RestartRefused::NoMajority(missing)),
            _ => Ok(()),
        };
        let accepted = answer.is_ok();
        // The client may have gone; the request still counts.
        let _ = reply.send(answer);
        accepted.then_some(Event::Restart)
    }

    fn step(&mut self, event: Event, requests: &mut Requests) {
        match &event {
            Event::Kept { ordinal, result, .. } => self.parts.metrics.answered("keep", *ordinal, result),
            Event::Heads { ordinal, result, .. } => self.parts.metrics.answered("heads", *ordinal, result),
            _ => {}
        }
        for action in self.conductor.step(self.clock.now(), event, &mut self.rng) {
            match action {
                Action::Keep { ask, ordinal, request } => {
                    let (voter, context) = (self.voter(ordinal), self.trace(Some(request.slot)));
                    let spans = self.parts.spans.clone();
                    requests.push(Box::pin(async move {
                        let answer = async { voter.keep(request).await };
                        let result = trace_request("keep", ordinal, &context, &spans, answer).await;
                        Event::Kept { ask, ordinal, result }
                    }));
                }
                Action::Heads { ask, ordinal, request } => {
                    let (voter, context) = (self.voter(ordinal), self.trace(None));
                    let spans = self.parts.spans.clone();
                    requests.push(Box::pin(async move {
                        let answer = async { voter.heads(request).await };
                        let result = trace_request("heads", ordinal, &context, &spans, answer).await;
                        Event::Heads { ask, ordinal, result }
                    }));
                }
                Action::Commit(request) => {
                    let ticket = request.ticket;
                    if !self.parts.lease.commit(request) {
                        let outcome = CommitOutcome::NotCommitted;
                        requests.push(Box::pin(async move { Event::Committed { ticket, outcome } }));
                    }
                }
                Action::Floor(fence) => self.parts.lease.require_fence_above(fence),
                Action::Look => self.parts.lease.refresh(),
                Action::StayOut(time) => {
                    tracing::warn!(
                        ?time,
                        "missed two slots in a row: standing aside so that another member can try"
                    );
                    self.parts.lease.stay_out(time);
                }
                Action::Report(report) => {
                    let slot = match &report {
                        Report::Drawn(record) => Some(record.slot),
                        Report::Missed { slot, .. } | Report::Undecided { slot } => Some(*slot),
                        Report::Restored(_) | Report::Waiting { .. } => None,
                    };
                    let scope = Scope::work(self.trace(slot));
                    trace::within_now(scope, || self.report(&report));
                    self.end_span(&report);
                }
            }
        }
        self.parts.metrics.conducting(self.conductor.phase() != "idle");
        let now = self.clock.boot();
        self.report_waiting(now);
        let leads = self.parts.lease.snapshots().borrow().leads(now).is_some();
        if !leads {
            self.publish_trouble(None);
        }
        let peers = self.parts.peers.borrow();
        let published = peers.peers.iter().map(|peer| peer.ordinal).chain([self.ordinal]);
        self.parts.metrics.set_members(leads, &published.collect());
    }

    /// The trace of this slot's draw, however often it is tried; without a slot, of a recovery. What the members log of it
    /// has its id.
    fn trace(&mut self, slot: Option<Slot>) -> TraceContext {
        let current = self.work.take().filter(|(of, _)| *of == slot);
        let (_, work) = self.work.insert(current.unwrap_or_else(|| {
            let name = if slot.is_some() { "draw" } else { "recovery" };
            (slot, self.parts.spans.begin(Kind::Internal, None, || name.to_owned()))
        }));
        work.context.get_or_insert_with(TraceContext::begin).clone()
    }

    fn voter(&self, ordinal: u16) -> Voter {
        if ordinal == self.ordinal {
            return Voter::Own(self.parts.ledger.clone());
        }
        let list = self.parts.peers.borrow();
        match list.peers.iter().find(|peer| peer.ordinal == ordinal) {
            Some(peer) => Voter::Peer(peer.clone(), self.parts.client.clone()),
            None => Voter::Unpublished,
        }
    }

    /// Reports a recovery that takes long, and withdraws the report once it ends.
    fn report_waiting(&mut self, now: Boot) {
        let recovering = self.conductor.phase() == "recovering";
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        if !recovering {
            let is_reported = waiting.is_reported;
            self.waiting = None;
            if is_reported {
                self.publish_trouble(None);
            }
        } else if !waiting.is_reported && now.since(waiting.since) >= QUIET_RECOVERY {
            waiting.is_reported = true;
            let why = waiting.why.clone();
            tracing::warn!("{why}");
            self.publish_trouble(Some(why));
        }
    }

    fn report(&mut self, report: &Report) {
        self.parts.metrics.count(report, self.clock.wall());
        match report {
            Report::Drawn(record) => {
                tracing::info!(round = record.round, slot = %record.slot, missing = record.missing.len(), hash = %record.hash, "drawn");
                self.publish_trouble(None);
            }
            Report::Restored(record) => {
                tracing::warn!(round = record.round, hash = %record.hash, "restored the chain's head to the Lease");
                self.publish_trouble(None);
            }
            Report::Missed { slot, obstacle } => {
                let why = match obstacle {
                    Obstacle::NoMajority { missing } => {
                        format!("no majority of voters answered (missing: {})", voting::list(missing))
                    }
                    Obstacle::NoPrevious { missing } => voting::without_previous(missing),
                    Obstacle::Recovering => match &self.waiting {
                        Some(waiting) => waiting.why.clone(),
                        None => "the chain's head is not recovered yet".to_owned(),
                    },
                    Obstacle::NotCommitted => "the record could not be written to the Lease".to_owned(),
                };
                tracing::warn!(%slot, why, "slot missed");
                self.publish_trouble(Some(format!("slot {slot} was missed: {why}")));
            }
            Report::Undecided { slot } => {
                tracing::warn!(%slot, "slot undecided: the record was sent, but the answer was lost");
            }
            Report::Waiting {
                missing,
                unpublished,
                first,
            } => {
                let since = self.waiting.as_ref().map_or(self.clock.boot(), |waiting| waiting.since);
                let why = voting::waiting(missing, *unpublished, *first, &self.parts.srv_name);
                // Other voters are missing now: report it again.
                self.waiting = Some(Waiting {
                    since,
                    why,
                    is_reported: false,
                });
            }
        }
    }

    /// Ends the span of a draw or a recovery.
    fn end_span(&mut self, report: &Report) {
        let outcome = match report {
            Report::Drawn(_) => "drawn",
            Report::Missed { .. } => "missed",
            Report::Undecided { .. } => "undecided",
            Report::Restored(_) => "restored",
            Report::Waiting { .. } => return,
        };
        if let Some((_, work)) = &mut self.work {
            let failed = matches!(report, Report::Missed { .. });
            work.end(failed, || vec![("random_generator.outcome", outcome.into())]);
        }
    }

    fn publish_trouble(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|current| {
            let changed = *current != trouble;
            *current = trouble;
            changed
        });
    }
}

/// Waits for the answer to a request, within a span of its own.
async fn trace_request<T>(
    question: &'static str,
    ordinal: u16,
    draw: &TraceContext,
    spans: &Spans,
    answer: impl Future<Output = Result<T, AskError>>,
) -> Result<T, AskError> {
    let mut work = spans.begin(Kind::Client, Some(draw), || question.to_owned());
    let scope = Scope::work(work.context.clone().unwrap_or_else(|| draw.child()));
    let result = trace::within(scope, answer).await;
    work.end(result.is_err(), || vec![("random_generator.ordinal", ordinal.into())]);
    result
}
