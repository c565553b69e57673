//! The conductor's shell: asks the members, itself included, what the [`Conductor`] wants asked, and hands records to the
//! elector. One task owns it; every question has a bound.

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
use crate::clock::{Boot, Clock, Wall};
use crate::discovery::PeerList;
use crate::lease::LeaseHandle;
use crate::peer::client::PeerClient;
use crate::record::Slot;
use crate::shutdown::Signal;
use crate::trace::{self, Finished, Kind, Scope, Spans, TraceContext};

const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// A recovery is told when it lasts so long: most of them end within a round trip.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(1);

/// Asks that a new chain be begun.
pub type Restart = tokio::sync::oneshot::Sender<Result<(), NotHolder>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this member does not hold the lease; {} does", holder.as_deref().unwrap_or("nobody"))]
pub struct NotHolder {
    pub holder: Option<String>,
}

/// Everything the conductor speaks to.
pub struct DrawParts {
    pub lease: LeaseHandle,
    pub outcomes: mpsc::Receiver<(u64, CommitOutcome)>,
    pub ledger: LedgerHandle,
    pub peers: watch::Receiver<Arc<PeerList>>,
    pub client: Arc<PeerClient>,
    pub restarts: mpsc::Receiver<Restart>,
    pub metrics: DrawMetrics,
    pub spans: Spans,
}

pub struct DrawTask {
    conductor: Conductor,
    ordinal: u16,
    clock: Clock,
    parts: DrawParts,
    /// What stands in the way of draws while this member leads; none when nothing does.
    trouble: watch::Sender<Option<String>>,
    waiting: Option<Waiting>,
    /// The trace of the slot that is being drawn, or, without one, of a recovery.
    trace: Option<(Option<Slot>, TraceContext)>,
    /// When it began.
    traced_since: Wall,
    rng: StdRng,
}

/// A recovery that lacks answers.
struct Waiting {
    since: Boot,
    /// In the operator's words: who is missing, and what to do.
    why: String,
    told: bool,
}

type Questions = FuturesUnordered<BoxFuture<'static, Event>>;

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
            conductor: Conductor::new(config),
            clock,
            parts,
            trouble,
            waiting: None,
            trace: None,
            traced_since: Wall(0),
            rng: StdRng::from_seed(seed),
        };
        (task, troubles)
    }

    /// Conducts until asked to stop. A draw that is under way is given up; its record, if sent, is the elector's affair.
    pub async fn run(mut self, mut stop: Signal) {
        let mut questions = Questions::new();
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
                Some(event) = questions.next(), if !questions.is_empty() => event,
                () = sleep(wake) => Event::Tick,
            };
            self.step(event, &mut questions);
        }
    }

    /// A person's wish for a new chain: only the holder can grant it.
    fn restart(&self, reply: Restart) -> Option<Event> {
        let lease = self.parts.lease.snapshots();
        let snapshot = lease.borrow();
        let leads = snapshot.leads(self.clock.boot()).is_some();
        let holder = snapshot
            .object
            .as_ref()
            .and_then(|object| object.spec.held_by().map(str::to_owned));
        let answer = if leads { Ok(()) } else { Err(NotHolder { holder }) };
        // Whoever asked may be gone; the wish stands.
        let _ = reply.send(answer);
        leads.then_some(Event::Restart)
    }

    fn step(&mut self, event: Event, questions: &mut Questions) {
        match &event {
            Event::Kept { ordinal, result, .. } => self.parts.metrics.answered("keep", *ordinal, result),
            Event::Heads { ordinal, result, .. } => self.parts.metrics.answered("heads", *ordinal, result),
            _ => {}
        }
        for action in self.conductor.step(self.clock.now(), event, &mut self.rng) {
            match action {
                Action::Keep { ask, ordinal, request } => {
                    let voter = self.voter(ordinal);
                    let (spans, clock) = (self.parts.spans.clone(), self.clock.clone());
                    let scope = Scope::work(self.trace(Some(request.slot)).child());
                    questions.push(Box::pin(trace::within(scope, async move {
                        let result = asked("keep", ordinal, voter.keep(request), &spans, &clock).await;
                        Event::Kept { ask, ordinal, result }
                    })));
                }
                Action::Heads { ask, ordinal, request } => {
                    let voter = self.voter(ordinal);
                    let (spans, clock) = (self.parts.spans.clone(), self.clock.clone());
                    let scope = Scope::work(self.trace(None).child());
                    questions.push(Box::pin(trace::within(scope, async move {
                        let result = asked("heads", ordinal, voter.heads(request), &spans, &clock).await;
                        Event::Heads { ask, ordinal, result }
                    })));
                }
                Action::Commit(request) => {
                    let ticket = request.ticket;
                    if !self.parts.lease.commit(request) {
                        let outcome = CommitOutcome::NotCommitted;
                        questions.push(Box::pin(async move { Event::Committed { ticket, outcome } }));
                    }
                }
                Action::Floor(fence) => self.parts.lease.require_fence_above(fence),
                Action::Look => self.parts.lease.refresh(),
                Action::StayOut(time) => {
                    tracing::warn!(
                        ?time,
                        "two slots missed in a row: this member stays out, so that another may reach more"
                    );
                    self.parts.lease.stay_out(time);
                }
                Action::Report(report) => {
                    let slot = match &report {
                        Report::Drawn(record) => Some(record.slot),
                        Report::Missed { slot, .. } | Report::Undecided { slot } => Some(*slot),
                        Report::Restored(_) | Report::Waiting { .. } => None,
                    };
                    let scope = Scope::work(self.trace(slot).clone());
                    trace::within_now(scope, || {
                        self.report(&report);
                        self.ended(&report);
                    });
                }
            }
        }
        self.parts.metrics.conducting(self.conductor.phase() != "idle");
        let now = self.clock.boot();
        self.tell_waiting(now);
        let leads = self.parts.lease.snapshots().borrow().leads(now).is_some();
        if !leads {
            self.tell(None);
        }
        let peers = self.parts.peers.borrow();
        let published = peers.peers.iter().map(|peer| peer.ordinal).chain([self.ordinal]);
        self.parts.metrics.tell_members(leads, &published.collect());
    }

    /// The trace of this slot's draw, however often it is tried; of a recovery without one. What the members log of it has
    /// its id.
    fn trace(&mut self, slot: Option<Slot>) -> &TraceContext {
        let kept = self.trace.take().filter(|(of, _)| *of == slot);
        if kept.is_none() {
            self.traced_since = self.clock.wall();
        }
        let (_, trace) = self.trace.insert(kept.unwrap_or_else(|| (slot, TraceContext::begin())));
        trace
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

    /// Tells of a recovery that lasts, and takes it back when that has ended.
    fn tell_waiting(&mut self, now: Boot) {
        let recovering = self.conductor.phase() == "recovering";
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        if !recovering {
            let told = waiting.told;
            self.waiting = None;
            if told {
                self.tell(None);
            }
        } else if !waiting.told && now.since(waiting.since) >= RECOVERY_PATIENCE {
            waiting.told = true;
            let why = waiting.why.clone();
            tracing::warn!("{why}");
            self.tell(Some(why));
        }
    }

    fn report(&mut self, report: &Report) {
        self.parts.metrics.count(report, self.clock.wall());
        match report {
            Report::Drawn(record) => {
                tracing::info!(round = record.round, slot = %record.slot, missing = record.missing.len(), hash = %record.hash, "drawn");
                self.tell(None);
            }
            Report::Restored(record) => {
                tracing::warn!(round = record.round, hash = %record.hash, "the chain's head is back in the Lease");
                self.tell(None);
            }
            Report::Missed { slot, obstacle } => {
                let why = match obstacle {
                    Obstacle::NoMajority { missing } => {
                        format!("no majority of the voters answered: {} did not", self.names(missing))
                    }
                    Obstacle::Recovering => match &self.waiting {
                        Some(waiting) => waiting.why.clone(),
                        None => "the chain's head is not recovered yet".to_owned(),
                    },
                    Obstacle::NotCommitted => "the record could not be put into the Lease".to_owned(),
                };
                tracing::warn!(%slot, why, "slot missed");
                self.tell(Some(format!("slot {slot} was missed: {why}")));
            }
            Report::Undecided { slot } => {
                tracing::warn!(%slot, "slot undecided: its record was sent, and the answer lost");
            }
            Report::Waiting { missing } => {
                let missing = self.names(missing);
                let since = self.waiting.as_ref().map_or(self.clock.boot(), |waiting| waiting.since);
                let why = format!(
                    "the chain's head can't be recovered before a majority of the voters answered: {missing} did not; \
                     if they are lost for good, `random-generator ledger restart` on the holder begins a new chain"
                );
                // Who is missing has changed: told anew.
                self.waiting = Some(Waiting {
                    since,
                    why,
                    told: false,
                });
            }
        }
    }

    /// The draw, or recovery, as one piece of work.
    fn ended(&self, report: &Report) {
        let (name, outcome) = match report {
            Report::Drawn(_) => ("draw", "drawn"),
            Report::Missed { .. } => ("draw", "missed"),
            Report::Undecided { .. } => ("draw", "undecided"),
            Report::Restored(_) => ("recovery", "restored"),
            Report::Waiting { .. } => return,
        };
        self.parts.spans.ended(|context| Finished {
            name: name.to_owned(),
            kind: Kind::Internal,
            context,
            began: self.traced_since,
            ended: self.clock.wall(),
            failed: matches!(report, Report::Missed { .. }),
            attributes: vec![("random_generator.outcome", outcome.into())],
        });
    }

    fn names(&self, ordinals: &[u16]) -> String {
        let names: Vec<String> = ordinals.iter().map(|ordinal| format!("ordinal {ordinal}")).collect();
        names.join(", ")
    }

    fn tell(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|current| {
            let changed = *current != trouble;
            *current = trouble;
            changed
        });
    }
}

/// Waits for what came of a question, which is a piece of work of its own.
async fn asked<T>(
    question: &'static str,
    ordinal: u16,
    answer: impl Future<Output = Result<T, AskError>>,
    spans: &Spans,
    clock: &Clock,
) -> Result<T, AskError> {
    let began = clock.wall();
    let result = answer.await;
    spans.ended(|context| Finished {
        name: question.to_owned(),
        kind: Kind::Client,
        context,
        began,
        ended: clock.wall(),
        failed: result.is_err(),
        attributes: vec![("random_generator.ordinal", ordinal.into())],
    });
    result
}
