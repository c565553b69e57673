//! `health`: whether members are alive and ready.

use futures_util::StreamExt;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::console::{Colour, Console};
use super::target::{Member, Target, all_members, resolver};
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
    nameservers: NameserverArgs,
    #[command(flatten)]
    pub(super) colour: Colour,
}

#[derive(Serialize)]
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
pub async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let members = all_members(&args.members, &*resolver(&args.nameservers)).await?;
    let asked = futures_util::stream::iter(members.iter().map(ask));
    // In the order of the arguments.
    let all: Vec<Health> = asked.buffered(AT_ONCE).collect().await;
    let text = if args.json {
        all.iter().map(|health| format!("{}\n", json!(health))).collect()
    } else {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let rows = all.iter().map(|health| {
            let notes = health.notes.join("; ");
            vec![health.member.clone(), yes(health.live), yes(health.ready), notes]
        });
        console.table(&["MEMBER", "LIVE", "READY", "NOTES"], &rows.collect::<Vec<_>>())
    };
    console.put(&text)?;
    let unready = all.iter().filter(|health| !health.ready);
    let unready: Vec<&str> = unready.map(|health| health.member.as_str()).collect();
    match unready.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::TryAgain,
            format!("not ready: {}", unready.join(", ")),
        )),
    }
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
