//! The journal's database, and its share of the volume.
//!
//! The share is divided once ([`Budget`]): pages of the database, a log that is emptied before it is longer than that, and the
//! [`ballast`].

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior, params};

use super::aside::length;
use super::ballast::{self, BALLAST_BYTES};
use super::log_index::{INDEX_BYTES, LogIndex};
use super::{Durability, Entry};
use crate::database::{self, DatabaseError, JournalMode, PAGE, Settings, Synchronous};
use crate::files::beside;

/// Bytes of entries in one transaction, about. It bounds the log, and how long a reply waits for those before it.
pub const BATCH_BYTES: usize = 64 * 1024;
/// Pages that one transaction may add to the log: a batch with the pages that it splits, or one round of deleting.
const TRANSACTION_PAGES: u64 = 64;
/// Pages that one round of deleting empties, about.
const TRIM_PAGES: u64 = 32;
/// Free pages that deleting keeps ahead, so that a batch never meets the end of the share.
const HEADROOM_PAGES: u64 = 40;
/// A frame of the log: a page and its header.
const FRAME: u64 = PAGE as u64 + 24;
/// A database is opened only with so much space free: until its index is allocated, a full volume would kill the process.
const OPENING_BYTES: u64 = 128 * 1024;
/// The volume must have so much room for the database to grow, if it isn't at its share's end, before it counts as not full.
const GROWTH_BYTES: u64 = 512 * 1024;
/// Longer texts are cut, so that a row has a bounded size.
const MAX_TEXT: usize = 1024;
/// What a row takes beside its texts, about.
const ROW_BYTES: usize = 40;
const SCHEMA: u32 = 1;

/// How a share of the volume is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub max_pages: u64,
    checkpoint_pages: u64,
    log_bytes: u64,
}

impl Budget {
    /// `max_bytes` is at least [`super::MIN_BYTES`].
    pub fn new(max_bytes: u64) -> Budget {
        // A larger share may have a longer log, which is emptied less often.
        let checkpoint_pages = (max_bytes / u64::from(PAGE) / 16).clamp(64, 1024);
        let log_bytes = (checkpoint_pages + 2 * TRANSACTION_PAGES) * FRAME;
        let database = max_bytes.saturating_sub(log_bytes + INDEX_BYTES + BALLAST_BYTES);
        Budget {
            max_pages: database / u64::from(PAGE),
            checkpoint_pages,
            log_bytes,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}: a reader keeps a transaction open, so the log can't be emptied; end that reader")]
    Pinned(PathBuf),
    #[error("{0}: removed or replaced by somebody")]
    Replaced(PathBuf),
    #[error("{path}: schema {found} is newer than this version's; run a later version, or move the file away")]
    Newer { path: PathBuf, found: u32 },
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    log: PathBuf,
    budget: Budget,
    /// Device and inode: a file removed under an open database would go on taking rows that nobody finds again.
    file: (u64, u64),
    /// Row ids are given out without gaps, and only the oldest go: `oldest..next` is what there is.
    oldest: i64,
    next: i64,
    /// The limit now, which is less than the share's while the volume is full.
    max_pages: u64,
}

impl Store {
    pub fn open(
        path: &Path,
        durability: Durability,
        max_bytes: u64,
        index: &mut LogIndex,
    ) -> Result<Store, StoreError> {
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
        let db = database::open(
            path,
            Settings {
                journal_mode: JournalMode::Wal,
                synchronous: match durability {
                    Durability::None | Durability::Crash => Synchronous::Normal,
                    Durability::Power => Synchronous::Full,
                },
                max_pages: Some(u32::try_from(budget.max_pages).unwrap_or(u32::MAX - 1)),
                busy_timeout: Duration::from_millis(500),
            },
        )?;
        index.allocate(path).map_err(failed)?;
        let (file, oldest, next) = prepare(&db, path, budget).map_err(|error| DatabaseError::new(path, error))?;
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
            db,
            path: path.to_owned(),
            log: beside(path, "-wal"),
            budget,
            file,
            oldest,
            next,
            max_pages: budget.max_pages,
        };
        store.shrink()?;
        Ok(store)
    }

    /// Commits the entries in one transaction. They are of about [`BATCH_BYTES`] at most.
    pub fn append<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> Result<(), StoreError> {
        self.check_file()?;
        self.bound_log()?;
        let mut next = self.next;
        let result = (|| {
            let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut insert = transaction.prepare_cached("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
            for entry in entries {
                insert.execute(params![
                    next,
                    entry.time.0,
                    cut(&entry.request),
                    i64::try_from(entry.duration.as_micros()).unwrap_or(i64::MAX),
                    cut(&entry.method),
                    cut(&entry.parameters),
                    i64::try_from(entry.count).unwrap_or(i64::MAX),
                    entry.value,
                ])?;
                next += 1;
            }
            drop(insert);
            transaction.commit()
        })();
        result.map_err(|error| DatabaseError::new(&self.path, error))?;
        self.next = next;
        Ok(())
    }

    /// Deletes the oldest rows while fewer pages are free than a batch may need.
    pub fn keep_headroom(&mut self) -> Result<(), StoreError> {
        while self.used_pages()? + HEADROOM_PAGES > self.max_pages && self.trim()? {}
        Ok(())
    }

    /// Deletes the oldest rows, a bounded number of them. False when there are too few to go on.
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
        Ok(true)
    }

    /// The volume is full. Gives back what the journal can do without, takes the log into the database, and deletes the oldest
    /// rows; from here on the database doesn't grow.
    pub fn make_room(&mut self) -> Result<(), StoreError> {
        ballast::release(&self.path);
        // A log that can't be taken over yet may be after the deletion, which frees pages.
        let _ = self.empty_log("RESTART");
        let pages = self.pages()?;
        self.limit_pages(pages)?;
        self.trim()?;
        self.empty_log("RESTART")
    }

    /// Tries to have the whole share again. False while the volume is too full.
    pub fn regain(&mut self) -> Result<bool, StoreError> {
        let path = &self.path;
        let growth = (self.budget.max_pages.saturating_sub(self.pages()?) * u64::from(PAGE)).min(GROWTH_BYTES);
        let log = self.budget.log_bytes.saturating_sub(length(&self.log));
        let needed = BALLAST_BYTES.saturating_sub(ballast::held(path)) + log + growth;
        // Without looking, the ballast would be made of its own space, given back a moment before, and be lost again at once.
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

    /// Writes something that changes nothing.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        self.bound_log()?;
        self.db
            .pragma_update(None, "user_version", SCHEMA)
            .map_err(|error| DatabaseError::new(&self.path, error).into())
    }

    /// Whether the database has all the pages that it may have now.
    pub fn at_limit(&self) -> Result<bool, StoreError> {
        Ok(self.pages()? + HEADROOM_PAGES > self.max_pages && self.used_pages()? + HEADROOM_PAGES > self.max_pages)
    }

    pub fn rows(&self) -> u64 {
        u64::try_from(self.next - self.oldest).unwrap_or(0)
    }

    /// Row ids of the oldest and the newest; none in an empty journal.
    pub fn range(&self) -> Option<(i64, i64)> {
        (self.oldest < self.next).then(|| (self.oldest, self.next - 1))
    }

    /// Pages in use, of those that the share has.
    pub fn fill(&self) -> Result<f64, StoreError> {
        Ok(self.used_pages()? as f64 / self.budget.max_pages as f64)
    }

    /// Leaves the files as they are. Emptying the log on closing would give its space away, on a volume that has no other; and
    /// SQLite removes it by name, though it may be another database's by now.
    pub fn abandon(self) {
        // An error leaves SQLite's own way of closing, which is safe as well.
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

    /// SQLite empties the log by itself, unless a reader or a full volume keeps it from that; then it would grow without end.
    fn bound_log(&mut self) -> Result<(), StoreError> {
        let room = |log: &Path, budget: Budget| length(log) + TRANSACTION_PAGES * FRAME <= budget.log_bytes;
        if room(&self.log, self.budget) {
            return Ok(());
        }
        self.empty_log("TRUNCATE")?;
        match room(&self.log, self.budget) {
            true => Ok(()),
            false => Err(StoreError::Pinned(self.path.clone())),
        }
    }

    /// `RESTART` leaves the file at its length, which is worth something on a full volume; `TRUNCATE` cuts it.
    fn empty_log(&mut self, mode: &str) -> Result<(), StoreError> {
        let busy: i64 = self
            .db
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))
            .map_err(|error| DatabaseError::new(&self.path, error))?;
        match busy {
            0 => Ok(()),
            _ => Err(StoreError::Pinned(self.path.clone())),
        }
    }

    /// Brings a file that is larger than its share down to it: somebody lowered the share.
    fn shrink(&mut self) -> Result<(), StoreError> {
        while self.pages()? > self.budget.max_pages {
            if self.used_pages()? + HEADROOM_PAGES > self.budget.max_pages && !self.trim()? {
                break;
            }
            self.bound_log()?;
            let before = self.pages()?;
            // One page a step, so all steps must be taken; few enough that the log keeps its bound.
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
        self.limit_pages(self.budget.max_pages)
    }

    fn limit_pages(&mut self, pages: u64) -> Result<(), StoreError> {
        // SQLite answers with the limit that holds, which is never below what the file has.
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
        self.number("PRAGMA page_count")
    }

    fn used_pages(&self) -> Result<u64, StoreError> {
        Ok(self.pages()?.saturating_sub(self.number("PRAGMA freelist_count")?))
    }

    fn number(&self, pragma: &str) -> Result<u64, StoreError> {
        let number = self
            .db
            .prepare_cached(pragma)
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            .map_err(|error| DatabaseError::new(&self.path, error))?;
        Ok(number.unsigned_abs())
    }
}

/// Makes the table if there is none; returns the file's device and inode, the oldest row and the one after the newest.
fn prepare(db: &Connection, path: &Path, budget: Budget) -> rusqlite::Result<((u64, u64), i64, i64)> {
    db.pragma_update(None, "wal_autocheckpoint", budget.checkpoint_pages.cast_signed())?;
    let limit = (budget.checkpoint_pages * FRAME).cast_signed();
    db.pragma_update_and_check(None, "journal_size_limit", limit, |_| Ok(()))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'entry'", [], |row| {
        row.get(0)
    })?;
    if tables == 0 {
        db.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             CREATE TABLE entry (
                 id INTEGER PRIMARY KEY,
                 time INTEGER NOT NULL,      -- microseconds since the Unix epoch
                 request TEXT NOT NULL,
                 duration INTEGER NOT NULL,  -- microseconds
                 method TEXT NOT NULL,
                 parameters TEXT NOT NULL,
                 count INTEGER NOT NULL,
                 value INTEGER
             );
             PRAGMA user_version = {SCHEMA};
             COMMIT;"
        ))?;
    }
    let oldest: Option<i64> = db.query_row("SELECT min(id) FROM entry", [], |row| row.get(0))?;
    let newest: Option<i64> = db.query_row("SELECT max(id) FROM entry", [], |row| row.get(0))?;
    // An unreadable file would have failed above; were it gone since, the first append finds that.
    let file = fs::metadata(path).map_or((0, 0), |metadata| (metadata.dev(), metadata.ino()));
    Ok((file, oldest.unwrap_or(1), newest.map_or(1, |newest| newest + 1)))
}

/// Bytes of all that the journal has on the volume, without corrupt ones moved aside.
pub fn bytes(path: &Path) -> u64 {
    ["", "-wal", "-shm", ballast::SUFFIX]
        .iter()
        .map(|suffix| length(&beside(path, suffix)))
        .sum()
}

/// What an entry takes of a transaction, about.
pub fn size(entry: &Entry) -> usize {
    ROW_BYTES + cut(&entry.request).len() + cut(&entry.method).len() + cut(&entry.parameters).len()
}

/// What a row keeps of a text.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
