//! The volume has one owner: a lock for the process, a mark for the member.
//!
//! The lock is `flock` on a file that is kept open. How far it reaches is the file system's affair: on network storage it may
//! not reach other nodes. The mark doesn't depend on it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};
use serde::{Deserialize, Serialize};

use super::Identity;
use crate::clock::Clock;
use crate::files;

/// The version of the volume's layout that this build reads and writes.
pub const OWNER_SCHEMA: u64 = 1;
/// An owner's mark is far shorter; more is not one.
const MAX_MARK: u64 = 64 * 1024;

const MARK: &str = "owner.json";
const LOCK: &str = "lock";

/// A directory that is this member's alone, for as long as this value lives.
#[derive(Debug)]
pub struct Volume {
    dir: PathBuf,
    /// Closing it gives the lock back.
    _lock: File,
}

/// Bytes of the file system that a volume is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What it can hold for an unprivileged process.
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
        "volume {path} has an owner's mark that can't be read ({detail}); restore {path}/owner.json, or remove it if the volume is this member's"
    )]
    Mark { path: PathBuf, detail: String },
}

impl VolumeError {
    /// The exit code of a member that meets it (`sysexits.h`): 74 I/O, 75 try again later, 78 configuration.
    pub fn exit_code(&self) -> u8 {
        match self {
            VolumeError::Io { .. } => 74,
            VolumeError::InUse { .. } => 75,
            VolumeError::Other { .. } | VolumeError::Newer { .. } | VolumeError::Mark { .. } => 78,
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
    /// Makes `dir` if it is absent (mode 0700), locks it, and checks its owner's mark or makes one. A volume that has its mark
    /// needs no space for this.
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
            .map_err(failed("making the directory"))?;
        rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| failed("asking for write permission")(error.into()))?;
        // The lock comes before the mark: two processes must not make the mark of a new volume at the same time.
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
            None => write_mark(dir, &own).map_err(failed("writing its owner's mark"))?,
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

    /// Whether the directory is a file system of its own, not a part of its parent's.
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
    // Blocks kept for root are nobody's to plan with.
    let reserved = stat.f_bfree.saturating_sub(stat.f_bavail);
    Ok(Space {
        total: stat.f_blocks.saturating_sub(reserved).saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

fn read_mark(dir: &Path) -> Result<Option<Mark>, VolumeError> {
    let failed = |source| VolumeError::Io {
        path: dir.to_owned(),
        step: "reading its owner's mark",
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
    // The schema first: a newer one may name its members otherwise.
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
    // The directory itself may be new. A parent that can't be opened can't be synced, and is older.
    match File::open(dir.join("..")) {
        Ok(parent) => parent.sync_all(),
        Err(_) => Ok(()),
    }
}
