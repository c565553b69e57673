//! `RandomRunner`, the image's batch: writes lines with numbers to a file that other processes may share, and ends; or does so
//! again after a pause, for ever.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::appending::LineFile;
use super::line;
use crate::clock::{Boot, Clock};
use crate::exit::Exit;
use crate::generator::java_random::JavaRandom;
use crate::generator::random::{EntropyError, draw};

/// Bytes of lines that are written at once: processes that share a file take turns that often.
const PIECE: usize = 16 * 1024;
/// Between two tellings of how far it is.
const PROGRESS: Duration = Duration::from_millis(100);

/// What is written.
#[derive(Clone, Debug)]
pub struct Batch {
    /// None for standard output.
    pub file: Option<PathBuf>,
    /// None or fewer: only what stands before and after them.
    pub lines: i64,
    /// Zero ends it after one round.
    pub pause: Duration,
    /// For the sequence of java.util.Random, which goes on from round to round; never 0.
    pub seed: Option<i64>,
    /// A person at standard error reads how far it is.
    pub progress: bool,
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

/// Writes a round, or rounds until a signal comes. As the first process of a container it has to heed signals itself: the
/// kernel's default is not for that one.
pub async fn run(batch: Batch) -> Result<(), BatchError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(BatchError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(BatchError::Signals)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let pause = batch.pause;
    let mut runner = Runner {
        id: uuid::Uuid::new_v4().to_string(),
        target: match &batch.file {
            Some(path) => Target::File(LineFile::new(path)),
            None => Target::Output,
        },
        random: batch.seed.map(JavaRandom::new),
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
            // Nobody reads any more.
            Err(BatchError::File { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        };
        if pause.is_zero() {
            return Ok(());
        }
        let asked = tokio::select! {
            biased;
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
            () = sleep(pause) => false,
        };
        if asked {
            return Err(BatchError::Stopped { lines: 0 });
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
}

impl Runner {
    fn round(&mut self) -> Result<(), BatchError> {
        let began = self.clock.boot();
        let count = self.batch.lines;
        // As it was given, also below 0.
        say(&format!("Starting to create {count} random numbers\n"))?;
        let (mut piece, mut written, mut told) = (Vec::with_capacity(2 * PIECE), 0, began);
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
            self.tell(written, &mut told);
        }
        if told != began {
            progress("\r\u{1b}[K");
        }
        let took = self.clock.boot().since(began).as_millis();
        say(&format!("Finished after {took} ms\n"))
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
            Target::Output => output(piece),
            Target::File(file) => file.append(piece).map_err(|source| BatchError::File {
                name: self
                    .batch
                    .file
                    .as_ref()
                    .map_or_else(String::new, |path| path.display().to_string()),
                source,
            }),
        }
    }

    fn tell(&self, written: i64, told: &mut Boot) {
        let now = self.clock.boot();
        if self.batch.progress && self.batch.file.is_some() && now.since(*told) > PROGRESS {
            *told = now;
            progress(&format!("\r{written} of {} lines", self.batch.lines));
        }
    }
}

fn progress(text: &str) {
    // With standard error closed nobody looks on.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn say(text: &str) -> Result<(), BatchError> {
    output(text.as_bytes())
}

fn output(bytes: &[u8]) -> Result<(), BatchError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| BatchError::File {
            name: String::from("standard output"),
            source,
        })
}
