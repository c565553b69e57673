//! `draws`: the draws that a member reports, and new ones as they come.

use hyper::StatusCode;
use serde::Deserialize;

use super::Failure;
use super::console::{Colour, Console};
use super::failure::note;
use super::follow::{self, Position, Update, follow};
use super::target::{Member, Target, first_that_answers, resolver};
use crate::config::NameserverArgs;
use crate::record::Record;
use crate::table::Table;

/// Draws in one page of a member, at most.
const PAGE: u64 = 1000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Public listeners of one or more members, or srv://SERVICE for the members of a Service; the first that answers is used
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    members: Vec<Target>,
    /// First round to show [default: the newest rounds]
    #[arg(long, value_name = "ROUND", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    from: Option<u64>,
    /// Number of draws to show; with --follow, of those that already exist
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    /// Continue with each new draw, from another member if one fails
    #[arg(short, long)]
    follow: bool,
    /// Write JSON lines, which `verify` reads
    #[arg(long)]
    json: bool,
    /// Don't report on standard error which member is followed
    #[arg(short, long, requires = "follow")]
    quiet: bool,
    #[command(flatten)]
    nameservers: NameserverArgs,
    #[command(flatten)]
    pub(super) colour: Colour,
}

#[derive(Deserialize)]
struct Page {
    draws: Vec<Record>,
    next: Option<u64>,
}

/// Writes the draws, oldest first.
///
/// # Errors
/// Try again: the member can't be reached. Data: its answer isn't a list of records.
pub async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let resolve = &*resolver(&args.nameservers);
    let member = first_that_answers(&args.members, resolve).await?;
    let mut from = match args.from {
        Some(round) => Some(round),
        None => newest(&member, args.limit).await?,
    };
    let mut last = None;
    let mut listing = Listing {
        json: args.json,
        table: Table::new(&HEADINGS),
    };
    // With --from, following starts there regardless of the limit.
    let mut left = match args.follow && args.from.is_some() {
        true => 0,
        false => args.limit,
    };
    while left > 0 {
        let start = from.map_or_else(String::new, |round| format!("&from={round}"));
        let path = format!("/draws?limit={}{start}", left.min(PAGE));
        let (_, mut page): (_, Page) = member.get_json(&path).await?;
        let shown = &page.draws[..page.draws.len().min(left as usize)];
        let text = listing.text(console, shown);
        left -= shown.len() as u64;
        if !console.put(&text)? {
            return Ok(());
        }
        from = match shown.last() {
            Some(last) => Some(last.round + 1),
            // Nothing has been drawn yet: follow from the first round.
            None => from.or(Some(1)),
        };
        let ended = shown.is_empty() || page.next.is_none();
        page.draws.truncate(shown.len());
        last = page.draws.pop().map(Box::new).or(last);
        if ended {
            break;
        }
    }
    if !args.follow {
        return Ok(());
    }
    let (clock, position) = (console.clock.clone(), Position { next: from, last });
    let show = |update| match update {
        Update::Draw(record) => {
            let text = listing.text(console, std::slice::from_ref(&*record));
            console.put(&text)
        }
        Update::Note(line) => {
            if !args.quiet {
                note(&line);
            }
            Ok(true)
        }
    };
    follow(&args.members, resolve, &clock, position, follow::SILENCE, show).await
}

/// The first round to show so that the newest `limit` are shown; none for the oldest kept.
async fn newest(member: &Member, limit: u64) -> Result<Option<u64>, Failure> {
    let Some(head) = member.latest_draw().await?.filter(|head| head.round > limit) else {
        return Ok(None);
    };
    let from = head.round - limit + 1;
    let first = member.ask(&format!("/draws/{from}"), "application/json").await?;
    Ok((first.status != StatusCode::GONE).then_some(from))
}

/// Draws in several parts: JSON lines, or a table with one heading.
struct Listing {
    json: bool,
    table: Table,
}

const HEADINGS: [&str; 8] = [
    "ROUND", "SLOT", "MISSED", "HOLDER", "FENCE", "GAVE", "OUTPUT", "MISSING",
];

impl Listing {
    fn text(&mut self, console: &Console<'_>, records: &[Record]) -> String {
        if self.json {
            return records.iter().map(|record| record.canonical() + "\n").collect();
        }
        let rows: Vec<Vec<String>> = records.iter().map(row).collect();
        self.table.part(&rows, console.colour)
    }
}

fn row(record: &Record) -> Vec<String> {
    let holder = record.holder.split('_').next().unwrap_or_default();
    let missing = record
        .missing
        .iter()
        .map(|m| format!("{} {}", m.ordinal, format!("{:?}", m.reason).to_lowercase()));
    let output = record
        .output
        .map_or("none".to_owned(), |output| format!("{:.16}…", output.to_string()));
    let gave = record.contributions.len();
    vec![
        record.round.to_string(),
        record.slot.to_string(),
        record.missed.to_string(),
        holder.to_owned(),
        record.fence.to_string(),
        format!("{gave} of {}", gave + record.missing.len()),
        output,
        missing.collect::<Vec<_>>().join(", "),
    ]
}
