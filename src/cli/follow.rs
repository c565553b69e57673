//! Draws as they come, from whichever member gives them: `/draws/stream`, or `/draws` again and again where a member is too
//! old to have it.

use std::time::Duration;

use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::events::{Event, Parser};
use super::spread::Members;
use super::target::{Member, Resolve, Target, explanation};
use super::{Exit, Failure};
use crate::clock::Clock;
use crate::config::values::show_duration;
use crate::draw::record::Record;

/// Connecting, and the head of the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Three heartbeats: a member that is silent for longer is gone, or cut off.
pub(super) const SILENCE: Duration = Duration::from_secs(45);
/// How often a member without a stream is asked.
const POLL: Duration = Duration::from_secs(1);
const PAGE: u64 = 100;
/// Before anybody has answered, so often is each member asked: a wrong address should not wait for ever.
const FIRST_ATTEMPTS: u32 = 3;

/// What a follower is told.
#[derive(Debug)]
pub(super) enum Told {
    Draw(Box<Record>),
    /// For standard error: another member, or rounds that nobody keeps.
    Note(String),
}

/// How far a follower is.
#[derive(Debug, Default)]
struct Position {
    /// The round to go on from; none for whatever comes next.
    next: Option<u64>,
    /// The last one told.
    last: Option<Box<Record>>,
}

impl Position {
    /// A member that was asked again, or one that lags behind, gives what was told already. A new chain begins with round 1
    /// again: its fence is greater than that of the one before (docs/protocol.md, 2).
    fn is_new(&self, record: &Record) -> bool {
        match &self.last {
            None => self.next.is_none_or(|next| record.round >= next),
            Some(last) if last.chain == record.chain => record.round > last.round,
            Some(last) => record.fence > last.fence,
        }
    }

    fn take(&mut self, record: Box<Record>) {
        self.next = Some(record.round + 1);
        self.last = Some(record);
    }
}

/// Why a member was left.
enum Left {
    /// It has no stream.
    Older,
    Failed(String),
    /// Nobody reads any more.
    Done,
}

#[derive(Deserialize)]
struct Gap {
    from: u64,
    oldest: u64,
}

/// Tells draws from round `from` on, or from the next, for ever, each once and in order; until `tell` says that nobody reads.
///
/// # Errors
/// Try again: nobody answers at the beginning. And those of `tell`.
pub(super) async fn follow(
    targets: &[Target],
    resolve: &Resolve,
    clock: &Clock,
    from: Option<u64>,
    silence: Duration,
    mut tell: impl FnMut(Told) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut members = Members::open(targets, resolve, clock.boot(), usize::MAX).await?;
    let mut position = Position { next: from, last: None };
    let mut before: Option<Member> = None;
    let mut answered = false;
    let mut attempts = 0;
    loop {
        let spread = &mut members.spread;
        let (member, rest) = spread.pick(clock.boot(), before.as_ref());
        sleep(rest).await;
        let asked = clock.boot();
        let mut session = Session {
            member: &member,
            position: &mut position,
            moved: before.as_ref().filter(|before| **before != member),
            answered: false,
            silence,
            tell: &mut tell,
        };
        let mut left = session.stream().await?;
        if let Left::Older = left {
            left = session.poll().await?;
        }
        let came = session.answered;
        let reason = match left {
            Left::Done => return Ok(()),
            Left::Older => "it has no draws to follow".to_owned(),
            Left::Failed(reason) => reason,
        };
        answered |= came;
        attempts += 1;
        if !answered && attempts >= FIRST_ATTEMPTS * spread.len() as u32 {
            return Err(Failure::new(
                Exit::TryAgain,
                format!("{member}: {reason}; is the member running?"),
            ));
        }
        // A streak ends with an answer, so the last one of it is told and the rest is quiet.
        if (came || before.is_none()) && !tell(Told::Note(format!("{member}: {reason}; asking on")))? {
            return Ok(());
        }
        if came {
            spread.worked(&member);
        }
        spread.failed(&member, asked, clock.boot(), None, rand::random_range(0.5..1.0));
        before = Some(member);
        members.refresh(clock.boot()).await;
    }
}

/// One member, for as long as it gives draws.
struct Session<'a, T> {
    member: &'a Member,
    position: &'a mut Position,
    /// The member before, to be told once this one answers.
    moved: Option<&'a Member>,
    answered: bool,
    /// A stream that says nothing for so long is left.
    silence: Duration,
    tell: &'a mut T,
}

impl<T: FnMut(Told) -> Result<bool, Failure>> Session<'_, T> {
    async fn stream(&mut self) -> Result<Left, Failure> {
        let begun = timeout(ANSWER_LIMIT, self.begin()).await;
        let (mut connection, response) = match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(reason)) => return Ok(Left::Failed(reason)),
            Err(_) => return Ok(Left::Failed(format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
        };
        let (head, mut body) = response.into_parts();
        if head.status != StatusCode::OK {
            // An older member takes "stream" for a round's number, which it isn't, and has no events to give.
            let older = [
                StatusCode::NOT_FOUND,
                StatusCode::BAD_REQUEST,
                StatusCode::NOT_ACCEPTABLE,
            ];
            if older.contains(&head.status) {
                return Ok(Left::Older);
            }
            return Ok(Left::Failed(head.status.to_string()));
        }
        let mut parser = Parser::default();
        loop {
            let piece = match timeout(self.silence, connection.piece(&mut body)).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(reason))) => return Ok(Left::Failed(reason)),
                Ok(None) => return Ok(Left::Failed("it ended the stream".into())),
                Err(_) => return Ok(Left::Failed(format!("silent for {}", show_duration(self.silence)))),
            };
            let events = match parser.push(&piece) {
                Ok(events) => events,
                Err(error) => return Ok(Left::Failed(format!("not a member's stream: {error}"))),
            };
            if !self.welcome()? {
                return Ok(Left::Done);
            }
            for event in events {
                match self.event(&event) {
                    Ok(Ok(true)) => {}
                    Ok(Ok(false)) => return Ok(Left::Done),
                    Ok(Err(failure)) => return Err(failure),
                    Err(reason) => return Ok(Left::Failed(format!("not a member's stream: {reason}"))),
                }
            }
        }
    }

    async fn begin(&self) -> Result<(Connection, hyper::Response<hyper::body::Incoming>), String> {
        let mut request = Request::get("/draws/stream").header(header::ACCEPT, "text/event-stream");
        if let Some(next) = self.position.next {
            request = request.header("last-event-id", next - 1);
        }
        let request = request.body(Full::default()).map_err(|error| error.to_string())?;
        let mut connection = Connection::open(self.member).await?;
        let response = connection.begin(request).await?;
        Ok((connection, response))
    }

    /// Ok(Err): of `tell`. Err: what is wrong with the event.
    fn event(&mut self, event: &Event) -> Result<Result<bool, Failure>, String> {
        match event.kind.as_str() {
            "draw" => {
                let record = Record::parse(&event.data).map_err(|error| error.to_string())?;
                if event.id != record.round.to_string() {
                    return Err(format!("the event {:?} has round {}", event.id, record.round));
                }
                Ok(self.draw(record))
            }
            "gap" => {
                let gap: Gap = serde_json::from_str(&event.data).map_err(|error| error.to_string())?;
                Ok(self.gap(gap.from, gap.oldest))
            }
            // Of a newer member.
            _ => Ok(Ok(true)),
        }
    }

    fn draw(&mut self, record: Record) -> Result<bool, Failure> {
        if !self.position.is_new(&record) {
            return Ok(true);
        }
        if let Some(last) = &self.position.last
            && last.chain != record.chain
            && !(self.tell)(Told::Note(format!("a new chain begins: {}", record.chain)))?
        {
            return Ok(false);
        }
        let record = Box::new(record);
        self.position.take(record.clone());
        (self.tell)(Told::Draw(record))
    }

    fn gap(&mut self, from: u64, oldest: u64) -> Result<bool, Failure> {
        if from >= oldest {
            return Ok(true);
        }
        self.position.next = Some(oldest);
        let line = format!("{} no longer keeps rounds {from} to {}", self.member, oldest - 1);
        (self.tell)(Told::Note(line))
    }

    /// Says that another member has answered, once.
    fn welcome(&mut self) -> Result<bool, Failure> {
        self.answered = true;
        match self.moved.take() {
            Some(_) => (self.tell)(Told::Note(format!("following {}", self.member))),
            None => Ok(true),
        }
    }

    /// What `/draws` has, again and again.
    async fn poll(&mut self) -> Result<Left, Failure> {
        loop {
            let from = match self.position.next {
                Some(next) => next,
                None => match self.newest().await? {
                    Ok(next) => next,
                    Err(left) => return Ok(left),
                },
            };
            self.position.next = Some(from);
            let path = format!("/draws?from={from}&limit={PAGE}");
            let answer = match self.member.ask(&path, "application/x-ndjson").await {
                Ok(answer) => answer,
                Err(failure) => return Ok(Left::Failed(failure.line)),
            };
            match answer.status {
                StatusCode::OK => {}
                StatusCode::GONE => {
                    let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
                    let oldest = problem.and_then(|problem| problem.get("oldest")?.as_u64());
                    match oldest.filter(|oldest| *oldest > from) {
                        Some(oldest) if !self.gap(from, oldest)? => return Ok(Left::Done),
                        Some(_) => continue,
                        None => return Ok(Left::Failed(explanation(&answer.body))),
                    }
                }
                status => return Ok(Left::Failed(format!("{status}: {}", explanation(&answer.body)))),
            }
            if !self.welcome()? {
                return Ok(Left::Done);
            }
            let Ok(lines) = std::str::from_utf8(&answer.body) else {
                return Ok(Left::Failed("not a member's answer: it is not UTF-8".into()));
            };
            for line in lines.lines() {
                let record = match Record::parse(line) {
                    Ok(record) => record,
                    Err(error) => return Ok(Left::Failed(format!("not a member's answer: {error}"))),
                };
                if !self.draw(record)? {
                    return Ok(Left::Done);
                }
            }
            sleep(POLL).await;
        }
    }

    /// The round after the newest.
    async fn newest(&mut self) -> Result<Result<u64, Left>, Failure> {
        let answer = match self.member.ask("/draws/latest", "application/json").await {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(Left::Failed(failure.line))),
        };
        let next = match answer.status {
            StatusCode::NOT_FOUND => Ok(1),
            StatusCode::OK => {
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                let record = Record::parse(text.trim_end());
                record
                    .map(|record| record.round + 1)
                    .map_err(|error| Left::Failed(format!("not a member's answer: {error}")))
            }
            status => Err(Left::Failed(status.to_string())),
        };
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: here\n\n";

    /// Answers each question with this, and keeps the connection open.
    async fn saying(text: String, tasks: &mut JoinSet<()>) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tasks.spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                // A question is one small packet.
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(text.as_bytes()).await.unwrap();
                open.push(stream);
            }
        });
        url.parse().unwrap()
    }

    #[tokio::test]
    async fn a_member_that_falls_silent_is_left_for_another_that_is_told() {
        let mut tasks = JoinSet::new();
        let record = include_str!("../../tests/vectors/good-one-record.jsonl");
        let draw = format!("{HEAD}id: 1\nevent: draw\ndata: {record}\n");
        let targets = [saying(HEAD.into(), &mut tasks).await, saying(draw, &mut tasks).await];
        let resolve = |_: String| -> BoxFuture<'static, _> { Box::pin(async { Ok(Vec::new()) }) };
        let mut told = Vec::new();
        let silence = Duration::from_millis(100);
        let clock = Clock::system();
        let followed = follow(&targets, &resolve, &clock, Some(1), silence, |what| {
            let goes_on = !matches!(what, Told::Draw(_));
            told.push(match what {
                Told::Draw(record) => record.round.to_string(),
                Told::Note(line) => line,
            });
            Ok(goes_on)
        });
        let followed = timeout(Duration::from_secs(60), followed).await;
        followed.expect("it moves on").unwrap();
        let [left, found, drawn] = &told[..] else {
            panic!("{told:?}");
        };
        assert!(left.ends_with(": silent for 100ms; asking on"), "{left}");
        assert!(found.starts_with("following http://127.0.0.1:"), "{found}");
        assert_eq!(drawn, "1");
    }
}
