//! Where a question of the conductor goes: to this member's own ledger, or over the network to a peer's. The answer is of one
//! kind, so that the [`Conductor`](super::conductor::Conductor) can't tell them apart.

use std::sync::Arc;
use std::time::Duration;

use super::conductor::AskError;
use super::ledger::task::LedgerHandle;
use crate::discovery::Peer;
use crate::peer::client::{PeerClient, PeerError, Target};
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Question};

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
            Voter::Peer(peer, client) => ask(peer, client, &*request).await,
            Voter::Unpublished => Err(AskError::Unreachable),
        }
    }

    pub async fn heads(&self, request: Arc<HeadsRequest>) -> Result<HeadsAnswer, AskError> {
        match self {
            Voter::Own(ledger) => ledger.heads(request).await.map_err(AskError::Refused),
            Voter::Peer(peer, client) => ask(peer, client, &*request).await,
            Voter::Unpublished => Err(AskError::Unreachable),
        }
    }
}

async fn ask<Q: Question>(peer: &Peer, client: &PeerClient, question: &Q) -> Result<Q::Answer, AskError> {
    let target = Target {
        addresses: &peer.sockets(),
        host: &peer.host,
    };
    match client.ask(target, question, ASK_WITHIN).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refusal)) => Err(AskError::Refused(refusal)),
        Err(PeerError::Timeout) => Err(AskError::Timeout),
        Err(PeerError::Unreachable(_)) => Err(AskError::Unreachable),
        Err(_) => Err(AskError::Invalid),
    }
}
