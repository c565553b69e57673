//! The admin listener, on the member's own host only: stop, log level, maintenance of the ledger.
//!
//! It needs no password: anyone who can reach the Pod's loopback interface could do as much otherwise. A browser on the same
//! machine is the exception, since any web page can send requests through it; those are refused.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::watch;

use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::server::budget::Budget;
use crate::server::exchange::{RequestLimits, read_body};
use crate::server::format::{Format, respond, respond_json};
use crate::server::problem::{Problem, shown};
use crate::server::routes::{Paths, Routes, get, post};

/// What an action did, in one line; or 400: wrong input, 409: the state doesn't allow it, 503: it failed, or took too long.
pub type Done = Result<String, Problem>;

/// What an operator can do. An action that takes a while bounds its own time; this listener cuts it at 60 s.
pub trait Maintenance: Send + Sync + 'static {
    /// Starts the graceful shutdown, and returns at once.
    fn shut_down(&self);

    /// The current filter, as directives of `tracing_subscriber`.
    fn log_level(&self) -> String;

    fn set_log_level(&self, filter: &str) -> Result<(), Problem>;

    /// The journal's current condition.
    fn journal(&self) -> Journal;

    /// Replaces a corrupt ledger with an empty one, which fills from the peers' records.
    fn restore_ledger(&self) -> impl Future<Output = Done> + Send;

    /// Starts a new chain, without the majority that has the old one.
    fn restart_ledger(&self) -> impl Future<Output = Done> + Send;
}

/// The journal of what was given out, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Journal {
    /// `starting`, `working`; `tight`: it has less than its share of the volume; `failed`: it stores no entries, and a durable
    /// mode gives no numbers.
    pub condition: &'static str,
    /// What is wrong.
    pub detail: Option<String>,
    /// Entries, as last measured.
    pub rows: i64,
    /// Size of database, log and ballast, as last measured.
    pub bytes: i64,
    /// Its share of the volume.
    pub max_bytes: u64,
}

/// What the admin listener works with.
#[derive(Debug)]
pub struct Admin<M> {
    pub maintenance: M,
    pub ledger: watch::Receiver<Arc<LedgerSnapshot>>,
    pub memory: Budget,
}

/// The paths of the admin listener.
pub fn paths<M: Maintenance>(admin: Admin<M>, routes: Routes) -> Paths {
    routes
        .with_guard(refuse_browsers)
        .group(Arc::new(admin), |group| {
            group
                .route("/shutdown", "POST", post(shutdown::<M>))
                .route(
                    "/log-level",
                    "GET, HEAD, PUT",
                    get(log_level::<M>).put(set_log_level::<M>),
                )
                .route("/journal", "GET, HEAD", get(journal::<M>))
                .route("/ledger", "GET, HEAD", get(ledger::<M>))
                .route("/ledger/restore", "POST", post(restore::<M>))
                .route("/ledger/restart", "POST", post(restart::<M>))
        })
        .finish()
}

/// A page's request has an `Origin` (Fetch standard, for all but plain GETs); a page whose name was made to resolve to
/// this host (DNS rebinding) has that name as `Host`.
fn refuse_browsers(headers: &HeaderMap) -> Option<Problem> {
    if headers.contains_key(header::ORIGIN) {
        return Some(Problem::forbidden("requests with an Origin header come from web pages"));
    }
    let problem = || Problem::forbidden("the header Host must name this host: localhost, 127.0.0.1 or [::1]");
    (!is_loopback(headers)).then(problem)
}

fn is_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Some(host) = host
        .to_str()
        .ok()
        .and_then(|host| host.parse::<axum::http::uri::Authority>().ok())
    else {
        return false;
    };
    let name = host.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// `POST /shutdown` → 202; the member stops as after SIGTERM.
async fn shutdown<M: Maintenance>(State(admin): State<Arc<Admin<M>>>) -> Response {
    tracing::info!("shutdown requested through the admin listener");
    admin.maintenance.shut_down();
    let mut response = done("shutting down".to_owned());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// `GET /log-level` → the filter as text.
async fn log_level<M: Maintenance>(State(admin): State<Arc<Admin<M>>>) -> Response {
    respond(Format::Text, admin.maintenance.log_level() + "\n")
}

/// `PUT /log-level`, the filter as body: `info`, or directives like `warn,random_generator::draw=debug`.
async fn set_log_level<M: Maintenance>(
    State(admin): State<Arc<Admin<M>>>,
    request: Request,
) -> Result<Response, Problem> {
    if let Some(kind) = request.headers().get(header::CONTENT_TYPE)
        && !kind.as_bytes().starts_with(b"text/plain")
        && !kind.as_bytes().starts_with(b"application/x-www-form-urlencoded")
    {
        return Err(Problem::unsupported_media_type("text/plain"));
    }
    let body = read_body(request.into_body(), RequestLimits::admin().body, &admin.memory).await?;
    let filter = std::str::from_utf8(&body).map_err(|_| Problem::malformed("the filter is not UTF-8"))?;
    let filter = filter.trim();
    admin.maintenance.set_log_level(filter)?;
    tracing::info!(filter, "log level set through the admin listener");
    Ok(done(format!("the log level is {}", shown(filter))))
}

/// `GET /journal` → `{"condition", "detail", "rows", "bytes", "max_bytes"}`.
async fn journal<M: Maintenance>(State(admin): State<Arc<Admin<M>>>) -> Response {
    respond_json(&admin.maintenance.journal())
}

#[derive(Serialize)]
struct Ledger<'a> {
    condition: &'static str,
    detail: Option<&'a str>,
    records: u64,
    oldest: Option<u64>,
    newest: Option<u64>,
    chain: Option<String>,
    head: Option<String>,
    promised_fence: u64,
    aside: Vec<Aside>,
}

#[derive(Serialize)]
struct Aside {
    chain: String,
    head: String,
    from_round: u64,
    to_round: u64,
}

/// `GET /ledger` → its condition, its size, and the tails set aside.
async fn ledger<M: Maintenance>(State(admin): State<Arc<Admin<M>>>) -> Response {
    let ledger = admin.ledger.borrow().clone();
    let (condition, detail) = match &ledger.condition {
        Condition::Opening => ("opening", None),
        Condition::Writable => ("writable", None),
        Condition::Unwritable(detail) => ("unwritable", Some(&**detail)),
        Condition::Corrupt(detail) => ("corrupt", Some(&**detail)),
    };
    let head = ledger.head();
    respond_json(&Ledger {
        condition,
        detail,
        records: ledger.rounds(),
        oldest: ledger.oldest(),
        newest: head.map(|record| record.round),
        chain: head.map(|record| record.chain.to_string()),
        head: head.map(|record| record.hash.to_string()),
        promised_fence: ledger.promised_fence,
        aside: ledger
            .aside
            .iter()
            .map(|aside| Aside {
                chain: aside.chain.to_string(),
                head: aside.head.to_string(),
                from_round: aside.from_round,
                to_round: aside.to_round,
            })
            .collect(),
    })
}

/// `POST /ledger/restore` → replaces a corrupt ledger from its peers.
async fn restore<M: Maintenance>(State(admin): State<Arc<Admin<M>>>) -> Result<Response, Problem> {
    tracing::warn!("ledger restore requested through the admin listener");
    admin.maintenance.restore_ledger().await.map(done)
}

/// `POST /ledger/restart` → starts a new chain.
async fn restart<M: Maintenance>(State(admin): State<Arc<Admin<M>>>) -> Result<Response, Problem> {
    tracing::warn!("ledger restart requested through the admin listener");
    admin.maintenance.restart_ledger().await.map(done)
}

fn done(line: String) -> Response {
    respond_json(&serde_json::json!({ "done": line }))
}
