//! Asks peers: the client's side of `docs/protocol.md`, 3.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::de::DeserializeOwned;

use super::listener::{ANSWER_MAX, RECORDS_MAX};
use super::message::{Question, Refusal};
use super::report::REPORT_MAX;
use super::signature::{Message, PeerSecret, Signature, SignatureError};
use crate::client::{Client, ClientError, Limits};
use crate::clock::Clock;
use crate::record::{Hash, Record};
use crate::server::exchange::{TRACE_PARENT, TRACE_STATE};
use crate::trace;

/// Of connections to peers; each request has a time limit of its own.
pub const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    exchange: Duration::from_secs(2),
    body: ANSWER_MAX,
    // Well within the time after which a peer closes an idle connection.
    idle: Duration::from_secs(30),
    // Every request may be repeated.
    repeat: true,
};

/// The same for reports, on connections of their own: they can't hold up a draw.
pub const REPORT_LIMITS: Limits = Limits {
    body: REPORT_MAX,
    ..LIMITS
};

/// Characters of a peer's reason for refusing a message.
const DETAIL_MAX: usize = 200;

/// Why a request has neither answer nor refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("no answer in time")]
    Timeout,
    /// It is overloaded.
    #[error("busy")]
    Busy,
    /// The answer doesn't follow this protocol, or isn't signed with our peer secret.
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

/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct PeerClient {
    client: Client,
    secret: Option<PeerSecret>,
    clock: Clock,
}

impl PeerClient {
    pub fn new(client: Client, secret: Option<PeerSecret>, clock: Clock) -> PeerClient {
        PeerClient { client, secret, clock }
    }

    /// Asks a member. `timeout` bounds all of it, connecting to each address included.
    pub async fn ask<Q: Question>(
        &self,
        target: Target<'_>,
        question: &Q,
        timeout: Duration,
    ) -> Result<Result<Q::Answer, Refusal>, PeerError> {
        let body = serde_json::to_vec(question).map_err(|error| PeerError::Invalid(error.to_string()))?;
        let answer = self.send(target, Method::POST, Q::PATH, body.into(), timeout).await?;
        if answer.status() == StatusCode::OK {
            return Ok(Ok(read(answer.body())?));
        }
        serde_json::from_slice(answer.body())
            .map(Err)
            .map_err(|_| unexpected(&answer))
    }

    /// Asks for a record and its ancestors, newest first; empty if the peer has none. Each has the hash it states, and is the
    /// ancestor of the one before it; the ledger verifies the rest.
    pub async fn records(
        &self,
        target: Target<'_>,
        hash: &Hash,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Arc<Record>>, PeerError> {
        let path = format!("/v1/records/{hash}?count={}", count.clamp(1, RECORDS_MAX));
        let answer = self.send(target, Method::GET, &path, Bytes::new(), timeout).await?;
        if answer.status() != StatusCode::OK {
            return Err(unexpected(&answer));
        }
        let records: Vec<Arc<Record>> = read(answer.body())?;
        let mut expected = Some(*hash);
        for record in &records {
            if expected != Some(record.hash) || record.computed_hash() != record.hash {
                return Err(PeerError::Invalid("a record that was not requested".into()));
            }
            expected = record.previous;
        }
        Ok(records)
    }

    /// The answer, whose signature has been checked if there is a secret.
    async fn send(
        &self,
        target: Target<'_>,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response<Bytes>, PeerError> {
        let port = target.addresses.first().map_or(0, SocketAddr::port);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, format!("{}:{port}", target.host))
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
                body: &body,
            };
            let signature = secret.sign(message, self.clock.wall());
            signature.write(request.headers_mut());
            signature.mac
        });
        let answer = self.client.within(timeout).send_to(target.addresses, request).await?;
        if let (Some(secret), Some(request)) = (&self.secret, &mac) {
            let status = answer.status().as_u16();
            let message = Message::Response {
                request,
                status,
                body: answer.body(),
            };
            Signature::read(answer.headers())
                .and_then(|signature| secret.verify(message, &signature, self.clock.wall()))
                .map_err(|error| PeerError::Invalid(format!("status {status}: {}", unsigned(&answer, error))))?;
        }
        Ok(answer)
    }
}

impl From<ClientError> for PeerError {
    fn from(error: ClientError) -> PeerError {
        match error {
            ClientError::Timeout(_) => PeerError::Timeout,
            ClientError::Body(reason) => PeerError::Invalid(format!("its body: {reason}")),
            other => PeerError::Unreachable(other.to_string()),
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, PeerError> {
    serde_json::from_slice(body).map_err(|error| PeerError::Invalid(error.to_string()))
}

fn unexpected(answer: &Response<Bytes>) -> PeerError {
    match answer.status() {
        StatusCode::SERVICE_UNAVAILABLE => PeerError::Busy,
        status => {
            let reason = unanswered(answer).map_or_else(String::new, |reason| format!(": {reason}"));
            PeerError::Invalid(format!("status {}{reason}", status.as_u16()))
        }
    }
}

/// What an answer without a valid signature means: a member signs no answer to a message that it doesn't believe or doesn't know.
fn unsigned(answer: &Response<Bytes>, error: SignatureError) -> String {
    unanswered(answer).unwrap_or_else(|| format!("its answer isn't signed with our peer secret: {error}"))
}

/// Why a member would not answer, where the status says it.
fn unanswered(answer: &Response<Bytes>) -> Option<String> {
    match answer.status() {
        StatusCode::UNAUTHORIZED => Some(format!(
            "it refuses our signature, so its peer secret or its clock differs: {}",
            detail(answer.body())
        )),
        StatusCode::NOT_FOUND => Some("it doesn't know this question: its version is older".to_owned()),
        _ => None,
    }
}

/// The beginning of a problem's `detail`.
fn detail(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let detail = detail.unwrap_or("it gives no reason");
    detail.chars().take(DETAIL_MAX).collect()
}
