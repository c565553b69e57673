//! Opens a SQLite file properly. The one place that knows the pragmas; what stands in a database is its owner's affair.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How a database is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub journal_mode: JournalMode,
    pub synchronous: Synchronous,
    /// Upper bound of the file in pages of 4 KiB; none for as much as there is.
    pub max_pages: Option<u32>,
    /// How long a statement waits for another process's lock.
    pub busy_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalMode {
    /// Readers beside one writer; the log is checkpointed every 64 pages, so that it stays small on a small volume.
    Wal,
    /// The rollback journal stays allocated, so that a write needs no new space on a full disk.
    Persist,
}

/// When a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// In WAL mode: a commit survives the process, and may be lost (never torn) with the machine.
    Normal,
    /// A commit survives the machine.
    Full,
}

pub const PAGE: u32 = 4096;

/// What went wrong, as far as its owner acts on it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No space, or the database reached its `max_pages`.
    #[error("{path}: no space left")]
    Full { path: PathBuf },
    /// Not a database, or damaged.
    #[error("{path}: {detail}")]
    Corrupt { path: PathBuf, detail: String },
    /// Another process holds the lock.
    #[error("{path}: in use by another process")]
    Busy { path: PathBuf },
    #[error("{path}: {source}")]
    Other { path: PathBuf, source: rusqlite::Error },
}

impl DatabaseError {
    /// Sorts SQLite's error into what an owner acts on.
    pub fn new(path: &Path, error: rusqlite::Error) -> DatabaseError {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => DatabaseError::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DatabaseError::Corrupt {
                path,
                detail: error.to_string(),
            },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DatabaseError::Busy { path },
            _ => DatabaseError::Other { path, source: error },
        }
    }
}

/// Opens `path`, creating it if it is absent, with mode 0600 left to the caller's umask and directory.
pub fn open(path: &Path, settings: Settings) -> Result<Connection, DatabaseError> {
    let connect = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(settings.busy_timeout)?;
        db.pragma_update(None, "page_size", PAGE)?;
        if settings.journal_mode == JournalMode::Wal {
            // Only a file without tables takes it, and only before it is in WAL mode. It lets the file shrink page by
            // page; VACUUM would need as much space again.
            db.pragma_update(None, "auto_vacuum", "incremental")?;
        }
        let mode = match settings.journal_mode {
            JournalMode::Wal => "wal",
            JournalMode::Persist => "persist",
        };
        db.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))?;
        let synchronous = match settings.synchronous {
            Synchronous::Normal => "normal",
            Synchronous::Full => "full",
        };
        db.pragma_update(None, "synchronous", synchronous)?;
        if settings.journal_mode == JournalMode::Wal {
            db.pragma_update(None, "wal_autocheckpoint", 64)?;
            db.pragma_update_and_check(None, "journal_size_limit", 256 * 1024, |_| Ok(()))?;
        }
        if let Some(pages) = settings.max_pages {
            db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        Ok(db)
    };
    connect().map_err(|error| DatabaseError::new(path, error))
}
