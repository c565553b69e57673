//! A file to which several processes append whole lines, also when the disk is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// How long to wait for another process's lock. It is held for one write; a stopped process must not stop the others.
const LOCK_WITHIN: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// Opened at the first write, and again when the path names another file, as after a rotation.
pub(super) struct LineFile {
    path: PathBuf,
    open: Option<File>,
}

impl LineFile {
    pub(super) fn new(path: &Path) -> LineFile {
        LineFile {
            path: path.to_owned(),
            open: None,
        }
    }

    /// Appends whole lines, and blocks meanwhile. After an error none of them is in the file, nor a part of one, if it is a
    /// regular file that no process with a lock of its own writes.
    ///
    /// One write in append mode is whole on a local file system; the lock is for network storage, where it is two steps, and
    /// for the disk that fills in the middle.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = self.current()?;
        if !file.metadata()?.is_file() {
            // A device, or a pipe: neither has an end to go back to.
            return file.write_all(lines);
        }
        let locked = lock(file);
        let end = file.metadata()?.len();
        let written = file.write_all(lines);
        if written.is_err() && locked {
            // Best effort: the write's error is reported.
            let _ = file.set_len(end);
        }
        if locked {
            // It fails only on a descriptor that is none; closing the file would free it as well.
            let _ = flock(file, FlockOperation::Unlock);
        }
        written
    }

    fn current(&mut self) -> io::Result<&File> {
        let named = std::fs::metadata(&self.path)
            .ok()
            .map(|found| (found.dev(), found.ino()));
        let open = self.open.take().filter(|file| {
            let held = file.metadata().ok().map(|found| (found.dev(), found.ino()));
            held.is_some() && held == named
        });
        let file = match open {
            Some(file) => file,
            None => OpenOptions::new().append(true).create(true).open(&self.path)?,
        };
        Ok(self.open.insert(file))
    }
}

/// Whether nobody else holds a lock now. False also where the file system has no locks.
fn lock(file: &File) -> bool {
    let mut waited = Duration::ZERO;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return true,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if waited < LOCK_WITHIN => {
                std::thread::sleep(LOCK_RETRY);
                waited += LOCK_RETRY;
            }
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = LineFile::new(&path);
        file.append(b"1\n").unwrap();
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        file.append(b"2\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.append(b"3\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
        assert_eq!(fs::read_to_string(dir.path().join("log.1")).unwrap(), "1\n");
    }

    #[test]
    fn a_device_takes_lines_and_a_full_one_is_an_error() {
        assert!(LineFile::new(Path::new("/dev/null")).append(b"1\n").is_ok());
        assert!(LineFile::new(Path::new("/dev/full")).append(b"1\n").is_err());
    }

    #[test]
    fn who_holds_the_lock_and_never_gives_it_back_does_not_stop_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let other = File::create(&path).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        LineFile::new(&path).append(b"1\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }
}
