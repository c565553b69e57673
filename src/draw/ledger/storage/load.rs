//! Opening a ledger that is there: everything in it is checked before anything is believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::reserve::{self, Layout, SCHEMA, TABLES};
use super::{Aside, Facts, Pages, Promise, StorageError, io_error, pages, parsed, sorted};
use crate::database::{self, DatabaseError, PAGE};
use crate::draw::record::{Hash, Record};
use crate::draw::secrets::Seed;

pub(super) struct Loaded {
    pub(super) db: Connection,
    pub(super) facts: Facts,
    pub(super) rows: HashMap<Hash, i64>,
    pub(super) records: Vec<Arc<Record>>,
    pub(super) pages: Pages,
}

/// Opens the file, rolls back what a crash left unfinished, and verifies all of it.
pub(super) fn load(path: &Path, layout: Layout) -> Result<Loaded, StorageError> {
    check_header(path)?;
    let mut db = database::open(path, layout.settings()).map_err(sorted)?;
    let failed = |error| sorted(DatabaseError::new(path, error));
    check_structure(&db).map_err(failed)??;
    let (mut facts, seal) = facts(&db).map_err(failed)??;
    facts.aside = aside(&db).map_err(failed)?.into_iter().collect::<Result<_, _>>()?;
    if facts.seal().as_slice() != seal {
        return Err(StorageError::Corrupt(
            "its seal is broken: seed, head, promise or list of tails was changed".to_owned(),
        ));
    }
    let (records, rows) = records(&db, &facts).map_err(failed)??;
    // A failure of these doesn't make the ledger less true: commits try for space themselves.
    let reserved = reserve::fill(&mut db, layout);
    if let Err(error) = reserved
        && !reserve::is_full(&error)
    {
        return Err(failed(error));
    }
    if let Err(error) = reserve::grow_journal(&reserve::beside(path, "-journal"), layout.journal_bytes) {
        tracing::warn!("the ledger's journal has not its reserved size: {error}");
    }
    db.pragma_update_and_check(
        None,
        "journal_size_limit",
        i64::try_from(layout.journal_bytes).unwrap_or(i64::MAX),
        |_| Ok(()),
    )
    .map_err(failed)?;
    // No file in /tmp, which may be as full.
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

/// What SQLite would act on at once: a file in WAL mode it would convert, an empty one it would fill.
fn check_header(path: &Path) -> Result<(), StorageError> {
    let corrupt = |detail: String| Err(StorageError::Corrupt(detail));
    let mut header = [0; 100];
    // Before SQLite has it open: closing a file gives back all locks that this process has on it.
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

type Checked<T> = rusqlite::Result<Result<T, StorageError>>;

fn check_structure(db: &Connection) -> Checked<()> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Err(StorageError::Corrupt(found)));
    }
    let mut statement = db.prepare("SELECT sql FROM sqlite_schema WHERE name <> 'filler' ORDER BY name")?;
    let tables: Vec<Option<String>> = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if tables.iter().map(Option::as_deref).ne(TABLES.map(Some)) {
        return Ok(Err(StorageError::Corrupt("its tables are not a ledger's".to_owned())));
    }
    Ok(Ok(()))
}

/// All but the list of tails, and the seal that stands there.
fn facts(db: &Connection) -> Checked<(Facts, Vec<u8>)> {
    let row = db.query_row(
        "SELECT seed, head, fence, holder, count, digest, seal FROM ledger",
        [],
        |row| {
            let promise = row.get::<_, Option<u64>>(2)?.zip(row.get::<_, Option<String>>(3)?);
            let head: Option<String> = row.get(1)?;
            let facts = Facts {
                seed: Seed(row.get(0)?),
                head: None,
                promise: promise.map(|(fence, holder)| Promise { fence, holder }),
                aside: Vec::new(),
                count: row.get(4)?,
                digest: row.get(5)?,
            };
            Ok((facts, head, row.get(6)?))
        },
    );
    let (mut facts, head, seal) = match typed(row)? {
        Ok(row) => row,
        Err(error) => return Ok(Err(error)),
    };
    facts.head = match head.map(|head| parsed(&head, "head")).transpose() {
        Ok(head) => head,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok((facts, seal)))
}

fn aside(db: &Connection) -> rusqlite::Result<Vec<Result<Aside, StorageError>>> {
    let mut statement = db.prepare("SELECT chain, head, from_round, to_round FROM aside ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let columns = || {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get(2)?,
                row.get(3)?,
            ))
        };
        list.push(typed(columns())?.and_then(|(chain, head, from_round, to_round)| {
            Ok(Aside {
                chain: parsed(&chain, "chain")?,
                head: parsed(&head, "head")?,
                from_round,
                to_round,
            })
        }));
    }
    Ok(list)
}

fn records(db: &Connection, facts: &Facts) -> Checked<(Vec<Arc<Record>>, HashMap<Hash, i64>)> {
    let mut statement = db.prepare("SELECT id, record FROM records")?;
    let mut found = statement.query([])?;
    let (mut records, mut rows) = (Vec::new(), HashMap::new());
    let mut digest = Facts::new([0; 32]);
    while let Some(row) = found.next()? {
        let columns = || Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let parsed = typed(columns())?.and_then(|(id, text)| match Record::parse(&text) {
            Ok(record) => Ok((id, record)),
            Err(error) => Err(StorageError::Corrupt(format!("record {id}: {error}"))),
        });
        let (id, record) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error)),
        };
        digest.toggle(&record.hash);
        rows.insert(record.hash, id);
        records.push(Arc::new(record));
    }
    if records.len() as u64 != facts.count || rows.len() != records.len() || digest.digest != facts.digest {
        return Ok(Err(StorageError::Corrupt(format!(
            "it has {} records, not the {} that it should have",
            records.len(),
            facts.count
        ))));
    }
    Ok(Ok((records, rows)))
}

/// A column of another type, or a row that isn't there, is damage; what SQLite says of itself stays its own.
fn typed<T>(result: rusqlite::Result<T>) -> Checked<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error @ rusqlite::Error::SqliteFailure(..)) => Err(error),
        Err(error) => Ok(Err(StorageError::Corrupt(error.to_string()))),
    }
}
