//! The ballast: a file that only reserves space, and is released when the volume is full. Deleting rows needs room in the log
//! first, so without it a full volume would stay full.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::aside::{self, length};
use crate::files::beside;
use crate::identity::volume_space;

pub const BALLAST_BYTES: u64 = 256 * 1024;
/// The ending of its name, after the database's.
pub const SUFFIX: &str = ".ballast";

/// Free bytes of the journal's file system.
pub fn free_space(path: &Path) -> io::Result<u64> {
    Ok(volume_space(path.parent().unwrap_or(path))?.free)
}

/// Bytes of the ballast now.
pub fn held(path: &Path) -> u64 {
    length(&file_of(path))
}

fn file_of(path: &Path) -> PathBuf {
    beside(path, SUFFIX)
}

/// Frees the space of the ballast and of corrupt journals.
pub fn release(path: &Path) {
    // Truncated, not removed: creating it again may need a block for the directory.
    if let Ok(file) = OpenOptions::new().write(true).open(file_of(path)) {
        let _ = file.set_len(0);
    }
    let _ = aside::clear(path);
}

/// Creates the ballast if it isn't complete. False without enough space.
pub fn make(path: &Path) -> bool {
    let ballast = file_of(path);
    if length(&ballast) >= BALLAST_BYTES {
        return true;
    }
    let make = || -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&ballast)?;
        let made = allocate(&file);
        if made.is_err() {
            // A partial ballast is useless, and others need the space.
            file.set_len(0)?;
        }
        made
    };
    make().is_ok()
}

fn allocate(file: &File) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, BALLAST_BYTES) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            file.write_all_at(&vec![0; BALLAST_BYTES as usize], 0)?;
            file.sync_all()
        }
        result => Ok(result?),
    }
}
