//! The ledger's file on the volume, `ledger.db`: a SQLite database whose space is allocated when it is created.
//!
//! One thread writes it. What the protocol needs is verified when it is opened, and the rest soon after. It is never repaired or
//! discarded here, because lost content may have been promised.

mod check;
mod facts;
mod inspect;
mod load;
mod migrate;
pub(super) mod read;
mod reserve;
mod rows;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use self::check::Check;
use self::facts::Facts;
pub use self::inspect::{InspectError, Inspected};
use self::reserve::Layout;
use super::logic::Old;
use super::{Stored, Write};
use crate::clock::Clock;
use crate::database::{DatabaseError, PAGE};
use crate::files::{beside, remove, sync_directory_of};
use crate::record::{Hash, Record};

/// The space of a ledger on the volume, by default.
pub const DEFAULT_MAX_BYTES: u64 = 1536 * 1024;
/// The minimum: below it the fixed parts leave no room for a day's records.
pub const MIN_MAX_BYTES: u64 = 512 * 1024;
/// Pages that capacity() leaves free for a transaction's splits and the errors of cost().
const MARGIN_PAGES: u64 = 12;
/// How long to wait for a reader, such as the sqlite3 tool.
const BUSY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// `ledger.db` and its journal together, in bytes; [`MIN_MAX_BYTES`] if it is less. An existing file grows to it, but never shrinks.
    pub max_bytes: u64,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// At creation, the volume lacks the space to reserve. At a commit, prune more or try again.
    #[error("no space left for the ledger")]
    Full,
    /// The file is not a valid ledger, or a newer version's. It is left as it was.
    #[error("the ledger is damaged: {0}")]
    Corrupt(String),
    #[error("the ledger can't be used: {0}")]
    Io(String),
}

/// The open ledger.
#[derive(Debug)]
pub struct Storage {
    path: PathBuf,
    layout: Layout,
    /// None after a failed commit: the next one opens the file again, which rolls back the failed one.
    db: Option<Connection>,
    facts: Facts,
    check: Check,
    pages: Pages,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pages {
    all: u64,
    free: u64,
}

impl Storage {
    /// Opens the ledger, or creates one with `new_seed` if there is no file. Anything else at `path`, even an empty file, is
    /// `Corrupt`: a ledger only ever appears whole.
    pub fn open(path: &Path, config: StorageConfig, new_seed: [u8; 32]) -> Result<(Storage, Stored), StorageError> {
        let layout = Layout::of(config.max_bytes);
        match fs::symlink_metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => reserve::create(path, layout, &Facts::new(new_seed))?,
            Err(error) => return Err(io_error(path, &error)),
        }
        let mut storage = Storage {
            path: path.to_owned(),
            layout,
            db: None,
            facts: Facts::new([0; 32]),
            check: Check::default(),
            pages: Pages::default(),
        };
        let stored = storage.connect()?;
        Ok((storage, stored))
    }

    /// Checks the ledger at `path` without changing it; a member may have it open. Blocks while it reads: not for async threads.
    ///
    /// # Errors
    /// `Corrupt`: it is not valid. `Io`: it can't be read, is locked for more than three seconds, or has an unfinished commit that
    /// only its member can roll back. `Chain`: its records are valid, but not as a chain.
    pub fn inspect(path: &Path) -> Result<Inspected, InspectError> {
        inspect::inspect(path)
    }

    /// Stores all of `writes`, in order and durably, or none of them. To make room, put `Prune` before `Record`.
    ///
    /// After an error the same list may be tried again. In rare cases the failed commit is stored nevertheless; storing it twice
    /// changes nothing.
    pub fn commit(&mut self, writes: &[Write]) -> Result<(), StorageError> {
        if self.db.is_none() {
            self.connect()?;
        }
        let Some(mut db) = self.db.take() else {
            return Err(StorageError::Io(format!("{} is not open", self.path.display())));
        };
        let (facts, check) = self
            .transact(&mut db, writes)
            .map_err(|error| failed(&self.path, error))?;
        (self.facts, self.check) = (facts, check);
        // The commit is durable, even if these figures can't be read.
        self.pages = pages(&db).unwrap_or(self.pages);
        self.db = Some(db);
        Ok(())
    }

    pub fn has(&self, hash: &Hash) -> Result<bool, StorageError> {
        self.read(|db| rows::locate(db, hash)).map(|id| id.is_some())
    }

    /// Up to `count` records from `hash` backwards, newest first.
    pub fn ancestors(&self, hash: &Hash, count: usize) -> Result<Vec<Arc<Record>>, StorageError> {
        self.read(|db| rows::ancestors(db, hash, count))
    }

    /// Up to `count` of the records whose slots are the oldest.
    pub fn oldest(&mut self, count: usize) -> Result<Vec<Old>, StorageError> {
        if self.db.is_none() {
            self.connect()?;
        }
        self.read(|db| rows::oldest(db, self.facts.era, count))
    }

    /// All records.
    pub fn len(&self) -> u64 {
        self.facts.count
    }

    pub fn is_empty(&self) -> bool {
        self.facts.count == 0
    }

    /// Whether all rows were verified since the file was opened.
    pub fn is_verified(&self) -> bool {
        self.check.is_done()
    }

    /// Verifies up to `count` more rows.
    pub fn verify(&mut self, count: usize) -> Result<(), StorageError> {
        if let Some(db) = self.db.as_ref().filter(|_| !self.check.is_done()) {
            let verified = self.check.advance(db, &self.facts, count);
            verified.map_err(|error| failed(&self.path, error))?;
        }
        Ok(())
    }

    fn read<T: Default>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StorageError> {
        match &self.db {
            Some(db) => read::at_once(db, read).map_err(|error| failed(&self.path, error)),
            // After a failed commit; the next one opens it.
            None => Ok(T::default()),
        }
    }

    /// While [`used`](Storage::used) is below these bytes, a commit of up to [`largest_commit`](Storage::largest_commit) is certain
    /// to find room.
    pub fn capacity(&self) -> u64 {
        let pages = self.pages.all.max(u64::from(self.layout.file_pages));
        pages.saturating_sub(MARGIN_PAGES) * u64::from(PAGE)
    }

    /// Bytes in use, in whole pages: the records and a few fixed pages.
    pub fn used(&self) -> u64 {
        self.pages.all.saturating_sub(self.pages.free) * u64::from(PAGE)
    }

    /// Approximately what one record adds to [`used`](Storage::used), by the length of its canonical JSON.
    pub fn cost(canonical: usize) -> u64 {
        // A page holds 4,080 bytes of rows, each with an overhead of about 20. A row that doesn't fit one page gets pages of its own.
        const LEAF: u64 = 4080;
        /// Its place, in a table and two indexes whose pages may be half full.
        const PLACE: u64 = 100;
        let row = canonical as u64 + 20;
        let pages = if row <= LEAF {
            u64::from(PAGE) / (LEAF / row)
        } else {
            (row / LEAF + 1) * u64::from(PAGE)
        };
        pages + PLACE
    }

    /// Bytes of records, written and pruned together, in a commit that fits the reserved journal. A larger commit works while the
    /// volume has space.
    pub fn largest_commit(&self) -> u64 {
        let images = self.layout.journal_bytes / (u64::from(PAGE) + 8);
        images.saturating_sub(MARGIN_PAGES) * u64::from(PAGE) / 2
    }

    /// Moves an unusable ledger and its journal to a name with the time, which it returns. Only the newest is kept: a small volume
    /// has room for one old ledger beside a new one.
    pub fn set_aside(path: &Path, clock: &Clock) -> Result<PathBuf, StorageError> {
        let time = clock.wall().timestamp().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        let kept = beside(path, &format!(".corrupt-{time}"));
        let kept_journal = beside(&kept, "-journal");
        let moved = || -> io::Result<()> {
            fs::rename(path, &kept)?;
            match fs::rename(beside(path, "-journal"), &kept_journal) {
                Err(error) if error.kind() == ErrorKind::NotFound => remove(&kept_journal)?,
                other => other?,
            }
            reserve::remove_older(path, &kept)?;
            sync_directory_of(path)
        };
        moved().map_err(|error| io_error(path, &error))?;
        Ok(kept)
    }

    fn connect(&mut self) -> Result<Stored, StorageError> {
        let loaded = load::load(&self.path, self.layout)?;
        self.pages = loaded.pages;
        self.facts = loaded.facts;
        self.check = loaded.check;
        self.db = Some(loaded.db);
        Ok(loaded.stored)
    }

    fn transact(&self, db: &mut Connection, writes: &[Write]) -> rusqlite::Result<(Facts, Check)> {
        let (mut facts, mut check) = (self.facts.clone(), self.check.clone());
        let transaction = db.transaction()?;
        for write in writes {
            match write {
                Write::Record(record) => {
                    if rows::locate(&transaction, &record.hash)?.is_none() {
                        check.on_insert(rows::insert(&transaction, record)?, &record.hash);
                        facts.add(record);
                    }
                }
                Write::Prune(hashes) => {
                    for hash in hashes {
                        if let Some(id) = rows::locate(&transaction, hash)? {
                            rows::delete(&transaction, id)?;
                            check.on_delete(id, hash);
                            facts.remove(hash);
                        }
                    }
                }
                Write::Link(records) => {
                    for record in records {
                        rows::link(&transaction, record, facts.era)?;
                        facts.aside.retain(|aside| aside.head != record.hash);
                    }
                }
                Write::Unlink(records) => {
                    for record in records {
                        rows::unlink(&transaction, record)?;
                    }
                }
                Write::Renew => facts.era += 1,
                Write::Runs(runs) => facts.runs = runs.clone(),
                Write::Head(hash) => facts.head = Some(*hash),
                Write::Promise(promise) => facts.promise = Some(promise.clone()),
                Write::Aside(aside) => drop(aside.clone().list(&mut facts.aside)),
            }
        }
        if facts.aside != self.facts.aside {
            facts.put_aside(&transaction)?;
        }
        facts.put(&transaction)?;
        transaction.commit()?;
        Ok((facts, check))
    }
}

fn pages(db: &Connection) -> rusqlite::Result<Pages> {
    let number = |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, u32>(0).map(u64::from));
    Ok(Pages {
        all: number("PRAGMA page_count")?,
        free: number("PRAGMA freelist_count")?,
    })
}

/// A column of another type, a missing row or a broken record is damage; other errors are SQLite's own.
fn failed(path: &Path, error: rusqlite::Error) -> StorageError {
    match error {
        rusqlite::Error::SqliteFailure(..) | rusqlite::Error::ToSqlConversionFailure(_) => {
            classify(DatabaseError::new(path, error))
        }
        rusqlite::Error::FromSqlConversionFailure(_, _, damage) => StorageError::Corrupt(damage.to_string()),
        error => StorageError::Corrupt(error.to_string()),
    }
}

fn classify(error: DatabaseError) -> StorageError {
    match &error {
        DatabaseError::Full { .. } => StorageError::Full,
        DatabaseError::Corrupt { detail, .. } => StorageError::Corrupt(detail.clone()),
        DatabaseError::Other { source, .. } => match source.sqlite_error_code() {
            // No such table or column: a different schema.
            Some(ErrorCode::Unknown) => StorageError::Corrupt(source.to_string()),
            _ => StorageError::Io(error.to_string()),
        },
        DatabaseError::Busy { .. } | DatabaseError::Io { .. } => StorageError::Io(error.to_string()),
    }
}

fn io_error(path: &Path, error: &io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::Full,
        _ => StorageError::Io(format!("{}: {error}", path.display())),
    }
}

/// SQLite's integers are signed.
fn signed(value: u64) -> rusqlite::Result<i64> {
    i64::try_from(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn toggle(digest: &mut [u8; 32], hash: &Hash) {
    for (byte, with) in digest.iter_mut().zip(hash.0) {
        *byte ^= with;
    }
}
