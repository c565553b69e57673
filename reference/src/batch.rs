//! `RandomRunner`, the image's batch: writes lines with numbers to a file that other processes may share, and ends; or does so
//! again after a pause, for ever.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use random_generator::clock::{Boot, Clock};
use random_generator::exit::Exit;
use random_generator::generator::java_random::JavaRandom;
use random_generator::generator::random::{EntropyError, draw};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use crate::appending::LineFile;
use crate::line;

/// Bytes of lines that are written at once: processes that share a file take turns that often.
const PIECE: usize = 16 * 1024;
/// Between two updates of the progress on a terminal.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Append lines with numbers to a file, once or again and again: RandomRunner of the reference image
///
/// A line is HH:mm:ss.SSS,ID,NANOSECONDS,NUMBER in UTC. Lines are appended whole, also when several processes share the file.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "batch", verbatim_doc_comment)]
pub struct Batch {
    /// For the numbers of java.util.Random with this seed; 0 is none
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    seed: Option<i64>,
    /// File that lines are appended to, which other processes may share; - for standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// How many; with 0 or fewer, only the first and last line on standard output
    #[arg(value_name = "LINES", default_value = "10000", allow_negative_numbers = true)]
    lines: i64,
    /// Pause before it starts over, without end; 0 or fewer: it ends after one round
    #[arg(value_name = "SECONDS", default_value = "0", allow_negative_numbers = true)]
    pause: i64,
}

/// Err for wrong arguments, and for `--help`.
pub fn parse(arguments: &[OsString]) -> Result<Batch, clap::Error> {
    Batch::try_parse_from([OsString::from("batch")].iter().chain(arguments))
}

#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("{name}: {source}")]
    File { name: String, source: io::Error },
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error("signals can't be waited for: {0}")]
    Signals(io::Error),
    #[error("asked to stop by a signal after {lines} lines of this round")]
    Stopped { lines: i64 },
    #[error("a part panicked: {0}: this is a bug")]
    Panicked(#[from] JoinError),
}

impl BatchError {
    pub fn exit(&self) -> Exit {
        match self {
            BatchError::Stopped { .. } => Exit::TryAgain,
            BatchError::Panicked(_) => Exit::Bug,
            BatchError::File { .. } | BatchError::Entropy(_) | BatchError::Signals(_) => Exit::Io,
        }
    }
}

/// Writes a round, or rounds until a signal comes. It handles signals itself: for the first process of a container, the
/// kernel's default is to ignore them. With `shows_progress`, standard error says how far it is.
pub async fn run(batch: Batch, shows_progress: bool) -> Result<(), BatchError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(BatchError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(BatchError::Signals)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let pause = Duration::from_secs(batch.pause.try_into().unwrap_or(0));
    let mut runner = Runner {
        id: uuid::Uuid::new_v4().to_string(),
        target: match batch.file.as_os_str() == "-" {
            true => Target::Output,
            false => Target::File(LineFile::new(&batch.file)),
        },
        random: batch.seed.filter(|seed| *seed != 0).map(JavaRandom::new),
        shows_progress,
        batch,
        clock: Clock::system(),
        stopped: stopped.clone(),
    };
    loop {
        let mut round = spawn_blocking(move || runner.round().map(|()| runner));
        let ended = tokio::select! {
            biased;
            ended = &mut round => ended,
            _ = terminate.recv() => stop(&stopped, round).await,
            _ = interrupt.recv() => stop(&stopped, round).await,
        };
        runner = match ended? {
            Ok(runner) => runner,
            // The reader of standard output has gone away.
            Err(BatchError::File { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        };
        if pause.is_zero() {
            return Ok(());
        }
        tokio::select! {
            biased;
            _ = terminate.recv() => return Err(BatchError::Stopped { lines: 0 }),
            _ = interrupt.recv() => return Err(BatchError::Stopped { lines: 0 }),
            () = sleep(pause) => {}
        }
    }
}

/// Waits until the piece in hand is written.
async fn stop<T>(stopped: &AtomicBool, round: tokio::task::JoinHandle<T>) -> Result<T, JoinError> {
    stopped.store(true, Ordering::Relaxed);
    round.await
}

enum Target {
    Output,
    File(LineFile),
}

struct Runner {
    id: String,
    target: Target,
    random: Option<JavaRandom>,
    batch: Batch,
    clock: Clock,
    stopped: Arc<AtomicBool>,
    shows_progress: bool,
}

impl Runner {
    fn round(&mut self) -> Result<(), BatchError> {
        let began = self.clock.boot();
        let count = self.batch.lines;
        write_output(format!("Starting to create {count} random numbers\n").as_bytes())?;
        let (mut piece, mut written, mut shown) = (Vec::with_capacity(2 * PIECE), 0, began);
        while written < count {
            piece.clear();
            let mut lines = 0;
            while piece.len() < PIECE && written + lines < count {
                self.push(&mut piece)?;
                lines += 1;
            }
            self.write(&piece)?;
            written += lines;
            if self.stopped.load(Ordering::Relaxed) {
                return Err(BatchError::Stopped { lines: written });
            }
            self.show_progress(written, &mut shown);
        }
        if shown != began {
            let width = self.progress(count).len();
            write_progress(&format!("\r{:width$}\r", ""));
        }
        let took = self.clock.boot().since(began).as_millis();
        write_output(format!("Finished after {took} ms\n").as_bytes())
    }

    fn push(&mut self, piece: &mut Vec<u8>) -> Result<(), BatchError> {
        let began = self.clock.boot();
        let number = match &mut self.random {
            Some(sequence) => sequence.next_int(),
            None => draw(|rng| rng.next_u32().cast_signed())?,
        };
        let now = self.clock.now();
        line::push(piece, now.wall, &self.id, now.boot.since(began), number);
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), BatchError> {
        match &mut self.target {
            Target::Output => write_output(piece),
            Target::File(file) => file.append(piece).map_err(|source| BatchError::File {
                name: self.batch.file.display().to_string(),
                source,
            }),
        }
    }

    fn show_progress(&self, written: i64, shown: &mut Boot) {
        let now = self.clock.boot();
        let to_file = matches!(self.target, Target::File(_));
        if self.shows_progress && to_file && now.since(*shown) > PROGRESS_EVERY {
            *shown = now;
            write_progress(&format!("\r{}", self.progress(written)));
        }
    }

    fn progress(&self, written: i64) -> String {
        format!("{written} of {} lines", self.batch.lines)
    }
}

fn write_progress(text: &str) {
    // With standard error closed, nobody can read it.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn write_output(bytes: &[u8]) -> Result<(), BatchError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| BatchError::File {
            name: String::from("standard output"),
            source,
        })
}
