//! LOG_FILE: one thread appends a line for each number, many at a time. An answer doesn't wait for the disk; its line is in the
//! file about a millisecond later, and before the next `/logs` is answered.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use random_generator::shutdown::Signal;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use super::appending::LineFile;

/// Bytes of lines that wait for the file: seconds of a busy processor.
const QUEUE: usize = 8 * 1024 * 1024;
/// How long the thread gathers lines after the first: many requests, one write.
const GATHER: Duration = Duration::from_millis(1);
/// How long a request waits for room in the queue before its line is lost.
const ROOM_WITHIN: Duration = Duration::from_secs(1);
/// How long `/logs` waits for the lines before it.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Queues lines. Clones share the queue.
#[derive(Clone)]
pub(super) struct LogFile {
    path: Arc<Path>,
    queue: Arc<Queue>,
    done: watch::Receiver<Done>,
}

/// The outcome of all lines so far.
#[derive(Clone, Copy, Default)]
struct Done {
    /// Bytes taken from the queue, written or lost.
    taken: u64,
    /// Lines that the file did not take.
    failed: u64,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Bytes ever queued.
    accepted: u64,
    /// Lines for which there was no room in time.
    crowded_out: u64,
    /// A flush waits for these lines: write them now, without gathering more.
    hurry: bool,
    closed: bool,
}

/// The queue is full.
struct Full;

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it is held leaves bytes of a line at most, and ends the process anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogFile {
    pub(super) fn new(path: &Path) -> (LogFile, LogWriter) {
        let queue = Arc::new(Queue::default());
        let (publisher, done) = watch::channel(Done::default());
        let log_file = LogFile {
            path: path.into(),
            queue: queue.clone(),
            done,
        };
        let writer = LogWriter {
            path: path.to_owned(),
            queue,
            publisher,
        };
        (log_file, writer)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lost lines: the queue stayed full, or the file refused them.
    pub(super) fn lost(&self) -> u64 {
        self.queue.lock().crowded_out + self.done.borrow().failed
    }

    /// Queues one line, with its line feed. Waits only while the queue is full, for a bounded time.
    pub(super) async fn append(&self, line: &[u8]) {
        if self.try_append(line).is_ok() {
            return;
        }
        let mut done = self.done.clone();
        let room = timeout(ROOM_WITHIN, async {
            while done.changed().await.is_ok() {
                if self.try_append(line).is_ok() {
                    return true;
                }
            }
            false
        });
        if room.await != Ok(true) {
            let mut state = self.queue.lock();
            state.crowded_out += 1;
            if state.crowded_out == 1 {
                tracing::warn!(path = %self.path.display(), "LOG_FILE is slower than the requests: lines are lost");
            }
        }
    }

    fn try_append(&self, line: &[u8]) -> Result<(), Full> {
        let mut state = self.queue.lock();
        if state.lines.len() + line.len() > QUEUE {
            return Err(Full);
        }
        let idle = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        state.accepted += line.len() as u64;
        drop(state);
        if idle {
            self.queue.more.notify_one();
        }
        Ok(())
    }

    /// Waits, for a bounded time, until all lines queued so far are in the file.
    pub(super) async fn flush(&self) {
        let accepted = {
            let mut state = self.queue.lock();
            state.hurry = true;
            state.accepted
        };
        self.queue.more.notify_one();
        let mut done = self.done.clone();
        let flushed = timeout(FLUSH_WITHIN, done.wait_for(|done| done.taken >= accepted));
        if flushed.await.is_err() {
            tracing::warn!(path = %self.path.display(), "LOG_FILE is slow: some lines are not written yet");
        }
    }
}

/// The thread that appends.
pub(super) struct LogWriter {
    path: PathBuf,
    queue: Arc<Queue>,
    publisher: watch::Sender<Done>,
}

impl LogWriter {
    /// Appends until asked to stop, and then what is left.
    pub(super) async fn run(self, mut stop: Signal) -> Result<(), JoinError> {
        let queue = self.queue.clone();
        let mut thread = spawn_blocking(move || self.append());
        tokio::select! {
            biased;
            () = stop.requested() => {}
            ended = &mut thread => return ended,
        }
        queue.lock().closed = true;
        queue.more.notify_one();
        thread.await
    }

    fn append(self) {
        let mut file = LineFile::new(&self.path);
        let (mut batch, mut trouble) = (Vec::new(), None);
        while self.next(&mut batch) {
            let written = file.append(&batch);
            self.publisher.send_modify(|done| {
                done.taken += batch.len() as u64;
                if written.is_err() {
                    done.failed += batch.iter().filter(|byte| **byte == b'\n').count() as u64;
                }
            });
            self.log_change(&mut trouble, written.err());
            batch.clear();
        }
    }

    /// Takes the gathered lines; false once the queue is closed and empty.
    fn next(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.queue.lock();
        while state.lines.is_empty() && !state.closed {
            state.hurry = false;
            state = self.queue.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let gathering = |state: &mut State| !state.hurry && !state.closed && state.lines.len() < QUEUE / 2;
        let waited = self.queue.more.wait_timeout_while(state, GATHER, gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.hurry = false;
        // Swapping reuses both buffers.
        std::mem::swap(&mut state.lines, batch);
        !batch.is_empty()
    }

    /// Logs once that writing fails, and once that it works again.
    fn log_change(&self, trouble: &mut Option<io::ErrorKind>, error: Option<io::Error>) {
        let path = self.path.display();
        match (&trouble, &error) {
            (before, Some(error)) if **before != Some(error.kind()) => {
                tracing::warn!(%path, %error, "LOG_FILE can't be written: its lines are lost");
            }
            (Some(_), None) => tracing::info!(%path, "LOG_FILE is written again"),
            _ => {}
        }
        *trouble = error.map(|error| error.kind());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use random_generator::shutdown::stage;

    #[tokio::test]
    async fn flushed_lines_are_in_the_file_and_the_rest_is_when_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (log, writer) = LogFile::new(&path);
        let (stop, stops) = stage();
        let writer = std::pin::pin!(writer.run(stops));
        let using = async {
            for number in 0..1_000 {
                log.append(format!("{number}\n").as_bytes()).await;
            }
            log.flush().await;
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1_000);
            log.append(b"last\n").await;
            stop.pull();
        };
        let (ended, ()) = tokio::join!(writer, using);
        ended.unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("999\nlast\n"));
        assert_eq!(log.lost(), 0);
    }

    #[tokio::test]
    async fn what_the_file_refuses_is_counted_and_nobody_is_held_up() {
        let (log, writer) = LogFile::new(Path::new("/dev/full"));
        let (stop, stops) = stage();
        let using = async {
            log.append(b"1\n").await;
            log.append(b"2\n").await;
            log.flush().await;
            assert_eq!(log.lost(), 2);
            stop.pull();
        };
        tokio::join!(writer.run(stops), using).0.unwrap();
    }
}
