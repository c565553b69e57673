//! The volume's owner: a lock for one process, a mark for one member.
//!
//! The lock is `flock` on a file that is kept open. On network storage it may not reach other nodes; the mark doesn't depend on it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};
use serde::{Deserialize, Serialize};

use super::Identity;
use crate::clock::Clock;
use crate::exit::Exit;
use crate::files;

/// The version of the volume's layout that this build reads and writes.
pub const OWNER_SCHEMA: u64 = 1;
/// The longest owner mark.
const MAX_MARK: u64 = 64 * 1024;

const MARK: &str = "owner.json";
const LOCK: &str = "lock";

/// A directory that belongs to this process while this value lives.
#[derive(Debug)]
pub struct Volume {
    dir: PathBuf,
    /// Closing it releases the lock.
    _lock: File,
}

/// Bytes of a volume's file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Capacity for an unprivileged process.
    pub total: u64,
    pub free: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error(
        "volume {path} can't be used: {step}: {source}; make it a directory that this user may write, or name another with --data-dir"
    )]
    Io {
        path: PathBuf,
        step: &'static str,
        source: io::Error,
    },
    #[error("volume {path} is in use by another process; wait until that has ended, or stop it")]
    InUse { path: PathBuf },
    #[error(
        "volume {path} belongs to {found}, and this is {own}; give this member its own volume, or remove {path}/owner.json if what is there may be taken over"
    )]
    Other { path: PathBuf, found: String, own: String },
    #[error(
        "volume {path} was written by a newer version (schema {found}, this one knows {OWNER_SCHEMA}); run that version or a later one"
    )]
    Newer { path: PathBuf, found: u64 },
    #[error(
        "volume {path} has an unreadable owner mark ({detail}); restore {path}/owner.json, or remove it if the volume is this member's"
    )]
    Mark { path: PathBuf, detail: String },
}

impl VolumeError {
    pub fn exit(&self) -> Exit {
        match self {
            VolumeError::Io { .. } => Exit::Io,
            VolumeError::InUse { .. } => Exit::TryAgain,
            VolumeError::Other { .. } | VolumeError::Newer { .. } | VolumeError::Mark { .. } => Exit::Config,
        }
    }
}

/// `owner.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    set: String,
    namespace: String,
    ordinal: Option<u16>,
    /// RFC 3339; for people.
    created: String,
    schema: u64,
}

impl Mark {
    fn owner(&self) -> String {
        match self.ordinal {
            Some(ordinal) => format!("{}-{ordinal} in namespace {}", self.set, self.namespace),
            None => format!("{} in namespace {}", self.set, self.namespace),
        }
    }
}

impl Volume {
    /// Creates `dir` if it is missing (mode 0700), locks it, and checks its owner mark or writes one. A volume with a mark needs no
    /// space for this, so a full disk keeps no member from starting again.
    pub fn claim(dir: &Path, identity: &Identity, clock: &Clock) -> Result<Volume, VolumeError> {
        let failed = |step: &'static str| {
            move |source: io::Error| VolumeError::Io {
                path: dir.to_owned(),
                step,
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed("creating the directory"))?;
        rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| failed("checking write permission")(error.into()))?;
        // The lock comes first: two processes must not write the mark of a new volume at the same time.
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(LOCK))
            .map_err(failed("opening its lock file"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(VolumeError::InUse { path: dir.to_owned() }),
            Err(error) => return Err(failed("locking it")(error.into())),
        }
        let own = Mark {
            set: identity.name.set.clone(),
            namespace: identity.namespace.clone(),
            ordinal: identity.name.ordinal,
            created: clock.wall().timestamp().to_string(),
            schema: OWNER_SCHEMA,
        };
        match read_mark(dir)? {
            Some(found) if (&found.set, &found.namespace, found.ordinal) != (&own.set, &own.namespace, own.ordinal) => {
                return Err(VolumeError::Other {
                    path: dir.to_owned(),
                    found: found.owner(),
                    own: own.owner(),
                });
            }
            Some(_) => {}
            None => write_mark(dir, &own).map_err(failed("writing its owner mark"))?,
        }
        Ok(Volume {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn space(&self) -> io::Result<Space> {
        space(&self.dir)
    }

    /// Whether the directory is a mount point.
    pub fn is_mount(&self) -> io::Result<bool> {
        let own = fs::metadata(&self.dir)?;
        let parent = fs::metadata(self.dir.join(".."))?;
        // The root directory is its own parent.
        Ok(own.dev() != parent.dev() || own.ino() == parent.ino())
    }
}

/// Space of the file system that `path` is on.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    // Without the blocks reserved for root.
    let reserved = stat.f_bfree.saturating_sub(stat.f_bavail);
    Ok(Space {
        total: stat.f_blocks.saturating_sub(reserved).saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

fn read_mark(dir: &Path) -> Result<Option<Mark>, VolumeError> {
    let failed = |source| VolumeError::Io {
        path: dir.to_owned(),
        step: "reading its owner mark",
        source,
    };
    let unreadable = |detail: String| VolumeError::Mark {
        path: dir.to_owned(),
        detail,
    };
    let file = match File::open(dir.join(MARK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_MARK).read_to_end(&mut bytes).map_err(failed)?;
    // The schema first: a newer one may have other fields.
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(found) if found > OWNER_SCHEMA => Err(VolumeError::Newer {
            path: dir.to_owned(),
            found,
        }),
        _ => serde_json::from_value(value)
            .map(Some)
            .map_err(|error| unreadable(error.to_string())),
    }
}

fn write_mark(dir: &Path, mark: &Mark) -> io::Result<()> {
    files::replace(&dir.join(MARK), &serde_json::to_vec(mark)?)?;
    // The directory itself may be new. A parent that can't be opened can't be synced; this member didn't create it.
    match File::open(dir.join("..")) {
        Ok(parent) => parent.sync_all(),
        Err(_) => Ok(()),
    }
}
