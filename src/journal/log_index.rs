//! Reserves the space of the index of SQLite's log (`-shm`) before SQLite opens it. The index is a file mapped into memory, and
//! storing into a part of it that has no blocks, on a full volume, kills the process (SIGBUS).
//!
//! The first connection cuts the file to 3 bytes, which frees its blocks, and then writes one byte into each 4 KiB "to reduce the
//! chances of SIGBUS". With smaller blocks (1 KiB in ext4 on a small volume) that leaves holes. But a file of 0 bytes is not cut,
//! it grows: blocks that were allocated beyond its end stay.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::aside::length;
use crate::database::{self, DatabaseError, Lock, PAGE};
use crate::files::{self, beside};

/// A frame of the log: a page and its header.
pub const FRAME: u64 = PAGE as u64 + 24;
/// A region of the index: 4,096 frames of the log, and in the first region 34 fewer (<https://sqlite.org/walformat.html>).
const REGION: u64 = 32 * 1024;
const REGION_FRAMES: u64 = 4096;
const HEADER_FRAMES: u64 = 34;

/// Bytes of the index of a log of up to `log` bytes.
pub fn size(log: u64) -> u64 {
    (1 + (log / FRAME + HEADER_FRAMES) / REGION_FRAMES) * REGION
}

/// To be kept while the database is open: SQLite's locks are POSIX locks, which a process loses when it closes *any* descriptor
/// of the file.
#[derive(Debug)]
pub struct Reserved {
    file: Option<File>,
    bytes: u64,
}

impl Reserved {
    /// Reserves what the index of a log of up to `log` bytes needs.
    ///
    /// # Errors
    /// The volume is full.
    pub fn extend(&mut self, log: u64) -> io::Result<()> {
        let bytes = size(log);
        if let Some(file) = &self.file
            && bytes > self.bytes
        {
            allocate(file, bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }
}

/// Reserves the index of the database at `path`, which this process is about to open, for the log that is there. Waits up to
/// `patience` for others that are opening it.
pub fn reserve(path: &Path, patience: Duration) -> Result<Reserved, DatabaseError> {
    let index = beside(path, "-shm");
    let bytes = size(length(&beside(path, "-wal")));
    let reserved = match fs::metadata(&index).map(|found| found.len()) {
        // SQLite has not used it yet.
        Ok(0) => open(&index, bytes),
        Ok(_) => match database::lock(path, patience)? {
            // Its content is from a process that ended, or belongs to a database that is gone.
            Lock::Alone(_guard) => files::remove(&index).and_then(|()| create(path, &index, bytes)),
            // It is not cut while others use it, but they may have left holes.
            Lock::InUse => open(&index, bytes),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => create(path, &index, bytes),
        Err(error) => Err(error),
    };
    match reserved {
        Ok(file) => Ok(Reserved {
            file: Some(file),
            bytes,
        }),
        // Then SQLite can't write it either.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(Reserved { file: None, bytes })
        }
        Err(error) => Err(DatabaseError::from_io(path, error)),
    }
}

/// As SQLite creates it: with mode and owner of the database.
fn create(path: &Path, index: &Path, bytes: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let file = file.open(index)?;
    if let Ok(database) = fs::metadata(path) {
        file.set_permissions(Permissions::from_mode(database.mode() & 0o777))?;
        // Only root may; for anyone else the owner is right already.
        let _ = fchown(&file, Some(database.uid()), Some(database.gid()));
    }
    allocate(&file, bytes)?;
    Ok(file)
}

fn open(index: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(index)?;
    allocate(&file, bytes)?;
    Ok(file)
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // A network file system: it has no local blocks that could be missing.
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{JournalMode, Settings, Synchronous};

    const SETTINGS: Settings = Settings {
        journal_mode: JournalMode::Wal,
        synchronous: Synchronous::Normal,
        max_pages: None,
        busy_timeout: Duration::ZERO,
    };

    fn blocks(path: &Path) -> u64 {
        fs::metadata(beside(path, "-shm")).unwrap().blocks() * 512
    }

    #[test]
    fn a_longer_log_has_more_regions() {
        assert_eq!(size(0), REGION);
        assert_eq!(size(4_061 * FRAME), REGION);
        assert_eq!(size(4_063 * FRAME), 2 * REGION);
        assert_eq!(size(8_157 * FRAME), 2 * REGION);
        assert_eq!(size(8_159 * FRAME), 3 * REGION);
    }

    #[test]
    fn an_index_has_all_its_blocks_before_sqlite_opens_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        reserve(&path, Duration::ZERO).unwrap();
        assert!(blocks(&path) >= REGION, "there was none");
        // What a process leaves that was killed, with holes.
        File::create(beside(&path, "-shm")).unwrap().set_len(REGION).unwrap();
        assert_eq!(blocks(&path), 0);
        reserve(&path, Duration::ZERO).unwrap();
        assert_eq!(
            fs::metadata(beside(&path, "-shm")).unwrap().len(),
            0,
            "else SQLite cuts it"
        );
        assert!(blocks(&path) >= REGION, "there was one");
        let db = database::open(&path, SETTINGS).unwrap();
        assert!(blocks(&path) >= REGION, "SQLite has opened it");
        db.execute_batch("CREATE TABLE entry (id INTEGER)").unwrap();
        // Others use it: its content stays.
        reserve(&path, Duration::ZERO).unwrap();
        assert_eq!(fs::metadata(beside(&path, "-shm")).unwrap().len(), REGION);
        db.execute_batch("INSERT INTO entry VALUES (1)").unwrap();
        let rows: u32 = db
            .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn more_is_reserved_before_the_log_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut index = reserve(&path, Duration::ZERO).unwrap();
        let _db = database::open(&path, SETTINGS).unwrap();
        index.extend(8_000 * FRAME).unwrap();
        assert!(blocks(&path) >= 2 * REGION);
        index.extend(0).unwrap();
        assert!(blocks(&path) >= 2 * REGION);
    }
}
