//! Verifies the parts of a list on all processors at once, and joins them in order.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::super::console::Progress;
use super::super::{Exit, Failure};
use crate::record::Hash;
use crate::record::chain::{Part, Summary, Verifier, VerifyError};
use crate::record::integers::{Integers, Question};

/// The most threads, which bounds memory on a machine with many processors.
const MOST: usize = 32;

/// The integers to derive from one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) round: u64,
    pub(super) question: Question,
}

/// Why a list is read no further.
#[derive(Debug)]
pub(super) enum Stop {
    Broken(VerifyError),
    Failed(Failure),
}

impl From<VerifyError> for Stop {
    fn from(error: VerifyError) -> Stop {
        Stop::Broken(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// What came of a part.
type Verified = (Part, Option<Integers>);

struct Work {
    lines: Bytes,
    done: oneshot::Sender<Verified>,
}

/// The parts of one list.
pub(super) struct Parts<'a> {
    joined: Verifier,
    asked: Option<Asked>,
    answer: Option<Integers>,
    /// In order; at most `most`.
    running: VecDeque<oneshot::Receiver<Verified>>,
    most: usize,
    /// Has room for `most`. Without it the workers end.
    work: Option<SyncSender<Work>>,
    workers: JoinSet<()>,
    progress: Progress<'a>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(asked: Option<Asked>, progress: Progress<'a>) -> Parts<'a> {
        let processors = available_parallelism().map_or(1, NonZero::get).min(MOST);
        // So that none of them waits while the oldest part is joined and the next one read.
        let most = 2 * processors;
        let (work, queue) = sync_channel(most);
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = JoinSet::new();
        for _ in 0..processors {
            let queue = queue.clone();
            workers.spawn_blocking(move || work_on(&queue, asked));
        }
        Parts {
            joined: Verifier::new(),
            asked,
            answer: None,
            running: VecDeque::with_capacity(most),
            most,
            work: Some(work),
            workers,
            progress,
        }
    }

    /// Hands over the next part, once there is room for it.
    ///
    /// # Errors
    /// An earlier part doesn't verify.
    pub(super) async fn push(&mut self, lines: Bytes) -> Result<(), Stop> {
        while self.running.len() >= self.most {
            self.join_next().await?;
        }
        let (done, running) = oneshot::channel();
        let sent = self.work.as_ref().map(|work| work.try_send(Work { lines, done }));
        if !matches!(sent, Some(Ok(()))) {
            return Err(ended_early().into());
        }
        self.running.push_back(running);
        Ok(())
    }

    /// Whether there are parts that are not joined.
    pub(super) fn any(&self) -> bool {
        !self.running.is_empty()
    }

    /// Waits for the oldest part, if there is one. When this is dropped, the part stays.
    ///
    /// # Errors
    /// It doesn't verify.
    pub(super) async fn join_next(&mut self) -> Result<(), Stop> {
        let Some(oldest) = self.running.front_mut() else {
            return Ok(());
        };
        let verified = oldest.await;
        self.running.pop_front();
        let (part, answer) = verified.map_err(|_| ended_early())?;
        self.joined.join(part)?;
        self.answer = answer.or(self.answer.take());
        if let Some(last) = self.joined.last() {
            self.progress.show(|| format!("verified up to round {}", last.round));
        }
        Ok(())
    }

    /// Waits for all parts.
    ///
    /// # Errors
    /// The first one that doesn't verify.
    pub(super) async fn join_all(&mut self) -> Result<(), Stop> {
        while self.any() {
            self.join_next().await?;
        }
        Ok(())
    }

    /// The round after the last one that was joined.
    pub(super) fn next_round(&self) -> Option<u64> {
        self.joined.last().map(|last| last.round + 1)
    }

    /// Waits for the workers, which finish what they are at and begin nothing else.
    pub(super) async fn stop(&mut self) {
        self.work = None;
        self.running.clear();
        while self.workers.join_next().await.is_some() {}
    }

    /// The verdict on all of them.
    pub(super) async fn finish(mut self, head: Option<Hash>) -> Result<(Summary, Option<Integers>), Stop> {
        let joined = self.join_all().await;
        self.stop().await;
        joined?;
        let summary = self.joined.finish(head)?;
        let Some(Asked { round, .. }) = self.asked else {
            return Ok((summary, None));
        };
        let integers = self.answer.ok_or(VerifyError::Drawn { round })?;
        Ok((summary, Some(integers)))
    }
}

/// A panic, which its hook has reported.
fn ended_early() -> Failure {
    Failure::new(Exit::Bug, "a thread that verifies ended early")
}

/// Verifies one part after the other, until there will be none.
fn work_on(queue: &Mutex<Receiver<Work>>, asked: Option<Asked>) {
    // Whoever has the queue waits for all.
    let next = || queue.lock().ok()?.recv().ok();
    while let Some(Work { lines, done }) = next() {
        // Nobody wants what comes after a broken part.
        if done.is_closed() {
            continue;
        }
        let mut answer = None;
        let part = Verifier::verify_part(&lines, |record| {
            if let Some(asked) = asked.filter(|asked| asked.round == record.round) {
                answer = asked.question.of(record);
            }
        });
        let _ = done.send((part, answer));
    }
}
