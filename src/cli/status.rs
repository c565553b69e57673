//! `status`: the set on one screen, as one of its members sees it.

use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use tokio::time::sleep;

use super::console::{Colour, Console};
use super::failure::{note, one_line};
use super::target::{Member, Resolve, Target, all_members, resolver};
use super::{Exit, Failure};
use crate::config::NameserverArgs;
use crate::http::public::set::{SetAnswer, SetMember};
use crate::peer::report::MemberReport;
use crate::readiness::Status;

const HEADINGS: [&str; 10] = [
    "MEMBER", "NODE", "VERSION", "SINCE", "READY", "VOLUME", "JOURNAL", "LAG", "ROUNDS", "NOTES",
];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Public listeners of one or more members, or srv://SERVICE for the members of a Service; the first that answers is used
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    members: Vec<Target>,
    /// Write the member's JSON
    #[arg(long)]
    json: bool,
    /// Show it again every second, until interrupted, from another member if one fails; with --json a line each time
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    nameservers: NameserverArgs,
    #[command(flatten)]
    pub(super) colour: Colour,
}

/// The time between two screens. Members ask each other once a second at most, so less would show the same.
const EVERY: Duration = Duration::from_secs(1);

/// Writes the set once, or until nobody reads it.
///
/// # Errors
/// Try again: no member can be reached, or one of the set is silent or not ready. Data: the answer is malformed.
pub async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let resolve = &*resolver(&args.nameservers);
    if args.watch {
        return watch(args, resolve, console).await;
    }
    let (json, set) = ask(args, resolve, &mut None).await?;
    let text = if args.json { json + "\n" } else { screen(console, &set) };
    console.put(&text)?;
    let unready = set.members.iter().filter(|member| !is_ready(member));
    let unready: Vec<String> = unready.map(|member| one_line(&member.name)).collect();
    match unready.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::TryAgain,
            format!("not ready: {}", unready.join(", ")),
        )),
    }
}

/// Writes the set every second. A member that fails is a line on the screen, and another is asked the next time.
async fn watch(args: &Args, resolve: &Resolve, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut last = None;
    if console.overwrites && !args.json {
        console.put("\x1b[2J")?;
    }
    loop {
        let is_read = match ask(args, resolve, &mut last).await {
            Ok((json, _)) if args.json => console.put(&(json + "\n"))?,
            Ok((_, set)) => console.put_screen(&screen(console, &set))?,
            Err(failure) if args.json => {
                note(&failure.line);
                true
            }
            Err(failure) => console.put_screen(&(failure.line + "\n"))?,
        };
        if !is_read {
            return Ok(());
        }
        sleep(EVERY).await;
    }
}

/// Asks the member that answered the last time, else the first that answers now.
async fn ask(args: &Args, resolve: &Resolve, last: &mut Option<Member>) -> Result<(String, SetAnswer), Failure> {
    let mut failure = Failure::new(Exit::TryAgain, "it has no members now");
    if let Some(member) = last
        && let Ok(answer) = member.get_json("/set").await
    {
        return Ok(answer);
    }
    *last = None;
    for member in all_members(&args.members, resolve).await? {
        match member.get_json("/set").await {
            Ok(answer) => {
                *last = Some(member);
                return Ok(answer);
            }
            Err(failed) => failure = failed,
        }
    }
    Err(failure)
}

/// It answers, and says that it is ready.
fn is_ready(member: &SetMember) -> bool {
    let report = member.report.as_ref();
    member.silent.is_none() && report.is_some_and(|report| report.readiness.ready)
}

fn screen(console: &Console<'_>, set: &SetAnswer) -> String {
    let own = set.members.iter().find(|member| member.own);
    let mut text = format!(
        "{} sees {} at {}\n",
        set.own,
        members(set.members.len()),
        second(&set.at)
    );
    if let Some(report) = own.and_then(|own| own.report.as_deref()) {
        text += &format!("{}\n", lease(report));
        text.extend(draws(report).map(|draws| draws + "\n"));
    }
    let lines = text.lines().map(|line| one_line(line) + "\n");
    let rows: Vec<_> = set.members.iter().map(row).collect();
    lines.chain([console.table(&HEADINGS, &rows)]).collect()
}

fn members(count: usize) -> String {
    format!("{count} {}", if count == 1 { "member" } else { "members" })
}

fn lease(report: &MemberReport) -> String {
    let lease = &report.lease;
    let Some(member) = &lease.member else {
        return format!("no member holds the lease (fence {})", lease.fence);
    };
    let remaining = match lease.remaining_ms {
        Some(0) => ", expired".to_owned(),
        Some(ms) => format!(", {}.{} s left", ms / 1000, ms % 1000 / 100),
        None => String::new(),
    };
    format!("{member} leads, fence {}{remaining}", lease.fence)
}

/// The newest draw, and when the next is due; nothing of a member that takes no part in draws.
fn draws(report: &MemberReport) -> Option<String> {
    let draws = report.draws.as_ref()?;
    let mut text = match &draws.head {
        None => "nothing is drawn yet".to_owned(),
        Some(head) => {
            let missing = head.missing.iter();
            let missing = missing
                .map(|missing| format!("{} {}", missing.ordinal, format!("{:?}", missing.reason).to_lowercase()));
            let missing: Vec<String> = missing.collect();
            let mut text = format!("round {} of {}", head.round, head.slot);
            if head.missed > 0 {
                text += &format!(", {} missed before", head.missed);
            }
            if !missing.is_empty() {
                text += &format!(", missing: {}", missing.join(", "));
            }
            text
        }
    };
    if let Some(slot) = draws.next_slot {
        text += &format!("; next slot {slot}");
    }
    Some(text)
}

fn row(member: &SetMember) -> Vec<String> {
    let mut cells = vec![member.name.clone()];
    let ready = if is_ready(member) { "yes" } else { "no" };
    match &member.report {
        None => cells.extend(["", "", "", ready, "", "", "", ""].map(str::to_owned)),
        Some(report) => cells.extend([
            report.node.clone().unwrap_or_default(),
            report.version.clone(),
            second(&report.started_at),
            ready.to_owned(),
            used(report.volume.used_bytes, report.volume.bytes),
            used(Some(report.journal.bytes), Some(report.journal.max_bytes)),
            format!("{} ms", report.journal.lag_ms),
            report
                .ledger
                .as_ref()
                .map_or_else(String::new, |ledger| match (ledger.oldest, ledger.newest) {
                    (Some(oldest), Some(newest)) => format!("{oldest} to {newest}"),
                    _ => "none".to_owned(),
                }),
        ]),
    }
    cells.push(notes(member).join("; "));
    cells
}

/// Since when and why it is silent; else what it waits for, and what is degraded.
fn notes(member: &SetMember) -> Vec<String> {
    if let Some(silent) = &member.silent {
        let mut notes = vec![format!("silent since {}: {}", second(&silent.since), silent.why)];
        notes.extend(member.report_age_ms.map(|age| format!("this was {} s ago", age / 1000)));
        return notes;
    }
    let Some(report) = &member.report else {
        return Vec::new();
    };
    let Status {
        stopping,
        latches,
        degraded,
        ..
    } = &report.readiness;
    let closed = [
        ("listeners", latches.listeners),
        ("volume", latches.volume),
        ("entropy", latches.entropy),
        ("journal", latches.journal),
    ];
    let closed = closed.iter().filter(|(_, open)| !open);
    let closed = closed.map(|(name, _)| format!("waits for {name}"));
    let stopping = stopping.then(|| "stopping".to_owned());
    let degraded = degraded.iter().map(|part| format!("{}: {}", part.source, part.reason));
    stopping.into_iter().chain(closed).chain(degraded).collect()
}

/// `18 % of 1.0 GiB`; nothing for what isn't known.
fn used(used: Option<u64>, of: Option<u64>) -> String {
    let Some((used, of)) = used.zip(of.filter(|of| *of > 0)) else {
        return String::new();
    };
    let scales = [
        (1u64 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    let (scale, name) = scales.into_iter().find(|(scale, _)| of >= *scale).unwrap_or((1, "B"));
    let percent = u128::from(used) * 100 / u128::from(of);
    format!("{percent} % of {:.1} {name}", of as f64 / scale as f64)
}

/// A time of RFC 3339 without the fraction of its second.
fn second(time: &str) -> String {
    let down = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc);
    match time.parse::<Timestamp>() {
        Ok(time) => time.round(down).unwrap_or(time).to_string(),
        Err(_) => time.to_owned(),
    }
}

#[cfg(test)]
mod tests;
