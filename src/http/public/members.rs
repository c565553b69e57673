//! `/peers` and `/leader`: the members that DNS lists, and the one that conducts the draws, as this member sees them.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::request::{Answer, PublicRequest};
use crate::clock::Clock;
use crate::discovery::PeerList;
use crate::identity::MemberName;
use crate::lease::{Leader, LeaseSnapshot};
use crate::server::budget::Budget;
use crate::server::format::{Format, JsonText, respond, respond_json};

/// What `/peers` takes for each member: two names of DNS, in a buffer that doubles.
const PEER_BYTES: usize = 1024;

#[derive(Debug)]
pub struct Members {
    pub name: MemberName,
    pub peers: watch::Receiver<Arc<PeerList>>,
    pub lease: watch::Receiver<Arc<LeaseSnapshot>>,
    pub memory: Budget,
    pub clock: Clock,
}

#[derive(Serialize, ToSchema)]
struct Peers<'a> {
    #[serde(rename = "self")]
    own: String,
    /// When an answer last gave this list; null before the first.
    #[schema(required, format = "date-time")]
    resolved_at: Option<String>,
    stale: bool,
    peers: Vec<Peer<'a>>,
}

#[derive(Serialize, ToSchema)]
struct Peer<'a> {
    name: &'a str,
    ordinal: u16,
    host: &'a str,
    peer_port: u16,
    #[serde(rename = "self")]
    own: bool,
}

/// `GET /peers` → `{"self", "resolved_at", "stale", "peers": [{"name", "ordinal", "host", "peer_port", "self"}]}` by
/// ordinal; text: `name host:port` a line.
#[utoipa::path(
    get, path = "/peers", tag = "members", summary = "The members",
    params(("format" = Option<JsonText>, Query, description = "Format, instead of the Accept header")),
    responses(
        (status = 200, description = "The members listed in DNS, by ordinal", content((Peers = "application/json"), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn peers(request: PublicRequest<Members>) -> Answer {
    let (_, format) = request.read::<JsonText>(&["format"])?;
    let list = request.state.peers.borrow().clone();
    let hold = request.state.memory.take(list.peers.len() * PEER_BYTES).await?;
    if format == Format::Text {
        let mut text = String::new();
        for peer in &list.peers {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{} {}:{}", peer.name, peer.host, peer.peer_port);
        }
        return Ok(respond(format, hold.attach(text.into_bytes())));
    }
    let peers = Peers {
        own: request.state.name.to_string(),
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
    };
    let json = serde_json::to_vec(&peers).unwrap_or_default();
    Ok(respond(format, hold.attach(json)))
}

/// `GET /leader` → `{"holder", "member", "self", "fence", "acquired_at", "remaining_ms"}`; text: the holder's identity, or
/// an empty line when nobody holds the lease.
#[utoipa::path(
    get, path = "/leader", tag = "members", summary = "The leader, which conducts the draws",
    params(("format" = Option<JsonText>, Query, description = "Format, instead of the Accept header")),
    responses(
        (status = 200, description = "Who holds the lease", content((Leader = "application/json", example = json!({"holder": "rg-1_2c5f0a1e-6b0b-4a3c-8a39-0d3f7a1e9c11-9f31c2d0", "member": "rg-1", "self": true, "fence": 3, "acquired_at": "2027-01-15T08:00:00.250114Z", "remaining_ms": 13870, "view_age_ms": 1130})), (String = "text/plain"))),
    ),
)]
pub(in crate::http) async fn leader(request: PublicRequest<Members>) -> Answer {
    let (_, format) = request.read::<JsonText>(&["format"])?;
    let lease = request.state.lease.borrow().clone();
    let leader = Leader::seen(&lease, request.state.clock.boot());
    if format == Format::Text {
        return Ok(respond(format, format!("{}\n", leader.holder.unwrap_or_default())));
    }
    Ok(respond_json(&leader))
}
