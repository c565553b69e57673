//! The thread that keeps the floor ahead of the ids: it raises it when half of what is reserved is used, or somebody waits.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::COUNTER_BITS;
use super::floor::{FloorError, FloorFile};
use super::source::{AHEAD_MS, IdSource, IdsConfig, Kept, Shared};
use crate::clock::Clock;
use crate::journal::backoff::Backoff;
use crate::shutdown::{self, Signal, Trigger};

/// The thread that keeps the floor, to be joined by [`IdKeeper::run`].
#[derive(Debug)]
pub struct IdKeeper {
    thread: Option<JoinHandle<io::Result<()>>>,
    ended: oneshot::Receiver<()>,
    stop: Trigger,
}

#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error("the thread that keeps the floor of ids can't start: {0}")]
    Start(#[from] io::Error),
    #[error("the thread that keeps the floor of ids panicked")]
    Panicked,
}

/// Starts the keeper. The floor is read at once, and raised when ids are asked for.
pub fn start(config: IdsConfig, clock: Clock) -> Result<(IdSource, IdKeeper), KeeperError> {
    let shared = Arc::new(Shared::default());
    let (told, kept) = watch::channel(Kept::default());
    let (raise, asked) = mpsc::channel(1);
    let (end, ended) = oneshot::channel();
    let (stop, stopping) = shutdown::stage();
    let source = IdSource::new(&config, clock.clone(), Arc::clone(&shared), kept, raise);
    let keeper = Keeper {
        path: config.path,
        clock,
        shared,
        told,
        file: None,
        backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
    };
    let thread = match config.ordinal {
        Some(_) => Some(thread::Builder::new().name("ids".into()).spawn(move || {
            let _end = end;
            // Built here: a runtime must not be dropped in an async context, as it would be when no thread can be had.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            runtime.block_on(keeper.run(asked, stopping));
            Ok(())
        })?),
        None => None,
    };
    Ok((source, IdKeeper { thread, ended, stop }))
}

impl IdKeeper {
    /// Returns when the stop was asked for and the thread has ended, or with an error when it ended by itself.
    pub async fn run(mut self, mut stop: Signal) -> Result<(), KeeperError> {
        let Some(thread) = self.thread else {
            stop.requested().await;
            return Ok(());
        };
        tokio::select! {
            biased;
            () = stop.requested() => {
                self.stop.pull();
                let _ = (&mut self.ended).await;
            }
            _ = &mut self.ended => {}
        }
        Ok(thread.join().map_err(|_| KeeperError::Panicked)??)
    }
}

struct Keeper {
    path: PathBuf,
    clock: Clock,
    shared: Arc<Shared>,
    told: watch::Sender<Kept>,
    file: Option<FloorFile>,
    backoff: Backoff,
}

impl Keeper {
    async fn run(mut self, mut asked: mpsc::Receiver<()>, mut stop: Signal) {
        let mut resting = !self.attempt(Keeper::read);
        loop {
            if resting {
                let rest = self.backoff.next();
                tokio::select! {
                    biased;
                    () = stop.requested() => return,
                    () = self.refuse(&mut asked, rest) => {}
                }
            } else {
                tokio::select! {
                    biased;
                    () = stop.requested() => return,
                    question = asked.recv() => match question {
                        Some(()) => {}
                        None => return,
                    },
                }
            }
            resting = !self.attempt(Keeper::raise);
        }
    }

    /// While the volume rests, who asks hears at once what is wrong.
    async fn refuse(&self, asked: &mut mpsc::Receiver<()>, rest: Duration) {
        let refuse = async {
            while asked.recv().await.is_some() {
                self.told.send_modify(|kept| kept.attempts += 1);
            }
            // Nobody is left to ask; the rest is for the stop to end.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(rest, refuse).await;
    }

    fn read(&mut self) -> Result<(), FloorError> {
        if self.file.is_none() {
            let file = FloorFile::open(&self.path)?;
            self.shared.begin(file.floor_ms(), self.clock.now());
            self.file = Some(file);
        }
        Ok(())
    }

    fn raise(&mut self) -> Result<(), FloorError> {
        self.read()?;
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let used_ms = self.shared.next.load(Ordering::Acquire) >> COUNTER_BITS;
        let time_ms = self.shared.time_ms(self.clock.now());
        let wanted_ms = time_ms.max(used_ms) + AHEAD_MS / 2;
        if file.floor_ms() > wanted_ms && self.shared.reserved_ms.load(Ordering::Acquire) == file.floor_ms() {
            // Somebody asked while the floor was being raised.
            return Ok(());
        }
        let floor_ms = wanted_ms + AHEAD_MS / 2;
        file.raise(floor_ms)?;
        self.shared.reserved_ms.store(floor_ms, Ordering::Release);
        Ok(())
    }

    /// Whether it succeeded; tells either.
    fn attempt(&mut self, step: fn(&mut Keeper) -> Result<(), FloorError>) -> bool {
        let result = step(self);
        let trouble: Option<Arc<str>> = match &result {
            Ok(()) => {
                self.backoff.reset();
                None
            }
            Err(error) => {
                // What a failed write left is known only to who reads it anew. Ids below the floor that was durable go on.
                self.file = None;
                Some(error.to_string().into())
            }
        };
        let reserved_ms = self.shared.reserved_ms.load(Ordering::Acquire);
        self.told.send_modify(|kept| {
            match (&kept.trouble, &trouble) {
                (None, Some(trouble)) => tracing::warn!(%trouble, "no ids can be given: their floor can't be kept"),
                (Some(_), None) => tracing::info!("the floor of ids is kept again"),
                _ => {}
            }
            kept.attempts += 1;
            kept.reserved_ms = reserved_ms;
            kept.trouble = trouble;
        });
        result.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reserved_before_its_floor_is_on_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.floor");
        let (told, kept) = watch::channel(Kept::default());
        let mut keeper = Keeper {
            path: path.clone(),
            clock: Clock::system(),
            shared: Arc::new(Shared::default()),
            told,
            file: Some(FloorFile::broken(&path)),
            backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(1)),
        };
        assert!(!keeper.attempt(Keeper::raise));
        assert_eq!(keeper.shared.reserved_ms.load(Ordering::Acquire), 0);
        assert!(kept.borrow().trouble.is_some());
        // The next attempt opens the file anew.
        assert!(keeper.attempt(Keeper::raise));
        let reserved_ms = keeper.shared.reserved_ms.load(Ordering::Acquire);
        assert!(reserved_ms > 0 && FloorFile::open(&path).unwrap().floor_ms() == reserved_ms);
        assert!(kept.borrow().trouble.is_none());
    }
}
