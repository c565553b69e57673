//! Fetches the batches of a plan from members, several at a time, and hands them on in order, each once.
//!
//! A batch counts only once all of it has arrived; one that fails is discarded and fetched again, from another member if there
//! is one. The number of concurrent requests bounds the memory.

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
use crate::client::ClientError;
use crate::clock::{Boot, Clock};

/// Concurrent requests for each member.
const EACH: usize = 2;
/// Concurrent requests in all: more would only wait for each other.
const AT_ONCE: usize = 8;
/// One request with its whole answer. It is longer than a member waits for its journal.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Attempts to fetch one batch: for a single member, over 5 to 10 s in all.
const ATTEMPTS: u32 = 8;
/// No further attempt for a batch that has been tried for this long: no member answers in time.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Source<'a> {
    members: Members<'a>,
    clock: Clock,
    limits: Limits,
    /// Reports each failure that another attempt may overcome; true: even without --verbose.
    note: &'a mut dyn FnMut(&str, bool),
    /// Whether a member that gives no answer was reported.
    noted: bool,
}

/// Of one answer, and of all attempts to get one batch.
#[derive(Clone, Copy)]
struct Limits {
    answer: Duration,
    batch: Duration,
}

/// One request to one member, and its outcome.
struct Attempt {
    batch: u64,
    number: u32,
    /// When the batch was first asked for.
    first: Boot,
    member: Member,
    asked: Boot,
    outcome: Result<Bytes, Problem>,
}

/// Why a member gave no batch.
#[derive(Clone, Debug)]
enum Problem {
    /// Worth another attempt, later or with another member.
    Temporary {
        reason: String,
        wait: Option<Duration>,
    },
    /// No answer within `Limits::answer`. Worth another attempt too.
    Late(String),
    /// It doesn't know the path: an older member may run beside newer ones.
    Unknown(String),
    /// Every member would refuse it.
    Refused(String),
    Invalid(String),
}

impl<'a> Source<'a> {
    pub(super) async fn open(
        targets: &'a [Target],
        resolve: &'a Resolve,
        clock: Clock,
        note: &'a mut dyn FnMut(&str, bool),
    ) -> Result<Source<'a>, Failure> {
        let first = rand::rng().random_range(0..usize::from(u16::MAX));
        Ok(Source {
            members: Members::open(targets, resolve, clock.boot(), first).await?,
            clock,
            limits: Limits {
                answer: ANSWER_LIMIT,
                batch: PATIENCE,
            },
            note,
            noted: false,
        })
    }

    /// Hands each batch of the plan to `take`, in order, until it says that the reader is gone. False if it did.
    ///
    /// # Errors
    /// Usage: the members refuse the request. Try again: a batch could not be fetched. Data: an answer is malformed. And those
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
                self.ask(&mut attempts, plan, (begun, self.clock.boot()), 1, None);
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

    fn ask(
        &mut self,
        attempts: &mut JoinSet<Attempt>,
        plan: &Plan,
        (batch, first): (u64, Boot),
        number: u32,
        not: Option<&Member>,
    ) {
        let (member, rest) = self.members.spread.pick(self.clock.boot(), not);
        let (plan, clock, limit) = (plan.clone(), self.clock.clone(), self.limits.answer);
        attempts.spawn(async move {
            sleep(rest).await;
            let asked = clock.boot();
            let outcome = match answer(&member, &plan.uri(batch), plan.accept(), limit).await {
                Ok(body) => plan.check(batch, &body).map(|()| body).map_err(Problem::Invalid),
                Err(problem) => Err(problem),
            };
            Attempt {
                batch,
                number,
                first,
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
            batch,
            number,
            first,
            member,
            ..
        } = attempt;
        let problem = match attempt.outcome {
            Ok(body) => {
                self.members.spread.worked(&member);
                ready.insert(batch, body);
                return Ok(());
            }
            Err(problem) => problem,
        };
        let path = plan.uri(batch);
        let path = path.split('?').next().unwrap_or_default();
        let late = matches!(problem, Problem::Late(_));
        let (exit, reason, wait, most) = match problem {
            Problem::Refused(reason) => return Err(Failure::new(Exit::Usage, format!("{member}{path}: {reason}"))),
            Problem::Unknown(reason) => {
                // With several members, a newer one may know it.
                let most = if self.members.spread.len() == 1 { 1 } else { ATTEMPTS };
                (Exit::Usage, reason, None, most)
            }
            Problem::Invalid(reason) => (Exit::Data, format!("not a member's answer: {reason}"), None, ATTEMPTS),
            Problem::Temporary { reason, wait } => (Exit::TryAgain, reason, wait, ATTEMPTS),
            Problem::Late(reason) => (Exit::TryAgain, reason, None, ATTEMPTS),
        };
        let reason = format!("{member}{path}: {reason}");
        let now = self.clock.boot();
        if number >= most || now.since(first) >= self.limits.batch {
            let line = match number {
                1 => reason,
                _ => format!("{reason}; given up after {number} attempts"),
            };
            return Err(Failure::new(exit, line));
        }
        let news = late && !std::mem::replace(&mut self.noted, true);
        (self.note)(&format!("{reason}; asking again"), news);
        let jitter = rand::rng().random_range(0.5..1.0);
        self.members.spread.failed(&member, attempt.asked, now, wait, jitter);
        self.members.refresh(now).await;
        self.ask(attempts, plan, (batch, first), number + 1, Some(&member));
        Ok(())
    }
}

async fn answer(member: &Member, path: &str, accept: &'static str, limit: Duration) -> Result<Bytes, Problem> {
    let temporary = |reason: String| Problem::Temporary { reason, wait: None };
    let request = Request::get(format!("{member}{path}")).header(header::ACCEPT, accept);
    let request = request
        .body(Full::default())
        .map_err(|error| Problem::Refused(error.to_string()))?;
    let answer = member.client().within(limit).send(request).await;
    let answer = answer.map_err(|error| match error {
        ClientError::Timeout(_) => Problem::Late(error.to_string()),
        error => temporary(error.to_string()),
    })?;
    let (head, body) = answer.into_parts();
    if head.status == StatusCode::OK {
        return Ok(body);
    }
    let reason = format!("{}: {}", head.status, explanation(&body));
    Err(match head.status {
        StatusCode::NOT_FOUND => Problem::Unknown(reason),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => temporary(reason),
        status if status.is_client_error() => Problem::Refused(reason),
        _ => {
            let after = head.headers.get(header::RETRY_AFTER);
            let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
            Problem::Temporary {
                reason,
                wait: seconds.map(Duration::from_secs),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_accepts_and_never_answers_is_noted_once_and_given_up_in_time() {
        // The kernel accepts; nobody reads.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let targets = [url.parse().unwrap()];
        let resolve = |_: String| -> BoxFuture<'static, _> { Box::pin(async { Ok(Vec::new()) }) };
        let mut notes = Vec::new();
        let mut note = |line: &str, news: bool| notes.push((line.to_owned(), news));
        let mut source = Source::open(&targets, &resolve, Clock::system(), &mut note)
            .await
            .unwrap();
        source.limits = Limits {
            answer: Duration::from_millis(100),
            batch: Duration::from_secs(1),
        };
        let fetched = source.fetch(&Plan::bytes(1), async |_| Ok(true)).await;
        let failure = fetched.unwrap_err();
        assert_eq!(failure.exit, Exit::TryAgain);
        let expected = format!("{url}/bytes: no answer within 100ms");
        assert!(
            failure.line.starts_with(&format!("{expected}; given up after ")),
            "{}",
            failure.line
        );
        // The waits between attempts double: a sixth attempt would come after more than a second.
        assert!((1..=5).contains(&notes.len()), "{notes:?}");
        for (number, (line, news)) in notes.iter().enumerate() {
            assert_eq!((line, *news), (&format!("{expected}; asking again"), number == 0));
        }
    }
}
