//! Asks peers: the client's side of `docs/protocol.md`, 3.1.
//!
//! hyper's connections are used bare: a client with a pool of its own spawns a task for each connection that nobody
//! joins. Here a connection is driven by the question that uses it, and rests in a small pool between questions.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::listener::{ANSWER_MAX, RECORDS_MAX};
use super::signature::{Message, PeerSecret, Signature};
use crate::clock::{Boot, Clock};
use crate::peer::message::{Question, Refusal};
use crate::record::{Hash, Record};
use crate::server::exchange::{TRACE_PARENT, TRACE_STATE};
use crate::trace;

/// Resting connections of one peer.
const IDLE_PER_PEER: usize = 2;
/// Resting connections of all peers: as many as members that contribute, and as many again.
const IDLE_MAX: usize = 64;
/// Well within the time after which a peer closes an idle connection.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Why a question has no answer and no refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("no answer in time")]
    Timeout,
    /// It has too much to do.
    #[error("busy")]
    Busy,
    /// What came isn't an answer in this protocol, or isn't signed with our peer secret.
    #[error("not a valid answer: {0}")]
    Invalid(String),
}

/// Where a peer is.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Tried in this order until one accepts a connection.
    pub addresses: &'a [SocketAddr],
    /// For the header `Host`.
    pub host: &'a str,
}

/// Clones share the resting connections.
#[derive(Clone, Debug)]
pub struct PeerClient {
    secret: Option<PeerSecret>,
    clock: Clock,
    pool: Arc<Mutex<Pool>>,
}

/// A request, with its HMAC if it is signed.
type Signed = (Request<Full<Bytes>>, Option<[u8; 32]>);
type Driver = Connection<TokioIo<TcpStream>, Full<Bytes>>;

struct Resting {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    since: Boot,
}

#[derive(Default)]
struct Pool {
    resting: HashMap<SocketAddr, Vec<Resting>>,
    count: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("count", &self.count).finish()
    }
}

/// An HTTP answer whose signature has been checked, if there is a secret.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// Why a try failed, and whether the connection may have been closed before the peer saw the question.
struct Failed {
    error: PeerError,
    unsent: bool,
}

impl PeerClient {
    pub fn new(secret: Option<PeerSecret>, clock: Clock) -> PeerClient {
        PeerClient {
            secret,
            clock,
            pool: Arc::default(),
        }
    }

    /// Asks a voter. `timeout` bounds all of it, connecting to each address included.
    pub async fn ask<Q: Question>(
        &self,
        target: Target<'_>,
        question: &Q,
        timeout: Duration,
    ) -> Result<Result<Q::Answer, Refusal>, PeerError> {
        let body = serde_json::to_vec(question).map_err(|error| PeerError::Invalid(error.to_string()))?;
        let answer = self.send(target, Method::POST, Q::PATH, body.into(), timeout).await?;
        if answer.status == StatusCode::OK {
            return Ok(Ok(read(&answer.body)?));
        }
        serde_json::from_slice(&answer.body)
            .map(Err)
            .map_err(|_| unexpected(&answer))
    }

    /// Asks for a record and its ancestors, newest first; empty if the peer has none. Each has the hash that it says, and
    /// is the ancestor of the one before it; whether it verifies alone is for the ledger to see.
    pub async fn records(
        &self,
        target: Target<'_>,
        hash: &Hash,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Arc<Record>>, PeerError> {
        let path = format!("/v1/records/{hash}?count={}", count.clamp(1, RECORDS_MAX));
        let answer = self.send(target, Method::GET, &path, Bytes::new(), timeout).await?;
        if answer.status != StatusCode::OK {
            return Err(unexpected(&answer));
        }
        let records: Vec<Arc<Record>> = read(&answer.body)?;
        let mut expected = Some(*hash);
        for record in &records {
            if expected != Some(record.hash) || record.computed_hash() != record.hash {
                return Err(PeerError::Invalid("a record that was not asked for".into()));
            }
            expected = record.previous;
        }
        Ok(records)
    }

    async fn send(
        &self,
        target: Target<'_>,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, PeerError> {
        let deadline = Instant::now() + timeout;
        let all = async {
            let mut last = PeerError::Unreachable("it has no address".into());
            let mut addresses = target.addresses.iter();
            while let Some(address) = addresses.next() {
                // An address that swallows what is sent to it leaves as much for each of the others. The last may have it all.
                let left = deadline.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
                let connect_within = (addresses.len() > 0).then_some(share);
                match self
                    .send_to(*address, target.host, &method, path, &body, connect_within)
                    .await
                {
                    Err(PeerError::Unreachable(reason)) => last = PeerError::Unreachable(reason),
                    other => return other,
                }
            }
            Err(last)
        };
        tokio::time::timeout_at(deadline, all)
            .await
            .unwrap_or(Err(PeerError::Timeout))
    }

    async fn send_to(
        &self,
        address: SocketAddr,
        host: &str,
        method: &Method,
        path: &str,
        body: &Bytes,
        connect_within: Option<Duration>,
    ) -> Result<Answer, PeerError> {
        let request = || self.request(address, host, method, path, body);
        if let Some(resting) = self.take(address) {
            // The peer may have closed it meanwhile. Every question may be asked twice, so a new connection is tried.
            match self.exchange(address, resting.sender, resting.driver, request()?).await {
                Err(failed) if failed.unsent => {}
                other => return other.map_err(|failed| failed.error),
            }
        }
        let unreachable = |error: &dyn std::fmt::Display| PeerError::Unreachable(format!("{address}: {error}"));
        let connecting = TcpStream::connect(address);
        let connected = match connect_within {
            Some(bound) => tokio::time::timeout(bound, connecting)
                .await
                .map_err(|_| unreachable(&"no connection in time"))?,
            None => connecting.await,
        };
        let stream = connected.map_err(|error| unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error))?;
        let answer = self.exchange(address, sender, driver, request()?).await;
        answer.map_err(|failed| failed.error)
    }

    fn request(
        &self,
        address: SocketAddr,
        host: &str,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Signed, PeerError> {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, format!("{host}:{}", address.port()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))
            .map_err(|error| PeerError::Invalid(error.to_string()))?;
        if let Some(context) = trace::current() {
            let mut carry = |name: &HeaderName, value: &str| {
                if let Ok(value) = HeaderValue::from_str(value) {
                    request.headers_mut().insert(name.clone(), value);
                }
            };
            carry(&TRACE_PARENT, &context.traceparent());
            if let Some(state) = &context.state {
                carry(&TRACE_STATE, state);
            }
        }
        let mac = self.secret.as_ref().map(|secret| {
            let message = Message::Request {
                method: method.as_str(),
                target: path,
                body,
            };
            let signature = secret.sign(message, self.clock.wall());
            signature.write(request.headers_mut());
            signature.mac
        });
        Ok((request, mac))
    }

    /// Sends one request, drives the connection until its answer is whole, and lets it rest if it may be used again.
    async fn exchange(
        &self,
        address: SocketAddr,
        mut sender: SendRequest<Full<Bytes>>,
        driver: Driver,
        (request, mac): Signed,
    ) -> Result<Answer, Failed> {
        let lost = |error: hyper::Error| Failed {
            unsent: error.is_canceled() || error.is_closed() || error.is_incomplete_message(),
            error: PeerError::Unreachable(format!("{address}: {error}")),
        };
        let invalid = |reason: String| Failed {
            unsent: false,
            error: PeerError::Invalid(reason),
        };
        let asked = async {
            sender.ready().await.map_err(lost)?;
            let response = sender.send_request(request).await.map_err(lost)?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await;
            let body = body.map_err(|error| invalid(format!("its body: {error}")))?.to_bytes();
            Ok((parts, body))
        };
        let (asked, driver) = driven(driver, asked).await;
        let (parts, body) = asked?;
        if let (Some(secret), Some(request)) = (&self.secret, &mac) {
            let message = Message::Response {
                request,
                status: parts.status.as_u16(),
                body: &body,
            };
            Signature::read(&parts.headers)
                .and_then(|signature| secret.verify(message, &signature, self.clock.wall()))
                .map_err(|error| invalid(format!("status {}: {error}", parts.status.as_u16())))?;
        }
        if let Some(driver) = driver {
            self.rest(address, sender, driver);
        }
        Ok(Answer {
            status: parts.status,
            body,
        })
    }

    /// Closes what has rested too long. To be called every few seconds: a peer that closes its side is noticed nowhere else
    /// while it isn't asked.
    pub fn forget(&self) {
        let now = self.clock.boot();
        self.pool(|pool| pool.forget(now));
    }

    fn take(&self, address: SocketAddr) -> Option<Resting> {
        let now = self.clock.boot();
        self.pool(|pool| pool.take(address, now))
    }

    fn rest(&self, address: SocketAddr, sender: SendRequest<Full<Bytes>>, driver: Driver) {
        let since = self.clock.boot();
        if !sender.is_closed() {
            self.pool(|pool| pool.put(address, Resting { sender, driver, since }));
        }
    }

    /// The lock is held for a look into a map, never across an await.
    fn pool<T>(&self, act: impl FnOnce(&mut Pool) -> T) -> T {
        act(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pool {
    fn take(&mut self, address: SocketAddr, now: Boot) -> Option<Resting> {
        self.forget(now);
        let resting = self.resting.get_mut(&address)?.pop()?;
        self.count -= 1;
        Some(resting)
    }

    fn put(&mut self, address: SocketAddr, resting: Resting) {
        self.forget(resting.since);
        let there = self.resting.entry(address).or_default();
        if there.len() < IDLE_PER_PEER && self.count < IDLE_MAX {
            there.push(resting);
            self.count += 1;
        }
    }

    /// Closes what has rested too long, of peers that are gone as well.
    fn forget(&mut self, now: Boot) {
        self.resting.retain(|_, there| {
            there.retain(|resting| now.since(resting.since) < IDLE_TIME);
            !there.is_empty()
        });
        self.count = self.resting.values().map(Vec::len).sum();
    }
}

/// Waits for `asked` while driving its connection, and returns the connection if it hasn't ended meanwhile.
async fn driven<T>(mut driver: Driver, asked: impl Future<Output = T>) -> (T, Option<Driver>) {
    let mut asked = std::pin::pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => return (answer, Some(driver)),
        _ = &mut driver => {}
    }
    // A question still in its queue learns that the connection is gone only when the driver is dropped.
    drop(driver);
    (asked.await, None)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, PeerError> {
    serde_json::from_slice(body).map_err(|error| PeerError::Invalid(error.to_string()))
}

fn unexpected(answer: &Answer) -> PeerError {
    match answer.status {
        StatusCode::SERVICE_UNAVAILABLE => PeerError::Busy,
        status => PeerError::Invalid(format!("status {}", status.as_u16())),
    }
}
