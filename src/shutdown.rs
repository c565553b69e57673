//! Stopping in stages. The composition root holds one [`Trigger`] a stage and pulls them in order; each part waits on
//! the [`Signal`] of the stage it belongs to.

use tokio::sync::watch;

/// Starts one stage of the shutdown; dropping it starts it as well, so that no part outlives its owner.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// What a part waits on. Clones wait on the same stage.
#[derive(Clone, Debug)]
pub struct Signal(watch::Receiver<bool>);

/// One stage.
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
        // An error means that the trigger is gone, which counts as pulled.
        let _ = self.0.wait_for(|requested| *requested).await;
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
