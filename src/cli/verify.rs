//! `verify`: checks a chain of draws from a file, from standard input, or from a member.

mod lines;
mod parts;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::pin;
use std::str::FromStr;

use serde_json::json;
use tokio::select;

use self::lines::{Lines, Reader};
use self::parts::{Asked, Parts, Stop};
use super::console::Console;
use super::target::{Member, Target, first_that_answers, resolver, with_scheme};
use super::{Exit, Failure};
use crate::config::NameserverArgs;
use crate::record::Hash;
use crate::record::chain::Summary;
use crate::record::integers::{Integers, Question};

const PAGE: usize = 100;
const LINES: &str = "application/x-ndjson";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// JSON lines in a file or, as -, on standard input; or the URL of a member, for every draw it keeps
    #[arg(value_name = "FILE|-|URL", default_value = "-")]
    source: Source,
    /// Hash the last record must have; without it a truncated list verifies
    #[arg(long, value_name = "HASH")]
    head: Option<Hash>,
    /// The draw that --integers are derived from
    #[arg(long, value_name = "ROUND", requires = "integers", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    round: Option<u64>,
    /// Derive integers from that draw after verification, one a line; both ends included
    #[arg(long, value_name = "MIN..MAX", requires = "round")]
    integers: Option<Ends>,
    /// Number of integers
    #[arg(long, value_name = "COUNT", default_value = "1", requires = "integers")]
    count: u64,
    /// No integer twice
    #[arg(long, requires = "integers")]
    unique: bool,
    /// Write the verdict as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nameservers: NameserverArgs,
}

/// `MIN..MAX`, both included.
#[derive(Clone, Copy, Debug)]
struct Ends {
    min: i64,
    max: i64,
}

impl FromStr for Ends {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Ends, &'static str> {
        let ends = text.split_once("..");
        let ends = ends.and_then(|(min, max)| Some((whole(min)?, whole(max)?)));
        let (min, max) = ends.ok_or("expected two whole numbers of 64 bits, as in 1..200")?;
        Ok(Ends { min, max })
    }
}

/// Without the sign + that Rust reads and the other verifier doesn't.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// The integers to derive once everything is verified.
fn asked(args: &Args) -> Result<Option<Asked>, Failure> {
    let (Some(round), Some(Ends { min, max })) = (args.round, args.integers) else {
        return Ok(None);
    };
    let question = Question::new(min, max, args.count, args.unique)
        .map_err(|error| Failure::new(Exit::Usage, format!("--integers, --count: {error}")))?;
    Ok(Some(Asked { round, question }))
}

/// A source that is ready to be read.
enum Opened {
    File(File, String),
    Member(Box<Member>),
}

impl Opened {
    async fn by(args: &Args) -> Result<Opened, Failure> {
        let path = match &args.source {
            Source::Member(target) => {
                let member = first_that_answers(std::slice::from_ref(target), &*resolver(&args.nameservers)).await?;
                return Ok(Opened::Member(Box::new(member)));
            }
            Source::Stdin => {
                let name = "standard input";
                // Without the buffer of `Stdin`, in which lines could wait unseen.
                let input = io::stdin().as_fd().try_clone_to_owned();
                let input = input.map_err(|error| io_failure(name, &error))?;
                return Ok(Opened::File(input.into(), name.to_owned()));
            }
            Source::File(path) => path,
        };
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Ok(Opened::File(file, name)),
            Err(error) => Err(match path.to_str().and_then(with_scheme) {
                Some(url) if error.kind() == io::ErrorKind::NotFound => {
                    Failure::new(Exit::Io, format!("{name}: {error}; for a member, write {url}"))
                }
                _ => io_failure(&name, &error),
            }),
        }
    }
}

#[derive(Clone, Debug)]
enum Source {
    Stdin,
    File(PathBuf),
    Member(Target),
}

impl FromStr for Source {
    type Err = super::target::TargetError;

    fn from_str(text: &str) -> Result<Source, Self::Err> {
        match text {
            "-" => Ok(Source::Stdin),
            url if url.contains("://") => url.parse().map(Source::Member),
            path => Ok(Source::File(path.into())),
        }
    }
}

/// Writes the verdict, and the integers that were asked for.
///
/// # Errors
/// Usage: integers that no draw can give. Data: not verified, and by which rule. I/O: the file can't be read. Try again: the member can't be reached.
pub async fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let asked = asked(args)?;
    let source = Opened::by(args).await?;
    let verified = match verify(source, asked, args.head, console).await {
        Ok(verified) => Ok(verified),
        Err(Stop::Broken(error)) => Err(error),
        Err(Stop::Failed(failure)) => return Err(failure),
    };
    let text = match &verified {
        Ok((summary, integers)) if !args.json => {
            let values = integers.iter().flat_map(|integers| &integers.values);
            let values: String = values.map(|value| format!("{value}\n")).collect();
            format!("{}\n{values}", verdict(summary))
        }
        Ok((summary, None)) => format!("{}\n", json!({"verified": true, "summary": summary})),
        Ok((summary, Some(integers))) => {
            let found = json!({"verified": true, "summary": summary, "integers": integers});
            format!("{found}\n")
        }
        Err(_) if !args.json => String::new(),
        Err(error) => {
            let (line, round, rule) = (error.line(), error.round(), error.rule());
            let detail = error.to_string();
            let found = json!({"verified": false, "line": line, "round": round, "rule": rule, "detail": detail});
            format!("{found}\n")
        }
    };
    console.put(&text)?;
    match verified {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(Exit::Data, format!("not verified: {error}"))),
    }
}

fn io_failure(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{what}: {error}"))
}

/// The verdict, in the same words as verify_draws.py.
pub(super) fn verdict(summary: &Summary) -> String {
    let Summary {
        set,
        chain,
        from_round,
        to_round,
        records,
        outputs,
        missed,
        head,
    } = summary;
    let before = match from_round {
        1 => String::new(),
        _ => format!(" (what lies before round {from_round} was not judged)"),
    };
    format!(
        "verified: set {set}, chain {chain}, rounds {from_round} to {to_round}{before}: {records} records, \
         {outputs} outputs, {missed} slots missed, head {head}"
    )
}

async fn verify(
    source: Opened,
    asked: Option<Asked>,
    head: Option<Hash>,
    console: &mut Console<'_>,
) -> Result<(Summary, Option<Integers>), Stop> {
    let mut parts = Parts::new(asked, console.progress());
    let read = match source {
        Opened::File(file, name) => read_file(file, &name, &mut parts).await,
        Opened::Member(member) => read_member(&member, &mut parts).await,
    };
    match read {
        Ok(()) => parts.finish(head).await,
        Err(stop) => {
            parts.stop().await;
            Err(stop)
        }
    }
}

async fn read_file(file: File, name: &str, parts: &mut Parts<'_>) -> Result<(), Stop> {
    let mut reader = Reader::new(file);
    loop {
        // What was read may be broken, which must not wait for more to come.
        while parts.any() && reader.may_wait() {
            parts.join_next().await?;
        }
        match reader.read() {
            Ok(Lines::Part(lines)) => parts.push(lines.into()).await?,
            Ok(Lines::Piece) => {}
            Ok(Lines::End) => return Ok(()),
            Err(error) => {
                parts.join_all().await?;
                return Err(io_failure(name, &error).into());
            }
        }
    }
}

/// Requests each page while the one before is verified.
async fn read_member(member: &Member, parts: &mut Parts<'_>) -> Result<(), Stop> {
    // Without `from`, a member begins with the oldest record it keeps.
    let mut page = member.get(&format!("/draws?limit={PAGE}"), LINES).await?;
    let mut next = None;
    while !page.is_empty() {
        let lines = page.iter().filter(|byte| **byte == b'\n').count() as u64;
        parts.push(page).await?;
        let from = match next {
            Some(from) => from + lines,
            // Only the first page says where the list begins.
            None => {
                parts.join_all().await?;
                parts.next_round().unwrap_or(1)
            }
        };
        next = Some(from);
        let path = format!("/draws?limit={PAGE}&from={from}");
        let mut request = pin!(member.get(&path, LINES));
        // A page that doesn't verify is the verdict, whatever becomes of the next one.
        page = select! {
            biased;
            joined = parts.join_all() => {
                joined?;
                request.await?
            }
            answer = &mut request => {
                parts.join_all().await?;
                answer?
            }
        };
    }
    Ok(())
}
