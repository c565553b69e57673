//! The floor on the volume: a new process gives out no id below it.
//!
//! One file of fixed size, allocated at once, so that raising the floor needs no space. Two slots are written in turn, each with a
//! checksum: after a torn write the other slot still has the previous floor, and nothing above that was given out.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::files;

/// Each slot is a block of its own, so that a failed write can't damage the other.
const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"rgidflr1";
const CHECKSUM_AT: usize = 24;

#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{path} is damaged, so the ids given out so far are unknown; if this member's clock was never ahead, remove the file, and ids continue from now"
    )]
    Corrupt { path: PathBuf },
}

/// The open file, and the content of its newest slot.
#[derive(Debug)]
pub struct FloorFile {
    file: File,
    path: PathBuf,
    sequence: u64,
    floor_ms: u64,
}

impl FloorFile {
    /// Opens the file, or creates it with floor 0.
    pub fn open(path: &Path) -> Result<FloorFile, FloorError> {
        let failed = |source| FloorError::Io {
            path: path.to_owned(),
            source,
        };
        if !path.try_exists().map_err(failed)? {
            // Both slots are written, so that both are allocated.
            files::replace(path, &[encode(0, 0), encode(1, 0)].concat()).map_err(failed)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let mut newest = None;
        for index in 0..2 {
            let mut slot = [0; SLOT];
            match file.read_exact_at(&mut slot, index * SLOT as u64) {
                Ok(()) => newest = newest.max(decode(&slot)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let (sequence, floor_ms) = newest.ok_or_else(|| FloorError::Corrupt { path: path.to_owned() })?;
        // The page that was read may be one that the kernel failed to write and keeps as clean. It must be on the disk before the
        // other slot is overwritten.
        file.write_all_at(&encode(sequence, floor_ms), sequence % 2 * SLOT as u64)
            .and_then(|()| file.sync_data())
            .map_err(failed)?;
        Ok(FloorFile {
            file,
            path: path.to_owned(),
            sequence,
            floor_ms,
        })
    }

    pub fn floor_ms(&self) -> u64 {
        self.floor_ms
    }

    /// Returns once the new floor is durable. After an error the floor may be the old one or the new one, and the file must be
    /// opened again: the kernel keeps a page that it failed to write as clean.
    pub fn raise(&mut self, floor_ms: u64) -> Result<(), FloorError> {
        let sequence = self.sequence + 1;
        self.file
            .write_all_at(&encode(sequence, floor_ms), sequence % 2 * SLOT as u64)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| FloorError::Io {
                path: self.path.clone(),
                source,
            })?;
        self.sequence = sequence;
        self.floor_ms = floor_ms;
        Ok(())
    }
}

fn encode(sequence: u64, floor_ms: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&sequence.to_be_bytes());
    slot[16..CHECKSUM_AT].copy_from_slice(&floor_ms.to_be_bytes());
    let checksum = Sha256::digest(&slot[..CHECKSUM_AT]);
    slot[CHECKSUM_AT..CHECKSUM_AT + 32].copy_from_slice(&checksum);
    slot
}

/// Sequence and floor.
fn decode(slot: &[u8; SLOT]) -> Option<(u64, u64)> {
    let number = |at: usize| slot[at..].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let checksum = Sha256::digest(&slot[..CHECKSUM_AT]);
    let valid = slot[..8] == *MAGIC && slot[CHECKSUM_AT..CHECKSUM_AT + 32] == *checksum;
    if valid { Some((number(8)?, number(16)?)) } else { None }
}

#[cfg(test)]
impl FloorFile {
    /// Opens a file whose floor can't be raised.
    pub fn broken(path: &Path) -> FloorFile {
        let mut file = FloorFile::open(path).unwrap();
        file.file = File::open(path).unwrap();
        file
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_floor_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.floor");
        for floor in [0, 5, 3_000, 3_001] {
            let mut file = FloorFile::open(&path).unwrap();
            file.raise(floor).unwrap();
            assert_eq!(FloorFile::open(&path).unwrap().floor_ms(), floor);
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 2 * SLOT as u64);
    }

    #[test]
    fn a_torn_write_leaves_the_floor_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.floor");
        let mut file = FloorFile::open(&path).unwrap();
        file.raise(1_000).unwrap();
        file.raise(2_000).unwrap();
        let whole = fs::read(&path).unwrap();
        for torn in [0, 1, 8, 12, 20, 23, 24, 40, 55] {
            // The third write, cut off after so many bytes, over the slot of the first.
            let mut bytes = whole.clone();
            let at = SLOT * (file.sequence as usize + 1) % (2 * SLOT);
            bytes[at..at + torn].copy_from_slice(&encode(file.sequence + 1, 9_000)[..torn]);
            fs::write(&path, &bytes).unwrap();
            assert_eq!(FloorFile::open(&path).unwrap().floor_ms(), 2_000, "torn after {torn}");
        }
    }

    #[test]
    fn a_file_without_a_valid_slot_is_not_taken_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.floor");
        for bytes in [vec![], vec![0; 2 * SLOT], vec![b'x'; 100]] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(FloorFile::open(&path), Err(FloorError::Corrupt { .. })));
        }
    }
}
