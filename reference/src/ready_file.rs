//! `/tmp/random-generator-ready`: readiness probes check that it exists.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::sync::Mutex;

pub(super) struct ReadyFile {
    path: PathBuf,
    /// One change after the other.
    changing: Mutex<()>,
}

impl ReadyFile {
    pub(super) fn below(root: &Path) -> ReadyFile {
        ReadyFile {
            path: root.join("tmp/random-generator-ready"),
            changing: Mutex::new(()),
        }
    }

    pub(super) async fn remove(&self) {
        let _changing = self.changing.lock().await;
        match fs::remove_file(&self.path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "the file of readiness can't be removed");
            }
            _ => {}
        }
    }

    /// Logs a failure, as on a read-only file system: probes by HTTP still work.
    pub(super) async fn create(&self) {
        let _changing = self.changing.lock().await;
        if let Err(error) = fs::write(&self.path, "").await {
            tracing::warn!(%error, path = %self.path.display(), "the file of readiness can't be written");
        }
    }

    /// Removes the file if it exists, else creates it.
    pub(super) async fn toggle(&self) -> io::Result<()> {
        let _changing = self.changing.lock().await;
        let changed = match fs::remove_file(&self.path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(&self.path, "").await,
            removed => removed,
        };
        changed.inspect_err(|error| {
            tracing::warn!(%error, path = %self.path.display(), "/toggle-ready: the file can't be changed");
        })
    }
}
