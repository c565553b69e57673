//! Asks members for the batches of a plan, several at a time, and hands them on in order, each once.
//!
//! A batch counts only when all of it has arrived; one that failed on its way is thrown away and asked for again, of another
//! member if there is one. Memory is bounded by the number of questions at once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::plan::Plan;
use crate::cli::spread::Members;
use crate::cli::target::{Member, Resolve, Target, explanation};
use crate::cli::{Exit, Failure};
use crate::clock::{Boot, Clock};

/// Questions at once, for each member and in all: more of them only wait for each other.
const EACH: usize = 2;
const AT_ONCE: usize = 8;
/// One question with its whole answer. A member waits for its journal for less.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How often one batch is asked for: of one member alone, with rests of 5 to 10 s in all between.
const ATTEMPTS: u32 = 8;

/// The members that are asked.
pub(super) struct Source<'a> {
    members: Members<'a>,
    clock: Clock,
    /// Told of each failure that another attempt may make good.
    note: &'a mut dyn FnMut(&str),
}

/// One question to one member, and what became of it.
struct Attempt {
    batch: u64,
    number: u32,
    member: Member,
    asked: Boot,
    outcome: Result<Bytes, Trouble>,
}

/// Why a member gave no batch.
#[derive(Clone, Debug)]
enum Trouble {
    /// Perhaps later, or another.
    Passing {
        reason: String,
        wait: Option<Duration>,
    },
    /// It doesn't know the path: an older one may stand beside newer ones.
    Unknown(String),
    /// Each would say the same.
    Refused(String),
    Invalid(String),
}

impl<'a> Source<'a> {
    /// # Errors
    /// Try again: a Service can't be looked up, or publishes nobody.
    pub(super) async fn open(
        targets: &'a [Target],
        resolve: &'a Resolve,
        clock: Clock,
        note: &'a mut dyn FnMut(&str),
    ) -> Result<Source<'a>, Failure> {
        let first = rand::rng().random_range(0..usize::from(u16::MAX));
        Ok(Source {
            members: Members::open(targets, resolve, clock.boot(), first).await?,
            clock,
            note,
        })
    }

    /// Hands each batch of the plan to `take`, in order, until it says that nobody reads any more.
    ///
    /// # Errors
    /// Usage: the members refuse the question. Try again: a batch could not be had. Data: answers that are none. And those
    /// of `take`.
    pub(super) async fn fetch(
        &mut self,
        plan: &Plan,
        mut take: impl AsyncFnMut(Bytes) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let at_once = (self.members.spread.len() * EACH).min(AT_ONCE) as u64;
        let mut attempts = JoinSet::new();
        let mut ready = BTreeMap::new();
        let (mut begun, mut taken) = (0, 0);
        while taken < plan.batches() {
            while begun < plan.batches() && begun - taken < at_once {
                self.ask(&mut attempts, plan, begun, 1, None);
                begun += 1;
            }
            if let Some(body) = ready.remove(&taken) {
                taken += 1;
                if !take(body).await? {
                    return Ok(false);
                }
                continue;
            }
            match attempts.join_next().await {
                Some(Ok(attempt)) => self.settle(&mut attempts, plan, &mut ready, attempt).await?,
                Some(Err(error)) => return Err(Failure::new(Exit::Bug, error)),
                None => return Err(Failure::new(Exit::Bug, "a batch was lost")),
            }
        }
        Ok(true)
    }

    fn ask(&mut self, attempts: &mut JoinSet<Attempt>, plan: &Plan, batch: u64, number: u32, not: Option<&Member>) {
        let (member, rest) = self.members.spread.pick(self.clock.boot(), not);
        let (plan, clock) = (plan.clone(), self.clock.clone());
        attempts.spawn(async move {
            sleep(rest).await;
            let asked = clock.boot();
            let outcome = match answer(&member, &plan.uri(batch), plan.accept()).await {
                Ok(body) => plan.check(batch, &body).map(|()| body).map_err(Trouble::Invalid),
                Err(trouble) => Err(trouble),
            };
            Attempt {
                batch,
                number,
                member,
                asked,
                outcome,
            }
        });
    }

    async fn settle(
        &mut self,
        attempts: &mut JoinSet<Attempt>,
        plan: &Plan,
        ready: &mut BTreeMap<u64, Bytes>,
        attempt: Attempt,
    ) -> Result<(), Failure> {
        let Attempt {
            batch, number, member, ..
        } = attempt;
        let trouble = match attempt.outcome {
            Ok(body) => {
                self.members.spread.worked(&member);
                ready.insert(batch, body);
                return Ok(());
            }
            Err(trouble) => trouble,
        };
        let path = plan.uri(batch);
        let path = path.split('?').next().unwrap_or_default();
        let (exit, reason, wait, most) = match trouble {
            Trouble::Refused(reason) => return Err(Failure::new(Exit::Usage, format!("{member}{path}: {reason}"))),
            Trouble::Unknown(reason) => {
                // Of two members the first may have been away and the second be the older one.
                let most = if self.members.spread.len() == 1 { 1 } else { ATTEMPTS };
                (Exit::Usage, reason, None, most)
            }
            Trouble::Invalid(reason) => (Exit::Data, format!("not a member's answer: {reason}"), None, ATTEMPTS),
            Trouble::Passing { reason, wait } => (Exit::TryAgain, reason, wait, ATTEMPTS),
        };
        let reason = format!("{member}{path}: {reason}");
        if number >= most {
            let line = match number {
                1 => reason,
                _ => format!("{reason}; given up after {number} attempts"),
            };
            return Err(Failure::new(exit, line));
        }
        (self.note)(&format!("{reason}; asking again"));
        let jitter = rand::rng().random_range(0.5..1.0);
        self.members
            .spread
            .failed(&member, attempt.asked, self.clock.boot(), wait, jitter);
        self.members.refresh(self.clock.boot()).await;
        self.ask(attempts, plan, batch, number + 1, Some(&member));
        Ok(())
    }
}

async fn answer(member: &Member, path: &str, accept: &'static str) -> Result<Bytes, Trouble> {
    let passing = |reason: String| Trouble::Passing { reason, wait: None };
    let request = Request::get(format!("{member}{path}")).header(header::ACCEPT, accept);
    let request = request
        .body(Full::default())
        .map_err(|error| Trouble::Refused(error.to_string()))?;
    let answer = member.client().within(ANSWER_LIMIT).send(request).await;
    let (head, body) = answer.map_err(|error| passing(error.to_string()))?.into_parts();
    if head.status == StatusCode::OK {
        return Ok(body);
    }
    let reason = format!("{}: {}", head.status, explanation(&body));
    Err(match head.status {
        StatusCode::NOT_FOUND => Trouble::Unknown(reason),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => passing(reason),
        status if status.is_client_error() => Trouble::Refused(reason),
        _ => {
            let after = head.headers.get(header::RETRY_AFTER);
            let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
            Trouble::Passing {
                reason,
                wait: seconds.map(Duration::from_secs),
            }
        }
    })
}
