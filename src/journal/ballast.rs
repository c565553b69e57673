//! The ballast: a file of no use but to be given back when the volume is full. Deleting rows needs room in the log first, so
//! without it a full volume could not be left by deleting.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::aside::{self, length};
use crate::files::beside;
use crate::identity::volume_space;

pub const BALLAST_BYTES: u64 = 256 * 1024;
/// What is added to the database's name.
pub const SUFFIX: &str = ".ballast";

/// Bytes that the file system of the journal has free.
pub fn free_space(path: &Path) -> io::Result<u64> {
    Ok(volume_space(path.parent().unwrap_or(path))?.free)
}

/// Bytes that the ballast has now.
pub fn held(path: &Path) -> u64 {
    length(&file_of(path))
}

fn file_of(path: &Path) -> PathBuf {
    beside(path, SUFFIX)
}

/// Gives the ballast and the corrupt journals moved aside back to the volume.
pub fn release(path: &Path) {
    // Cut rather than removed: a directory may need a block for the name when it is made again.
    if let Ok(file) = OpenOptions::new().write(true).open(file_of(path)) {
        let _ = file.set_len(0);
    }
    let _ = aside::clear(path);
}

/// Whether the ballast is there in full, made now if need be.
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
            // Half of one is of no use, and takes what others need.
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
