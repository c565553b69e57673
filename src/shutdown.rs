//! Stopping in stages. The composition root holds a [`Trigger`] for each stage and pulls them in order; each part waits for
//! the [`Signal`] of its stage. [`StopSignals`] are what asks a process to stop.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal as Unix, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// timeout(1), a `kill` of the process group and some supervisors send several signals at once, and mean one request.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// Starts one stage of the shutdown. So does dropping it: no part outlives its owner.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// What a part waits for. Clones wait for the same stage.
#[derive(Clone, Debug)]
pub struct Signal(watch::Receiver<bool>);

/// Creates a stage.
pub fn stage() -> (Trigger, Signal) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Signal(receiver))
}

impl Trigger {
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Signal {
    /// Returns once the stage has begun. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error means that the trigger was dropped, which counts as pulled.
        let _ = self.0.wait_for(|requested| *requested).await;
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// SIGTERM, SIGINT and SIGHUP, which no longer kill the process. A process that was started with SIGHUP ignored, as by nohup(1), goes
/// on ignoring it.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Unix,
    interrupt: Unix,
    hangup: Option<Unix>,
}

impl StopSignals {
    /// # Errors
    /// The operating system refuses a handler.
    pub fn listen() -> io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: (!ignores_hangup()).then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    /// Waits for the next signal. Cancel-safe.
    pub async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether a request to stop that comes now is the same as the first one.
pub fn repeats(first: Instant) -> bool {
    first.elapsed() < ONE_REQUEST
}

/// Whether the signals that the process ignores, bits of a hexadecimal number in proc_pid_status(5), have number 1 among them.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}
