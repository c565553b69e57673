//! The thread that reserves ids: it raises the floor when half of the reservation is used, or a request waits.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::COUNTER_BITS;
use super::floor::{FloorError, FloorFile};
use super::source::{AHEAD_MS, IdSource, IdsConfig, Reservation, Shared};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::shutdown::{self, Signal, Trigger};

/// The running thread, to be joined by [`Reserver::run`].
#[derive(Debug)]
pub struct Reserver {
    thread: Option<JoinHandle<io::Result<()>>>,
    ended: oneshot::Receiver<()>,
    stop: Trigger,
}

#[derive(Debug, thiserror::Error)]
pub enum ReservationError {
    #[error("can't start the thread that reserves ids: {0}")]
    Start(#[from] io::Error),
    #[error("the thread that reserves ids panicked")]
    Panicked,
}

/// Starts the thread. It reads the floor at once, and raises it at the first request.
pub fn start(config: IdsConfig, clock: Clock) -> Result<(IdSource, Reserver), ReservationError> {
    let shared = Arc::new(Shared::default());
    let (publisher, reservations) = watch::channel(Reservation::default());
    let (raise, requests) = mpsc::channel(1);
    let (end, ended) = oneshot::channel();
    let (stop, stopping) = shutdown::stage();
    let source = IdSource::new(&config, clock.clone(), Arc::clone(&shared), reservations, raise);
    let worker = Worker {
        path: config.path,
        clock,
        shared,
        publisher,
        file: None,
        backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
    };
    let thread = match config.ordinal {
        Some(_) => Some(thread::Builder::new().name("ids".into()).spawn(move || {
            let _end = end;
            // Built here: an async context must not drop a runtime, as it would if the thread could not start.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            runtime.block_on(worker.run(requests, stopping));
            Ok(())
        })?),
        None => None,
    };
    Ok((source, Reserver { thread, ended, stop }))
}

impl Reserver {
    /// Returns once the thread has ended: after a stop, or with an error.
    pub async fn run(mut self, mut stop: Signal) -> Result<(), ReservationError> {
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
        Ok(thread.join().map_err(|_| ReservationError::Panicked)??)
    }
}

struct Worker {
    path: PathBuf,
    clock: Clock,
    shared: Arc<Shared>,
    publisher: watch::Sender<Reservation>,
    file: Option<FloorFile>,
    backoff: Backoff,
}

impl Worker {
    async fn run(mut self, mut requests: mpsc::Receiver<()>, mut stop: Signal) {
        let mut waits = !self.attempt(Worker::read);
        loop {
            if waits {
                let wait = self.backoff.next_wait();
                tokio::select! {
                    biased;
                    () = stop.requested() => return,
                    () = self.refuse(&mut requests, wait) => {}
                }
            } else {
                tokio::select! {
                    biased;
                    () = stop.requested() => return,
                    request = requests.recv() => match request {
                        Some(()) => {}
                        None => return,
                    },
                }
            }
            waits = !self.attempt(Worker::raise);
        }
    }

    /// Answers requests with the last error at once, until it is time to try the volume again.
    async fn refuse(&self, requests: &mut mpsc::Receiver<()>, wait: Duration) {
        let refuse = async {
            while requests.recv().await.is_some() {
                self.publisher.send_modify(|reservation| reservation.attempts += 1);
            }
            // No source is left; the stop ends the wait.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(wait, refuse).await;
    }

    fn read(&mut self) -> Result<(), FloorError> {
        if self.file.is_none() {
            let file = FloorFile::open(&self.path)?;
            self.shared.start_at(file.floor_ms(), self.clock.now());
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
            // The request came while the floor was being raised.
            return Ok(());
        }
        let floor_ms = wanted_ms + AHEAD_MS / 2;
        file.raise(floor_ms)?;
        self.shared.reserved_ms.store(floor_ms, Ordering::Release);
        Ok(())
    }

    /// Takes one step and publishes its outcome; true if it succeeded.
    fn attempt(&mut self, step: fn(&mut Worker) -> Result<(), FloorError>) -> bool {
        let result = step(self);
        let trouble: Option<Arc<str>> = match &result {
            Ok(()) => {
                self.backoff.reset();
                None
            }
            Err(error) => {
                // Only reading the file again shows what a failed write left. Ids below the durable floor are still given out.
                self.file = None;
                Some(error.to_string().into())
            }
        };
        let reserved_ms = self.shared.reserved_ms.load(Ordering::Acquire);
        self.publisher.send_modify(|reservation| {
            match (&reservation.trouble, &trouble) {
                (None, Some(trouble)) => tracing::warn!(%trouble, "can't give out ids: their floor can't be stored"),
                (Some(_), None) => tracing::info!("the floor of ids is stored again"),
                _ => {}
            }
            reservation.attempts += 1;
            reservation.reserved_ms = reserved_ms;
            reservation.trouble = trouble;
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
        let (publisher, reservations) = watch::channel(Reservation::default());
        let mut worker = Worker {
            path: path.clone(),
            clock: Clock::system(),
            shared: Arc::new(Shared::default()),
            publisher,
            file: Some(FloorFile::broken(&path)),
            backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(1)),
        };
        assert!(!worker.attempt(Worker::raise));
        assert_eq!(worker.shared.reserved_ms.load(Ordering::Acquire), 0);
        assert!(reservations.borrow().trouble.is_some());
        // The next attempt opens the file again.
        assert!(worker.attempt(Worker::raise));
        let reserved_ms = worker.shared.reserved_ms.load(Ordering::Acquire);
        assert!(reserved_ms > 0 && FloorFile::open(&path).unwrap().floor_ms() == reserved_ms);
        assert!(reservations.borrow().trouble.is_none());
    }
}
