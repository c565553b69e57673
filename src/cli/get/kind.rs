//! The kinds of values and their arguments. A new kind is a struct of arguments that implements [`Values`], a variant of [`Kind`]
//! and an arm of [`Kind::read`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::paths::{
    DECIMALS, IDS, INTEGERS, NUMBERS_AS_TEXT, TEXT_BYTES, TEXTS, VALUES, integers, number, once, shown, values_of,
};
use super::plan::{Part, Plan};
use crate::cli::target::Target;
use crate::cli::{Exit, Failure};
use crate::config::{NameserverArgs, values};
use crate::generator::distinct;

/// For --unique: about 450 MB of memory at the peak; a million take 75 MB.
const MOST_DISTINCT: u64 = 10_000_000;

#[derive(Debug, Subcommand)]
pub(super) enum Kind {
    /// Uniformly distributed integers
    #[command(after_help = "\
Examples:
  random-generator get integers --min 1 --max 6 --count 5
  random-generator get integers --min 1 --max 10000000 --count 1000000 --unique --output tickets.txt")]
    Integers(KindArgs<Integers>),
    /// Bytes, as they are or as hexadecimal
    #[command(after_help = "\
Examples:
  random-generator get bytes --count 32 --hex
  random-generator get bytes --count 1GiB --output noise.bin
  random-generator get bytes --count 10GiB srv://rg.default.svc.cluster.local | dieharder -a -g 200")]
    Bytes(KindArgs<Bytes>),
    /// Ids that no member of the set ever gives twice
    #[command(after_help = "\
Examples:
  random-generator get ids --count 3")]
    Ids(KindArgs<Ids>),
    /// Uniformly distributed decimals
    #[command(after_help = "\
Examples:
  random-generator get decimals --min -1 --max 1 --count 3")]
    Decimals(KindArgs<Decimals>),
    /// Normally distributed decimals
    #[command(after_help = "\
Examples:
  random-generator get gaussians --mean 100 --deviation 15 --count 1000")]
    Gaussians(KindArgs<Gaussians>),
    /// Strings of random characters
    #[command(after_help = "\
Examples:
  random-generator get strings --length 20 --count 5
  random-generator get strings --length 6 --characters ABCDEFGHJKLMNPQRSTUVWXYZ23456789")]
    Strings(KindArgs<Strings>),
    /// UUIDs of version 4 (random) or 7 (by time)
    #[command(after_help = "\
Examples:
  random-generator get uuids --version 7 --count 10")]
    #[command(disable_version_flag = true)]
    Uuids(KindArgs<Uuids>),
    /// A range of numbers, or items, in a random order
    #[command(after_help = "\
Examples:
  random-generator get shuffle --items ann,bob,cleo
  random-generator get shuffle --min 1 --max 52")]
    Shuffle(KindArgs<Shuffle>),
    /// The numbers java.util.Random gives for a seed, the same every time
    #[command(after_help = "\
Examples:
  random-generator get sequence --seed 42 --count 4")]
    Sequence(KindArgs<Sequence>),
    /// One 32-bit number
    #[command(after_help = "\
Examples:
  random-generator get number
  random-generator get number --json")]
    Number(KindArgs<Number>),
}

impl Kind {
    /// The values to get, and the options.
    ///
    /// # Errors
    /// Usage: arguments that contradict each other.
    pub(super) fn read(&self) -> Result<(Wanted, &Options), Failure> {
        match self {
            Kind::Integers(asked) => asked.read(),
            Kind::Bytes(asked) => asked.read(),
            Kind::Ids(asked) => asked.read(),
            Kind::Decimals(asked) => asked.read(),
            Kind::Gaussians(asked) => asked.read(),
            Kind::Strings(asked) => asked.read(),
            Kind::Uuids(asked) => asked.read(),
            Kind::Shuffle(asked) => asked.read(),
            Kind::Sequence(asked) => asked.read(),
            Kind::Number(asked) => asked.read(),
        }
    }
}

// A doc comment on a struct of arguments would become part of the command's help.

#[derive(Args, Debug)]
pub(super) struct KindArgs<T: Args> {
    #[command(flatten)]
    of: T,
    #[command(flatten)]
    how: Options,
}

impl<T: Args + Values> KindArgs<T> {
    fn read(&self) -> Result<(Wanted, &Options), Failure> {
        Ok((self.of.wanted(&self.how)?, &self.how))
    }
}

/// The arguments of one kind.
pub(super) trait Values {
    /// # Errors
    /// Usage: arguments that contradict each other.
    fn wanted(&self, how: &Options) -> Result<Wanted, Failure>;
}

#[derive(Args, Debug)]
pub(super) struct Integers {
    /// Minimum
    #[arg(long, value_name = "NUMBER", default_value = "1", allow_negative_numbers = true)]
    min: i64,
    /// Maximum
    #[arg(long, value_name = "NUMBER", default_value = "100", allow_negative_numbers = true)]
    max: i64,
    #[command(flatten)]
    count: Count,
    /// No value twice; at most 10,000,000 (about 450 MB of memory; a million take 75 MB)
    #[arg(long)]
    unique: bool,
}

impl Values for Integers {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let Integers { min, max, .. } = *self;
        let count = self.count.count;
        if min > max {
            return usage(format!("the range is reversed: --min is {min}, --max is {max}"));
        }
        if !self.unique {
            return Ok(Wanted::Values(integers(min, max, count)));
        }
        let size = distinct::size(min, max);
        if u128::from(count) > size {
            return usage(format!(
                "from {min} to {max} there are {size} numbers, and --count is {count}"
            ));
        }
        if count > MOST_DISTINCT {
            return usage(format!("--unique takes a --count of at most {}", MOST_DISTINCT));
        }
        Ok(Wanted::Unique { min, max, count })
    }
}

#[derive(Args, Debug)]
pub(super) struct Bytes {
    /// Number of bytes: 32, 64KB, 1GiB
    #[arg(long, value_name = "SIZE", default_value = "32", value_parser = bytes)]
    count: u64,
    /// Write lower-case hexadecimal on one line
    #[arg(long)]
    hex: bool,
}

impl Values for Bytes {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let Bytes { count, hex } = *self;
        Ok(Wanted::Bytes { count, hex })
    }
}

#[derive(Args, Debug)]
pub(super) struct Ids {
    #[command(flatten)]
    count: Count,
}

impl Values for Ids {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        Ok(Wanted::Values(values_of(
            "/ids",
            &[],
            self.count.count,
            IDS,
            NUMBERS_AS_TEXT,
        )))
    }
}

#[derive(Args, Debug)]
pub(super) struct Decimals {
    /// Minimum [default: the member's]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    min: Option<f64>,
    /// Upper bound, excluded [default: the member's]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    max: Option<f64>,
    #[command(flatten)]
    count: Count,
}

impl Values for Decimals {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let query = [("min", shown(self.min)), ("max", shown(self.max))];
        Ok(Wanted::Values(values_of(
            "/decimals",
            &query,
            self.count.count,
            VALUES,
            DECIMALS,
        )))
    }
}

#[derive(Args, Debug)]
pub(super) struct Gaussians {
    /// Their mean [default: the member's]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    mean: Option<f64>,
    /// Their standard deviation [default: the member's]
    #[arg(long, value_name = "NUMBER")]
    deviation: Option<f64>,
    #[command(flatten)]
    count: Count,
}

impl Values for Gaussians {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let query = [("mean", shown(self.mean)), ("deviation", shown(self.deviation))];
        Ok(Wanted::Values(values_of(
            "/gaussians",
            &query,
            self.count.count,
            VALUES,
            DECIMALS,
        )))
    }
}

#[derive(Args, Debug)]
pub(super) struct Strings {
    /// Length of each
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    length: u64,
    /// Named set of characters
    #[arg(long, value_name = "NAME")]
    alphabet: Option<String>,
    /// Characters to choose from
    #[arg(long, value_name = "CHARACTERS", conflicts_with = "alphabet")]
    characters: Option<String>,
    #[command(flatten)]
    count: Count,
}

impl Values for Strings {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let query = [
            ("length", shown(Some(self.length))),
            ("alphabet", self.alphabet.clone()),
            ("characters", self.characters.clone()),
        ];
        // A character may have four bytes.
        let batch = (TEXT_BYTES / (self.length * 4 + 1)).clamp(1, VALUES);
        Ok(Wanted::Values(values_of(
            "/strings",
            &query,
            self.count.count,
            batch,
            TEXTS,
        )))
    }
}

#[derive(Args, Debug)]
pub(super) struct Uuids {
    /// 4 or 7
    #[arg(long, value_name = "VERSION", default_value = "4", value_parser = ["4", "7"])]
    version: String,
    #[command(flatten)]
    count: Count,
}

impl Values for Uuids {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let query = [("version", Some(self.version.clone()))];
        Ok(Wanted::Values(values_of(
            "/uuids",
            &query,
            self.count.count,
            VALUES,
            TEXTS,
        )))
    }
}

#[derive(Args, Debug)]
pub(super) struct Shuffle {
    /// Minimum of the range to shuffle, at most 10,000 numbers
    #[arg(long, value_name = "NUMBER", default_value = "1", allow_negative_numbers = true)]
    min: i64,
    /// Maximum
    #[arg(
        long,
        value_name = "NUMBER",
        required_unless_present = "items",
        allow_negative_numbers = true
    )]
    max: Option<i64>,
    /// Items to shuffle instead, comma-separated
    #[arg(long, value_name = "ITEMS", conflicts_with_all = ["min", "max"])]
    items: Option<String>,
}

impl Values for Shuffle {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let (min, max) = match (&self.items, self.max) {
            (Some(items), _) => {
                let count = items.split(',').count() as u64;
                let query = [("items", Some(items.clone()))];
                return Ok(Wanted::Values(once(values_of("/shuffle", &query, count, count, TEXTS))));
            }
            (None, Some(max)) => (self.min, max),
            (None, None) => return usage("give --max or --items".to_owned()),
        };
        let count = match u64::try_from(distinct::size(min, max)) {
            Ok(count @ 1..=VALUES) => count,
            _ => return usage(format!("from {min} to {max} there are not 1 to {VALUES} numbers")),
        };
        let query = [("min", shown(Some(min))), ("max", shown(Some(max)))];
        Ok(Wanted::Values(once(values_of(
            "/shuffle", &query, count, count, INTEGERS,
        ))))
    }
}

#[derive(Args, Debug)]
pub(super) struct Sequence {
    /// Seed of the sequence
    #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
    seed: i64,
    #[command(flatten)]
    count: Count,
}

impl Values for Sequence {
    fn wanted(&self, _: &Options) -> Result<Wanted, Failure> {
        let query = [("seed", shown(Some(self.seed)))];
        Ok(Wanted::Values(Plan {
            part: Part::Place,
            ..values_of("/sequence", &query, self.count.count, VALUES, INTEGERS)
        }))
    }
}

#[derive(Args, Debug)]
pub(super) struct Number {}

impl Values for Number {
    fn wanted(&self, how: &Options) -> Result<Wanted, Failure> {
        Ok(Wanted::Values(number(how.json)))
    }
}

fn usage(reason: String) -> Result<Wanted, Failure> {
    Err(Failure::new(Exit::Usage, format!("{reason}; see --help")))
}

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Public listeners of one or more members, or srv://SERVICE for all members of that Service
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) members: Vec<Target>,
    #[command(flatten)]
    pub(super) nameservers: NameserverArgs,
    /// Write to this file, which appears under its name only once complete; - is standard output, even a terminal
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Write JSON: {"values": [...]}
    #[arg(long)]
    pub(super) json: bool,
    /// Give up after this long [default: none; each request and its retries are bounded]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(super) timeout: Option<Duration>,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Report failing members, and completion, on standard error
    #[arg(short, long, conflicts_with = "quiet")]
    pub(super) verbose: bool,
}

#[derive(Args, Debug)]
pub(super) struct Count {
    /// Number of values
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=1 << 53))]
    count: u64,
}

fn bytes(text: &str) -> Result<u64, String> {
    match values::size(text) {
        Ok(0) => Err("at least 1".into()),
        Ok(size) if size > 1 << 53 => Err(format!("at most {}", 1u64 << 53)),
        size => size,
    }
}

/// What to get, and how to make it from the answers.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// Values as they come.
    Values(Plan),
    Bytes {
        count: u64,
        hex: bool,
    },
    /// Distinct numbers of a range.
    Unique {
        min: i64,
        max: i64,
        count: u64,
    },
}
