//! Allocates the index of SQLite's log (`-shm`), a file mapped into memory, each time a database is opened. SQLite writes one byte
//! into each 4 KiB of it "to reduce the chances of SIGBUS". With smaller blocks (1 KiB in ext4 on a small volume) that leaves
//! holes, and storing into a hole on a full volume kills the process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::files::beside;

/// One region: enough for a log of 4,062 pages, and the journal's is shorter.
pub const INDEX_BYTES: u64 = 32 * 1024;

/// Keeps the index's file open while a database may use it: SQLite's locks are POSIX locks, which a process loses when it closes
/// *any* descriptor of the file.
#[derive(Debug, Default)]
pub struct LogIndex {
    file: Option<File>,
}

impl LogIndex {
    /// Allocates the index of the open database at `path`.
    pub fn allocate(&mut self, path: &Path) -> io::Result<()> {
        let path = beside(path, "-shm");
        let found = fs::metadata(&path)?;
        let held = match &self.file {
            Some(file) => Some(file.metadata()?),
            None => None,
        };
        let same = held.is_some_and(|held| (held.dev(), held.ino()) == (found.dev(), found.ino()));
        if !same {
            self.file = Some(OpenOptions::new().read(true).write(true).open(&path)?);
        }
        match self.file.as_ref().map(fill_holes) {
            Some(result) => Ok(result?),
            None => Ok(()),
        }
    }
}

fn fill_holes(file: &File) -> rustix::io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, INDEX_BYTES) {
        // A network file system: it has no local blocks that could be missing.
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_with_holes_has_all_its_blocks_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut index = LogIndex::default();
        assert!(
            index.allocate(&path).is_err(),
            "there is no index before a database is open"
        );
        // Created again, as after the last process closed it.
        for _ in 0..2 {
            let file = File::create(dir.path().join("journal.db-shm")).unwrap();
            file.set_len(INDEX_BYTES).unwrap();
            assert_eq!(file.metadata().unwrap().blocks(), 0);
            index.allocate(&path).unwrap();
            assert!(file.metadata().unwrap().blocks() * 512 >= INDEX_BYTES);
        }
    }
}
