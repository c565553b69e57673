//! Draws as they come, from whichever member gives them: `/draws/stream`.

mod position;

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

pub(super) use self::position::Position;
use self::position::Seen;
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
/// Before anybody has answered, so often is each member asked: a wrong address should not wait for ever.
const FIRST_ATTEMPTS: u32 = 3;

/// What a follower is told.
#[derive(Debug)]
pub(super) enum Told {
    Draw(Box<Record>),
    /// For standard error: another member, or rounds that nobody keeps.
    Note(String),
}

/// Why a member was left.
enum Left {
    /// It is asked again at once, from the beginning of its chain: that is another than was told.
    Again,
    /// Its chain was given up: there are newer draws of another.
    Behind(String),
    Failed(String),
    /// Nobody reads any more.
    Done,
}

/// What became of something that a member said.
enum Heard {
    Fine,
    Leave(Left),
}

impl From<bool> for Heard {
    /// Whether anybody reads still.
    fn from(read: bool) -> Heard {
        match read {
            true => Heard::Fine,
            false => Heard::Leave(Left::Done),
        }
    }
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

/// Tells draws from `position` on for ever, each once and in order; until `tell` says that nobody reads. Where the chain is
/// another than was told, that is said, and it is told from its beginning on.
///
/// # Errors
/// Try again: nobody answers at the beginning. And those of `tell`.
pub(super) async fn follow(
    targets: &[Target],
    resolve: &Resolve,
    clock: &Clock,
    mut position: Position,
    silence: Duration,
    mut tell: impl FnMut(Told) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut members = Members::open(targets, resolve, clock.boot(), usize::MAX).await?;
    let mut before: Option<Member> = None;
    let mut behind: Option<String> = None;
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
            otherwise: false,
            silence,
            tell: &mut tell,
        };
        let left = session.follow().await?;
        let came = session.answered;
        let (reason, said) = match left {
            Left::Done => return Ok(()),
            Left::Again => ("its chain is another once more".to_owned(), false),
            // It is asked again and again, each time after a longer rest; that is said once.
            Left::Behind(reason) => {
                let said = behind.as_ref() == Some(&reason);
                behind = Some(reason.clone());
                (reason, said)
            }
            Left::Failed(reason) => {
                behind = behind.filter(|_| !came);
                (reason, !came)
            }
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
        if (!said || before.is_none()) && !tell(Told::Note(format!("{member}: {reason}; asking on")))? {
            return Ok(());
        }
        if came && behind.is_none() {
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
    /// It has said itself that its chain goes on otherwise, and from where it tells that.
    otherwise: bool,
    /// A stream that says nothing for so long is left.
    silence: Duration,
    tell: &'a mut T,
}

impl<T: FnMut(Told) -> Result<bool, Failure>> Session<'_, T> {
    async fn follow(&mut self) -> Result<Left, Failure> {
        match self.stream().await? {
            // It is asked from another round on, so that a second time says nothing new.
            Left::Again => self.stream().await,
            left => Ok(left),
        }
    }

    async fn stream(&mut self) -> Result<Left, Failure> {
        self.otherwise = false;
        let response = match self.open().await {
            Ok(response) => response,
            Err(reason) => return Ok(Left::Failed(reason)),
        };
        let (head, mut body) = response.into_parts();
        if head.status != StatusCode::OK {
            let not_one = match head.status {
                StatusCode::NOT_FOUND => ", so it is not a member that streams draws",
                _ => "",
            };
            return Ok(Left::Failed(format!("{STREAM}: {}{not_one}", head.status)));
        }
        let mut parser = Parser::default();
        loop {
            let frame = match timeout(self.silence, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Ok(Left::Failed(error.to_string())),
                Ok(None) => return Ok(Left::Failed("it ended the stream".into())),
                Err(_) => return Ok(Left::Failed(format!("silent for {}", show_duration(self.silence)))),
            };
            // A frame may also be trailers, which no member sends.
            let piece = frame.into_data().unwrap_or_default();
            let events = match parser.push(&piece) {
                Ok(events) => events,
                Err(error) => return Ok(Left::Failed(format!("not a member's stream: {error}"))),
            };
            if !self.welcome()? {
                return Ok(Left::Done);
            }
            for event in events {
                match self.event(&event).await {
                    Ok(Ok(Heard::Fine)) => {}
                    Ok(Ok(Heard::Leave(left))) => return Ok(left),
                    Ok(Err(failure)) => return Err(failure),
                    Err(reason) => return Ok(Left::Failed(format!("not a member's stream: {reason}"))),
                }
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

    /// Ok(Err): of `tell`. Err: what is wrong with the event.
    async fn event(&mut self, event: &Event) -> Result<Result<Heard, Failure>, String> {
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
                Ok(self.gap(gap.from, gap.oldest).map(Heard::from))
            }
            "ahead" => {
                let ahead: Ahead = serde_json::from_str(&event.data).map_err(|error| error.to_string())?;
                Ok(self.ahead(&ahead).await)
            }
            "chain" => {
                self.otherwise = true;
                Ok(Ok(Heard::Fine))
            }
            // Of a newer member.
            _ => Ok(Ok(Heard::Fine)),
        }
    }

    fn draw(&mut self, record: Record) -> Result<Heard, Failure> {
        let seen = self.position.sees(&record);
        if seen == Seen::Old {
            return Ok(Heard::Fine);
        }
        if let (Seen::Another, Some(last)) = (seen, &self.position.last) {
            if self.position.resumes() && !self.otherwise && record.round > 1 {
                return Ok(self.again());
            }
            let (chain, round) = (record.chain, record.round);
            let line = match last.chain == chain {
                true => format!("the chain goes on otherwise from round {round}: draws that were shown were set aside"),
                false => format!(
                    "another chain, {chain}, from round {round}; what was shown is of {}",
                    last.chain
                ),
            };
            if !(self.tell)(Told::Note(line))? {
                return Ok(Heard::Leave(Left::Done));
            }
        }
        let record = Box::new(record);
        self.position.take(record.clone());
        (self.tell)(Told::Draw(record)).map(Heard::from)
    }

    /// What this member has is of another chain: all of it that is kept is new.
    fn again(&mut self) -> Heard {
        self.position.next = Some(1);
        Heard::Leave(Left::Again)
    }

    /// It has not drawn as far as it was asked for: it lags, or its chain is another.
    async fn ahead(&mut self, ahead: &Ahead) -> Result<Heard, Failure> {
        let newest = ahead
            .newest
            .map_or("nothing".to_owned(), |newest| format!("up to round {newest}"));
        if self.position.last.is_some() && ahead.newest.is_some() {
            let record = match self.latest().await? {
                Ok(record) => record,
                Err(left) => return Ok(Heard::Leave(left)),
            };
            if let Some(heard) = record.and_then(|record| self.other_chain(&record)) {
                return Ok(heard);
            }
        }
        let line = format!("{} has drawn {newest}; waiting for round {}", self.member, ahead.from);
        (self.tell)(Told::Note(line)).map(Heard::from)
    }

    /// What to do where the newest record of a member doesn't follow what was told; none where it may yet.
    fn other_chain(&mut self, record: &Record) -> Option<Heard> {
        match (self.position.sees(record), &self.position.last) {
            (Seen::Another, _) => Some(self.again()),
            (Seen::Old, Some(last)) if last.chain != record.chain => {
                let (chain, slot) = (record.chain, record.slot);
                let line = format!("its chain, {chain}, ended with the draw of {slot}, before what was shown");
                Some(Heard::Leave(Left::Behind(line)))
            }
            _ => None,
        }
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

    /// The newest record; none before the first.
    async fn latest(&mut self) -> Result<Result<Option<Record>, Left>, Failure> {
        let answer = match self.member.ask("/draws/latest", "application/json").await {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(Left::Failed(failure.line))),
        };
        Ok(match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                let record = Record::parse(text.trim_end());
                record
                    .map(Some)
                    .map_err(|error| Left::Failed(format!("not a member's answer: {error}")))
            }
            status => Err(Left::Failed(status.to_string())),
        })
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
        let position = Position {
            next: Some(1),
            last: None,
        };
        let followed = follow(&targets, &resolve, &clock, position, silence, |what| {
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
