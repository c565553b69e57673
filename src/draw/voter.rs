//! Sends a request of the conductor to this member's own ledger or to a peer, with the same kind of answer.

use std::sync::Arc;
use std::time::Duration;

use super::conductor::AskError;
use super::ledger::task::LedgerHandle;
use crate::discovery::Peer;
use crate::peer::client::{PeerClient, PeerError, Target};
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Question};

/// Bound of one request to a peer: as long as a draw waits for members beyond a majority.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// A member that can store a record, with or without a vote.
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
