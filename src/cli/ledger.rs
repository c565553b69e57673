//! `ledger`: checks the ledger on a volume, or has a running member repair its own. docs/protocol.md, 3.5, explains restoring
//! and restarting.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::admin::{Admin, confirmation};
use super::console::Console;
use super::{Exit, Failure, verify};
use crate::draw::ledger::Stored;
use crate::draw::ledger::storage::{Storage, StorageError};
use crate::record::chain::{Summary, Verifier, VerifyError};
use crate::record::{Hash, Record};

/// A restore fetches the chain over the network; when it takes longer than this, the member's log has the outcome.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the ledger on a volume and summarise it; the member may be running
    Check {
        /// Volume of the member, as its --data-dir; or the ledger's file itself
        #[arg(value_name = "DIR|FILE", default_value = "./random-generator-data")]
        volume: PathBuf,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a damaged ledger aside, start an empty one, and fetch the chain from the peers
    Restore(Admin),
    /// Start a new chain when a majority of the voters is lost for good; the old chain is kept and listed
    Restart {
        #[command(flatten)]
        admin: Admin,
        /// Confirm: records that only the lost voters have will not be in the new chain
        #[arg(long)]
        yes: bool,
    },
}

/// Writes what was found or done.
///
/// # Errors
/// Data: the ledger doesn't verify. I/O: it can't be read. Usage: the member refuses. Try again: it can't be reached, or can't
/// do it now.
pub(super) async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let (member, path) = match &args.action {
        Action::Check { volume, json } => return check(volume, *json, console).await,
        Action::Restore(member) => (member, "/ledger/restore"),
        Action::Restart { admin, yes: true } => (admin, "/ledger/restart"),
        Action::Restart { yes: false, .. } => {
            return Err(Failure::new(
                Exit::Usage,
                "`ledger restart` starts a new chain: records that only absent voters have are left behind. \
                 If you mean that, repeat it with --yes; if the voters can come back, wait for them instead",
            ));
        }
    };
    let answer = member.admin.post(path, ANSWER_LIMIT).await?;
    let done = confirmation(&member.admin, path, &answer)?;
    console.put(&format!("{done}\n")).map(|_| ())
}

async fn check(volume: &std::path::Path, json: bool, console: &mut Console<'_>) -> Result<(), Failure> {
    let path = match volume.is_dir() {
        true => volume.join("ledger.db"),
        false => volume.to_owned(),
    };
    let at = path.clone();
    let read = tokio::task::spawn_blocking(move || Storage::inspect(&at)).await;
    let stored = read.map_err(|error| Failure::new(Exit::Bug, error))?.map_err(|error| {
        let exit = match error {
            StorageError::Corrupt(_) => Exit::Data,
            StorageError::Full | StorageError::Io(_) => Exit::Io,
        };
        Failure::new(exit, format!("{}: {error}", path.display()))
    })?;
    let found = Found::of(&stored).map_err(|error| {
        let line = format!("{}: its chain does not verify: {error}", path.display());
        Failure::new(Exit::Data, line)
    })?;
    let text = if json { found.json() } else { found.text() };
    console.put(&text).map(|_| ())
}

/// What is in a ledger that verifies.
struct Found<'a> {
    stored: &'a Stored,
    /// The unbroken chain down from the head; none before the first draw.
    chain: Option<Summary>,
    /// Records outside that chain: from tails set aside, from the Lease, or below a gap.
    others: usize,
}

impl Found<'_> {
    fn of(stored: &Stored) -> Result<Found<'_>, VerifyError> {
        let by_hash: HashMap<Hash, &Arc<Record>> = stored.records.iter().map(|record| (record.hash, record)).collect();
        let mut chain = Vec::new();
        let mut next = stored.head;
        while let Some(record) = next.and_then(|hash| by_hash.get(&hash)) {
            chain.push(*record);
            // A record's hash covers the one before it, so this ends.
            next = record.previous;
        }
        let mut verifier = Verifier::new();
        for record in chain.iter().rev() {
            verifier.push_line(format!("{}\n", record.canonical()).as_bytes())?;
        }
        Ok(Found {
            stored,
            others: stored.records.len() - chain.len(),
            chain: match stored.head {
                Some(head) => Some(verifier.finish(Some(head))?),
                None => None,
            },
        })
    }

    fn text(&self) -> String {
        let mut lines = vec![match &self.chain {
            Some(summary) => verify::verdict(summary),
            None => "nothing has been drawn yet".to_owned(),
        }];
        if self.others > 0 {
            lines.push(format!(
                "{} more records, not of that chain or below a gap in it",
                self.others
            ));
        }
        if let Some(promise) = &self.stored.promise {
            lines.push(format!("promised to no fence below {}", promise.fence));
        }
        for aside in &self.stored.aside {
            let (from, to) = (aside.from_round, aside.to_round);
            lines.push(format!(
                "set aside: rounds {from} to {to} of chain {}, head {}",
                aside.chain, aside.head
            ));
        }
        lines.join("\n") + "\n"
    }

    fn json(&self) -> String {
        let aside = self.stored.aside.iter().map(|aside| {
            json!({
                "chain": aside.chain,
                "head": aside.head,
                "from_round": aside.from_round,
                "to_round": aside.to_round,
            })
        });
        let found = json!({
            "chain": self.chain,
            "others": self.others,
            "promised_fence": self.stored.promise.as_ref().map(|promise| promise.fence),
            "aside": aside.collect::<Vec<_>>(),
        });
        format!("{found}\n")
    }
}
