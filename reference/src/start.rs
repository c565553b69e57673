//! The waits before the port opens: DELAY_STARTUP, then WAIT_FOR_POST_START.

use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::settings::Settings;

/// Between two checks for the postStart hook's file. Not inotify(7): it needs the directory to exist, and a node with many Pods
/// runs out of watches.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// Bytes of that file that are logged.
const LOGGED: u64 = 4096;

/// Returns when the port may open. Cancel-safe; waits without end for a hook that never ends, as the image does.
pub(super) async fn wait(settings: &Settings) {
    if !settings.delay.is_zero() {
        tracing::info!(
            seconds = settings.delay.as_secs(),
            "DELAY_STARTUP: waiting before the port opens"
        );
        sleep(settings.delay).await;
    }
    if settings.wait_for_post_start {
        let path = settings.root.join("tmp/postStart-done");
        tracing::info!(path = %path.display(), "WAIT_FOR_POST_START: waiting for the file before the port opens");
        let content = loop {
            match content(&path).await {
                Some(content) => break content,
                None => sleep(CHECK_EVERY).await,
            }
        };
        tracing::info!(content = content.trim_end(), "the postStart hook is done");
    }
}

/// None while it isn't there.
async fn content(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let read = match File::open(path).await {
        Ok(file) => file.take(LOGGED).read_to_end(&mut bytes).await,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => Err(error),
    };
    if let Err(error) = read {
        // It exists, which is enough.
        tracing::warn!(%error, path = %path.display(), "can't read the postStart hook's file");
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
