//! Where the API server is and who asks it: credentials are read again for each request, since they rotate, and may be
//! mended while the member runs.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Ready, ready};
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, Uri, header};
use hyper_util::client::legacy::connect::HttpConnector;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::clock::Boot;

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a Pod: `token` and `ca.crt` of its ServiceAccount are in a directory.
    InCluster { server: String, credentials: PathBuf },
    /// As a person, or a program outside of the cluster; the file's current context. No proxy is used.
    Kubeconfig(PathBuf),
}

/// What a session was made from: when it differs, another is made.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// The token, or the kubeconfig.
    text: String,
    /// The CA's certificates.
    authority: Vec<u8>,
}

pub(super) type Outgoing = Request<Full<Bytes>>;
/// What reads and writes one connection: it must be polled while its answer is awaited, and closes it when dropped.
pub(super) type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// One connection.
pub(super) struct Line {
    pub sender: SendRequest<Full<Bytes>>,
    pub driver: Driver,
    pub since: Boot,
}

/// Connections that rest: a read and a write may be under way together.
const RESTING: usize = 2;
/// Within the time after which API servers and what stands before them close an idle connection.
const REST: Duration = Duration::from_secs(40);
/// A kubeconfig may name other files, and programs, that give credentials for a time.
const KUBECONFIG_LIFE: Duration = Duration::from_secs(60);
/// A peer that is gone without a word is noticed by the kernel at last, also where nothing waits for it.
const KEEPALIVE: Duration = Duration::from_secs(15);

type Decorate = dyn Fn(Outgoing) -> BoxFuture<'static, Result<Outgoing, String>> + Send + Sync;
type Dial = dyn Fn() -> BoxFuture<'static, Result<(SendRequest<Full<Bytes>>, Driver), String>> + Send + Sync;

/// One API server with one set of credentials, and its resting connections.
pub(super) struct Session {
    credentials: Credentials,
    until: Option<Boot>,
    decorate: Box<Decorate>,
    dial: Box<Dial>,
    resting: Mutex<Vec<Line>>,
}

impl Access {
    /// The credentials as they are now; an error names the file and what it takes.
    pub(super) async fn credentials(&self) -> Result<Credentials, String> {
        match self {
            Access::InCluster { credentials, .. } => {
                let mend = "the Pod needs its ServiceAccount's token mounted (automountServiceAccountToken)";
                let token = read(&credentials.join("token"), "the token", mend).await?;
                let text = String::from_utf8(token).unwrap_or_default().trim().to_owned();
                if text.is_empty() {
                    let path = credentials.join("token");
                    return Err(format!("the token {} is empty or no text: {mend}", path.display()));
                }
                let authority = read(&credentials.join("ca.crt"), "the cluster's CA certificate", mend).await?;
                Ok(Credentials { text, authority })
            }
            Access::Kubeconfig(path) => {
                let text = read(path, "--kubeconfig", "it must be a file that this user may read").await?;
                Ok(Credentials {
                    text: String::from_utf8_lossy(&text).into_owned(),
                    authority: Vec::new(),
                })
            }
        }
    }

    pub(super) async fn session(&self, credentials: Credentials, now: Boot) -> Result<Session, String> {
        let (config, until) = match self {
            Access::InCluster {
                server,
                credentials: directory,
            } => {
                let kubeconfig = json!({
                    "clusters": [{"name": "pod", "cluster": {
                        "server": server, "certificate-authority": directory.join("ca.crt"),
                    }}],
                    "users": [{"name": "pod", "user": {"token": credentials.text}}],
                    "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
                    "current-context": "pod",
                });
                (
                    serde_json::from_value(kubeconfig).map_err(|error| error.to_string())?,
                    None,
                )
            }
            Access::Kubeconfig(path) => {
                let found = Kubeconfig::read_from(path).map_err(|error| format!("--kubeconfig: {}", chain(&error)))?;
                (found, Some(now + KUBECONFIG_LIFE))
            }
        };
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await;
        let config = config.map_err(|error| format!("the API server's address or credentials: {}", chain(&error)))?;
        let session = Session::new(credentials, until, &config);
        session.map_err(|error| format!("the API server's address or credentials: {}", chain(&error)))
    }
}

impl Session {
    fn new(credentials: Credentials, until: Option<Boot>, config: &kube::Config) -> Result<Session, kube::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let connector = config.rustls_https_connector_with_connector(tcp)?;
        let server = config.cluster_url.clone();
        let (base, auth, headers) = (
            config.base_uri_layer(),
            config.auth_layer()?,
            config.extra_headers_layer()?,
        );
        Ok(Session {
            credentials,
            until,
            // kube's client is not used: it has no bound on an answer, sends requests again by itself, and logs each
            // failure. Of its layers this takes what they do to a request.
            decorate: Box::new(move |request| {
                let inner = headers.layer(service_fn(as_is));
                let decorated = match &auth {
                    Some(auth) => base.layer(auth.layer(inner)).oneshot(request).boxed(),
                    None => base.layer(inner).oneshot(request).boxed(),
                };
                let origin = decorated.map(|done| match done {
                    Ok(holder) => to_origin(holder.into_body()),
                    Err(error) => Err(chain(&*error)),
                });
                origin.boxed()
            }),
            dial: Box::new(move || {
                let stream = connector.clone().oneshot(server.clone());
                let dialled = async move {
                    let stream = stream.await.map_err(|error| chain(&*error))?;
                    let (sender, driver) = handshake(stream).await.map_err(|error| chain(&error))?;
                    let driver: Driver = Box::pin(driver);
                    Ok((sender, driver))
                };
                dialled.boxed()
            }),
            resting: Mutex::new(Vec::new()),
        })
    }

    /// Whether it is the one to use with these credentials.
    pub fn serves(&self, credentials: &Credentials, now: Boot) -> bool {
        self.credentials == *credentials && self.until.is_none_or(|until| now < until)
    }

    /// The request with address and credentials. May run a program that a kubeconfig names.
    pub async fn decorate(&self, request: Outgoing) -> Result<Outgoing, String> {
        (self.decorate)(request).await
    }

    pub async fn dial(&self, now: Boot) -> Result<Line, String> {
        let (sender, driver) = (self.dial)().await?;
        Ok(Line {
            sender,
            driver,
            since: now,
        })
    }

    /// A resting connection that the API server has not closed, as far as this machine knows.
    pub fn take(&self, now: Boot) -> Option<Line> {
        let mut resting = self.resting();
        resting.retain(|line| now.since(line.since) < REST);
        while let Some(mut line) = resting.pop() {
            if (&mut line.driver).now_or_never().is_none() && !line.sender.is_closed() {
                return Some(line);
            }
        }
        None
    }

    pub fn rest(&self, line: Line) {
        let mut resting = self.resting();
        if resting.len() < RESTING && !line.sender.is_closed() {
            resting.push(line);
        }
    }

    /// The lock is held for a look into a list, never across an await.
    fn resting(&self) -> MutexGuard<'_, Vec<Line>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(path: &Path, what: &str, mend: &str) -> Result<Vec<u8>, String> {
    let found = tokio::fs::read(path).await;
    found.map_err(|error| format!("{what} {} can't be read: {error}; {mend}", path.display()))
}

/// kube's layers stand around something that answers: it answers with the request as they made it.
fn as_is(request: Outgoing) -> Ready<Result<Response<Outgoing>, BoxError>> {
    ready(Ok(Response::new(request)))
}

/// HTTP/1.1 has the server in a header and only path and query in its first line.
fn to_origin(mut request: Outgoing) -> Result<Outgoing, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the API server's address: {error}");
    let host = request.uri().authority().ok_or_else(|| wrong(&"it names no host"))?;
    let host = header::HeaderValue::from_str(host.as_str()).map_err(|error| wrong(&error))?;
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = target.parse::<Uri>().map_err(|error| wrong(&error))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

/// An error with its causes, each once: outer errors of this field say little, or repeat the inner one.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told
}
