//! Fetches records that a ledger lacks from peers, by hash (D2, D3). Peers give content, never finality.

use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ledger::task::LedgerHandle;
use crate::backoff::Backoff;
use crate::discovery::PeerList;
use crate::peer::client::{PeerClient, Target};
use crate::shutdown::Signal;

/// Records in one request: well within the bound of a peer's answer.
const BATCH: usize = 64;
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// The first and the longest wait after no peer had the record.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// Runs until stopped.
pub async fn run(
    ledger: LedgerHandle,
    peers: watch::Receiver<Arc<PeerList>>,
    client: Arc<PeerClient>,
    mut stop: Signal,
) {
    let mut snapshots = ledger.snapshots();
    let mut retry = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    let mut reported = None;
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
        let mut others: Vec<_> = peers
            .borrow()
            .peers
            .iter()
            .filter(|peer| !peer.is_self)
            .cloned()
            .collect();
        others.shuffle(&mut rand::rng());
        let mut found = false;
        for peer in &others {
            let addresses = peer.sockets();
            let target = Target {
                addresses: &addresses,
                host: &peer.host,
            };
            let asked = client.records(target, &hash, BATCH, ASK_WITHIN);
            let answer = tokio::select! {
                biased;
                () = stop.requested() => return,
                answer = asked => answer,
            };
            if let Ok(records) = answer
                && records.first().is_some_and(|first| first.hash == hash)
            {
                ledger.fill(hash, records);
                found = true;
                break;
            }
        }
        // After a success the ledger's next snapshot comes much earlier than this, with the next hash wanted.
        let mut wait = FIRST_RETRY;
        if found {
            retry.reset();
        } else {
            wait = retry.next_wait();
            if reported != Some(hash) && wait > 4 * FIRST_RETRY {
                reported = Some(hash);
                tracing::warn!(%hash, "no peer has the record before the oldest one here: the chain starts after it");
            }
        }
        tokio::select! {
            biased;
            () = stop.requested() => return,
            changed = snapshots.changed(), if found => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}
