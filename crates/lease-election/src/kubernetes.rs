//! The lease store on Kubernetes: one Lease of `coordination.k8s.io/v1` that already exists. A Role that allows get, update
//! and watch on its name is enough.
//!
//! Requests are kube's, sent by [`Client::send`], and objects stay JSON. `Api<Lease>` and `Api<DynamicObject>` would drop
//! the fields of a Lease, or of its metadata, that they don't know, and hide the `Retry-After` header.

mod connect;
mod metrics;
mod pace;
mod plugin;
mod refusal;
mod stream;
mod transport;
mod watch;

use std::error::Error as StdError;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::api::{GetParams, PostParams, Request};
use kube::client::Body;
use serde_json::Value;
use tokio::sync::{mpsc, watch as watched};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::connect::{Access, Connector};
pub use self::metrics::KubernetesMetrics;
use self::refusal::Place;
use self::watch::Watch;
use crate::clock::{Boot, Clock};
use crate::object;
use crate::payload::{Annotations, Payload};
use crate::store::{LeaseChange, LeaseObject, LeaseStore, StoreError, WatchEvent, WriteOutcome};

/// Larger than any Lease: the API server accepts 256 KiB of annotations, and etcd objects of 1.5 MiB.
const ANSWER_MAX: usize = 4 << 20;
/// How long to leave an API server alone that answers 429 and doesn't say how long.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct KubernetesConfig {
    pub namespace: String,
    /// The name of the Lease.
    pub name: String,
    pub annotations: Annotations,
    /// Time limit of one read or write, connecting included. Less than a third of the renew deadline, after which the
    /// elector gives up, so that the elector learns the reason.
    pub answer: Duration,
}

/// The store. It starts without credentials or an API server, reports what is missing, and works once it is there.
pub struct KubernetesLeaseStore<P> {
    connector: Connector,
    place: Place,
    annotations: Annotations,
    requests: Request,
    answer: Duration,
    clock: Clock,
    metrics: KubernetesMetrics,
    /// The API server asked for no requests until then.
    paused_until: Mutex<Boot>,
    /// The highest version that an answer had.
    newest: watched::Sender<u64>,
    watch_trouble: watched::Sender<Option<StoreError>>,
    payload: PhantomData<fn() -> P>,
}

/// A complete HTTP answer.
struct Answer {
    code: u16,
    body: Bytes,
}

type BuiltRequest = Result<hyper::Request<Vec<u8>>, kube::core::request::Error>;

/// Why there is no answer.
enum Failure {
    /// The request was certainly not sent: it has no effect.
    Unsent(StoreError),
    /// The request was sent, or may have been.
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

impl<P: Payload> KubernetesLeaseStore<P> {
    /// Over a [`kube::Client`], or over an [`Access`] that is read again when it changes. Does no I/O.
    ///
    /// Build a client with `default_retry = false` and a short `connect_timeout`: a retry inside the client counts against
    /// [`KubernetesConfig::answer`], and a write that is still connecting at that limit is in doubt.
    pub fn new(
        connector: impl Into<Connector>,
        config: KubernetesConfig,
        clock: Clock,
        metrics: KubernetesMetrics,
    ) -> KubernetesLeaseStore<P> {
        KubernetesLeaseStore {
            connector: connector.into(),
            requests: Request::new(format!(
                "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
                config.namespace
            )),
            place: Place {
                namespace: config.namespace,
                name: config.name,
            },
            annotations: config.annotations,
            answer: config.answer,
            clock,
            metrics,
            paused_until: Mutex::default(),
            newest: watched::Sender::new(0),
            watch_trouble: watched::Sender::new(None),
            payload: PhantomData,
        }
    }

    /// Why the Lease can't be watched, though it can be read: then it is only polled.
    pub fn watch_trouble(&self) -> watched::Receiver<Option<StoreError>> {
        self.watch_trouble.subscribe()
    }

    fn read_request(&self) -> BuiltRequest {
        self.requests.get(&self.place.name, &GetParams::default())
    }

    /// A full update and not a patch: it is what client-go's elector sends, so one Role fits both. With a uid in it the
    /// API server never creates a Lease that was deleted, and answers 409 instead.
    fn write_request(&self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> BuiltRequest {
        let body = object::replacement(base, change, &self.annotations)
            .to_string()
            .into_bytes();
        self.requests.replace(&self.place.name, &PostParams::default(), body)
    }

    /// Sends one request and reads its whole answer.
    async fn call(&self, verb: &str, request: BuiltRequest) -> Result<Answer, Failure> {
        let exchange = async |client: Client, request: hyper::Request<Vec<u8>>| {
            let (answer, retry_after) = Answer::read(client.send(request.map(Body::from)).await?).await?;
            Ok((answer.code, retry_after, answer))
        };
        self.send(verb, request, exchange).await
    }

    /// Runs one exchange with the API server within the time limit. The exchange returns the HTTP status, the seconds of
    /// Retry-After, and its result. After a failure the next request uses a new connection.
    async fn send<T>(
        &self,
        verb: &str,
        request: BuiltRequest,
        exchange: impl AsyncFnOnce(Client, hyper::Request<Vec<u8>>) -> Result<(u16, Option<u64>, T), kube::Error>,
    ) -> Result<T, Failure> {
        let request = request.map_err(|error| Failure::Unsent(StoreError::Refused(describe(&error))))?;
        if self.clock.boot() < *lock(&self.paused_until) {
            return Err(Failure::Unsent(StoreError::Unreachable(refusal::BUSY.to_owned())));
        }
        let began = Instant::now();
        // A third for credentials and a third for connecting leave time for the answer. So a write that is cut off by the
        // deadline is past connecting, and those that were not sent are known.
        let step = self.answer / 3;
        let ready = timeout(step, self.connector.client(&self.clock, step)).await;
        let deadline = (began + self.answer).max(Instant::now() + 2 * step);
        let result = match ready.unwrap_or_else(|_| Err(connect::slow(step))) {
            Err(error) => Err(Failure::Unsent(error)),
            Ok(client) => match timeout_at(deadline, exchange(client, request)).await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error)) if was_not_sent(&error) => {
                    Err(Failure::Unsent(StoreError::Unreachable(describe(&error))))
                }
                Ok(Err(error)) => Err(Failure::Unanswered(describe(&error))),
                Err(_) => {
                    let late = format!("no answer from the API server within {:.1?}", self.answer);
                    Err(Failure::Unanswered(late))
                }
            },
        };
        let code = result.as_ref().ok().map(|(code, ..)| *code);
        self.metrics.count(verb, code);
        match &result {
            Err(_) | Ok((401, ..)) => self.connector.reconnect(code.is_some()),
            Ok((429, seconds, _)) => {
                // Not longer than an answer may take: the lease doesn't wait.
                let pause = seconds.map_or(PAUSE, Duration::from_secs).min(self.answer);
                *lock(&self.paused_until) = self.clock.boot() + pause;
            }
            Ok(_) => {}
        }
        result.map(|(.., done)| done)
    }

    fn publish(&self, object: LeaseObject<P>) -> Arc<LeaseObject<P>> {
        self.newest.send_if_modified(|newest| {
            let newer = object.version > *newest;
            *newest = object.version.max(*newest);
            newer
        });
        Arc::new(object)
    }
}

impl<P: Payload> LeaseStore<P> for KubernetesLeaseStore<P> {
    /// A GET without resourceVersion, which the API server answers from etcd.
    async fn read(&self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        let answer = self.call("GET", self.read_request()).await?;
        match answer.code {
            200 => match answer.lease(&self.annotations) {
                Ok(object) => Ok(Some(self.publish(object))),
                Err(detail) => Err(self.place.unreadable(&detail)),
            },
            404 if answer.says_absent() => Ok(None),
            code => Err(self.place.refusal("get", code, &answer.message())),
        }
    }

    async fn write(&self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> WriteOutcome<P> {
        let answer = match self.call("PUT", self.write_request(base, change)).await {
            Ok(answer) => answer,
            Err(Failure::Unsent(error)) => return WriteOutcome::Failed(error),
            Err(Failure::Unanswered(detail)) => return WriteOutcome::Unknown(detail),
        };
        let refusal = |code| self.place.refusal("update", code, &answer.message());
        match answer.code {
            200 => match answer.lease(&self.annotations) {
                Ok(object) => WriteOutcome::Written(self.publish(object)),
                Err(detail) => WriteOutcome::Unknown(detail),
            },
            409 => WriteOutcome::Conflict,
            404 if answer.says_absent() => WriteOutcome::Conflict,
            // Also 201, which an update with a uid never gets.
            code @ (201..300 | 408 | 500..) => WriteOutcome::Unknown(refusal(code).to_string()),
            code => WriteOutcome::Failed(refusal(code)),
        }
    }

    async fn watch(&self, events: mpsc::Sender<WatchEvent<P>>) {
        let watch = Watch {
            store: self,
            newest: self.newest.subscribe(),
            events,
            position: None,
        };
        watch.run().await;
    }
}

impl Answer {
    /// The whole answer, and the seconds of Retry-After.
    async fn read(response: hyper::Response<Body>) -> Result<(Answer, Option<u64>), kube::Error> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        // In seconds; the API server sends no dates.
        let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok());
        let answer = Answer {
            code: head.status.as_u16(),
            body: body.map_err(kube::Error::Service)?.to_bytes(),
        };
        Ok((answer, retry_after.and_then(|text| text.parse().ok())))
    }

    fn lease<P: Payload>(&self, names: &Annotations) -> Result<LeaseObject<P>, String> {
        let object = serde_json::from_slice(&self.body).map_err(|error| format!("not JSON: {error}"))?;
        object::parse(object, names)
    }

    /// Whether a 404 comes from an API server, and so means that the Lease is absent.
    fn says_absent(&self) -> bool {
        self.status().is_some()
    }

    fn status(&self) -> Option<Value> {
        let status: Value = serde_json::from_slice(&self.body).ok()?;
        (status.get("kind")?.as_str()? == "Status").then_some(status)
    }

    /// What the API server says about it.
    fn message(&self) -> String {
        let said = self
            .status()
            .and_then(|status| Some(status.get("message")?.as_str()?.to_owned()));
        said.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// Whether a failed request certainly never reached the API server: no connection, or one that closed before the request
/// was written to it. Everything else is in doubt.
fn was_not_sent(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        let connecting = error.downcast_ref::<hyper_util::client::legacy::Error>();
        let writing = error.downcast_ref::<hyper::Error>();
        if connecting.is_some_and(|error| error.is_connect()) || writing.is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error and its causes on one line, each text once. Further lines of a text are left out: they quote the file that is
/// wrong, which may hold secrets.
fn describe(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let more = error.to_string();
        let line = more.lines().next().unwrap_or_default();
        if !text.contains(line) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{line}");
        }
        cause = error.source();
    }
    text
}

/// Never held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_version_is_the_greatest_number_whatever_comes_later() {
        let config = KubernetesConfig {
            namespace: "lab".to_owned(),
            name: "rg".to_owned(),
            annotations: Annotations::with_prefix("example.com"),
            answer: PAUSE,
        };
        let access = Access::Kubeconfig("nowhere".into());
        let store = KubernetesLeaseStore::<()>::new(access, config, Clock::system(), KubernetesMetrics::default());
        for (version, newest) in [("9", 9), ("10", 10), ("9", 10), ("8", 10), ("100", 100)] {
            let lease = json!({"kind": "Lease", "metadata": {"uid": "u", "resourceVersion": version}});
            store.publish(object::parse(lease, &store.annotations).unwrap());
            assert_eq!(*store.newest.borrow(), newest);
        }
    }
}
