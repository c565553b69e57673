//! Fetches the records that a ledger lacks, by hash, from whoever has them (D2, D3). Peers give content, never finality.

use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ledger::task::LedgerHandle;
use crate::discovery::PeerList;
use crate::peer::client::{PeerClient, Target};
use crate::shutdown::Signal;

/// Records asked for at once: well within the bound of a peer's answer.
const BATCH: usize = 64;
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// Nobody had them: asked again after so long, then twice as long, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// Runs until asked to stop.
pub async fn run(
    ledger: LedgerHandle,
    peers: watch::Receiver<Arc<PeerList>>,
    client: Arc<PeerClient>,
    mut stop: Signal,
) {
    let mut snapshots = ledger.snapshots();
    let mut retry = FIRST_RETRY;
    let mut told = None;
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
        if found {
            retry = FIRST_RETRY;
        } else if told != Some(hash) && retry > 4 * FIRST_RETRY {
            told = Some(hash);
            tracing::warn!(%hash, "no peer has the record before the oldest here: the chain shown starts after it");
        }
        // After a find the ledger's next snapshot tells what is wanted then; it comes in far less than this.
        let wait = if found { FIRST_RETRY } else { retry };
        tokio::select! {
            biased;
            () = stop.requested() => return,
            changed = snapshots.changed(), if found => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
        if !found {
            retry = (retry * 2).min(LONGEST_RETRY);
        }
    }
}
