//! The peer listener: `docs/protocol.md`, 3.1. It checks the signature, version and set of a message; the [`PeerService`] behind
//! it decides.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::signature::{Message, PeerSecret, Signature};
use crate::clock::Clock;
use crate::peer::message::{
    HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Question, Refusal, ReportAnswer, ReportRequest, VERSION,
};
use crate::peer::metrics::PeerMetrics;
use crate::record::{Hash, Record};
use crate::server::budget::Budget;
use crate::server::exchange::{RequestLimits, read_body};
use crate::server::format::{Format, respond, respond_json};
use crate::server::problem::{Problem, shown};
use crate::server::query::Query;
use crate::server::routes::{Paths, Routes, get, post};

/// Records in one answer.
pub const RECORDS_MAX: usize = 64;
/// Bytes of an answer. Fewer than 64 records are sent if they would be larger.
pub const ANSWER_MAX: usize = 1024 * 1024;
/// Bytes of a name in a message: the set, the member that asks, its lease identity (`docs/protocol.md`, 1.2).
const NAME_MAX: usize = 253;

/// Why a service gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its queue is full, or it is stopping: 503.
    #[error("it is overloaded")]
    Busy,
}

/// Answers peers: the contributor, the ledger, and what the parts publish. Each answer takes a bounded time. A cancelled request may still take effect;
/// repeating it gives the same answer.
pub trait PeerService: Send + Sync + 'static {
    fn keep(&self, request: KeepRequest) -> impl Future<Output = Result<KeepAnswer, Declined>> + Send;

    fn heads(&self, request: HeadsRequest) -> impl Future<Output = Result<HeadsAnswer, Declined>> + Send;

    /// The record with this hash and up to `count` − 1 of its ancestors, newest first; empty if it isn't here.
    fn records(&self, hash: Hash, count: usize) -> impl Future<Output = Result<Vec<Arc<Record>>, Declined>> + Send;

    /// How this member is, from what its parts publish: at once, whatever they do.
    fn report(&self) -> ReportAnswer;
}

/// What the peer listener works with.
#[derive(Debug)]
pub struct Peer<S> {
    pub service: Arc<S>,
    /// The set that this member belongs to.
    pub set: String,
    pub secret: Option<PeerSecret>,
    pub clock: Clock,
    pub metrics: PeerMetrics,
    pub memory: Budget,
}

/// A [`Problem`] or a [`Refusal`], with the reason it is counted under.
enum Rejected {
    Problem(&'static str, Problem),
    Refusal(Refusal),
}

impl From<Declined> for Rejected {
    fn from(declined: Declined) -> Rejected {
        match declined {
            Declined::Refused(refusal) => Rejected::Refusal(refusal),
            Declined::Busy => Rejected::Problem(
                "busy",
                Problem::unavailable("this member is overloaded", Duration::from_secs(1)),
            ),
        }
    }
}

/// The paths of the peer listener.
pub fn paths<S: PeerService>(peer: Peer<S>, routes: Routes) -> Paths {
    routes
        .group(Arc::new(peer), |group| {
            group
                .route(KeepRequest::PATH, "POST", post(keep))
                .route(HeadsRequest::PATH, "POST", post(heads))
                .route("/v1/records/{hash}", "GET", get(records))
                .route(ReportRequest::PATH, "POST", post(report))
        })
        .finish()
}

async fn keep<S: PeerService>(State(peer): State<Arc<Peer<S>>>, request: Request) -> Response {
    peer.answer(request, async |peer, _, body| {
        let message: KeepRequest = peer.read(&body)?;
        peer.check(&message.set, &[&message.from, &message.holder])?;
        let (holder, round, slot) = (message.from.clone(), message.round, message.slot);
        let answer = peer.service.keep(message).await?;
        let contributed = answer.contribution.is_some();
        tracing::info!(holder, round, %slot, contributed, "kept the head for the next draw");
        Ok(respond_json(&answer))
    })
    .await
}

async fn heads<S: PeerService>(State(peer): State<Arc<Peer<S>>>, request: Request) -> Response {
    peer.answer(request, async |peer, _, body| {
        let message: HeadsRequest = peer.read(&body)?;
        peer.check(&message.set, &[&message.from, &message.holder])?;
        Ok(respond_json(&peer.service.heads(message).await?))
    })
    .await
}

async fn report<S: PeerService>(State(peer): State<Arc<Peer<S>>>, request: Request) -> Response {
    peer.answer(request, async |peer, _, body| {
        let message: ReportRequest = peer.read(&body)?;
        peer.check(&message.set, &[&message.from])?;
        let json = serde_json::to_vec(&peer.service.report()).unwrap_or_default();
        let hold = peer.memory.take(json.len()).await;
        let hold = hold.map_err(|problem| Rejected::Problem("busy", problem))?;
        Ok(respond(Format::Json, hold.attach(json)))
    })
    .await
}

async fn records<S: PeerService>(State(peer): State<Arc<Peer<S>>>, request: Request) -> Response {
    peer.answer(request, async |peer, uri, _| {
        let malformed = |problem| Rejected::Problem("malformed", problem);
        let query = Query::parse(uri.query(), &["count"]).map_err(malformed)?;
        let most = RECORDS_MAX as i64;
        let count = query.integer("count", 1..=most, 1).map_err(malformed)?;
        let text = uri.path().rsplit('/').next().unwrap_or_default();
        let hash = text.parse::<Hash>().map_err(|error| {
            malformed(Problem::parameter(
                "hash",
                Some(text),
                "it is no hash",
                error.to_string(),
            ))
        })?;
        let records = peer.service.records(hash, count as usize).await?;
        let most = if count > 1 { ANSWER_MAX } else { 0 };
        let hold = peer
            .memory
            .take(most)
            .await
            .map_err(|problem| Rejected::Problem("busy", problem))?;
        let mut body = String::from("[");
        for record in &records {
            let record = record.canonical();
            if body.len() + record.len() + 2 > ANSWER_MAX {
                break;
            }
            if body.len() > 1 {
                body.push(',');
            }
            body.push_str(&record);
        }
        body.push(']');
        let kind = HeaderValue::from_static("application/json");
        let body = hold.attach(body.into_bytes());
        Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
    })
    .await
}

impl<S: PeerService> Peer<S> {
    /// Authenticates the request, has it answered, counts a refusal, signs the answer.
    async fn answer(
        &self,
        request: Request,
        handle: impl AsyncFnOnce(&Peer<S>, Uri, Bytes) -> Result<Response, Rejected>,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let arrival = Arrival(Some(&self.metrics));
        let body = read_body(body, RequestLimits::peer().body, &self.memory).await;
        arrival.ended();
        let body = match body {
            Ok(body) => body,
            Err(problem) => {
                let overloaded = problem.status == StatusCode::SERVICE_UNAVAILABLE;
                let reason = if overloaded { "busy" } else { "malformed" };
                return self.reject(Rejected::Problem(reason, problem));
            }
        };
        let mut signature = None;
        if let Some(secret) = &self.secret {
            let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
            let message = Message::Request {
                method: parts.method.as_str(),
                target,
                body: &body,
            };
            let verified = Signature::read(&parts.headers).and_then(|signature| {
                secret.verify(message, &signature, self.clock.wall())?;
                Ok(signature)
            });
            match verified {
                Ok(verified) => signature = Some((secret, verified.mac)),
                Err(error) => {
                    return self.reject(Rejected::Problem(
                        error.reason(),
                        Problem::unauthenticated(error.to_string()),
                    ));
                }
            }
        }
        let response = match handle(self, parts.uri, body).await {
            Ok(response) => response,
            Err(rejected) => self.reject(rejected),
        };
        match signature {
            Some((secret, request)) => self.signed(secret, &request, response).await,
            None => response,
        }
    }

    async fn signed(&self, secret: &PeerSecret, request: &[u8; 32], response: Response) -> Response {
        let (mut parts, body) = response.into_parts();
        // The body is in memory already, and this only takes it out of its wrapping.
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return Problem::internal().into_response();
        };
        let message = Message::Response {
            request,
            status: parts.status.as_u16(),
            body: &body,
        };
        secret.sign(message, self.clock.wall()).write(&mut parts.headers);
        Response::from_parts(parts, body.into())
    }

    /// Reads a message; its version first, since a newer one may have what this one doesn't know.
    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Rejected> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let malformed = |error: serde_json::Error| {
            Rejected::Refusal(Refusal::Malformed {
                detail: shown(&error.to_string()),
            })
        };
        let Version { version } = serde_json::from_slice(body).map_err(malformed)?;
        if version != u64::from(VERSION) {
            return Err(Rejected::Refusal(Refusal::Version { speaks: VERSION }));
        }
        serde_json::from_slice(body).map_err(malformed)
    }

    fn check(&self, set: &str, names: &[&str]) -> Result<(), Rejected> {
        if set != self.set {
            return Err(Rejected::Refusal(Refusal::Set { set: self.set.clone() }));
        }
        let plain = |name: &str| (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        match names.iter().all(|name| plain(name)) {
            true => Ok(()),
            false => Err(Rejected::Refusal(Refusal::Malformed {
                detail: format!("a name is not 1 to {NAME_MAX} printable ASCII characters without space"),
            })),
        }
    }

    fn reject(&self, rejected: Rejected) -> Response {
        let (reason, response) = match rejected {
            Rejected::Problem(reason, problem) => (reason, problem.into_response()),
            Rejected::Refusal(refusal) => {
                let (reason, status) = sorted(&refusal);
                let mut response = respond_json(&refusal);
                *response.status_mut() = status;
                (reason, response)
            }
        };
        self.metrics.count_refusal(reason);
        tracing::debug!(reason, "a peer's message was refused");
        response
    }
}

/// A message on its way in. A peer that hangs up in the middle of one ends this request's future, and is counted all the same.
struct Arrival<'a>(Option<&'a PeerMetrics>);

impl Arrival<'_> {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.0 {
            metrics.count_refusal("truncated");
        }
    }
}

fn sorted(refusal: &Refusal) -> (&'static str, StatusCode) {
    match refusal {
        Refusal::Version { .. } => ("version", StatusCode::CONFLICT),
        Refusal::Set { .. } => ("set", StatusCode::CONFLICT),
        Refusal::Malformed { .. } => ("malformed", StatusCode::BAD_REQUEST),
        Refusal::Early { .. } => ("early", StatusCode::CONFLICT),
        Refusal::Fence { .. } => ("fence", StatusCode::CONFLICT),
        Refusal::Ahead { .. } => ("ahead", StatusCode::CONFLICT),
        Refusal::Ledger { .. } => ("ledger", StatusCode::SERVICE_UNAVAILABLE),
    }
}
