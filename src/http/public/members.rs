//! `/peers` and `/leader`: who is published, and who conducts the draw, as this member sees it.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::discovery::PeerList;
use crate::http::openapi;
use crate::identity::MemberName;
use crate::lease::LeaseSnapshot;
use crate::server::format::{Format, fresh, json, negotiate};
use crate::server::problem::Problem;
use crate::server::query::Query;

#[derive(Debug)]
pub struct Members {
    pub name: MemberName,
    pub peers: watch::Receiver<Arc<PeerList>>,
    pub lease: watch::Receiver<Arc<LeaseSnapshot>>,
    pub clock: Clock,
}

#[derive(Serialize)]
struct Peers<'a> {
    #[serde(rename = "self")]
    own: String,
    /// When an answer last gave this list; null before the first.
    resolved_at: Option<String>,
    stale: bool,
    peers: Vec<Peer<'a>>,
}

#[derive(Serialize)]
struct Peer<'a> {
    name: &'a str,
    ordinal: u16,
    host: &'a str,
    peer_port: u16,
    #[serde(rename = "self")]
    own: bool,
}

#[derive(Serialize)]
struct Leader<'a> {
    holder: Option<&'a str>,
    /// The member's name in that identity.
    member: Option<&'a str>,
    #[serde(rename = "self")]
    own: bool,
    fence: u64,
    acquired_at: Option<String>,
    /// 0 when the lease has run out; null when nobody holds it.
    remaining_ms: Option<u64>,
    /// How long ago the lease store last confirmed this; null when it never did.
    view_age_ms: Option<u64>,
}

/// `GET /peers` → `{"self", "resolved_at", "stale", "peers": [{"name", "ordinal", "host", "peer_port", "self"}]}` by
/// ordinal; text: `name host:port` a line.
#[utoipa::path(
    get,
    path = "/peers",
    summary = "The members",
    tag = "members",
    params(
        ("format" = Option<openapi::JsonText>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "Who is published in DNS, by ordinal", content((openapi::Peers = "application/json"), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn peers(State(state): State<Arc<Members>>, request: Request) -> Result<Response, Problem> {
    let format = format(&request)?;
    let list = state.peers.borrow().clone();
    if format == Format::Text {
        let mut text = String::new();
        for peer in &list.peers {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{} {}:{}", peer.name, peer.host, peer.peer_port);
        }
        return Ok(fresh(format, text));
    }
    Ok(json(&Peers {
        own: state.name.to_string(),
        resolved_at: list.resolved_at.map(|(_, wall)| wall.timestamp().to_string()),
        stale: list.stale,
        peers: list
            .peers
            .iter()
            .map(|peer| Peer {
                name: &peer.name,
                ordinal: peer.ordinal,
                host: &peer.host,
                peer_port: peer.peer_port,
                own: peer.is_self,
            })
            .collect(),
    }))
}

/// `GET /leader` → `{"holder", "member", "self", "fence", "acquired_at", "remaining_ms"}`; text: the holder's identity, or
/// an empty line when nobody holds the lease.
#[utoipa::path(
    get,
    path = "/leader",
    summary = "Who conducts the draws",
    tag = "members",
    params(
        ("format" = Option<openapi::JsonText>, Query, description = "In place of the header Accept"),
    ),
    responses(
        (status = 200, description = "Who holds the lease", content((openapi::Leader = "application/json", example = json!({"holder": "rg-1_2c5f0a1e-6b0b-4a3c-8a39-0d3f7a1e9c11-9f31c2d0", "member": "rg-1", "self": true, "fence": 3, "acquired_at": "2027-01-15T08:00:00.250114Z", "remaining_ms": 13870, "view_age_ms": 1130})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn leader(State(state): State<Arc<Members>>, request: Request) -> Result<Response, Problem> {
    let format = format(&request)?;
    let lease = state.lease.borrow().clone();
    let now = state.clock.boot();
    let object = lease.object.as_deref();
    let holder = object.and_then(|object| object.spec.held_by());
    if format == Format::Text {
        return Ok(fresh(format, format!("{}\n", holder.unwrap_or_default())));
    }
    Ok(json(&Leader {
        holder,
        member: holder.map(|holder| holder.split_once('_').map_or(holder, |(member, _)| member)),
        // Its name may stand there still when its term is over.
        own: lease.leads(now).is_some(),
        fence: object.map_or(0, |object| object.fence),
        acquired_at: holder
            .and(object)
            .and_then(|object| object.spec.acquire_time)
            .map(|at| at.to_string()),
        remaining_ms: holder.and(lease.expires_at).map(|expires| whole_ms(expires.since(now))),
        view_age_ms: lease.age(now).map(whole_ms),
    }))
}

fn whole_ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn format(request: &Request) -> Result<Format, Problem> {
    let query = Query::parse(request.uri().query(), &["format"])?;
    negotiate(request.headers(), query.text("format"), &[Format::Json, Format::Text])
}
