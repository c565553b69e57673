//! Opens a SQLite file, with the pragmas. Its owner knows the contents.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How a database is stored.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub journal_mode: JournalMode,
    pub synchronous: Synchronous,
    /// Maximum size of the file in pages of 4 KiB; none for no limit.
    pub max_pages: Option<u32>,
    /// How long a statement waits for another process's lock.
    pub busy_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalMode {
    /// Readers beside one writer. The log is checkpointed every 64 pages, until its user sets checkpoints of its own.
    Wal,
    /// The rollback journal stays allocated and a rollback never deletes it, so a write needs no new space on a full disk.
    Persist,
}

/// When a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// In WAL mode: a commit survives a crash of the process; a crash of the machine may lose it, but never tear it.
    Normal,
    /// A commit survives a crash of the machine.
    Full,
}

pub const PAGE: u32 = 4096;

/// Errors, as far as an owner distinguishes them.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The disk is full, or the database reached its `max_pages`.
    #[error("{path}: no space left")]
    Full { path: PathBuf },
    /// Not a database, or damaged.
    #[error("{path}: {detail}")]
    Corrupt { path: PathBuf, detail: String },
    /// Another process holds the lock.
    #[error("{path}: in use by another process")]
    Busy { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Other { path: PathBuf, source: rusqlite::Error },
}

impl DatabaseError {
    /// Classifies an error of the files beside the database.
    pub fn from_io(path: &Path, source: io::Error) -> DatabaseError {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull => DatabaseError::Full { path },
            _ => DatabaseError::Io { path, source },
        }
    }

    /// Classifies SQLite's error.
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

/// Opens `path`, or creates it with the caller's umask.
pub fn open(path: &Path, settings: Settings) -> Result<Connection, DatabaseError> {
    let connect = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(settings.busy_timeout)?;
        if settings.journal_mode == JournalMode::Persist {
            // Reading or setting the journal mode first reads the schema, which rolls a hot journal back. The default mode deletes
            // it, and with it the space that it holds; exclusive locking mode only invalidates it.
            db.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
        }
        db.pragma_update(None, "page_size", PAGE)?;
        if settings.journal_mode == JournalMode::Wal {
            // It only works before WAL mode, in a file without tables. It lets the file shrink page by page; VACUUM would need as
            // much space again.
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
        if settings.journal_mode == JournalMode::Persist {
            db.pragma_update_and_check(None, "locking_mode", "normal", |_| Ok(()))?;
            // Only the next access releases the lock.
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        }
        if let Some(pages) = settings.max_pages {
            db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        Ok(db)
    };
    connect().map_err(|error| DatabaseError::new(path, error))
}

/// Whether others use a database.
#[derive(Debug)]
pub enum Lock {
    /// Nobody does, in any process, or there is none. While the guard lives others wait, or find it busy.
    Alone(Option<Guard>),
    InUse,
}

/// Holds a database against every other connection.
#[derive(Debug)]
pub struct Guard(Connection);

impl Drop for Guard {
    fn drop(&mut self) {
        // The log stays as it is.
        let _ = self.0.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

/// Locks the database at `path`, waiting up to `patience`. In exclusive locking mode SQLite doesn't touch the index of the log.
pub fn lock(path: &Path, patience: Duration) -> Result<Lock, DatabaseError> {
    let connect = || -> rusqlite::Result<Lock> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let guard = Guard(Connection::open_with_flags(path, flags)?);
        guard.0.busy_timeout(patience)?;
        guard
            .0
            .pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
        guard.0.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(Lock::Alone(Some(guard)))
    };
    match connect().map_err(|error| DatabaseError::new(path, error)) {
        Err(DatabaseError::Busy { .. }) => Ok(Lock::InUse),
        Err(DatabaseError::Other { .. }) if matches!(path.try_exists(), Ok(false)) => Ok(Lock::Alone(None)),
        locked => locked,
    }
}
