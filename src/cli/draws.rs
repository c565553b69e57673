//! `draws`: the draws that a member reports.

use hyper::StatusCode;

use super::Failure;
use super::console::Console;
use super::target::{Member, Resolve, TargetArgs};
use crate::draw::record::Record;
use serde::Deserialize;

/// What one page of a member holds at most.
const PAGE: u64 = 1000;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: TargetArgs,
    /// First round to show; the newest rounds without it
    #[arg(long, value_name = "ROUND", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    from: Option<u64>,
    /// How many to show
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    /// Write JSON lines, which `verify` reads
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Page {
    draws: Vec<Record>,
    next: Option<u64>,
}

/// Writes the draws, oldest first.
///
/// # Errors
/// Try again: the member can't be reached. Data: what it says are no records.
pub async fn run(args: &Args, resolve: &Resolve, console: &mut Console<'_>) -> Result<(), Failure> {
    let member = args.at.target.member(resolve).await?;
    let mut from = match args.from {
        Some(round) => Some(round),
        None => newest(&member, args.limit).await?,
    };
    let mut left = args.limit;
    let mut first = true;
    loop {
        let start = from.map_or_else(String::new, |round| format!("&from={round}"));
        let path = format!("/draws?limit={}{start}", left.min(PAGE));
        let (_, page): (_, Page) = member.get_json(&path).await?;
        let shown = &page.draws[..page.draws.len().min(left as usize)];
        let text = if args.json {
            shown.iter().map(|record| record.canonical() + "\n").collect()
        } else {
            table(console, shown, first)
        };
        left -= shown.len() as u64;
        if !console.put(&text)? || left == 0 || shown.is_empty() || page.next.is_none() {
            return Ok(());
        }
        from = page.next;
        first = false;
    }
}

/// The round to begin with so that the newest `limit` are shown; none for the oldest kept.
async fn newest(member: &Member, limit: u64) -> Result<Option<u64>, Failure> {
    let (path, accept) = ("/draws/latest", "application/json");
    let answer = member.ask(path, accept).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let (_, head): (_, Record) = member.get_json(path).await?;
    let Some(from) = head
        .round
        .checked_sub(limit)
        .filter(|before| *before > 0)
        .map(|before| before + 1)
    else {
        return Ok(None);
    };
    let kept = member.ask(&format!("/draws/{from}"), accept).await?.status != StatusCode::GONE;
    Ok(kept.then_some(from))
}

fn table(console: &Console<'_>, records: &[Record], headed: bool) -> String {
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let holder = record.holder.split('_').next().unwrap_or_default();
            let missing = record
                .missing
                .iter()
                .map(|m| format!("{} {}", m.ordinal, format!("{:?}", m.reason).to_lowercase()));
            let output = record
                .output
                .map_or("none".to_owned(), |output| format!("{:.16}…", output.to_string()));
            vec![
                record.round.to_string(),
                record.slot.to_string(),
                record.missed.to_string(),
                holder.to_owned(),
                record.fence.to_string(),
                format!(
                    "{} of {}",
                    record.contributions.len(),
                    record.contributions.len() + record.missing.len()
                ),
                output,
                missing.collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    let headings = [
        "ROUND", "SLOT", "MISSED", "HOLDER", "FENCE", "GAVE", "OUTPUT", "MISSING",
    ];
    let text = console.table(&headings, &rows);
    match text.split_once('\n') {
        Some((_, rest)) if !headed => rest.to_owned(),
        _ => text,
    }
}
