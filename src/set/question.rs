//! Asks a peer for its report, and says in one line why there is none.

use std::sync::Arc;

use super::{ASK_WITHIN, Ask, no_answer};
use crate::discovery::Peer;
use crate::identity::MemberName;
use crate::peer::client::{PeerClient, PeerError, Target};
use crate::peer::message::{ReportRequest, VERSION};
use crate::peer::report::MemberReport;

/// Asks over the peers' port, as this member.
pub fn asking(client: PeerClient, name: &MemberName) -> Box<Ask> {
    let request = Arc::new(ReportRequest {
        version: VERSION,
        set: name.set.clone(),
        from: name.to_string(),
    });
    Box::new(move |peer| {
        let (client, request) = (client.clone(), request.clone());
        Box::pin(async move { ask(&client, &peer, &request).await })
    })
}

async fn ask(client: &PeerClient, peer: &Peer, request: &ReportRequest) -> Result<MemberReport, String> {
    let target = Target {
        addresses: &peer.sockets(),
        host: &peer.host,
    };
    match client.ask(target, request, ASK_WITHIN).await {
        Ok(Ok(answer)) if answer.set == request.set && answer.member == peer.name => Ok(answer.report),
        Ok(Ok(answer)) => Err(format!(
            "another member answers at its address: {:.70} of the set {:.70}",
            answer.member, answer.set
        )),
        Ok(Err(refusal)) => Err(refusal.to_string()),
        Err(PeerError::Timeout) => Err(no_answer()),
        Err(PeerError::Invalid(reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}
