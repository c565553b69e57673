//! When each process believed to lead, by its own report, and whether two ever did at once.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Members,
    Electors,
}

impl Side {
    /// By an identity; nobody's is none.
    pub fn of(identity: &str) -> Option<Side> {
        match identity {
            "" => None,
            member if member.starts_with("rg-") => Some(Side::Members),
            _ => Some(Side::Electors),
        }
    }
}

/// From when a process reported to lead, and until when; none while it has not reported the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub from: Timestamp,
    pub to: Option<Timestamp>,
}

impl Term {
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && self.to.is_none_or(|to| at < to)
    }
}

#[derive(Default)]
struct Terms(Vec<Term>);

impl Terms {
    fn begin(&mut self, at: Timestamp) {
        self.0.push(Term { from: at, to: None });
    }

    fn end(&mut self, at: Timestamp) {
        let last = self.0.last_mut().expect("an end after a beginning");
        assert_eq!(last.to, None, "one end");
        last.to = Some(at);
    }
}

/// A line that a process is writing just now is left for later.
fn lines(text: &str) -> impl Iterator<Item = Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// From a member's log.
pub fn of_member(log: &str) -> Vec<Term> {
    let mut terms = Terms::default();
    for line in lines(log) {
        let at = || line["timestamp"].as_str().unwrap().parse().unwrap();
        match line["message"].as_str() {
            // A new fence without an end before it is a new term.
            Some("became the leader") => {
                if terms.0.last().is_some_and(|last| last.to.is_none()) {
                    terms.end(at());
                }
                terms.begin(at());
            }
            Some("lost the lease") => terms.end(at()),
            _ => {}
        }
    }
    terms.0
}

/// The identity under which a member stands, by its log.
pub fn identity_of_member(log: &str) -> String {
    let starting = lines(log).find(|line| line["message"] == "starting");
    starting.expect("its first line")["lease"].as_str().unwrap().to_owned()
}

/// From the events of an elector of client-go.
pub fn of_elector(events: &str) -> Vec<Term> {
    let mut terms = Terms::default();
    for event in lines(events) {
        let at = || Timestamp::from_microsecond(event["at"].as_i64().unwrap()).unwrap();
        match event["event"].as_str() {
            Some("leading") => terms.begin(at()),
            Some("stopped") => terms.end(at()),
            _ => {}
        }
    }
    terms.0
}

/// The holder that an elector of client-go told last.
pub fn last_observed(events: &str) -> Option<String> {
    let observed = lines(events).filter(|event| event["event"] == "observed").last()?;
    observed["holder"].as_str().map(str::to_owned)
}

/// A time during which a process could act as the leader.
#[derive(Clone, Debug)]
pub struct Span {
    pub identity: String,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// The spans of one process. One that was struck while it led can't report in time, or at all: its span then lasts for
/// `bound` after the last renewal it sent, which is how long it might have believed in it.
pub fn of(
    identity: &str,
    terms: &[Term],
    struck: &[Timestamp],
    bound: Duration,
    last_renewal: impl Fn(Timestamp) -> Option<Timestamp>,
) -> Vec<Span> {
    let span = |term: &Term| {
        let cut = struck.iter().find(|at| term.covers(**at));
        let limit = cut.map(|at| last_renewal(*at).expect("a renewal of who leads") + bound);
        let to = term.to.into_iter().chain(limit).min();
        Span {
            identity: identity.to_owned(),
            from: term.from,
            to: to.unwrap_or_else(|| panic!("{identity} led from {} and never told the end", term.from)),
        }
    };
    terms.iter().map(span).collect()
}

/// Fails when two processes led at once.
pub fn check(mut spans: Vec<Span>) {
    spans.sort_by_key(|span| span.from);
    let mut found = String::new();
    for (n, span) in spans.iter().enumerate() {
        for later in &spans[n + 1..] {
            if later.from < span.to && later.identity != span.identity {
                writeln!(
                    found,
                    "{} led until {}, and {} from {}",
                    span.identity, span.to, later.identity, later.from
                )
                .unwrap();
            }
        }
    }
    assert!(found.is_empty(), "spans of leadership overlap:\n{found}");
}
