//! The runtime's side of the journal's thread: collects the entries of many requests into one batch, and answers them together.
//!
//! Each wake-up of another thread is a system call, and where threads share a processor a switch between them. So both sides wake
//! each other once a batch.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{Durability, JournalError, Message};
use crate::shutdown::Signal;

/// Entries in one batch.
const MAX_BATCH: usize = 1024;
/// How long entries gather if no request waits for them. Else a quick thread would commit each alone, at the cost of many.
const GATHERING: Duration = Duration::from_millis(5);
/// Batches whose requests are not answered yet. Beyond them the thread answers by itself.
pub(super) const ANSWERS: usize = 16;

/// A batch that was committed, or could not be.
#[derive(Debug)]
pub(super) struct Answered {
    pub messages: Vec<Message>,
    pub result: Result<(), JournalError>,
}

impl Answered {
    /// Ends the waits of its requests. A request may be gone.
    pub fn reply(self) {
        for message in self.messages {
            if let Some(reply) = message.reply {
                let _ = reply.send(self.result.clone());
            }
        }
    }
}

/// Answers until the thread has ended.
pub(super) async fn answer(mut batches: mpsc::Receiver<Answered>) {
    while let Some(batch) = batches.recv().await {
        batch.reply();
    }
}

/// What the thread commits.
#[derive(Debug)]
pub(super) struct Batch {
    pub messages: Vec<Message>,
    /// Shows that the thread is busy, until it drops this.
    pub busy: OwnedSemaphorePermit,
}

/// Takes entries from the queue whenever the thread is free.
#[derive(Debug)]
pub(super) struct Collector {
    pub queue: mpsc::Receiver<Message>,
    pub batches: mpsc::Sender<Batch>,
    pub durability: Durability,
}

impl Collector {
    /// Runs until the queue is closed, by the stop, and empty; or until the thread has ended.
    pub async fn run(mut self, mut stop: Signal) {
        let thread = Arc::new(Semaphore::new(1));
        let mut closed = false;
        loop {
            let busy = select! {
                biased;
                () = self.batches.closed() => return,
                Ok(busy) = thread.clone().acquire_owned() => busy,
            };
            let mut messages = Vec::new();
            select! {
                biased;
                () = stop.requested(), if !closed => {
                    self.queue.close();
                    closed = true;
                    continue;
                }
                () = self.batches.closed() => return,
                taken = self.queue.recv_many(&mut messages, MAX_BATCH) => if taken == 0 {
                    return;
                },
            }
            match self.durability {
                Durability::None if messages.len() < MAX_BATCH && !closed => {
                    select! {
                        biased;
                        () = stop.requested() => {}
                        () = sleep(GATHERING) => {}
                    }
                    take_waiting(&mut self.queue, &mut messages);
                }
                Durability::None => {}
                Durability::Crash | Durability::Power => take_more(&mut self.queue, &mut messages).await,
            }
            if self.batches.send(Batch { messages, busy }).await.is_err() {
                return;
            }
        }
    }
}

/// Lets other tasks run, and takes their entries, as long as more come.
async fn take_more(queue: &mut mpsc::Receiver<Message>, batch: &mut Vec<Message>) {
    while batch.len() < MAX_BATCH {
        let before = batch.len();
        yield_now().await;
        take_waiting(queue, batch);
        if batch.len() == before {
            return;
        }
    }
}

fn take_waiting(queue: &mut mpsc::Receiver<Message>, batch: &mut Vec<Message>) {
    let room = MAX_BATCH.saturating_sub(batch.len());
    batch.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(room));
}
