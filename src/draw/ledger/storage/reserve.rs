//! Creates a ledger with all the space that it will ever need.
//!
//! Every page of the file and every block of its rollback journal is written at creation. Unused pages stay in the file, on
//! SQLite's free list, and a journal in mode PERSIST keeps its blocks. So later commits overwrite allocated blocks, which needs no
//! space on a file system that overwrites in place (ext4, XFS; not btrfs or ZFS). fallocate(2) is not enough: the first write to
//! an allocated extent may need a block for the extent tree.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::{Facts, MIN_MAX_BYTES, StorageError, classify, io_error, pages};
use crate::database::{self, DatabaseError, JournalMode, PAGE, Settings, Synchronous};
use crate::files::{self, beside, remove};

/// The version of the database's layout: `PRAGMA user_version`.
pub(super) const SCHEMA: u32 = 2;

/// By name.
pub(super) const TABLES: [&str; 6] = [
    "CREATE TABLE aside (id INTEGER PRIMARY KEY, chain TEXT NOT NULL, head TEXT NOT NULL, from_round INTEGER NOT NULL, to_round INTEGER NOT NULL)",
    "CREATE INDEX by_key ON places (key)",
    "CREATE INDEX by_place ON places (era, place)",
    "CREATE TABLE ledger (id INTEGER PRIMARY KEY CHECK (id = 1), seed BLOB NOT NULL, head TEXT, newest TEXT, fence INTEGER, holder TEXT, era INTEGER NOT NULL, runs BLOB NOT NULL, count INTEGER NOT NULL, digest BLOB NOT NULL, seal BLOB NOT NULL)",
    "CREATE TABLE places (id INTEGER PRIMARY KEY, key INTEGER NOT NULL, era INTEGER NOT NULL, place INTEGER NOT NULL)",
    "CREATE TABLE records (id INTEGER PRIMARY KEY, record TEXT NOT NULL)",
];

/// The division of the space: one sixth, at most 16 MiB, for the journal, which has the old content of the pages that a transaction
/// changes; the rest for the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) file_pages: u32,
    pub(super) journal_bytes: u64,
}

/// Enough for the largest commit, however large the ledger is.
const MOST_JOURNAL_PAGES: u32 = 4096;

impl Layout {
    pub(super) fn of(max_bytes: u64) -> Layout {
        // SQLite counts pages with 32 bits.
        let pages = u32::try_from(max_bytes.max(MIN_MAX_BYTES) / u64::from(PAGE)).unwrap_or(u32::MAX);
        let journal = (pages / 6).clamp(40, MOST_JOURNAL_PAGES);
        Layout {
            file_pages: pages - journal,
            journal_bytes: u64::from(journal) * u64::from(PAGE),
        }
    }

    pub(super) fn settings(self) -> Settings {
        Settings {
            journal_mode: JournalMode::Persist,
            synchronous: Synchronous::Full,
            max_pages: Some(self.file_pages),
            busy_timeout: super::BUSY,
        }
    }
}

/// Creates the ledger under another name, and renames it once it is whole and on the disk. A failure leaves nothing behind.
pub(super) fn create(path: &Path, layout: Layout, facts: &Facts) -> Result<(), StorageError> {
    let draft = beside(path, ".new");
    let journal = beside(path, "-journal");
    let made = remove_all(path)
        .and_then(|()| grow_journal(&journal, layout.journal_bytes))
        .map_err(|error| io_error(path, &error))
        .and_then(|()| build(&draft, layout, facts))
        .and_then(|()| {
            let place = || {
                File::open(&draft)?.sync_all()?;
                fs::rename(&draft, path)?;
                files::sync_directory_of(path)
            };
            place().map_err(|error| io_error(path, &error))
        });
    if made.is_err() && !path.exists() {
        // Best effort: the next attempt removes them as well.
        let _ = remove_all(path);
    }
    made
}

/// Removes the remains of an interrupted attempt, and the journal of a deleted ledger, which SQLite would roll back into the new
/// one.
fn remove_all(path: &Path) -> io::Result<()> {
    remove(&beside(path, ".new"))?;
    remove(&beside(path, ".new-journal"))?;
    remove(&beside(path, "-journal"))
}

fn build(draft: &Path, layout: Layout, facts: &Facts) -> Result<(), StorageError> {
    // Only this user may read the seed. SQLite gives the journal the same mode.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(|error| io_error(draft, &error))?;
    let mut db = database::open(draft, layout.settings()).map_err(classify)?;
    let build = |db: &mut Connection| -> rusqlite::Result<()> {
        // An interrupted draft is deleted.
        db.pragma_update_and_check(None, "journal_mode", "memory", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "off")?;
        let transaction = db.transaction()?;
        // An index comes after its table.
        let is_index = |sql: &&str| sql.starts_with("CREATE INDEX");
        let tables = TABLES.into_iter().filter(|sql| !is_index(sql));
        for sql in tables.chain(TABLES.into_iter().filter(is_index)) {
            transaction.execute_batch(sql)?;
        }
        transaction.pragma_update(None, "user_version", SCHEMA)?;
        facts.put(&transaction)?;
        transaction.commit()?;
        fill(db, layout)
    };
    build(&mut db).map_err(|error| classify(DatabaseError::new(draft, error)))
}

/// Grows the file to its full size with free pages. A larger file keeps its size.
pub(super) fn fill(db: &mut Connection, layout: Layout) -> rusqlite::Result<()> {
    // Two less: a row may need a new interior page as well.
    let enough = u64::from(layout.file_pages) - 2;
    let left: bool = db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'filler'", [], |row| {
        row.get(0)
    })?;
    if left {
        db.execute_batch("DROP TABLE filler")?;
    }
    if pages(db)?.all >= enough {
        return Ok(());
    }
    // Two transactions: pages that are freed in the transaction that took them are never written.
    let transaction = db.transaction()?;
    transaction.execute_batch("CREATE TABLE filler (content BLOB)")?;
    while pages(&transaction)?.all < enough {
        transaction
            .prepare_cached("INSERT INTO filler (content) VALUES (zeroblob(4000))")?
            .execute([])?;
    }
    transaction.commit()?;
    db.execute_batch("DROP TABLE filler")
}

/// Grows the journal to its size; never changes its content.
pub(super) fn grow_journal(journal: &Path, bytes: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(journal)?;
    let length = file.metadata()?.len();
    if length >= bytes {
        return Ok(());
    }
    io::copy(&mut io::repeat(0).take(bytes - length), &mut file)?;
    file.sync_all()
}

/// Removes all ledgers set aside before `kept`, which lies beside `path`.
pub(super) fn remove_older(path: &Path, kept: &Path) -> io::Result<()> {
    let prefix = beside(path, ".corrupt-");
    for entry in fs::read_dir(files::directory_of(path))? {
        let found = entry?.path();
        let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        let named = found
            .file_name()
            .zip(prefix.file_name())
            .is_some_and(|(name, prefix)| name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()));
        if named && found.file_name() != kept.file_name() && bytes(&found) != bytes(&beside(kept, "-journal")) {
            remove(&found)?;
        }
    }
    Ok(())
}

/// Whether the volume or the file's limit had no space left.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
