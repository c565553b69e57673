//! Opens the lease file as a SQLite database, and classifies SQLite's errors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// What went wrong, as far as the store acts on it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
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

/// Opens `path`, creating it if it is absent. The rollback journal stays allocated, so that a write needs no new space on a
/// full disk. `busy` bounds the wait for another process's lock.
pub fn open(path: &Path, busy: Duration) -> Result<Connection, DatabaseError> {
    let connect = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(busy)?;
        // Reading or setting the journal mode reads the schema first, and that rolls a hot journal back: in the default mode by
        // deleting it, and with it the space that it holds. In exclusive locking mode it is only made void.
        db.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
        db.pragma_update(None, "page_size", 4096)?;
        db.pragma_update_and_check(None, "journal_mode", "persist", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "full")?;
        db.pragma_update_and_check(None, "locking_mode", "normal", |_| Ok(()))?;
        // The lock is given back only by the next access.
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(db)
    };
    connect().map_err(|error| DatabaseError::new(path, error))
}
