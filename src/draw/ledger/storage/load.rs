//! Opens an existing ledger, and verifies its content first: all of it unless it is long.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::super::Stored;
use super::super::logic::WINDOW;
use super::check::{Check, Verified};
use super::facts::Facts;
use super::reserve::{self, Layout, SCHEMA, TABLES};
use super::rows::{self, OFF, damage};
use super::{Pages, StorageError, classify, failed, io_error, migrate, pages, read, signed};
use crate::database::{self, PAGE};
use crate::files::beside;
use crate::record::Record;

/// Rows that are verified when the file is opened: all of a ledger of the usual size, and of a longer one the newest, which are in
/// memory from then on, and some of the oldest.
const VERIFIED_AT_ONCE: usize = 1_000;
/// A file with more pages in use is verified by its rows alone.
const CHECKED_PAGES: u64 = 4_096;

pub(super) struct Loaded {
    pub(super) db: Connection,
    pub(super) facts: Facts,
    pub(super) check: Check,
    pub(super) stored: Stored,
    pub(super) pages: Pages,
}

/// Opens the file, rolls back an unfinished commit, and verifies what the protocol needs.
pub(super) fn load(path: &Path, layout: Layout) -> Result<Loaded, StorageError> {
    check_header(path)?;
    let mut db = database::open(path, layout.settings()).map_err(classify)?;
    let failed = |error| failed(path, error);
    // No file in /tmp, which may be full, too.
    db.pragma_update(None, "temp_store", "memory").map_err(failed)?;
    let schema = check_structure(&db).map_err(failed)?;
    if schema == migrate::SCHEMA_BEFORE {
        migrate::migrate(&mut db).map_err(failed)?;
    }
    let (facts, check, stored) = read::at_once(&db, verify).map_err(failed)?;
    // If these fail, the ledger is still valid: commits try to get space themselves.
    let reserved = reserve::fill(&mut db, layout);
    if let Err(error) = reserved
        && !reserve::is_full(&error)
    {
        return Err(failed(error));
    }
    if let Err(error) = reserve::grow_journal(&beside(path, "-journal"), layout.journal_bytes) {
        tracing::warn!("can't reserve space for the ledger's journal: {error}");
    }
    db.pragma_update_and_check(
        None,
        "journal_size_limit",
        i64::try_from(layout.journal_bytes).unwrap_or(i64::MAX),
        |_| Ok(()),
    )
    .map_err(failed)?;
    let pages = pages(&db).map_err(failed)?;
    Ok(Loaded {
        db,
        facts,
        check,
        stored,
        pages,
    })
}

/// Verifies what the protocol needs, and reads it.
fn verify(db: &Connection) -> rusqlite::Result<(Facts, Check, Stored)> {
    let mut facts = Facts::read(db, true)?;
    let mut check = Check::default();
    let oldest = match facts.count > VERIFIED_AT_ONCE as u64 {
        true => VERIFIED_AT_ONCE - WINDOW,
        false => VERIFIED_AT_ONCE,
    };
    let verified = check.advance(db, &facts, oldest)?;
    let stored = stored(db, &mut facts, &verified)?;
    Ok((facts, check, stored))
}

/// What a ledger begins with. Rows that are `verified` aren't read again.
pub(super) fn stored(db: &Connection, facts: &mut Facts, verified: &Verified) -> rusqlite::Result<Stored> {
    let mut rows = BTreeSet::new();
    if let Some((age, newest)) = &mut facts.newest {
        let id = rows::locate(db, newest)?.ok_or_else(|| damage("its newest record is missing".to_owned()))?;
        *age = rows::read(db, id)?.age();
        rows.insert(id);
    }
    for (at, run) in facts.runs.iter().rev().enumerate() {
        // Of what lies below more than one gap the tip is enough.
        let count = if at < 2 { WINDOW } else { 1 };
        rows.extend(rows::newest(db, facts.era, signed(run.high)?, count)?);
    }
    rows.extend(rows::newest(db, OFF, i64::MAX, WINDOW)?);
    let read = |id: i64| verified.get(&id).cloned().map_or_else(|| rows::read(db, id), Ok);
    let records = rows.into_iter().map(read).collect::<rusqlite::Result<Vec<_>>>()?;
    if let Some(run) = facts.runs.last() {
        let is_tip = |record: &Arc<Record>| record.hash == run.tip;
        if facts.head != Some(run.tip) || !records.iter().any(is_tip) {
            return Err(damage("its chain does not end with its head".to_owned()));
        }
    }
    Ok(Stored {
        seed: facts.seed.clone(),
        records,
        runs: facts.runs.clone(),
        head: facts.head,
        promise: facts.promise.clone(),
        aside: facts.aside.clone(),
    })
}

/// Refuses files that SQLite would change at once: it converts one in WAL mode, and fills an empty one.
pub(super) fn check_header(path: &Path) -> Result<(), StorageError> {
    let corrupt = |detail: String| Err(StorageError::Corrupt(detail));
    let mut header = [0; 100];
    // Before SQLite opens it: closing a file releases all of this process's locks on it.
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        if length >= header.len() as u64 {
            file.read_exact(&mut header)?;
        }
        Ok(length)
    });
    let length = read.map_err(|error| io_error(path, &error))?;
    if length == 0 || !length.is_multiple_of(u64::from(PAGE)) {
        return corrupt(format!("it is {length} bytes long, which no ledger is"));
    }
    let number = |at: usize| {
        header[at..at + 4]
            .iter()
            .fold(0u32, |number, byte| number << 8 | u32::from(*byte))
    };
    if !header.starts_with(b"SQLite format 3\0\x10\x00\x01\x01") {
        return corrupt("it is no database of the ledger's form".to_owned());
    }
    match number(60) {
        migrate::SCHEMA_BEFORE | SCHEMA => Ok(()),
        newer if newer > SCHEMA => corrupt(format!(
            "it was written by a newer version (schema {newer}, this one knows {SCHEMA}); run that version or a later one"
        )),
        other => corrupt(format!("its schema is {other}, which no version had")),
    }
}

/// Returns the schema. The header may have that of a conversion that a crash left unfinished, which is undone by now.
pub(super) fn check_structure(db: &Connection) -> rusqlite::Result<u32> {
    let schema = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let pages = pages(db)?;
    if pages.all.saturating_sub(pages.free) <= CHECKED_PAGES {
        let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(damage(found));
        }
    }
    // An interrupted growth leaves a filler.
    let mut statement = db.prepare("SELECT sql FROM sqlite_schema WHERE name <> 'filler' ORDER BY name")?;
    let tables = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Option<String>>>>()?;
    let expected: &[&str] = if schema == SCHEMA {
        &TABLES
    } else {
        &migrate::TABLES_BEFORE
    };
    if tables
        .iter()
        .map(Option::as_deref)
        .ne(expected.iter().copied().map(Some))
    {
        return Err(damage("its tables are not a ledger's".to_owned()));
    }
    Ok(schema)
}
