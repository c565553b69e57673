//! `batch`: lines of numbers into a file, what `java RandomRunner` is in the workshop image.

use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use crate::config::Terminal;
use crate::reference::batch::{self, Batch};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Seed for the numbers of java.util.Random; 0 for no seed
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    seed: Option<i64>,
    /// File to append lines to, which other processes may share; - is standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Number of lines
    #[arg(value_name = "LINES", default_value = "10000", allow_negative_numbers = true)]
    lines: i64,
    /// Pause before starting again, endlessly; 0 to end
    #[arg(value_name = "SECONDS", default_value = "0", allow_negative_numbers = true)]
    pause: i64,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let batch = Batch {
        file: Some(args.file).filter(|file| file.as_os_str() != "-"),
        lines: args.lines,
        pause: Duration::from_secs(args.pause.try_into().unwrap_or(0)),
        seed: args.seed.filter(|seed| *seed != 0),
        progress: Terminal::stderr().interactive,
    };
    batch::run(batch)
        .await
        .map_err(|error| Failure::new(error.exit(), &error))
}
