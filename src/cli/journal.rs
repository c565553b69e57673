//! `journal`: what a member gave out, read from its volume while it runs or afterwards.
//!
//! Each page is read in a transaction of its own: one that stayed open would keep a running member from emptying its log. So
//! rows may be removed between two pages, oldest first, and that is reported.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use tokio::time::sleep;

use super::console::{Colour, Console};
use super::failure::note;
use super::{Exit, Failure};
use crate::clock::Wall;
use crate::config::values;
use crate::database::DatabaseError;
use crate::journal::{self, MAX_PAGE, Row};
use crate::table::Table;

/// How often a followed journal is read.
const POLL: Duration = Duration::from_millis(250);
/// A row has the time of its request, and is committed a little later.
const SETTLED: SignedDuration = SignedDuration::from_secs(1);
/// A replaced journal may take this many reads until it is readable: 5 s. Its file exists before its table.
const NEW_POLLS: u32 = 20;
/// A commit of the member, or a checkpoint, may hold the lock for a moment.
const BUSY_ATTEMPTS: u32 = 5;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Volume of the member, as its --data-dir; or the journal's file itself
    #[arg(value_name = "DIR|FILE", default_value = "./random-generator-data")]
    volume: PathBuf,
    /// Format of the rows
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    format: Format,
    /// Continue with new rows
    #[arg(short, long)]
    follow: bool,
    /// Only from this time on: 2026-11-21T06:00:00Z, or 15m for the last 15 minutes
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Only before this time; --follow ends there
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Only requests to this path, such as /integers
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Only the request with this X-Request-Id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Maximum number of rows: the first that match
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Don't report removed rows on standard error
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    pub(super) colour: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// RFC 4180 with a heading; text that a spreadsheet would run as a formula gets a leading '
    Csv,
    /// One JSON object a line
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    At(Wall),
    Ago(Duration),
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(Moment::At(timestamp.into()));
    }
    let allowed = "a time with its zone, such as 2026-11-21T06:00:00Z, or how long ago, such as 15m";
    values::duration(text).map(Moment::Ago).map_err(|_| allowed.to_owned())
}

impl Moment {
    fn wall(self, now: Wall) -> Wall {
        match self {
            Moment::At(wall) => wall,
            Moment::Ago(ago) => Wall(now.0.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX))),
        }
    }
}

/// Writes the matching rows, oldest first.
///
/// # Errors
/// I/O: there is no journal, or it can't be read. Try again: it is in use. Data: it is damaged.
pub(super) async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let path = match args.volume.is_dir() {
        true => args.volume.join("journal.db"),
        false => args.volume.clone(),
    };
    let now = console.clock.wall();
    let filter = Filter {
        since: args.since.map(|moment| moment.wall(now)),
        until: args.until.map(|moment| moment.wall(now)),
        path: args.path.as_deref(),
        request: args.request_id.as_deref(),
    };
    let mut listing = Listing {
        format: args.format,
        table: Table::new(&HEADINGS),
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let note = |line: &str| {
        if !args.quiet {
            note(line);
        }
    };
    let unreadable = |error: io::Error| {
        let line = format!(
            "{}: {error}; name the --data-dir of a member, or its journal.db",
            path.display()
        );
        Failure::new(Exit::Io, line)
    };
    let mut file = identity(&path).map_err(unreadable)?;
    let (mut missing, mut not_ready) = (false, 0);
    // Row ids only grow, and there are none below 1.
    let mut from = 0;
    if !console.put(&listing.begin())? {
        return Ok(());
    }
    loop {
        // Before the read: rows that come after it are too late.
        let last = !args.follow || filter.is_past(console.clock.wall());
        let read = page(&path, from).await;
        match identity(&path) {
            Ok(found) if found == file => missing = false,
            Ok(found) if args.follow => {
                note("the journal was replaced");
                (file, from, missing, not_ready) = (found, 0, false, NEW_POLLS);
                continue;
            }
            // A corrupt journal is moved aside before the new one is created.
            Err(error) if args.follow && error.kind() == io::ErrorKind::NotFound => {
                if last {
                    return Ok(());
                }
                if !missing {
                    note("the journal is missing; waiting for it");
                }
                missing = true;
                sleep(POLL).await;
                continue;
            }
            Err(error) if args.follow => return Err(unreadable(error)),
            // What was open is read to its end.
            Ok(_) | Err(_) => {}
        }
        let rows = match read {
            Ok(rows) => rows,
            Err(_) if not_ready > 0 && !last => {
                not_ready -= 1;
                sleep(POLL).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        not_ready = 0;
        if let (true, Some(first)) = (from > 0, rows.first().filter(|first| first.id > from)) {
            note(&format!(
                "{} rows were removed by retention before they were read",
                first.id - from
            ));
        }
        from = rows.last().map_or(from, |last| last.id + 1);
        let more = rows.len() == MAX_PAGE as usize;
        let matching: Vec<Row> = rows.into_iter().filter(|row| filter.matches(row)).collect();
        let shown = &matching[..matching.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        left -= shown.len() as u64;
        if !shown.is_empty() && !console.put(&listing.text(console, shown))? || left == 0 {
            return Ok(());
        }
        if more {
            continue;
        }
        if last {
            return Ok(());
        }
        sleep(POLL).await;
    }
}

/// Device and inode: a corrupt journal is moved aside, and the new one counts from 1 again.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

async fn page(path: &Path, from: i64) -> Result<Vec<Row>, Failure> {
    let mut attempts = 0;
    loop {
        let at = path.to_owned();
        // SQLite may wait for a lock or a disk: not on the runtime's thread.
        let read = tokio::task::spawn_blocking(move || journal::read(&at, from, MAX_PAGE)).await;
        let error = match read.map_err(|error| Failure::new(Exit::Bug, error))? {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        attempts += 1;
        let exit = match error {
            DatabaseError::Busy { .. } if attempts < BUSY_ATTEMPTS => continue,
            DatabaseError::Busy { .. } => Exit::TryAgain,
            DatabaseError::Corrupt { .. } => Exit::Data,
            DatabaseError::Full { .. } | DatabaseError::Io { .. } | DatabaseError::Other { .. } => Exit::Io,
        };
        return Err(Failure::new(exit, error));
    }
}

struct Filter<'a> {
    since: Option<Wall>,
    until: Option<Wall>,
    path: Option<&'a str>,
    request: Option<&'a str>,
}

impl Filter<'_> {
    /// Whether the journal has all rows to show by `now`.
    fn is_past(&self, now: Wall) -> bool {
        self.until
            .is_some_and(|until| now.timestamp().duration_since(until.timestamp()) >= SETTLED)
    }

    fn matches(&self, row: &Row) -> bool {
        let path = || row.method.split_once(' ').map_or(row.method.as_str(), |(_, path)| path);
        self.since.is_none_or(|since| row.time >= since)
            && self.until.is_none_or(|until| row.time < until)
            && self.path.is_none_or(|wanted| path() == wanted)
            && self.request.is_none_or(|wanted| row.request == wanted)
    }
}

/// Rows in several parts.
struct Listing {
    format: Format,
    table: Table,
}

const HEADINGS: [&str; 7] = ["TIME", "REQUEST", "MS", "METHOD", "PARAMETERS", "COUNT", "VALUE"];

impl Listing {
    fn begin(&self) -> String {
        match self.format {
            Format::Csv => "id,time,request,duration_us,method,parameters,count,value\r\n".to_owned(),
            Format::Table | Format::Jsonl => String::new(),
        }
    }

    fn text(&mut self, console: &Console<'_>, rows: &[Row]) -> String {
        match self.format {
            Format::Csv => rows.iter().map(csv).collect(),
            Format::Jsonl => rows.iter().map(|row| json_line(row) + "\n").collect(),
            Format::Table => {
                let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
                self.table.part(&cells, console.colour)
            }
        }
    }
}

fn time(row: &Row) -> String {
    format!("{:.6}", row.time.timestamp())
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        time(row),
        row.request.clone(),
        format!("{:.3}", row.duration.as_secs_f64() * 1000.0),
        row.method.clone(),
        row.parameters.clone(),
        row.count.to_string(),
        row.value.map_or_else(String::new, |value| value.to_string()),
    ]
}

fn json_line(row: &Row) -> String {
    json!({
        "id": row.id,
        "time": time(row),
        "request": row.request,
        "duration_us": u64::try_from(row.duration.as_micros()).unwrap_or(u64::MAX),
        "method": row.method,
        "parameters": row.parameters,
        "count": row.count,
        "value": row.value,
    })
    .to_string()
}

/// A text in CSV (RFC 4180): quoted if it has a separator, a quote or a line end. Clients choose some of these texts, and a
/// spreadsheet runs what looks like a formula, quoted or not; so it gets a leading `'`, which marks text (OWASP, "CSV
/// Injection"). Some spreadsheets also split at a semicolon or a tab. JSON lines have the text unchanged.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if formula { "'" } else { "" };
    match formula || text.contains([',', ';', '\t', '"', '\r', '\n']) {
        true => format!("\"{mark}{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// RFC 4180, with CRLF at the end. Numbers are the member's own and stay numbers, even negative ones.
fn csv(row: &Row) -> String {
    let fields = [
        row.id.to_string(),
        time(row),
        field(&row.request),
        row.duration.as_micros().to_string(),
        field(&row.method),
        field(&row.parameters),
        row.count.to_string(),
        row.value.map_or_else(String::new, |value| value.to_string()),
    ];
    fields.join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            id: 7,
            time: Wall(1_763_700_000_000_001),
            request: "a,\"b\"".into(),
            duration: Duration::from_micros(1500),
            method: "GET /".into(),
            parameters: String::new(),
            count: 1,
            value: Some(-3),
        }
    }

    #[test]
    fn a_row_of_csv_quotes_what_would_break_it() {
        assert_eq!(
            csv(&row()),
            "7,2025-11-21T04:40:00.000001Z,\"a,\"\"b\"\"\",1500,GET /,,1,-3\r\n"
        );
    }

    #[test]
    fn a_text_that_a_spreadsheet_would_run_is_marked_as_text() {
        for (text, written) in [
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("a;=1", "\"a;=1\""),
            ("min=1&max=-6", "min=1&max=-6"),
            ("'=1", "'=1"),
            ("", ""),
        ] {
            assert_eq!(field(text), written, "{text:?}");
        }
    }

    #[test]
    fn a_time_is_a_timestamp_or_how_long_ago() {
        let now = Wall(1_763_700_000_000_000);
        assert_eq!(moment("15m").unwrap().wall(now), Wall(now.0 - 900_000_000));
        assert_eq!(moment("2025-11-21T04:40:00Z").unwrap().wall(now), now);
        for wrong in ["", "yesterday", "2025-11-21", "15"] {
            assert!(moment(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_row_matches_all_filters_or_none() {
        let filter = |path, request, since| Filter {
            since,
            until: Some(Wall(1_763_700_000_000_002)),
            path,
            request,
        };
        assert!(filter(Some("/"), Some("a,\"b\""), Some(row().time)).matches(&row()));
        assert!(!filter(Some("/ids"), None, None).matches(&row()));
        assert!(!filter(None, Some("a"), None).matches(&row()));
        assert!(!filter(None, None, Some(Wall(row().time.0 + 1))).matches(&row()));
    }
}
