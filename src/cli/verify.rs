//! `verify`: checks a chain of draws from a file, from standard input, or from a member.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::json;

use super::console::Console;
use super::target::{Member, Target, first_that_answers, resolver, with_scheme};
use super::{Exit, Failure};
use crate::config::NameserverArgs;
use crate::record::chain::{Summary, Verifier, VerifyError};
use crate::record::integers::{Integers, Question};
use crate::record::{Hash, MAX_TEXT, Record};

const PAGE: usize = 100;

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
struct Derivation {
    round: u64,
    question: Question,
    /// None until the round has come, and when it has no output.
    answer: Option<Integers>,
}

impl Derivation {
    fn by(args: &Args) -> Result<Option<Derivation>, Failure> {
        let (Some(round), Some(Ends { min, max })) = (args.round, args.integers) else {
            return Ok(None);
        };
        let question = Question::new(min, max, args.count, args.unique)
            .map_err(|error| Failure::new(Exit::Usage, format!("--integers, --count: {error}")))?;
        Ok(Some(Derivation {
            round,
            question,
            answer: None,
        }))
    }

    fn observe(&mut self, record: &Record) {
        if record.round == self.round {
            self.answer = self.question.of(record);
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
    let mut asked = Derivation::by(args)?;
    let mut observe = |record: &Record| asked.iter_mut().for_each(|asked| asked.observe(record));
    let verified = match &args.source {
        Source::Member(target) => {
            let member = first_that_answers(std::slice::from_ref(target), &*resolver(&args.nameservers)).await?;
            verify_member(&member, args.head, &mut observe, console).await?
        }
        Source::Stdin => verify_lines(io::stdin().lock(), args.head, &mut observe, console)
            .map_err(|e| io_failure("standard input", &e))?,
        Source::File(path) => {
            let failed = |error| io_failure(&path.display().to_string(), &error);
            let file = File::open(path).map_err(|error| match path.to_str().and_then(with_scheme) {
                Some(url) if error.kind() == io::ErrorKind::NotFound => Failure::new(
                    Exit::Io,
                    format!("{}: {error}; for a member, write {url}", path.display()),
                ),
                _ => failed(error),
            })?;
            verify_lines(BufReader::new(file), args.head, &mut observe, console).map_err(failed)?
        }
    };
    let verified = verified.and_then(|summary| match asked {
        None => Ok((summary, None)),
        Some(Derivation { round, answer, .. }) => {
            let integers = answer.ok_or(VerifyError::Drawn { round })?;
            Ok((summary, Some(integers)))
        }
    });
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

type Verified = Result<Summary, VerifyError>;

/// Calls `observe` for each record that verifies.
fn verify_lines(
    mut input: impl BufRead,
    head: Option<Hash>,
    observe: &mut impl FnMut(&Record),
    console: &mut Console<'_>,
) -> io::Result<Verified> {
    let mut progress = console.progress();
    let mut verifier = Verifier::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line cut here has no line feed, and is refused for that.
        input.by_ref().take(MAX_TEXT as u64 + 2).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(verifier.finish(head));
        }
        match verifier.push_line(&line) {
            Ok(record) => {
                observe(record);
                progress.show(|| format!("verified up to round {}", record.round));
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}

async fn verify_member(
    member: &Member,
    head: Option<Hash>,
    observe: &mut impl FnMut(&Record),
    console: &mut Console<'_>,
) -> Result<Verified, Failure> {
    let mut progress = console.progress();
    let mut verifier = Verifier::new();
    // Without `from`, a member begins with the oldest record it keeps.
    let mut path = format!("/draws?limit={PAGE}");
    loop {
        let body = member.get(&path, "application/x-ndjson").await?;
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            match verifier.push_line(line) {
                Ok(record) => observe(record),
                Err(error) => return Ok(Err(error)),
            }
        }
        let last = verifier.last().filter(|_| !body.is_empty());
        let Some(round) = last.map(|record| record.round) else {
            return Ok(verifier.finish(head));
        };
        progress.show(|| format!("verified up to round {round}"));
        path = format!("/draws?limit={PAGE}&from={}", round + 1);
    }
}
