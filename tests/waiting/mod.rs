//! The one place where a test lets time pass: until a condition holds, within a bound, and saying what was waited for in vain.
#![allow(dead_code, clippy::panic)] // each test takes what it needs, and fails by panicking

use std::time::Duration;

use random_generator::clock::Clock;
use tokio::time::{sleep, timeout};

/// What one may have to wait for on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often one looks.
const LOOK: Duration = Duration::from_millis(5);

/// Waits, and blocks the thread, until `condition` gives something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    let began = clock.boot();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(clock.boot().since(began) < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Waits until `condition` gives something. The bound holds for a condition that hangs, too.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, search)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for: {what}"))
}
