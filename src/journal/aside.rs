//! Moves a corrupt journal aside instead of deleting it, because parts of it may still be readable.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Wall;
use crate::files::{self, beside};

/// The most corrupt journals that are kept, so that a disk that damages every new one doesn't fill up with them.
const KEPT: usize = 2;

/// Moves the database and its log to a dated name beside it, and returns that.
pub fn move_aside(path: &Path, now: Wall) -> io::Result<PathBuf> {
    let date = now.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut target = beside(path, &format!(".corrupt-{date}"));
    let mut again = 1;
    while target.try_exists()? {
        again += 1;
        target = beside(path, &format!(".corrupt-{date}.{again}"));
    }
    // The log first: if this is interrupted, the database is still found corrupt, and never meets the log of a new one.
    // Its index is worth nothing without it.
    files::remove(&beside(path, "-shm"))?;
    for ending in ["-wal", ""] {
        match fs::rename(beside(path, ending), beside(&target, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(target)
}

/// Removes the oldest until at most two are left, of `max_bytes` together, and returns the bytes freed. The newest stays even if it
/// is larger.
pub fn limit(path: &Path, max_bytes: u64) -> io::Result<u64> {
    let mut all = list(path)?;
    let mut freed = 0;
    let mut total: u64 = all.iter().map(|(_, bytes)| bytes).sum();
    while all.len() > KEPT || (all.len() > 1 && total > max_bytes) {
        let (oldest, bytes) = all.remove(0);
        remove(&oldest)?;
        total -= bytes;
        freed += bytes;
    }
    Ok(freed)
}

/// Removes all of them, for a full volume: the journal in use is worth more.
pub fn clear(path: &Path) -> io::Result<u64> {
    let mut freed = 0;
    for (moved, bytes) in list(path)? {
        remove(&moved)?;
        freed += bytes;
    }
    Ok(freed)
}

fn remove(moved: &Path) -> io::Result<()> {
    tracing::warn!(path = %moved.display(), "deleted an old corrupt journal to free space");
    // The database last: while it exists, the rest is found.
    ["-wal", "-shm", ""]
        .iter()
        .try_for_each(|ending| files::remove(&beside(moved, ending)))
}

/// Databases moved aside with the bytes of each and its log, oldest first.
fn list(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.corrupt-", name.to_string_lossy());
    // Dates sort as text; a second name of the same second is longer.
    let mut names = BTreeSet::new();
    for file in fs::read_dir(dir)? {
        let name = file?.file_name().to_string_lossy().into_owned();
        // A crash between the two renames leaves a log alone.
        let stem = name.trim_end_matches("-wal").trim_end_matches("-shm");
        if stem.starts_with(&prefix) {
            names.insert(stem.to_owned());
        }
    }
    Ok(names
        .into_iter()
        .map(|name| {
            let moved = dir.join(name);
            let bytes = ["", "-wal", "-shm"].map(|ending| length(&beside(&moved, ending)));
            (moved, bytes.iter().sum())
        })
        .collect())
}

/// Bytes of a file; 0 if there is none.
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_two_are_kept_and_all_go_in_need() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut moved = Vec::new();
        for second in [5, 5, 6] {
            fs::write(&path, "database").unwrap();
            fs::write(beside(&path, "-wal"), "log").unwrap();
            moved.push(move_aside(&path, Wall(second * 1_000_000)).unwrap());
            assert!(!path.exists() && !beside(&path, "-wal").exists());
        }
        assert!(moved[0].ends_with("journal.db.corrupt-19700101T000005Z"), "{moved:?}");
        assert_eq!(limit(&path, 1_000).unwrap(), 11);
        assert!(!moved[0].exists() && moved[1].exists() && moved[2].exists());
        assert_eq!(limit(&path, 5).unwrap(), 11);
        assert!(!moved[1].exists() && moved[2].exists());
        assert_eq!(clear(&path).unwrap(), 11);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
