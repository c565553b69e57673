//! Stopping in stages. The composition root holds a [`Trigger`] for each stage and pulls them in order; each part waits for
//! the [`Signal`] of its stage.

use tokio::sync::watch;

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
