//! Fetches records that a ledger lacks from peers, by hash (D2, D3). Peers give content, never finality.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ledger::task::LedgerHandle;
use crate::backoff::Backoff;
use crate::discovery::{Peer, PeerList};
use crate::peer::client::{PeerClient, Target};
use crate::record::{Hash, Record};
use crate::shutdown::Signal;

/// Records in one request: well within the bound of a peer's answer.
const BATCH: usize = 64;
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// Between two rounds of asking all peers.
#[derive(Clone, Copy, Debug)]
struct Waits {
    first: Duration,
    /// Once every peer has said that it doesn't have the record.
    longest: Duration,
    /// While one doesn't answer: it may be back at any time.
    unanswered: Duration,
}

const WAITS: Waits = Waits {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(300),
    unanswered: Duration::from_secs(30),
};

/// Runs until stopped.
pub async fn run(ledger: LedgerHandle, peers: watch::Receiver<Arc<PeerList>>, client: Arc<PeerClient>, stop: Signal) {
    fetch(ledger, peers, client, WAITS, stop).await;
}

async fn fetch(
    ledger: LedgerHandle,
    mut peers: watch::Receiver<Arc<PeerList>>,
    client: Arc<PeerClient>,
    waits: Waits,
    mut stop: Signal,
) {
    let mut snapshots = ledger.snapshots();
    let mut retry = Backoff::new(waits.first, waits.longest);
    let (mut asked_for, mut reported) = (None, None);
    loop {
        let wanted = snapshots.borrow_and_update().wanted;
        let Some(hash) = wanted else {
            tokio::select! {
                biased;
                () = stop.requested() => return,
                changed = snapshots.changed() => if changed.is_err() { return },
            }
            continue;
        };
        if asked_for.replace(hash) != Some(hash) {
            retry.reset();
        }
        let mut others = others(&peers.borrow_and_update());
        others.shuffle(&mut rand::rng());
        let outcome = tokio::select! {
            biased;
            () = stop.requested() => return,
            outcome = ask(&client, &others, &hash) => outcome,
        };
        let wait = match outcome {
            Outcome::Found(records) => {
                ledger.fill(hash, records);
                retry.reset();
                // The ledger's next snapshot comes much earlier than this, with the next hash wanted.
                waits.first
            }
            Outcome::Unanswered | Outcome::Unknown => {
                let wait = retry.next_wait();
                if reported != Some(hash) && wait > 4 * waits.first {
                    reported = Some(hash);
                    tracing::warn!(%hash, "no peer that answers has the record before the oldest one here: the chain starts after it");
                }
                match outcome {
                    Outcome::Unanswered => wait.min(waits.unanswered),
                    _ => wait,
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.requested() => return,
            changed = snapshots.wait_for(|snapshot| snapshot.wanted != Some(hash)) => if changed.is_err() { return },
            () = newcomer(&mut peers, others) => retry.reset(),
            () = sleep(wait) => {}
        }
    }
}

/// What came of asking every peer.
enum Outcome {
    Found(Vec<Arc<Record>>),
    /// Each one says that it doesn't have the record.
    Unknown,
    /// One of them didn't say.
    Unanswered,
}

async fn ask(client: &PeerClient, peers: &[Peer], hash: &Hash) -> Outcome {
    let mut outcome = Outcome::Unknown;
    for peer in peers {
        let addresses = peer.sockets();
        let target = Target {
            addresses: &addresses,
            host: &peer.host,
        };
        match client.records(target, hash, BATCH, ASK_WITHIN).await {
            Ok(records) if records.first().is_some_and(|first| first.hash == *hash) => return Outcome::Found(records),
            Ok(_) => {}
            Err(_) => outcome = Outcome::Unanswered,
        }
    }
    outcome
}

fn others(list: &PeerList) -> Vec<Peer> {
    list.peers.iter().filter(|peer| !peer.is_self).cloned().collect()
}

/// Waits for a peer that is not one of the `known`, or is at another address, or is listed again.
async fn newcomer(peers: &mut watch::Receiver<Arc<PeerList>>, mut known: Vec<Peer>) {
    while peers.changed().await.is_ok() {
        let present = others(&peers.borrow_and_update());
        if present.iter().any(|peer| !known.contains(peer)) {
            return;
        }
        known = present;
    }
    // Nobody will come.
    pending().await
}

#[cfg(test)]
mod tests;
