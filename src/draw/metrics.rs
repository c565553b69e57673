//! Metrics of draws, and of the members that this holder asks.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::conductor::{AskError, ConductorConfig, Obstacle, Report};
use crate::clock::Wall;
use crate::metrics::{register, register_with_unit};
use crate::peer::message::Refusal;
use crate::record::schedule::Schedule;
use crate::record::{Reason, Voters};

/// Outcomes of a slot.
const OUTCOMES: [&str; 6] = [
    "drawn",
    "no_majority",
    "no_previous",
    "recovering",
    "not_committed",
    "undecided",
];
/// Outcomes of a request to a member.
const ANSWERS: [&str; 6] = ["answered", "refused", "ledger", "unreachable", "timeout", "invalid"];
/// The state of a voter that DNS doesn't list.
const UNPUBLISHED: &str = "unpublished";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Question {
    question: &'static str,
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Missing {
    reason: &'static str,
}

/// Clones share their metrics, except `members`, which only the conductor's task uses.
#[derive(Clone, Debug)]
pub struct DrawMetrics {
    outcomes: Family<Outcome, Counter>,
    delays: Histogram,
    conducting: Gauge,
    restored: Counter,
    skipped: Counter,
    missing: Family<Missing, Counter>,
    questions: Family<Question, Counter>,
    states: Family<State, Gauge>,
    voters: Gauge,
    voting: Voters,
    period: Gauge,
    schedule: Option<Schedule>,
    /// The outcome of the last request to each member.
    members: BTreeMap<u16, &'static str>,
}

impl DrawMetrics {
    pub fn register(registry: &mut Registry) -> DrawMetrics {
        let delays = Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let help = "Time from a slot's scheduled time until its draw was final";
        registry.register_with_unit("draw_delay", help, Unit::Seconds, delays.clone());
        let metrics = DrawMetrics {
            outcomes: register(
                registry,
                "draw_slots",
                "Slots that came while this member led, by outcome",
            ),
            delays,
            conducting: register(
                registry,
                "draw_conducting",
                "1 while this holder conducts a draw or a recovery",
            ),
            restored: register(
                registry,
                "draw_restorations",
                "Times this holder restored the newest record to the Lease",
            ),
            skipped: register(
                registry,
                "draw_slots_skipped",
                "Slots without a draw, as counted in the records this holder drew",
            ),
            missing: register(
                registry,
                "draw_missing",
                "Members missing from the draws this holder conducted, by reason",
            ),
            questions: register(
                registry,
                "draw_questions",
                "Requests to members, this one included, by outcome",
            ),
            states: register(
                registry,
                "draw_members",
                "Members by outcome of this holder's last request to them; voters missing from DNS are `unpublished`; all 0 while not leading",
            ),
            voters: register(
                registry,
                "draw_voters",
                "Configured number of voters; a majority of them must store a draw before the next one",
            ),
            period: register_with_unit(
                registry,
                "draw_period",
                "Time between the slots around now, by the schedule",
                Unit::Seconds,
            ),
            voting: 0.into(),
            schedule: None,
            members: BTreeMap::new(),
        };
        metrics.create_all();
        metrics
    }

    /// Counters start at 0, so that `increase()` sees the first event.
    fn create_all(&self) {
        for outcome in OUTCOMES {
            drop(self.outcomes.get_or_create(&Outcome { outcome }));
        }
        for answer in ANSWERS {
            for question in ["keep", "heads"] {
                drop(self.questions.get_or_create(&Question { question, answer }));
            }
        }
        for state in ANSWERS.into_iter().chain([UNPUBLISHED]) {
            drop(self.states.get_or_create(&State { state }));
        }
        for reason in ["unpublished", "unreachable", "timeout", "refused", "invalid", "ledger"] {
            drop(self.missing.get_or_create(&Missing { reason }));
        }
    }

    /// Sets what doesn't change while this member runs.
    pub(super) fn begin(&mut self, config: &ConductorConfig, now: Wall) {
        self.voters.set(i64::from(config.voters.count));
        self.voting = config.voters;
        self.schedule = Some(config.schedule.clone());
        self.set_period(now);
    }

    /// At every slot: the periods of a cron expression vary.
    fn set_period(&self, now: Wall) {
        if let Some(schedule) = &self.schedule {
            let period = schedule.period_hint(now.seconds()).as_secs();
            self.period.set(i64::try_from(period).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn conducting(&self, is: bool) {
        self.conducting.set(i64::from(is));
    }

    pub(super) fn count(&self, report: &Report, now: Wall) {
        self.set_period(now);
        let outcome = match report {
            Report::Drawn(record) => {
                let late = now.0.saturating_sub(record.slot.0.saturating_mul(1_000_000));
                self.delays.observe(late.max(0) as f64 / 1e6);
                self.skipped.inc_by(record.missed);
                for missing in &record.missing {
                    let reason = name(missing.reason);
                    self.missing.get_or_create(&Missing { reason }).inc();
                }
                "drawn"
            }
            Report::Missed { obstacle, .. } => match obstacle {
                Obstacle::NoMajority { .. } => "no_majority",
                Obstacle::NoPrevious { .. } => "no_previous",
                Obstacle::Recovering => "recovering",
                Obstacle::NotCommitted => "not_committed",
            },
            Report::Undecided { .. } => "undecided",
            Report::Restored(_) => {
                self.restored.inc();
                return;
            }
            Report::Waiting { .. } => return,
        };
        self.outcomes.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts the outcome of one request to a member.
    pub(super) fn answered<T>(&mut self, question: &'static str, ordinal: u16, result: &Result<T, AskError>) {
        let answer = match result {
            Ok(_) => "answered",
            Err(AskError::Refused(Refusal::Ledger { .. })) => "ledger",
            Err(AskError::Refused(_)) => "refused",
            Err(AskError::Unreachable) => "unreachable",
            Err(AskError::Timeout) => "timeout",
            Err(AskError::Invalid) => "invalid",
        };
        self.questions.get_or_create(&Question { question, answer }).inc();
        self.members.insert(ordinal, answer);
    }

    /// Sets how many members are in each state. A member that stops leading forgets the states, which would be stale later.
    pub(super) fn set_members(&mut self, leads: bool, published: &BTreeSet<u16>) {
        if !leads {
            self.members.clear();
        }
        self.members.retain(|ordinal, _| published.contains(ordinal));
        for state in ANSWERS {
            let count = self.members.values().filter(|answer| **answer == state).count();
            self.set(state, count);
        }
        let voters = self.voting.ordinals();
        let unpublished = voters.filter(|ordinal| !published.contains(ordinal)).count();
        self.set(UNPUBLISHED, if leads { unpublished } else { 0 });
    }

    fn set(&self, state: &'static str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.states.get_or_create(&State { state }).set(count);
    }
}

/// As in the record.
fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Unpublished => "unpublished",
        Reason::Unreachable => "unreachable",
        Reason::Timeout => "timeout",
        Reason::Refused => "refused",
        Reason::Invalid => "invalid",
        Reason::Ledger => "ledger",
    }
}
