//! Where a question of the conductor goes: to this member's own ledger, or over the network to a peer's. The answer is of one
//! kind, so that the [`Conductor`](super::conductor::Conductor) can't tell them apart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::conductor::AskError;
use super::ledger::task::LedgerHandle;
use super::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal};
use crate::discovery::Peer;
use crate::http::peer_client::{PeerClient, PeerError, Target};

/// Bound of one question to a peer. A member that is stopped costs a draw no more than the patience it has for it anyway.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// Whoever may keep a record; not only those whose answers count.
pub(super) enum Voter {
    Own(LedgerHandle),
    Peer(Peer, Arc<PeerClient>),
    /// Discovery doesn't list it.
    Unpublished,
}

impl Voter {
    pub async fn keep(&self, request: Arc<KeepRequest>) -> Result<KeepAnswer, AskError> {
        match self {
            Voter::Own(ledger) => ledger.keep(request).await.map_err(AskError::Refused),
            Voter::Peer(peer, client) => {
                let sockets = peer.sockets();
                let reply = client.keep(target(peer, &sockets), &request, ASK_WITHIN).await;
                answer(reply)
            }
            Voter::Unpublished => Err(AskError::Unreachable),
        }
    }

    pub async fn heads(&self, request: Arc<HeadsRequest>) -> Result<HeadsAnswer, AskError> {
        match self {
            Voter::Own(ledger) => ledger.heads(request).await.map_err(AskError::Refused),
            Voter::Peer(peer, client) => {
                let sockets = peer.sockets();
                let reply = client.heads(target(peer, &sockets), &request, ASK_WITHIN).await;
                answer(reply)
            }
            Voter::Unpublished => Err(AskError::Unreachable),
        }
    }
}

fn target<'a>(peer: &'a Peer, addresses: &'a [SocketAddr]) -> Target<'a> {
    Target {
        addresses,
        host: &peer.host,
    }
}

fn answer<T>(reply: Result<Result<T, Refusal>, PeerError>) -> Result<T, AskError> {
    match reply {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refusal)) => Err(AskError::Refused(refusal)),
        Err(PeerError::Timeout) => Err(AskError::Timeout),
        Err(PeerError::Unreachable(_)) => Err(AskError::Unreachable),
        Err(_) => Err(AskError::Invalid),
    }
}
