//! `peers`: the members that DNS lists, as one of them sees it.

use serde::Deserialize;

use super::Failure;
use super::console::Console;
use super::failure::one_line;
use super::target::OneMember;

#[derive(Deserialize)]
struct Peers {
    resolved_at: Option<String>,
    stale: bool,
    peers: Vec<Peer>,
}

#[derive(Deserialize)]
struct Peer {
    name: String,
    ordinal: u64,
    host: String,
    peer_port: u16,
    #[serde(rename = "self")]
    own: bool,
}

/// Writes the peers by ordinal; the one that was asked is marked.
///
/// # Errors
/// Try again: the member can't be reached. Data: its answer is malformed.
pub async fn run(args: &OneMember, console: &mut Console<'_>) -> Result<(), Failure> {
    args.run("/peers", console, show).await
}

fn show(console: &Console<'_>, peers: Peers) -> String {
    let row = |peer: &Peer| {
        let mark = if peer.own { "self" } else { "" };
        let address = format!("{}:{}", peer.host, peer.peer_port);
        vec![peer.name.clone(), peer.ordinal.to_string(), address, mark.to_owned()]
    };
    let rows: Vec<_> = peers.peers.iter().map(row).collect();
    let mut text = console.table(&["NAME", "ORDINAL", "PEER ADDRESS", ""], &rows);
    if peers.stale {
        let since = peers.resolved_at.map_or("never".to_owned(), |at| format!("at {at}"));
        let line = format!("stale: the last look-up failed; last resolved {since}");
        text += &(one_line(&line) + "\n");
    }
    text
}
