//! `ledger`: asks the admin listener of a running member to mend its ledger. What restoring and restarting mean is in
//! docs/protocol.md, 3.5.

use std::time::Duration;

use clap::Subcommand;
use hyper::StatusCode;

use super::console::Console;
use super::failure::one_line;
use super::target::{Answer, Member, explanation};
use super::{Exit, Failure};

/// A restore walks the chain over the network; longer than this, the member's log tells how it went.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put a damaged ledger aside, begin an empty one, and fetch the chain from the peers
    Restore(Admin),
    /// Begin a new chain though a majority of the voters can't be asked for theirs; the old one is kept and listed
    Restart {
        #[command(flatten)]
        admin: Admin,
        /// Confirm: records that only absent voters have will not be part of the new chain
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Admin {
    /// Admin listener of the member
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8082", value_parser = listener)]
    admin: Member,
}

fn listener(text: &str) -> Result<Member, &'static str> {
    text.parse()
        .map_err(|_| "expected the URL of a member's admin listener, such as http://127.0.0.1:8082")
}

pub(super) async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let (member, path) = match &args.action {
        Action::Restore(member) => (member, "/ledger/restore"),
        Action::Restart { admin, yes: true } => (admin, "/ledger/restart"),
        Action::Restart { yes: false, .. } => {
            return Err(Failure::new(
                Exit::Usage,
                "`ledger restart` begins a new chain: records that only absent voters have are left behind. \
                 If that is meant, repeat it with --yes; if the voters can come back, wait for them instead",
            ));
        }
    };
    let answer = member.admin.post(path, ANSWER_LIMIT).await?;
    let done = outcome(&answer).map_err(|(exit, reason)| {
        let line = format!("{}{path}: {}: {reason}", member.admin, answer.status);
        Failure::new(exit, line)
    })?;
    console.put(&format!("{done}\n")).map(|_| ())
}

/// What was done, or how the command ends and why.
fn outcome(answer: &Answer) -> Result<String, (Exit, String)> {
    let exit = match answer.status {
        StatusCode::OK => {
            let value: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
            let done = value.as_ref().and_then(|value| value.get("done")?.as_str());
            return done.map(one_line).ok_or_else(|| {
                let listener = "it isn't the answer of a member's admin listener";
                (Exit::Data, listener.to_owned())
            });
        }
        // The listener is another one, or the ledger's state has no use for it: the same command stays wrong.
        status if status.is_client_error() => Exit::Usage,
        _ => Exit::TryAgain,
    };
    Err((exit, explanation(&answer.body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.into(),
        }
    }

    #[test]
    fn the_answer_decides_the_line_and_the_exit_code() {
        let done = outcome(&answer(200, r#"{"done":"the ledger begins anew"}"#));
        assert_eq!(done, Ok("the ledger begins anew".to_owned()));
        let conflict = outcome(&answer(409, r#"{"detail":"the ledger isn't corrupt"}"#));
        assert_eq!(conflict, Err((Exit::Usage, "the ledger isn't corrupt".to_owned())));
        assert_eq!(outcome(&answer(503, "")).unwrap_err().0, Exit::TryAgain);
        assert_eq!(outcome(&answer(200, "hello")).unwrap_err().0, Exit::Data);
    }
}
