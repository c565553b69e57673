//! One request to the API server and its answer, each step within a bound; and what is known of it when no answer comes.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode, header};
use tokio::time::timeout;

use super::access::{Access, Driver, Line, Outgoing, Session, chain};
use super::metrics::KubernetesMetrics;
use crate::clock::{Boot, Clock};
use crate::store::StoreError;

/// Longer than any Lease: the API server takes annotations of 256 KiB, and etcd objects of 1.5 MiB.
const ANSWER_MAX: usize = 4 << 20;

/// The bounds of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of connecting: TCP and TLS.
    pub connect: Duration,
    /// Of all of it, to the answer's last byte; of a watch, to its answer's head.
    pub answer: Duration,
}

/// An HTTP answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request never left, so it can have no effect.
    Unsent(StoreError),
    /// It left, or may have.
    Unanswered(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> StoreError {
        match failure {
            Failure::Unsent(error) => error,
            Failure::Unanswered(detail) => StoreError::Unreachable(detail),
        }
    }
}

/// A watch that stands: lines of JSON as they come.
pub(super) struct Lines {
    line: Line,
    body: Incoming,
    /// The connection has ended; what has arrived is still in `body`.
    ended: bool,
    buffer: BytesMut,
}

pub(super) enum Opened {
    Lines(Box<Lines>),
    Refused(Answer),
}

pub(super) struct Exchange {
    access: Access,
    limits: Limits,
    clock: Clock,
    metrics: KubernetesMetrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// The API server has asked to be left alone until then.
    quiet_until: Boot,
}

/// What became of a request on one connection.
enum Tried<T> {
    Done(T),
    /// The connection was closed before the request was written.
    Unwritten(String),
    Lost(String),
}

impl Exchange {
    pub fn new(access: Access, limits: Limits, clock: Clock, metrics: KubernetesMetrics) -> Exchange {
        Exchange {
            access,
            limits,
            clock,
            metrics,
            state: Mutex::default(),
        }
    }

    pub fn metrics(&self) -> &KubernetesMetrics {
        &self.metrics
    }

    /// Sends one request; `path` has a leading slash. After a failure no connection is used again.
    pub async fn call(&self, method: &Method, path: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        let body = Bytes::from(body);
        let answer = self
            .bounded(method.as_str(), |session, sent| {
                self.whole(session, method, path, body.clone(), sent)
            })
            .await?;
        self.heed(&answer);
        Ok(answer)
    }

    /// Opens a watch. Only its answer's head is bounded here: whoever reads the lines knows how long silence may last.
    pub async fn watch(&self, path: &str) -> Result<Opened, Failure> {
        let opened = self
            .bounded("WATCH", |session, sent| self.opened(session, path, sent))
            .await?;
        if let Opened::Refused(answer) = &opened {
            self.heed(answer);
        }
        Ok(opened)
    }

    async fn bounded<'a, T, F>(
        &'a self,
        verb: &str,
        attempt: impl FnOnce(Arc<Session>, Arc<AtomicBool>) -> F,
    ) -> Result<T, Failure>
    where
        T: Coded,
        F: Future<Output = Result<T, Failure>> + 'a,
    {
        if self.clock.boot() < self.state(|state| state.quiet_until) {
            return Err(Failure::Unsent(StoreError::Unreachable(
                "the API server is busy and asked to wait (429)".to_owned(),
            )));
        }
        let sent = Arc::new(AtomicBool::new(false));
        let bound = self.limits.answer;
        let all = async {
            let session = self.session().await?;
            attempt(session, Arc::clone(&sent)).await
        };
        let result = timeout(bound, all).await.unwrap_or_else(|_| {
            let late = format!("the API server gave no answer within {bound:?}");
            Err(match sent.load(Ordering::Relaxed) {
                true => Failure::Unanswered(late),
                false => Failure::Unsent(StoreError::Unreachable(late)),
            })
        });
        self.metrics.count(verb, result.as_ref().ok().map(Coded::code));
        // Another connection, with credentials read anew, is the cheapest thing to try.
        let refused = result
            .as_ref()
            .is_ok_and(|done| done.code() == StatusCode::UNAUTHORIZED);
        if result.is_err() || refused {
            self.state(|state| state.session = None);
        }
        result
    }

    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let unusable = |reason| Failure::Unsent(StoreError::Refused(reason));
        let credentials = self.access.credentials().await.map_err(unusable)?;
        let now = self.clock.boot();
        let current = self.state(|state| state.session.clone());
        if let Some(session) = current.filter(|session| session.serves(&credentials, now)) {
            return Ok(session);
        }
        let session = self.access.session(credentials, now).await.map_err(unusable)?;
        let session = Arc::new(session);
        self.state(|state| state.session = Some(Arc::clone(&session)));
        Ok(session)
    }

    async fn whole(
        &self,
        session: Arc<Session>,
        method: &Method,
        path: &str,
        body: Bytes,
        sent: Arc<AtomicBool>,
    ) -> Result<Answer, Failure> {
        let request = || self.request(&session, method, path, body.clone());
        while let Some(line) = session.take(self.clock.boot()) {
            match self.ask(&session, line, request().await?, &sent).await {
                Tried::Done(answer) => return Ok(answer),
                Tried::Unwritten(_) => {}
                Tried::Lost(reason) => return Err(Failure::Unanswered(reason)),
            }
        }
        let line = self.dial(&session).await?;
        match self.ask(&session, line, request().await?, &sent).await {
            Tried::Done(answer) => Ok(answer),
            Tried::Unwritten(reason) => Err(Failure::Unsent(StoreError::Unreachable(reason))),
            Tried::Lost(reason) => Err(Failure::Unanswered(reason)),
        }
    }

    async fn request(&self, session: &Session, method: &Method, path: &str, body: Bytes) -> Result<Outgoing, Failure> {
        let unusable = |reason| Failure::Unsent(StoreError::Refused(reason));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("random-generator/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(body))
            .map_err(|error| unusable(error.to_string()))?;
        session.decorate(request).await.map_err(unusable)
    }

    async fn dial(&self, session: &Session) -> Result<Line, Failure> {
        let bound = self.limits.connect;
        let dialled = timeout(bound, session.dial(self.clock.boot())).await;
        dialled
            .unwrap_or_else(|_| Err(format!("the API server took no connection within {bound:?}")))
            .map_err(|reason| Failure::Unsent(StoreError::Unreachable(reason)))
    }

    /// Sends one request, drives the connection until its answer is whole, and lets it rest if it may be used again.
    async fn ask(&self, session: &Session, line: Line, request: Outgoing, sent: &AtomicBool) -> Tried<Answer> {
        let Line { mut sender, driver, .. } = line;
        let asked = async {
            sender.ready().await.map_err(|error| Tried::Unwritten(chain(&error)))?;
            sent.store(true, Ordering::Relaxed);
            let response = sender.send_request(request).await.map_err(|error| lost(&error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await;
            let body = body.map_err(|error| Tried::Lost(format!("its answer was cut off: {}", chain(&*error))))?;
            Ok(Answer {
                status: parts.status,
                retry_after: retry_after(&parts.headers),
                body: body.to_bytes(),
            })
        };
        let (asked, driver) = driven(driver, asked).await;
        match asked {
            Ok(answer) => {
                if let Some(driver) = driver {
                    let since = self.clock.boot();
                    session.rest(Line { sender, driver, since });
                }
                Tried::Done(answer)
            }
            Err(tried) => {
                if matches!(tried, Tried::Unwritten(_)) {
                    sent.store(false, Ordering::Relaxed);
                }
                tried
            }
        }
    }

    /// A watch has a connection of its own, for as long as it lasts.
    async fn opened(&self, session: Arc<Session>, path: &str, sent: Arc<AtomicBool>) -> Result<Opened, Failure> {
        let request = self.request(&session, &Method::GET, path, Bytes::new()).await?;
        let Line {
            mut sender,
            driver,
            since,
        } = self.dial(&session).await?;
        sent.store(true, Ordering::Relaxed);
        let asked = async { sender.send_request(request).await };
        let (asked, driver) = driven(driver, asked).await;
        let response = asked.map_err(|error| Failure::Unanswered(chain(&error)))?;
        let driver = driver.ok_or_else(|| Failure::Unanswered("the API server closed the connection".to_owned()))?;
        let (parts, body) = response.into_parts();
        if parts.status == StatusCode::OK {
            return Ok(Opened::Lines(Box::new(Lines {
                line: Line { sender, driver, since },
                body,
                ended: false,
                buffer: BytesMut::new(),
            })));
        }
        let (body, _) = driven(driver, Limited::new(body, ANSWER_MAX).collect()).await;
        let body = body.map_err(|error| Failure::Unanswered(chain(&*error)))?;
        Ok(Opened::Refused(Answer {
            status: parts.status,
            retry_after: retry_after(&parts.headers),
            body: body.to_bytes(),
        }))
    }

    /// A server that is too busy says when to come again. No longer than an answer may take: the lease doesn't wait.
    fn heed(&self, answer: &Answer) {
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let wait = answer
                .retry_after
                .unwrap_or(Duration::from_secs(1))
                .min(self.limits.answer);
            let until = self.clock.boot() + wait;
            self.state(|state| state.quiet_until = until);
        }
    }

    /// The lock is held for a look, never across an await.
    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What has an HTTP status, for the metrics.
trait Coded {
    fn code(&self) -> StatusCode;
}

impl Coded for Answer {
    fn code(&self) -> StatusCode {
        self.status
    }
}

impl Coded for Opened {
    fn code(&self) -> StatusCode {
        match self {
            Opened::Lines(_) => StatusCode::OK,
            Opened::Refused(answer) => answer.status,
        }
    }
}

impl Lines {
    /// The next line, without its end; none when the API server has ended the watch. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                return Ok(Some(line));
            }
            if self.buffer.len() > ANSWER_MAX {
                return Err(format!("a line of more than {ANSWER_MAX} bytes"));
            }
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                _ = &mut self.line.driver, if !self.ended => {
                    self.ended = true;
                    continue;
                }
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(format!("cut off: {}", chain(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

fn lost<T>(error: &hyper::Error) -> Tried<T> {
    match error.is_canceled() {
        true => Tried::Unwritten(chain(error)),
        false => Tried::Lost(chain(error)),
    }
}

/// In seconds; the API server doesn't send dates.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// Waits for `asked` while driving its connection, and returns the connection if it hasn't ended meanwhile.
async fn driven<T>(mut driver: Driver, asked: impl Future<Output = T>) -> (T, Option<Driver>) {
    let mut asked = pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => return (answer, Some(driver)),
        _ = &mut driver => {}
    }
    // A request still in its queue learns that the connection is gone only when the driver is dropped.
    drop(driver);
    (asked.await, None)
}
