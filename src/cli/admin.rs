//! `admin`: sends a request to a member's admin listener. The listener accepts only local requests: run it on the same host.

use std::time::Duration;

use clap::Subcommand;
use hyper::StatusCode;
use serde_json::Value;

use super::console::Console;
use super::failure::one_line;
use super::target::{Answer, Member, explanation};
use super::{Exit, Failure};

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the log filter, or change it until the member restarts
    LogLevel {
        /// A level for all (error, warn, info, debug, trace), or directives such as warn,random_generator::draw=debug
        #[arg(value_name = "FILTER")]
        filter: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Shut the member down gracefully, as SIGTERM does; its supervisor may start it again
    Shutdown {
        #[command(flatten)]
        admin: Admin,
    },
    /// Show the journal's condition, rows and size
    Journal {
        #[command(flatten)]
        admin: Admin,
        /// Write the member's JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the ledger's condition, rounds, head, and tails set aside
    Ledger {
        #[command(flatten)]
        admin: Admin,
        /// Write the member's JSON
        #[arg(long)]
        json: bool,
    },
}

/// Selects the member. The command `ledger` uses it too.
#[derive(Debug, clap::Args)]
pub(super) struct Admin {
    /// Admin listener of the member
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8082", value_parser = parse_listener)]
    pub(super) admin: Member,
}

fn parse_listener(text: &str) -> Result<Member, &'static str> {
    text.parse()
        .map_err(|_| "expected the URL of a member's admin listener, such as http://127.0.0.1:8082")
}

/// Sends the request and prints the answer.
///
/// # Errors
/// Usage: the member refuses the request. Try again: the member is unreachable or busy. Data: it isn't an admin listener.
pub(super) async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let (path, text) = match &args.action {
        Action::LogLevel { filter: None, admin } => {
            let answer = admin.admin.ask("/log-level", "text/plain").await?;
            let text = String::from_utf8_lossy(&require_success(&admin.admin, "/log-level", &answer)?).into_owned();
            ("/log-level", one_line(&text))
        }
        Action::LogLevel {
            filter: Some(filter),
            admin,
        } => {
            let answer = admin.admin.put("/log-level", filter).await?;
            ("/log-level", confirmation(&admin.admin, "/log-level", &answer)?)
        }
        Action::Shutdown { admin } => {
            let answer = admin.admin.post("/shutdown", ANSWER_LIMIT).await?;
            ("/shutdown", confirmation(&admin.admin, "/shutdown", &answer)?)
        }
        Action::Journal { admin, json } => {
            let answer = admin.admin.ask("/journal", "application/json").await?;
            let body = require_success(&admin.admin, "/journal", &answer)?;
            let (text, journal) = admin.admin.read_json("/journal", &body)?;
            ("/journal", if *json { text } else { format_journal(&journal) })
        }
        Action::Ledger { admin, json } => {
            let answer = admin.admin.ask("/ledger", "application/json").await?;
            let body = require_success(&admin.admin, "/ledger", &answer)?;
            let (text, ledger) = admin.admin.read_json("/ledger", &body)?;
            ("/ledger", if *json { text } else { format_ledger(&ledger) })
        }
    };
    if text.is_empty() {
        return Err(Failure::new(
            Exit::Data,
            format!("{path}: an empty answer; it isn't a member's admin listener"),
        ));
    }
    console.put(&format!("{text}\n")).map(|_| ())
}

/// The body of a successful answer.
fn require_success(member: &Member, path: &str, answer: &Answer) -> Result<bytes::Bytes, Failure> {
    if answer.status.is_success() {
        return Ok(answer.body.clone());
    }
    let exit = match answer.status {
        // Another listener, or the wrong state: repeating the command would not help.
        status if status.is_client_error() => Exit::Usage,
        _ => Exit::TryAgain,
    };
    Err(refusal(exit, member, path, answer.status, &explanation(&answer.body)))
}

fn refusal(exit: Exit, member: &Member, path: &str, status: StatusCode, reason: &str) -> Failure {
    Failure::new(exit, format!("{member}{path}: {status}: {reason}"))
}

/// Returns the member's own description of what it did.
pub(super) fn confirmation(member: &Member, path: &str, answer: &Answer) -> Result<String, Failure> {
    let body = require_success(member, path, answer)?;
    let value: Option<Value> = serde_json::from_slice(&body).ok();
    let done = value.as_ref().and_then(|value| value.get("done")?.as_str());
    let other = "it isn't the answer of a member's admin listener";
    done.map(one_line)
        .ok_or_else(|| refusal(Exit::Data, member, path, answer.status, other))
}

/// Formats the journal for people, one fact per line.
fn format_journal(journal: &Value) -> String {
    let number = |name: &str| journal.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: &str| one_line(journal.get(name).and_then(Value::as_str).unwrap_or_default());
    let mut lines = vec![format!("condition  {}", text("condition"))];
    if journal.get("detail").is_some_and(Value::is_string) {
        lines.push(format!("because    {}", text("detail")));
    }
    lines.push(format!("rows       {}", number("rows")));
    lines.push(format!("bytes      {} of {}", number("bytes"), number("max_bytes")));
    lines.join("\n")
}

/// Formats the ledger for people, one fact per line.
fn format_ledger(ledger: &Value) -> String {
    let text = |name: &str| match ledger.get(name) {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => one_line(text),
        Some(other) => other.to_string(),
    };
    let mut lines = vec![format!("condition  {}", text("condition"))];
    if ledger.get("detail").is_some_and(Value::is_string) {
        lines.push(format!("detail     {}", text("detail")));
    }
    lines.push(format!("records    {}", text("records")));
    lines.push(format!("rounds     {} to {}", text("oldest"), text("newest")));
    lines.push(format!("chain      {}", text("chain")));
    lines.push(format!("head       {}", text("head")));
    lines.push(format!("promised   fence {}", text("promised_fence")));
    for aside in ledger.get("aside").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| {
            aside
                .get(name)
                .map_or_else(String::new, Value::to_string)
                .replace('"', "")
        };
        let (from, to) = (text("from_round"), text("to_round"));
        lines.push(one_line(&format!(
            "set aside  rounds {from} to {to} of chain {}",
            text("chain")
        )));
    }
    lines.join("\n")
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
        let member: Member = "http://127.0.0.1:8082".parse().unwrap();
        let line = |status, body| confirmation(&member, "/x", &answer(status, body));
        assert_eq!(
            line(200, r#"{"done":"a new chain begins"}"#),
            Ok("a new chain begins".to_owned())
        );
        let conflict = line(409, r#"{"detail":"the ledger isn't corrupt"}"#).unwrap_err();
        assert_eq!(conflict.exit, Exit::Usage);
        assert!(conflict.line.ends_with("the ledger isn't corrupt"), "{}", conflict.line);
        assert_eq!(line(503, "").unwrap_err().exit, Exit::TryAgain);
        assert_eq!(line(200, "hello").unwrap_err().exit, Exit::Data);
    }
}
