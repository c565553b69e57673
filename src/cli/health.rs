//! `health`: whether members are alive and ready.

use futures_util::StreamExt;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::console::{Colour, Console};
use super::target::{Member, Resolve, Target, all_members};
use super::{Exit, Failure};
use crate::config::NameserverArgs;

/// Members asked at the same time.
const AT_ONCE: usize = 16;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Public listeners of one or more members, or srv://SERVICE for all members of that Service
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    members: Vec<Target>,
    /// Write JSON, one line a member
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) nameservers: NameserverArgs,
    #[command(flatten)]
    pub(super) colour: Colour,
}

struct Health {
    member: String,
    live: bool,
    ready: bool,
    /// Why it can't be reached, or what is degraded.
    notes: Vec<String>,
}

/// Writes one line a member.
///
/// # Errors
/// Try again: one of them isn't ready.
pub async fn run(args: &Args, resolve: &Resolve, console: &mut Console<'_>) -> Result<(), Failure> {
    let members = all_members(&args.members, resolve).await?;
    let asked = futures_util::stream::iter(members.iter().map(ask));
    // In the order of the arguments.
    let all: Vec<Health> = asked.buffered(AT_ONCE).collect().await;
    let text = if args.json {
        let line = |health: &Health| {
            let Health {
                member,
                live,
                ready,
                notes,
            } = health;
            format!(
                "{}\n",
                json!({"member": member, "live": live, "ready": ready, "notes": notes})
            )
        };
        all.iter().map(line).collect()
    } else {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let row = |health: &Health| {
            vec![
                health.member.clone(),
                yes(health.live),
                yes(health.ready),
                health.notes.join("; "),
            ]
        };
        console.table(
            &["MEMBER", "LIVE", "READY", "NOTES"],
            &all.iter().map(row).collect::<Vec<_>>(),
        )
    };
    console.put(&text)?;
    let unready: Vec<&str> = all
        .iter()
        .filter(|health| !health.ready)
        .map(|health| health.member.as_str())
        .collect();
    if unready.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::TryAgain,
        format!("not ready: {}", unready.join(", ")),
    ))
}

async fn ask(member: &Member) -> Health {
    let mut health = Health {
        member: member.to_string(),
        live: false,
        ready: false,
        notes: Vec::new(),
    };
    match member.ask("/livez", "application/json").await {
        Ok(answer) if answer.status == StatusCode::OK => health.live = true,
        Ok(answer) => health.notes.push(format!("/livez: {}", answer.status)),
        // Another request would only wait again.
        Err(failure) => {
            health.notes.push(failure.line);
            return health;
        }
    }
    match member.ask("/readyz", "application/json").await {
        Ok(answer) => {
            health.ready = answer.status == StatusCode::OK;
            health.notes.extend(read_notes(&answer.body));
        }
        Err(failure) => health.notes.push(failure.line),
    }
    health
}

/// Latches that are closed, and what is degraded.
fn read_notes(body: &[u8]) -> Vec<String> {
    let Ok(Value::Object(status)) = serde_json::from_slice(body) else {
        return vec!["/readyz: not a member's answer".into()];
    };
    let latches = status.get("latches").and_then(Value::as_object).into_iter().flatten();
    let closed = latches
        .filter(|(_, open)| **open == Value::Bool(false))
        .map(|(name, _)| format!("waits for {name}"));
    let degraded = status.get("degraded").and_then(Value::as_array).into_iter().flatten();
    let degraded = degraded.map(|entry| match entry {
        Value::String(text) => text.clone(),
        // `{"source", "reason"}`
        entry => {
            let part = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}: {}", part("source"), part("reason"))
        }
    });
    closed.chain(degraded).collect()
}
