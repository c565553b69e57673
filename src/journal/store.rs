//! The journal's database, which keeps within its [`Budget`].

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use super::aside::length;
use super::ballast::{self, BALLAST_BYTES};
use super::budget::{Budget, TRANSACTION_PAGES};
use super::checkpoint::Checkpoints;
use super::log_index::{self, FRAME, Reserved};
use super::rows::{self, SCHEMA};
use super::{Durability, Entry};
use crate::database::{self, DatabaseError, JournalMode, PAGE, Settings, Synchronous};
use crate::files::beside;

/// Approximate bytes of entries in one transaction. They bound the log, and how long a response waits for the entries before its own.
pub const BATCH_BYTES: usize = 64 * 1024;
/// Approximate pages that one round of deleting frees.
const TRIM_PAGES: u64 = 32;
/// Pages that deleting keeps free, so that a batch never reaches the end of the share.
const HEADROOM_PAGES: u64 = 40;
/// Free space needed to open a database: its index, and the first frames of its log.
const OPENING_BYTES: u64 = 128 * 1024;
/// Free space for the database to grow, below which the volume counts as full.
const GROWTH_BYTES: u64 = 512 * 1024;
const PAGES: &str = "PRAGMA page_count";
const FREE_PAGES: &str = "PRAGMA freelist_count";
/// How long to wait for a reader that opens or closes the database.
const BUSY: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}: the log can't be emptied while a reader keeps a transaction open; end that reader")]
    Pinned(PathBuf),
    #[error("{0}: the file was removed or replaced")]
    Replaced(PathBuf),
    #[error("{path}: schema {found} is newer than this version's; run a later version, or move the file away")]
    Newer { path: PathBuf, found: u32 },
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    /// Dropped before the connection.
    checkpoints: Checkpoints,
    db: Connection,
    /// Dropped after the connection.
    index: Reserved,
    path: PathBuf,
    log: PathBuf,
    budget: Budget,
    /// The share.
    max_bytes: u64,
    /// Device and inode, to notice a deleted file: SQLite would go on writing to it.
    file: (u64, u64),
    /// Row ids have no gaps, and only the oldest rows are deleted: the rows are `oldest..next`.
    oldest: i64,
    next: i64,
    /// The current limit, less than the share's while the volume is full.
    max_pages: u64,
    /// Pages in use after the last batch.
    used: u64,
    /// A reader kept the log from being emptied the last time.
    is_pinned: bool,
}

impl Store {
    pub fn open(path: &Path, durability: Durability, max_bytes: u64) -> Result<Store, StoreError> {
        let budget = Budget::new(max_bytes);
        let failed = |source| StoreError::Io {
            path: path.to_owned(),
            source,
        };
        if ballast::free_space(path).map_err(failed)? < OPENING_BYTES {
            ballast::release(path);
            if ballast::free_space(path).map_err(failed)? < OPENING_BYTES {
                return Err(DatabaseError::Full { path: path.to_owned() }.into());
            }
        }
        let index = log_index::reserve(path, BUSY)?;
        let mut db = database::open(
            path,
            Settings {
                journal_mode: JournalMode::Wal,
                synchronous: match durability {
                    Durability::None | Durability::Crash => Synchronous::Normal,
                    Durability::Power => Synchronous::Full,
                },
                max_pages: Some(u32::try_from(budget.max_pages).unwrap_or(u32::MAX - 1)),
                busy_timeout: BUSY,
            },
        )?;
        let failed = |error| DatabaseError::new(path, error);
        let log_limit = (budget.log_pages * FRAME).cast_signed();
        db.pragma_update_and_check(None, "journal_size_limit", log_limit, |_| Ok(()))
            .map_err(failed)?;
        let (oldest, next) = rows::create(&db).and_then(|()| rows::range(&db)).map_err(failed)?;
        // If the file is gone by now, the first append notices it.
        let file = fs::metadata(path).map_or((0, 0), |metadata| (metadata.dev(), metadata.ino()));
        let checkpoints = Checkpoints::new(&mut db, path, budget.checkpoint_at).map_err(failed)?;
        let found: u32 = db
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| DatabaseError::new(path, error))?;
        if found > SCHEMA {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
            });
        }
        let mut store = Store {
            checkpoints,
            db,
            index,
            path: path.to_owned(),
            log: beside(path, "-wal"),
            budget,
            max_bytes,
            file,
            oldest,
            next,
            max_pages: budget.max_pages,
            used: 0,
            is_pinned: false,
        };
        store.shrink()?;
        Ok(store)
    }

    /// Commits the entries in one transaction: at least one, and at most about [`BATCH_BYTES`].
    pub fn append(&mut self, entries: &[&Entry]) -> Result<(), StoreError> {
        self.check_file()?;
        self.bound_log()?;
        let result = (|| {
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            rows::insert(&transaction, self.next, entries)?;
            let newest = transaction.last_insert_rowid();
            // Within the transaction these take no lock of their own.
            let used = number(&transaction, PAGES)?.saturating_sub(number(&transaction, FREE_PAGES)?);
            transaction.commit()?;
            Ok((used, newest + 1))
        })();
        (self.used, self.next) = result.map_err(|error| DatabaseError::new(&self.path, error))?;
        self.checkpoints.advance(&self.db);
        Ok(())
    }

    /// Deletes the oldest rows while fewer pages are free than a batch may need.
    pub fn keep_headroom(&mut self) -> Result<(), StoreError> {
        if self.used + HEADROOM_PAGES <= self.max_pages {
            return Ok(());
        }
        while self.used_pages()? + HEADROOM_PAGES > self.max_pages && self.trim()? {}
        Ok(())
    }

    /// Deletes a bounded number of the oldest rows. False if there are too few.
    pub fn trim(&mut self) -> Result<bool, StoreError> {
        self.bound_log()?;
        let rows = self.rows();
        let a_round = (rows * TRIM_PAGES / self.used_pages()?.max(1)).max(1);
        if rows <= a_round {
            return Ok(false);
        }
        let oldest = self.oldest.saturating_add_unsigned(a_round);
        self.db
            .prepare_cached("DELETE FROM entry WHERE id < ?")
            .and_then(|mut delete| delete.execute([oldest]))
            .map_err(|error| DatabaseError::new(&self.path, error))?;
        self.oldest = oldest;
        self.checkpoints.advance(&self.db);
        Ok(true)
    }

    /// For a full volume: releases the ballast, moves the log into the database, and deletes the oldest rows. From then on the
    /// database doesn't grow.
    pub fn make_room(&mut self) -> Result<(), StoreError> {
        ballast::release(&self.path);
        // If this fails, it may work after the deletion, which frees pages.
        let _ = self.empty_log("RESTART");
        let pages = self.pages()?;
        self.limit_pages(pages)?;
        self.trim()?;
        self.empty_log("RESTART")
    }

    /// Tries to use the whole share again. False while the volume is too full.
    pub fn regain(&mut self) -> Result<bool, StoreError> {
        let path = &self.path;
        let growth = (self.budget.max_pages.saturating_sub(self.pages()?) * u64::from(PAGE)).min(GROWTH_BYTES);
        let log = self.budget.log_bytes.saturating_sub(length(&self.log));
        let needed = BALLAST_BYTES.saturating_sub(ballast::held(path)) + log + growth;
        // Else the ballast would take the space that it just released, and lose it again at once.
        let free = ballast::free_space(path).map_err(|source| StoreError::Io {
            path: path.clone(),
            source,
        })?;
        if free < needed || !ballast::make(path) {
            return Ok(false);
        }
        self.limit_pages(self.budget.max_pages)?;
        Ok(true)
    }

    /// Tests whether the database can be written, without changing it.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        self.bound_log()?;
        self.db
            .pragma_update(None, "user_version", SCHEMA)
            .map_err(|error| DatabaseError::new(&self.path, error).into())
    }

    /// Whether the database has reached its current limit.
    pub fn at_limit(&self) -> Result<bool, StoreError> {
        Ok(self.pages()? + HEADROOM_PAGES > self.max_pages && self.used_pages()? + HEADROOM_PAGES > self.max_pages)
    }

    pub fn rows(&self) -> u64 {
        u64::try_from(self.next - self.oldest).unwrap_or(0)
    }

    /// Row ids of the oldest and the newest row; none in an empty journal.
    pub fn range(&self) -> Option<(i64, i64)> {
        (self.oldest < self.next).then(|| (self.oldest, self.next - 1))
    }

    /// The part of the share's pages in use.
    pub fn fill(&self) -> Result<f64, StoreError> {
        Ok(self.used_pages()? as f64 / self.budget.max_pages as f64)
    }

    /// Closes the database and leaves its files as they are. Else SQLite would empty the log, and give its space away on a full
    /// volume; and delete it by name, though the name may belong to another database by now.
    pub fn abandon(mut self) {
        self.checkpoints.wait();
        // After an error SQLite closes its own way, which is safe as well.
        let _ = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    fn check_file(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.file => Ok(()),
            Ok(_) => Err(StoreError::Replaced(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Replaced(self.path.clone())),
            Err(source) => Err(StoreError::Io {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Whether the log has grown because a reader keeps it from being emptied.
    pub fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    /// Empties a log that is too long. [`Checkpoints`] does that before, unless a reader, a full volume or a slow disk prevents it.
    /// While a reader does, the log may have what the database doesn't use of the share.
    pub fn bound_log(&mut self) -> Result<(), StoreError> {
        if self.log_with_next() <= self.budget.log_bytes {
            self.is_pinned = false;
            return Ok(());
        }
        // Don't let each commit wait for the same reader.
        let patience = if self.is_pinned { Duration::ZERO } else { BUSY };
        self.set_patience(patience)?;
        let emptied = self.empty_log("TRUNCATE");
        self.set_patience(BUSY)?;
        match emptied {
            Ok(()) if self.log_with_next() <= self.budget.log_bytes => {
                self.is_pinned = false;
                Ok(())
            }
            Ok(()) | Err(StoreError::Pinned(_)) => {
                self.is_pinned = true;
                // Emptying it will write its pages into the database.
                let database = (self.pages()? + TRANSACTION_PAGES) * u64::from(PAGE);
                let log = self.log_with_next();
                if log + log_index::size(log) + database + BALLAST_BYTES > self.max_bytes {
                    return Err(StoreError::Pinned(self.path.clone()));
                }
                let extended = self.index.extend(log);
                extended.map_err(|error| DatabaseError::from_io(&self.path, error).into())
            }
            Err(error) => Err(error),
        }
    }

    /// Bytes of the log after the next transaction, at most.
    fn log_with_next(&self) -> u64 {
        length(&self.log) + TRANSACTION_PAGES * FRAME
    }

    fn set_patience(&self, patience: Duration) -> Result<(), StoreError> {
        self.db
            .busy_timeout(patience)
            .map_err(|error| DatabaseError::new(&self.path, error).into())
    }

    /// `RESTART` keeps the file's length, which reserves space on a full volume; `TRUNCATE` frees it.
    fn empty_log(&mut self, mode: &str) -> Result<(), StoreError> {
        self.checkpoints.wait();
        let busy: i64 = self
            .db
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))
            .map_err(|error| DatabaseError::new(&self.path, error))?;
        match busy {
            0 => Ok(()),
            _ => Err(StoreError::Pinned(self.path.clone())),
        }
    }

    /// Shrinks a file to its share, after an operator lowered that.
    fn shrink(&mut self) -> Result<(), StoreError> {
        let excess = self.pages()? > self.budget.max_pages;
        while self.pages()? > self.budget.max_pages {
            if self.used_pages()? + HEADROOM_PAGES > self.budget.max_pages && !self.trim()? {
                break;
            }
            self.bound_log()?;
            let before = self.pages()?;
            // Each step frees one page; so few keep the log within its bound.
            (|| {
                let mut vacuum = self.db.prepare(&format!("PRAGMA incremental_vacuum({TRIM_PAGES})"))?;
                let mut steps = vacuum.query([])?;
                while steps.next()?.is_some() {}
                Ok(())
            })()
            .map_err(|error| DatabaseError::new(&self.path, error))?;
            if self.pages()? == before && self.used_pages()? + HEADROOM_PAGES <= self.budget.max_pages {
                break;
            }
        }
        if excess {
            // The file shrinks only now. If a reader prevents it, a later checkpoint does it.
            match self.empty_log("TRUNCATE") {
                Ok(()) | Err(StoreError::Pinned(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.limit_pages(self.budget.max_pages)
    }

    fn limit_pages(&mut self, pages: u64) -> Result<(), StoreError> {
        // SQLite answers with the actual limit, which is never below the file's size.
        self.max_pages = self
            .db
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(|error| DatabaseError::new(&self.path, error))?
            .unsigned_abs();
        Ok(())
    }

    fn pages(&self) -> Result<u64, StoreError> {
        self.number(PAGES)
    }

    fn used_pages(&self) -> Result<u64, StoreError> {
        Ok(self.pages()?.saturating_sub(self.number(FREE_PAGES)?))
    }

    fn number(&self, pragma: &str) -> Result<u64, StoreError> {
        number(&self.db, pragma).map_err(|error| DatabaseError::new(&self.path, error).into())
    }
}

fn number(db: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    let number: i64 = db.prepare_cached(pragma)?.query_row([], |row| row.get(0))?;
    Ok(number.unsigned_abs())
}

/// Bytes of the journal's files on the volume, without corrupt ones moved aside.
pub fn bytes(path: &Path) -> u64 {
    ["", "-wal", "-shm", ballast::SUFFIX]
        .iter()
        .map(|suffix| length(&beside(path, suffix)))
        .sum()
}
