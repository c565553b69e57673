//! Draws as they come, from any member that serves them: `/draws/stream`.

mod position;

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use self::position::Order;
pub(super) use self::position::Position;
use super::events::{Event, Parser};
use super::spread::Members;
use super::target::{Member, Resolve, Target};
use super::{Exit, Failure};
use crate::clock::Clock;
use crate::config::values::show_duration;
use crate::record::Record;

const STREAM: &str = "/draws/stream";
/// Three heartbeats: a member that is silent for longer is gone, or cut off.
pub(super) const SILENCE: Duration = Duration::from_secs(45);
/// Until one has answered, each member is asked this often: a wrong address should not wait for ever.
const FIRST_ATTEMPTS: u32 = 3;

/// What a follower sees.
#[derive(Debug)]
pub(super) enum Update {
    Draw(Box<Record>),
    /// For standard error: another member, or rounds that are no longer kept.
    Note(String),
}

/// Why a member is left.
enum Leave {
    /// It has a different chain: ask it again, from the beginning.
    Restart,
    /// Its chain was given up: another one has newer draws.
    Behind(String),
    Failed(String),
    /// The reader closed the output.
    Closed,
    /// The output can't be written.
    Output(Failure),
}

#[derive(Deserialize)]
struct Ahead {
    from: u64,
    newest: Option<u64>,
}

#[derive(Deserialize)]
struct Gap {
    from: u64,
    oldest: u64,
}

/// Shows draws from `position` on, each once and in order, until `show` says that the reader is gone. When the chain changes,
/// that is noted, and the new one is shown from its beginning.
///
/// # Errors
/// Try again: no member answers at the beginning. And those of `show`.
pub(super) async fn follow(
    targets: &[Target],
    resolve: &Resolve,
    clock: &Clock,
    mut position: Position,
    silence: Duration,
    mut show: impl FnMut(Update) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut members = Members::open(targets, resolve, clock.boot(), usize::MAX).await?;
    let mut previous: Option<Member> = None;
    let mut behind: Option<String> = None;
    let mut answered = false;
    let mut attempts = 0;
    loop {
        let spread = &mut members.spread;
        let (member, rest) = spread.pick(clock.boot(), previous.as_ref());
        sleep(rest).await;
        let asked = clock.boot();
        let mut session = Session {
            member: &member,
            position: &mut position,
            announce: previous.as_ref().is_some_and(|previous| *previous != member),
            answered: false,
            chain_changed: false,
            silence,
            show: &mut show,
        };
        let Err(leave) = session.follow().await;
        let answered_now = session.answered;
        // A repeated reason is noted once.
        let (reason, repeated) = match leave {
            Leave::Closed => return Ok(()),
            Leave::Output(failure) => return Err(failure),
            Leave::Restart => ("its chain changed again".to_owned(), false),
            Leave::Behind(reason) => {
                let repeated = behind.as_ref() == Some(&reason);
                behind = Some(reason.clone());
                (reason, repeated)
            }
            Leave::Failed(reason) => {
                behind = behind.filter(|_| !answered_now);
                (reason, !answered_now)
            }
        };
        answered |= answered_now;
        attempts += 1;
        if !answered && attempts >= FIRST_ATTEMPTS * spread.len() as u32 {
            return Err(Failure::new(
                Exit::TryAgain,
                format!("{member}: {reason}; is the member running?"),
            ));
        }
        if (!repeated || previous.is_none()) && !show(Update::Note(format!("{member}: {reason}; asking on")))? {
            return Ok(());
        }
        if answered_now && behind.is_none() {
            spread.worked(&member);
        }
        spread.failed(&member, asked, clock.boot(), None, rand::random_range(0.5..1.0));
        previous = Some(member);
        members.refresh(clock.boot()).await;
    }
}

/// One member, for as long as it gives draws.
struct Session<'a, T> {
    member: &'a Member,
    position: &'a mut Position,
    /// Note that it is followed, once it answers.
    announce: bool,
    answered: bool,
    /// It has said itself that its chain changed, and from where on it shows the new one.
    chain_changed: bool,
    /// A stream that is silent for this long is left.
    silence: Duration,
    show: &'a mut T,
}

impl<T: FnMut(Update) -> Result<bool, Failure>> Session<'_, T> {
    async fn follow(&mut self) -> Result<Infallible, Leave> {
        match self.stream().await {
            // The second time it is asked from the first round, which changes the answer.
            Err(Leave::Restart) => self.stream().await,
            left => left,
        }
    }

    async fn stream(&mut self) -> Result<Infallible, Leave> {
        self.chain_changed = false;
        let (head, mut body) = self.open().await.map_err(Leave::Failed)?.into_parts();
        if head.status != StatusCode::OK {
            let hint = match head.status {
                StatusCode::NOT_FOUND => ", so it is not a member that streams draws",
                _ => "",
            };
            return Err(Leave::Failed(format!("{STREAM}: {}{hint}", head.status)));
        }
        let mut parser = Parser::default();
        loop {
            let frame = match timeout(self.silence, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(Leave::Failed(error.to_string())),
                Ok(None) => return Err(Leave::Failed("it ended the stream".into())),
                Err(_) => return Err(Leave::Failed(format!("silent for {}", show_duration(self.silence)))),
            };
            // A frame may also be trailers, which no member sends.
            let events = parser.push(&frame.into_data().unwrap_or_default());
            let events = events.map_err(|error| malformed(&error))?;
            self.answered = true;
            if std::mem::take(&mut self.announce) {
                self.note(format!("following {}", self.member))?;
            }
            for event in events {
                self.handle(&event).await?;
            }
        }
    }

    async fn open(&self) -> Result<Response<Incoming>, String> {
        let mut request = Request::get(format!("{}{STREAM}", self.member)).header(header::ACCEPT, "text/event-stream");
        if let Some(next) = self.position.next {
            request = request.header("last-event-id", next - 1);
        }
        let request = request.body(Full::default()).map_err(|error| error.to_string())?;
        let answer = self.member.client().open(request).await;
        answer.map_err(|error| error.to_string())
    }

    async fn handle(&mut self, event: &Event) -> Result<(), Leave> {
        match event.kind.as_str() {
            "draw" => {
                let record = Record::parse(&event.data).map_err(|error| malformed(&error))?;
                if event.id != record.round.to_string() {
                    return Err(malformed(&format!(
                        "the event {:?} has round {}",
                        event.id, record.round
                    )));
                }
                self.draw(record)
            }
            "gap" => self.gap(&parse(event)?),
            "ahead" => self.ahead(&parse(event)?).await,
            "chain" => {
                self.chain_changed = true;
                Ok(())
            }
            // Of a newer member.
            _ => Ok(()),
        }
    }

    fn draw(&mut self, record: Record) -> Result<(), Leave> {
        let order = self.position.compare(&record);
        if order == Order::Old {
            return Ok(());
        }
        if let (Order::OtherChain, Some(last)) = (order, &self.position.last) {
            if self.position.resumes() && !self.chain_changed && record.round > 1 {
                return Err(self.restart());
            }
            let (chain, round) = (record.chain, record.round);
            let line = match last.chain == chain {
                true => format!("the chain changed from round {round} on: draws already shown were set aside"),
                false => format!(
                    "a different chain, {chain}, from round {round} on; the draws shown so far belong to {}",
                    last.chain
                ),
            };
            self.note(line)?;
        }
        let record = Box::new(record);
        self.position.advance(record.clone());
        self.show(Update::Draw(record))
    }

    /// This member has a different chain: every record it keeps is new.
    fn restart(&mut self) -> Leave {
        self.position.next = Some(1);
        Leave::Restart
    }

    /// It has not drawn the requested round yet: it lags, or has a different chain.
    async fn ahead(&mut self, ahead: &Ahead) -> Result<(), Leave> {
        if self.position.last.is_some()
            && ahead.newest.is_some()
            && let Some(newest) = self
                .member
                .latest_draw()
                .await
                .map_err(|failure| Leave::Failed(failure.line))?
        {
            self.check_chain(&newest)?;
        }
        let newest = ahead
            .newest
            .map_or("nothing".to_owned(), |newest| format!("up to round {newest}"));
        self.note(format!(
            "{} has drawn {newest}; waiting for round {}",
            self.member, ahead.from
        ))
    }

    /// Leaves a member whose newest record can't lead to a successor of what was shown.
    fn check_chain(&mut self, newest: &Record) -> Result<(), Leave> {
        match (self.position.compare(newest), &self.position.last) {
            (Order::OtherChain, _) => Err(self.restart()),
            (Order::Old, Some(last)) if last.chain != newest.chain => {
                let (chain, slot) = (newest.chain, newest.slot);
                let line = format!("its chain, {chain}, ended with the draw of {slot}, before what was shown");
                Err(Leave::Behind(line))
            }
            _ => Ok(()),
        }
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Leave> {
        if gap.from >= gap.oldest {
            return Ok(());
        }
        self.position.next = Some(gap.oldest);
        let (from, to) = (gap.from, gap.oldest - 1);
        self.note(format!("{} no longer keeps rounds {from} to {to}", self.member))
    }

    fn note(&mut self, line: String) -> Result<(), Leave> {
        self.show(Update::Note(line))
    }

    fn show(&mut self, update: Update) -> Result<(), Leave> {
        match (self.show)(update) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Leave::Closed),
            Err(failure) => Err(Leave::Output(failure)),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(event: &'a Event) -> Result<T, Leave> {
    serde_json::from_str(&event.data).map_err(|error| malformed(&error))
}

fn malformed(error: &dyn std::fmt::Display) -> Leave {
    Leave::Failed(format!("not a member's stream: {error}"))
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
    async fn answering(text: String, tasks: &mut JoinSet<()>) -> Target {
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
    async fn a_silent_member_is_left_for_another_and_that_is_reported() {
        let mut tasks = JoinSet::new();
        let record = include_str!("../../tests/vectors/good-one-record.jsonl");
        let draw = format!("{HEAD}id: 1\nevent: draw\ndata: {record}\n");
        let targets = [
            answering(HEAD.into(), &mut tasks).await,
            answering(draw, &mut tasks).await,
        ];
        let resolve = |_: String| -> BoxFuture<'static, _> { Box::pin(async { Ok(Vec::new()) }) };
        let mut shown = Vec::new();
        let silence = Duration::from_millis(100);
        let clock = Clock::system();
        let position = Position {
            next: Some(1),
            last: None,
        };
        let followed = follow(&targets, &resolve, &clock, position, silence, |update| {
            let continues = !matches!(update, Update::Draw(_));
            shown.push(match update {
                Update::Draw(record) => record.round.to_string(),
                Update::Note(line) => line,
            });
            Ok(continues)
        });
        let followed = timeout(Duration::from_secs(60), followed).await;
        followed.expect("it moves on").unwrap();
        let [left, found, drawn] = &shown[..] else {
            panic!("{shown:?}");
        };
        assert!(left.ends_with(": silent for 100ms; asking on"), "{left}");
        assert!(found.starts_with("following http://127.0.0.1:"), "{found}");
        assert_eq!(drawn, "1");
    }
}
