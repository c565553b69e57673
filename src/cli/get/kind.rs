//! The kinds of values and their arguments. A new kind is a variant of [`Kind`] and an arm of [`Kind::read`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::plan::{DECIMALS, IDS, INTEGERS, NUMBERS_AS_TEXT, Plan, Shape, TEXT_BYTES, TEXTS, VALUES};
use crate::cli::target::Target;
use crate::cli::{Exit, Failure};
use crate::config::{NameserverArgs, values};
use crate::generator::distinct;

/// For --unique: about 450 MB of memory at the peak; a million take 75 MB.
const MOST_DISTINCT: u64 = 10_000_000;

#[derive(Debug, Subcommand)]
pub(super) enum Kind {
    /// Uniformly distributed integers
    Integers {
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
        #[command(flatten)]
        how: Options,
    },
    /// Bytes, as they are or as hexadecimal
    Bytes {
        /// Number of bytes: 32, 64KB, 1GiB
        #[arg(long, value_name = "SIZE", default_value = "32", value_parser = bytes)]
        count: u64,
        /// Write lower-case hexadecimal on one line
        #[arg(long)]
        hex: bool,
        #[command(flatten)]
        how: Options,
    },
    /// Ids that no member of the set ever gives twice
    Ids {
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: Options,
    },
    /// Uniformly distributed decimals
    Decimals {
        /// Minimum [default: the member's]
        #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
        min: Option<f64>,
        /// Upper bound, excluded [default: the member's]
        #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
        max: Option<f64>,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: Options,
    },
    /// Normally distributed decimals
    Gaussians {
        /// Their mean [default: the member's]
        #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
        mean: Option<f64>,
        /// Their standard deviation [default: the member's]
        #[arg(long, value_name = "NUMBER")]
        deviation: Option<f64>,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: Options,
    },
    /// Strings of random characters
    Strings {
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
        #[command(flatten)]
        how: Options,
    },
    /// UUIDs of version 4 (random) or 7 (by time)
    #[command(disable_version_flag = true)]
    Uuids {
        /// 4 or 7
        #[arg(long, value_name = "VERSION", default_value = "4", value_parser = ["4", "7"])]
        version: String,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: Options,
    },
    /// A range of numbers, or items, in a random order
    Shuffle {
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
        #[command(flatten)]
        how: Options,
    },
    /// The numbers java.util.Random gives for a seed, the same every time
    Sequence {
        /// Seed of the sequence
        #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
        seed: i64,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: Options,
    },
    /// One 32-bit number
    Number {
        #[command(flatten)]
        how: Options,
    },
}

impl Kind {
    /// What to get, and the options.
    ///
    /// # Errors
    /// Usage: arguments that contradict each other.
    pub(super) fn read(&self) -> Result<(Wanted, &Options), Failure> {
        let (plan, how) = match self {
            Kind::Integers {
                min,
                max,
                count,
                unique,
                how,
            } => return Ok((integers(*min, *max, count.count, *unique)?, how)),
            Kind::Bytes { count, hex, how } => {
                let mut wanted = Wanted::from(Plan::bytes(*count));
                wanted.hex = *hex;
                return Ok((wanted, how));
            }
            Kind::Ids { count, how } => (count.of("/ids", &[], IDS, NUMBERS_AS_TEXT), how),
            Kind::Decimals { min, max, count, how } => {
                let query = [("min", text(min)), ("max", text(max))];
                (count.of("/decimals", &query, VALUES, DECIMALS), how)
            }
            Kind::Gaussians {
                mean,
                deviation,
                count,
                how,
            } => {
                let query = [("mean", text(mean)), ("deviation", text(deviation))];
                (count.of("/gaussians", &query, VALUES, DECIMALS), how)
            }
            Kind::Strings {
                length,
                alphabet,
                characters,
                count,
                how,
            } => {
                let [alphabet, characters] = [alphabet.clone(), characters.clone()];
                let length_given = ("length", Some(length.to_string()));
                let query = [length_given, ("alphabet", alphabet), ("characters", characters)];
                // A character may have four bytes.
                let batch = (TEXT_BYTES / (length * 4 + 1)).clamp(1, VALUES);
                (count.of("/strings", &query, batch, TEXTS), how)
            }
            Kind::Uuids { version, count, how } => (
                count.of("/uuids", &[("version", Some(version.clone()))], VALUES, TEXTS),
                how,
            ),
            Kind::Shuffle { min, max, items, how } => (shuffle(*min, *max, items.as_deref())?, how),
            Kind::Sequence { seed, count, how } => {
                let plan = count.of("/sequence", &[("seed", Some(seed.to_string()))], VALUES, INTEGERS);
                (plan.by_place(), how)
            }
            Kind::Number { how } => {
                let shape = if how.json { Shape::Object } else { INTEGERS };
                (Plan::new("/", &[], 1, 1, shape).whole(), how)
            }
        };
        Ok((plan.into(), how))
    }
}

fn integers(min: i64, max: i64, count: u64, unique: bool) -> Result<Wanted, Failure> {
    if min > max {
        return usage(format!("the range is reversed: --min is {min}, --max is {max}"));
    }
    let size = distinct::size(min, max);
    if unique && u128::from(count) > size {
        return usage(format!(
            "from {min} to {max} there are {size} numbers, and --count is {count}"
        ));
    }
    if unique && count > MOST_DISTINCT {
        return usage(format!("--unique takes a --count of at most {MOST_DISTINCT}"));
    }
    // A member ensures distinct numbers only within one answer.
    let several = count > VALUES;
    let query = [
        ("min", Some(min.to_string())),
        ("max", Some(max.to_string())),
        ("unique", (unique && !several).then(|| "true".to_owned())),
    ];
    let plan = Plan::new("/integers", &query, count, VALUES, INTEGERS);
    Ok(Wanted {
        distinct: (unique && several).then_some((min, max)),
        ..plan.into()
    })
}

fn shuffle(min: i64, max: Option<i64>, items: Option<&str>) -> Result<Plan, Failure> {
    let plan = match (items, max) {
        (Some(items), _) => {
            let count = items.split(',').count() as u64;
            Plan::new("/shuffle", &[("items", Some(items.to_owned()))], count, count, TEXTS)
        }
        (None, Some(max)) => {
            let count = match u64::try_from(distinct::size(min, max)) {
                Ok(count @ 1..=VALUES) => count,
                _ => return usage(format!("from {min} to {max} there are not 1 to {VALUES} numbers")),
            };
            let query = [("min", Some(min.to_string())), ("max", Some(max.to_string()))];
            Plan::new("/shuffle", &query, count, count, INTEGERS)
        }
        (None, None) => return usage("give --max or --items".to_owned()),
    };
    Ok(plan.whole())
}

fn text(given: &Option<f64>) -> Option<String> {
    given.map(|number| number.to_string())
}

fn usage<T>(reason: String) -> Result<T, Failure> {
    Err(Failure::new(Exit::Usage, format!("{reason}; see --help")))
}

// A doc comment on a struct of arguments would become part of the command's help.

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

impl Count {
    fn of(&self, path: &str, query: &[(&str, Option<String>)], batch: u64, shape: Shape) -> Plan {
        Plan::new(path, query, self.count, batch, shape)
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    match values::size(text) {
        Ok(0) => Err("at least 1".into()),
        Ok(size) if size > 1 << 53 => Err(format!("at most {}", 1u64 << 53)),
        size => size,
    }
}

/// What to get, and how to make it from the answers.
pub(super) struct Wanted {
    pub(super) plan: Plan,
    /// Bytes as hexadecimal.
    pub(super) hex: bool,
    /// The values are distinct numbers of this range, made of random bytes: more than one answer holds.
    pub(super) distinct: Option<(i64, i64)>,
}

impl From<Plan> for Wanted {
    fn from(plan: Plan) -> Wanted {
        Wanted {
            plan,
            hex: false,
            distinct: None,
        }
    }
}
