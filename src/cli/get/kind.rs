//! What can be got. A new kind is a variant of [`Kind`] and an arm of [`Kind::wanted`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::plan::{Part, Plan, Shape, parameter};
use super::unique;
use crate::cli::target::Target;
use crate::cli::{Exit, Failure};
use crate::config::{NameserverArgs, values};

/// Values and bytes that a member gives in one answer.
pub(super) const VALUES: u64 = 10_000;
pub(super) const BYTES: u64 = 1 << 20;
const IDS: u64 = 1_000;
/// Texts are longer than numbers: so many bytes in one answer, about.
const TEXT_BYTES: u64 = 4 << 20;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Kind {
    /// Whole numbers of a range, each as likely as any other
    #[command(after_help = "\
Examples:
  random-generator get integers --min 1 --max 6 --count 5
  random-generator get integers --min 1 --max 10000000 --count 1000000 --unique --output tickets.txt")]
    Integers {
        /// The least
        #[arg(long, value_name = "NUMBER", default_value = "1", allow_negative_numbers = true)]
        min: i64,
        /// The greatest
        #[arg(long, value_name = "NUMBER", default_value = "100", allow_negative_numbers = true)]
        max: i64,
        #[command(flatten)]
        count: Count,
        /// None of them twice; at most 10,000,000 (some 450 MB of memory; a million take 75 MB)
        #[arg(long)]
        unique: bool,
        #[command(flatten)]
        how: How,
    },
    /// Bytes, as they are or as hexadecimal
    #[command(after_help = "\
Examples:
  random-generator get bytes --count 32 --hex
  random-generator get bytes --count 1GiB --output noise.bin
  random-generator get bytes --count 10GiB srv://rg.default.svc.cluster.local | dieharder -a -g 200")]
    Bytes {
        /// How many: 32, 64KB, 1GiB
        #[arg(long, value_name = "SIZE", default_value = "32", value_parser = bytes)]
        count: u64,
        /// Write lower-case hexadecimal on one line
        #[arg(long)]
        hex: bool,
        #[command(flatten)]
        how: How,
    },
    /// Ids that no member of the set ever gives twice
    #[command(after_help = "\
Examples:
  random-generator get ids --count 3")]
    Ids {
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: How,
    },
    /// Numbers with a fraction, evenly spread
    #[command(after_help = "\
Examples:
  random-generator get decimals --min -1 --max 1 --count 3")]
    Decimals {
        /// The least [default: the member's]
        #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
        min: Option<f64>,
        /// What all are below [default: the member's]
        #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
        max: Option<f64>,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: How,
    },
    /// Numbers that are normally distributed
    #[command(after_help = "\
Examples:
  random-generator get gaussians --mean 100 --deviation 15 --count 1000")]
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
        how: How,
    },
    /// Texts of random characters
    #[command(after_help = "\
Examples:
  random-generator get strings --length 20 --count 5
  random-generator get strings --length 6 --characters ABCDEFGHJKLMNPQRSTUVWXYZ23456789")]
    Strings {
        /// Characters of each
        #[arg(long, value_name = "COUNT", default_value = "16", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
        length: u64,
        /// A set of characters by the name that members have for it
        #[arg(long, value_name = "NAME")]
        alphabet: Option<String>,
        /// The characters to choose from
        #[arg(long, value_name = "CHARACTERS", conflicts_with = "alphabet")]
        characters: Option<String>,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: How,
    },
    /// UUIDs of version 4 (random) or 7 (by time)
    #[command(after_help = "\
Examples:
  random-generator get uuids --version 7 --count 10")]
    #[command(disable_version_flag = true)]
    Uuids {
        /// 4 or 7
        #[arg(long, value_name = "VERSION", default_value = "4", value_parser = ["4", "7"])]
        version: String,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: How,
    },
    /// A range of numbers, or items, in a random order
    #[command(after_help = "\
Examples:
  random-generator get shuffle --items ann,bob,cleo
  random-generator get shuffle --min 1 --max 52")]
    Shuffle {
        /// The least of a range of at most 10,000 numbers
        #[arg(long, value_name = "NUMBER", default_value = "1", allow_negative_numbers = true)]
        min: i64,
        /// The greatest
        #[arg(
            long,
            value_name = "NUMBER",
            required_unless_present = "items",
            allow_negative_numbers = true
        )]
        max: Option<i64>,
        /// What to shuffle instead, with commas between
        #[arg(long, value_name = "ITEMS", conflicts_with_all = ["min", "max"])]
        items: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// The numbers that java.util.Random gives for a seed: the same each time
    #[command(after_help = "\
Examples:
  random-generator get sequence --seed 42 --count 4")]
    Sequence {
        /// Where the sequence begins
        #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
        seed: i64,
        #[command(flatten)]
        count: Count,
        #[command(flatten)]
        how: How,
    },
    /// One number, any of 32 bits
    #[command(after_help = "\
Examples:
  random-generator get number
  random-generator get number --json")]
    Number {
        #[command(flatten)]
        how: How,
    },
}

/// Of whom, and where to.
#[derive(Args, Clone, Debug)]
pub(super) struct How {
    /// Public listeners of one or more members, or srv://SERVICE for all members of that Service
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) members: Vec<Target>,
    #[command(flatten)]
    pub(super) nameservers: NameserverArgs,
    /// Write to this file, which has its name only when it is whole; - is standard output, a terminal too
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Write JSON: {"values": [...]}
    #[arg(long)]
    pub(super) json: bool,
    /// Give up after so long in all [default: each question and its repetitions have a bound, all together have none]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(super) timeout: Option<Duration>,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Say on standard error which member failed, and when it is done
    #[arg(short, long, conflicts_with = "quiet")]
    pub(super) verbose: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Count {
    /// How many
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

/// What is asked for, and what becomes of the answers.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// Values as they come.
    Values(Plan),
    Bytes {
        count: u64,
        hex: bool,
    },
    /// So many different numbers of a range.
    Unique {
        min: i64,
        max: i64,
        count: u64,
    },
}

impl Kind {
    pub(super) fn how(&self) -> &How {
        match self {
            Kind::Integers { how, .. } | Kind::Bytes { how, .. } | Kind::Ids { how, .. } | Kind::Number { how } => how,
            Kind::Decimals { how, .. } | Kind::Gaussians { how, .. } | Kind::Strings { how, .. } => how,
            Kind::Uuids { how, .. } | Kind::Shuffle { how, .. } | Kind::Sequence { how, .. } => how,
        }
    }

    /// # Errors
    /// Usage: arguments that contradict each other.
    pub(super) fn wanted(&self) -> Result<Wanted, Failure> {
        let wrong = |reason: String| Err(Failure::new(Exit::Usage, format!("{reason}; see --help")));
        Ok(match self.clone() {
            Kind::Integers { min, max, .. } if min > max => {
                return wrong(format!("the range is reversed: --min is {min}, --max is {max}"));
            }
            Kind::Integers {
                min,
                max,
                count: Count { count },
                unique: true,
                ..
            } => {
                let size = unique::size(min, max);
                if u128::from(count) > size {
                    return wrong(format!(
                        "from {min} to {max} there are {size} numbers, and --count is {count}"
                    ));
                }
                if count > unique::MOST {
                    return wrong(format!("--unique takes a --count of at most {}", unique::MOST));
                }
                Wanted::Unique { min, max, count }
            }
            Kind::Integers {
                min,
                max,
                count: Count { count },
                unique: false,
                ..
            } => Wanted::Values(integers(min, max, count)),
            Kind::Bytes { count, hex, .. } => Wanted::Bytes { count, hex },
            Kind::Ids { count, .. } => Wanted::Values(values_of("/ids", &[], count, IDS, NUMBERS_AS_TEXT)),
            Kind::Number { how } => Wanted::Values(number(how.json)),
            Kind::Decimals { min, max, count, .. } => {
                let query = [("min", shown(min)), ("max", shown(max))];
                Wanted::Values(values_of("/decimals", &query, count, VALUES, DECIMALS))
            }
            Kind::Gaussians {
                mean, deviation, count, ..
            } => {
                let query = [("mean", shown(mean)), ("deviation", shown(deviation))];
                Wanted::Values(values_of("/gaussians", &query, count, VALUES, DECIMALS))
            }
            Kind::Strings {
                length,
                alphabet,
                characters,
                count,
                ..
            } => {
                let query = [
                    ("length", shown(Some(length))),
                    ("alphabet", alphabet),
                    ("characters", characters),
                ];
                // A character may have four bytes.
                let batch = (TEXT_BYTES / (length * 4 + 1)).clamp(1, VALUES);
                Wanted::Values(values_of("/strings", &query, count, batch, TEXTS))
            }
            Kind::Uuids { version, count, .. } => {
                Wanted::Values(values_of("/uuids", &[("version", Some(version))], count, VALUES, TEXTS))
            }
            Kind::Shuffle { items: Some(items), .. } => {
                let count = items.split(',').count() as u64;
                Wanted::Values(once(values_of(
                    "/shuffle",
                    &[("items", Some(items))],
                    Count { count },
                    count,
                    TEXTS,
                )))
            }
            Kind::Shuffle { min, max, .. } => {
                let max = max.unwrap_or(min);
                let count = match u64::try_from(unique::size(min, max)) {
                    Ok(count @ 1..=VALUES) => count,
                    _ => return wrong(format!("from {min} to {max} there are not 1 to {VALUES} numbers")),
                };
                let query = [("min", shown(Some(min))), ("max", shown(Some(max)))];
                Wanted::Values(once(values_of("/shuffle", &query, Count { count }, count, INTEGERS)))
            }
            Kind::Sequence { seed, count, .. } => {
                let query = [("seed", shown(Some(seed)))];
                Wanted::Values(Plan {
                    part: Part::Place,
                    ..values_of("/sequence", &query, count, VALUES, INTEGERS)
                })
            }
        })
    }
}

fn shown(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// A path with the parameters that were given.
fn values_of(path: &str, query: &[(&str, Option<String>)], count: Count, batch: u64, shape: Shape) -> Plan {
    let given = query
        .iter()
        .filter_map(|(name, value)| Some(parameter(name, value.as_deref()?)));
    let query: Vec<String> = given.collect();
    Plan {
        path: match query.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", query.join("&")),
        },
        total: count.count,
        batch,
        part: Part::Count,
        shape,
    }
}

/// The path decides by itself how many there are.
fn once(plan: Plan) -> Plan {
    Plan {
        part: Part::Whole,
        ..plan
    }
}

fn integers(min: i64, max: i64, count: u64) -> Plan {
    let query = [("min", shown(Some(min))), ("max", shown(Some(max)))];
    values_of("/integers", &query, Count { count }, VALUES, INTEGERS)
}

/// Numbers of one answer, which the member makes different from each other.
pub(super) fn unique_integers(min: i64, max: i64, total: u64) -> Plan {
    let plain = integers(min, max, total);
    Plan {
        path: format!("{}&unique=true", plain.path),
        ..plain
    }
}

pub(super) const INTEGERS: Shape = Shape::Lines {
    valid: |line| line.parse::<i64>().is_ok(),
    quoted: false,
};

const DECIMALS: Shape = Shape::Lines {
    valid: |line| line.parse::<f64>().is_ok_and(f64::is_finite),
    quoted: false,
};

const TEXTS: Shape = Shape::Lines {
    valid: |_| true,
    quoted: true,
};

/// JavaScript rounds what is greater than 2^53.
const NUMBERS_AS_TEXT: Shape = Shape::Lines {
    valid: |line| line.parse::<u64>().is_ok(),
    quoted: true,
};

pub(super) fn random_bytes(total: u64) -> Plan {
    Plan {
        path: "/bytes".into(),
        total,
        batch: BYTES,
        part: Part::Count,
        shape: Shape::Bytes,
    }
}

/// `/`: its number, or the JSON around it.
fn number(json: bool) -> Plan {
    Plan {
        path: "/".into(),
        total: 1,
        batch: 1,
        part: Part::Whole,
        shape: if json { Shape::Object } else { INTEGERS },
    }
}
