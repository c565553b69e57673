//! `admin`: sends a request to a member's admin listener. The listener accepts only local requests: run it on the same host.

use std::time::Duration;

use clap::Subcommand;
use hyper::StatusCode;
use serde_json::Value;

use super::console::Console;
use super::failure::one_line;
use super::target::{Answer, Member, TargetError, explanation};
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
        /// A level for all (off, error, warn, info, debug, trace), or directives such as warn,random_generator::draw=debug
        #[arg(value_name = "FILTER")]
        filter: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Shut the member down gracefully, as SIGTERM does; its supervisor may start it again
    Shutdown(Admin),
    /// Show the journal's condition, rows and size
    Journal(Show),
    /// Show the ledger's condition, rounds, head, and tails set aside
    Ledger(Show),
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    admin: Admin,
    /// Write the member's JSON
    #[arg(long)]
    json: bool,
}

/// Selects the member. The command `ledger` uses it too.
#[derive(Debug, clap::Args)]
pub(super) struct Admin {
    /// Admin listener of the member
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8082", value_parser = parse_listener)]
    pub(super) admin: Member,
}

fn parse_listener(text: &str) -> Result<Member, String> {
    text.parse().map_err(|error| match error {
        TargetError::Form => "expected the URL of a member's admin listener, such as http://127.0.0.1:8082".to_owned(),
        TargetError::NoScheme(_) => error.to_string(),
    })
}

/// Sends the request and prints the answer.
///
/// # Errors
/// Usage: the member refuses the request. Try again: the member is unreachable or busy. Data: it isn't an admin listener.
pub(super) async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let (path, text) = match &args.action {
        Action::LogLevel { filter: None, admin } => {
            let answer = admin.admin.ask("/log-level", "text/plain").await?;
            let body = require_success(&admin.admin, "/log-level", &answer)?;
            ("/log-level", one_line(&String::from_utf8_lossy(&body)))
        }
        Action::LogLevel {
            filter: Some(filter),
            admin,
        } => {
            let answer = admin.admin.put("/log-level", filter).await?;
            ("/log-level", confirmation(&admin.admin, "/log-level", &answer)?)
        }
        Action::Shutdown(Admin { admin }) => {
            let answer = admin.post("/shutdown", ANSWER_LIMIT).await?;
            ("/shutdown", confirmation(admin, "/shutdown", &answer)?)
        }
        Action::Journal(show) => ("/journal", show.ask("/journal", &JOURNAL).await?),
        Action::Ledger(show) => ("/ledger", show.ask("/ledger", &LEDGER).await?),
    };
    if text.is_empty() {
        let line = format!("{path}: an empty answer; it isn't a member's admin listener");
        return Err(Failure::new(Exit::Data, line));
    }
    console.put(&format!("{text}\n")).map(|_| ())
}

/// What is shown of an answer, a line each: its heading, and what it says, with fields of the answer in braces.
type Facts = [(&'static str, &'static str)];

const JOURNAL: [(&str, &str); 4] = [
    ("condition", "{condition}"),
    ("detail", "{detail}"),
    ("rows", "{rows}"),
    ("bytes", "{bytes} of {max_bytes}"),
];
const LEDGER: [(&str, &str); 7] = [
    ("condition", "{condition}"),
    ("detail", "{detail}"),
    ("records", "{records}"),
    ("rounds", "{oldest} to {newest}"),
    ("chain", "{chain}"),
    ("head", "{head}"),
    ("promised", "fence {promised_fence}"),
];
/// Of the ledger, a line each.
const ASIDE: &str = "rounds {from_round} to {to_round} of chain {chain}";

impl Show {
    async fn ask(&self, path: &str, facts: &Facts) -> Result<String, Failure> {
        let member = &self.admin.admin;
        let answer = member.ask(path, "application/json").await?;
        let body = require_success(member, path, &answer)?;
        let (json, answer): (_, Value) = member.read_json(path, &body)?;
        if self.json {
            return Ok(json);
        }
        let has_detail = answer.get("detail").is_some_and(Value::is_string);
        let facts = facts.iter().filter(|(_, says)| has_detail || *says != "{detail}");
        let aside = answer.get("aside").and_then(Value::as_array).into_iter().flatten();
        let lines = facts.map(|(heading, says)| (*heading, fill(says, &answer)));
        let lines = lines.chain(aside.map(|aside| ("set aside", fill(ASIDE, aside))));
        let lines = lines.map(|(heading, says)| format!("{heading:9}  {}", one_line(&says)));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

/// `text` with what stands in braces replaced by that field of `answer`.
fn fill(text: &str, answer: &Value) -> String {
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for (name, rest) in parts.filter_map(|part| part.split_once('}')) {
        match answer.get(name) {
            None | Some(Value::Null) => filled += "none",
            Some(Value::String(text)) => filled += text,
            Some(other) => filled += &other.to_string(),
        }
        filled += rest;
    }
    filled
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
