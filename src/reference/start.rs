//! What is waited for before the port opens: DELAY_STARTUP, then WAIT_FOR_POST_START.

use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::settings::Settings;

/// How often the postStart hook's file is looked for. Not by inotify(7): that needs the directory to be there, and its watches
/// run out on a node with many Pods; twenty looks a second at one name cost nothing.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of that file that are logged.
const TOLD: u64 = 4096;

/// Returns when the port may open. Cancel-safe; waits as long as its operator says, for ever if the hook never ends.
pub(super) async fn held_back(settings: &Settings, root: &Path) {
    if !settings.delay.is_zero() {
        tracing::info!(
            seconds = settings.delay.as_secs(),
            "DELAY_STARTUP: waiting before the port opens"
        );
        sleep(settings.delay).await;
    }
    if settings.wait_for_post_start {
        let path = root.join("tmp/postStart-done");
        tracing::info!(path = %path.display(), "WAIT_FOR_POST_START: waiting for the file before the port opens");
        let content = loop {
            match content(&path).await {
                Some(content) => break content,
                None => sleep(LOOK).await,
            }
        };
        tracing::info!(content = content.trim_end(), "the postStart hook is done");
    }
}

/// None while it isn't there.
async fn content(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let read = match File::open(path).await {
        Ok(file) => file.take(TOLD).read_to_end(&mut bytes).await,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => Err(error),
    };
    if let Err(error) = read {
        // It exists, and that is what was waited for.
        tracing::warn!(%error, path = %path.display(), "the postStart hook's file can't be read");
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
