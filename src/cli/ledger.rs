//! `ledger`: checks the ledger on a volume, or has a running member repair its own. docs/protocol.md, 3.5, explains restoring
//! and restarting.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::admin::{Admin, confirmation};
use super::console::Console;
use super::{Exit, Failure, verify};
use crate::draw::ledger::storage::{InspectError, Inspected, Storage, StorageError};

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
    let found = read.map_err(|error| Failure::new(Exit::Bug, error))?.map_err(|error| {
        let exit = match error {
            InspectError::Chain(_) | InspectError::Storage(StorageError::Corrupt(_)) => Exit::Data,
            InspectError::Storage(StorageError::Full | StorageError::Io(_)) => Exit::Io,
        };
        Failure::new(exit, format!("{}: {error}", path.display()))
    })?;
    let text = if json { as_json(&found) } else { as_text(&found) };
    console.put(&text).map(|_| ())
}

/// Records outside the chain.
fn others(found: &Inspected) -> u64 {
    let linked = found.chain.as_ref().map_or(0, |chain| chain.records);
    found.records.saturating_sub(linked)
}

fn as_text(found: &Inspected) -> String {
    let mut lines = vec![match &found.chain {
        Some(summary) => verify::verdict(summary),
        None => "nothing has been drawn yet".to_owned(),
    }];
    let others = others(found);
    if others > 0 {
        lines.push(format!("{others} more records, not of that chain or below a gap in it"));
    }
    if let Some(promise) = &found.promise {
        lines.push(format!("promised to no fence below {}", promise.fence));
    }
    for aside in &found.aside {
        let (from, to) = (aside.from_round, aside.to_round);
        lines.push(format!(
            "set aside: rounds {from} to {to} of chain {}, head {}",
            aside.chain, aside.head
        ));
    }
    lines.join("\n") + "\n"
}

fn as_json(found: &Inspected) -> String {
    let aside = found.aside.iter().map(|aside| {
        json!({
            "chain": aside.chain,
            "head": aside.head,
            "from_round": aside.from_round,
            "to_round": aside.to_round,
        })
    });
    let found = json!({
        "chain": found.chain,
        "others": others(found),
        "promised_fence": found.promise.as_ref().map(|promise| promise.fence),
        "aside": aside.collect::<Vec<_>>(),
    });
    format!("{found}\n")
}
