//! Opens an existing ledger, and verifies all of its content first.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rusqlite::backup::Backup;
use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, Row};

use super::reserve::{self, Layout, SCHEMA, TABLES};
use super::{Aside, Facts, Pages, Promise, Rows, StorageError, classify, io_error, pages};
use crate::database::{self, DatabaseError, PAGE};
use crate::files::beside;
use crate::record::secrets::Seed;
use crate::record::{Hex, HexError, Record};

pub(super) struct Loaded {
    pub(super) db: Connection,
    pub(super) facts: Facts,
    pub(super) rows: Rows,
    pub(super) records: Vec<Arc<Record>>,
    pub(super) pages: Pages,
}

/// Opens the file, rolls back an unfinished commit, and verifies everything.
pub(super) fn load(path: &Path, layout: Layout) -> Result<Loaded, StorageError> {
    check_header(path)?;
    let mut db = database::open(path, layout.settings()).map_err(classify)?;
    let failed = |error| classify(DatabaseError::new(path, error));
    let content = Content { path, db: &db };
    content.check_structure()?;
    let facts = content.facts()?;
    let (records, rows) = content.records(&facts)?;
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
    // No file in /tmp, which may be full, too.
    db.pragma_update(None, "temp_store", "memory").map_err(failed)?;
    let pages = pages(&db).map_err(failed)?;
    Ok(Loaded {
        db,
        facts,
        rows,
        records,
        pages,
    })
}

/// Verifies a copy of the file, which another process may have open. The file is only read, and locked only while its pages are
/// copied, so a member's commit waits no longer.
pub(super) fn inspect(path: &Path) -> Result<Loaded, StorageError> {
    check_header(path)?;
    let failed = |error| classify(DatabaseError::new(path, error));
    let copied = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let from = Connection::open_with_flags(path, flags)?;
        from.busy_timeout(super::BUSY)?;
        let mut copy = Connection::open_in_memory()?;
        Backup::new(&from, &mut copy)?.step(-1)?;
        Ok(copy)
    };
    let db = copied().map_err(failed)?;
    let content = Content { path, db: &db };
    content.check_structure()?;
    let facts = content.facts()?;
    let (records, rows) = content.records(&facts)?;
    let pages = pages(&db).map_err(failed)?;
    Ok(Loaded {
        db,
        facts,
        rows,
        records,
        pages,
    })
}

/// Refuses files that SQLite would change at once: it converts one in WAL mode, and fills an empty one.
fn check_header(path: &Path) -> Result<(), StorageError> {
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
        SCHEMA => Ok(()),
        newer if newer > SCHEMA => corrupt(format!(
            "it was written by a newer version (schema {newer}, this one knows {SCHEMA}); run that version or a later one"
        )),
        other => corrupt(format!("its schema is {other}, which no version had")),
    }
}

struct Content<'a> {
    path: &'a Path,
    db: &'a Connection,
}

impl Content<'_> {
    fn check_structure(&self) -> Result<(), StorageError> {
        let check = || {
            self.db
                .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        };
        let found = self.read(check())?;
        if found != "ok" {
            return Err(StorageError::Corrupt(found));
        }
        let tables = || {
            // An interrupted growth leaves a filler.
            let mut statement = self
                .db
                .prepare("SELECT sql FROM sqlite_schema WHERE name <> 'filler' ORDER BY name")?;
            statement
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<Option<String>>>>()
        };
        if self.read(tables())?.iter().map(Option::as_deref).ne(TABLES.map(Some)) {
            return Err(StorageError::Corrupt("its tables are not a ledger's".to_owned()));
        }
        Ok(())
    }

    fn facts(&self) -> Result<Facts, StorageError> {
        let row = self.db.query_row(
            "SELECT seed, head, fence, holder, count, digest, seal FROM ledger",
            [],
            |row| {
                let fence = row.get::<_, Option<i64>>(2)?.map(|_| natural(row, 2)).transpose()?;
                let promise = fence.zip(row.get::<_, Option<String>>(3)?);
                let head: Option<String> = row.get(1)?;
                let facts = Facts {
                    seed: Seed(row.get(0)?),
                    head: head.map(|_| hex(row, 1)).transpose()?,
                    promise: promise.map(|(fence, holder)| Promise { fence, holder }),
                    aside: Vec::new(),
                    count: natural(row, 4)?,
                    digest: row.get(5)?,
                };
                Ok((facts, row.get::<_, Vec<u8>>(6)?))
            },
        );
        let (mut facts, seal) = self.read(row)?;
        let aside = || {
            let mut statement = self
                .db
                .prepare("SELECT chain, head, from_round, to_round FROM aside ORDER BY id")?;
            let rows = statement.query_map([], |row| {
                let (from_round, to_round) = (natural(row, 2)?, natural(row, 3)?);
                Ok(Aside {
                    chain: hex(row, 0)?,
                    head: hex(row, 1)?,
                    from_round,
                    to_round,
                })
            })?;
            rows.collect()
        };
        facts.aside = self.read(aside())?;
        if facts.seal().as_slice() != seal {
            return Err(StorageError::Corrupt(
                "its seal is broken: seed, head, promise or list of tails was changed".to_owned(),
            ));
        }
        Ok(facts)
    }

    fn records(&self, facts: &Facts) -> Result<(Vec<Arc<Record>>, Rows), StorageError> {
        let (mut records, mut rows) = (Vec::new(), Rows::new());
        let mut found = Facts::new([0; 32]);
        let mut statement = self.read(self.db.prepare("SELECT id, record FROM records"))?;
        let texts = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        for row in self.read(texts)? {
            let (id, text) = self.read(row)?;
            let record = Record::parse(&text).map_err(|error| StorageError::Corrupt(format!("row {id}: {error}")))?;
            found.toggle(&record.hash);
            rows.insert(record.hash, id);
            records.push(Arc::new(record));
        }
        if records.len() as u64 != facts.count || rows.len() != records.len() || found.digest != facts.digest {
            let (has, should) = (records.len(), facts.count);
            return Err(StorageError::Corrupt(format!(
                "of the {should} records that it should have, {has} are others or missing"
            )));
        }
        Ok((records, rows))
    }

    /// A column of another type or a missing row is damage; other errors are SQLite's own.
    fn read<T>(&self, result: rusqlite::Result<T>) -> Result<T, StorageError> {
        result.map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => classify(DatabaseError::new(self.path, error)),
            error => StorageError::Corrupt(error.to_string()),
        })
    }
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn hex<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<Hex<N>> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error: HexError| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
