//! Reads older records beside the thread that writes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::rows::{self, damage};
use super::{StorageError, failed, signed};
use crate::record::{Hash, Record};

/// How long it waits for a commit that it meets: about 3 s.
const BETWEEN_TRIES: Duration = Duration::from_millis(1);
const MOST_TRIES: i32 = 3_000;

/// A connection of its own, which only reads. A commit waits for what it reads, so it reads little at once.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// With the number of the file: another may take its place.
    open: Option<(u64, Connection)>,
    /// Of the file that was read last.
    number: u64,
}

impl Reader {
    pub fn new(path: PathBuf) -> Reader {
        Reader {
            path,
            open: None,
            number: 0,
        }
    }

    /// The records of the chain from round `from` on, ascending: at least one, and so many that `bytes` are reached. None if it isn't
    /// a part of the chain.
    pub fn page(&mut self, from: u64, bytes: usize) -> Result<Vec<Arc<Record>>, StorageError> {
        let texts = self.read(|db| page(db, from, bytes))?;
        let records = || -> rusqlite::Result<Vec<Arc<Record>>> {
            let mut records: Vec<Arc<Record>> = Vec::with_capacity(texts.len());
            for (id, text) in &texts {
                let record = rows::parse(*id, text)?;
                let before = records.last().map(|before| before.hash);
                if before.is_some() && before != record.previous {
                    return Err(damage(format!("row {id}: it does not follow the record before it")));
                }
                records.push(record);
            }
            Ok(records)
        };
        records().map_err(|error| failed(&self.path, error))
    }

    /// Up to `count` records from `hash` backwards, newest first.
    pub fn ancestors(&mut self, hash: &Hash, count: usize) -> Result<Vec<Arc<Record>>, StorageError> {
        self.read(|db| rows::ancestors(db, hash, count))
    }

    /// Whether the file that was read last is still the one at its path.
    pub fn is_present(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.number)
    }

    fn read<T>(&mut self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StorageError> {
        let number = fs::metadata(&self.path).map(|metadata| metadata.ino());
        let number = number.map_err(|error| super::io_error(&self.path, &error))?;
        self.number = number;
        let db = match self.open.take().filter(|(opened, _)| *opened == number) {
            Some((_, db)) => db,
            None => connect(&self.path).map_err(|error| failed(&self.path, error))?,
        };
        let found = at_once(&db, read).map_err(|error| failed(&self.path, error))?;
        self.open = Some((number, db));
        Ok(found)
    }
}

/// Reads in one transaction, so that what is read belongs together. It is faster, too: each transaction locks the file and looks for
/// an unfinished commit.
pub(super) fn at_once<T>(
    db: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = db.unchecked_transaction()?;
    let found = read(&transaction)?;
    transaction.finish()?;
    Ok(found)
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    // SQLite's own waits grow to 100 ms, and may meet one commit after the other.
    db.busy_handler(Some(|tries| {
        thread::sleep(BETWEEN_TRIES);
        tries < MOST_TRIES
    }))?;
    db.pragma_update(None, "cache_size", -256)?;
    Ok(db)
}

/// The rows of records of the chain from round `from` on, ascending: so many that `bytes` are reached.
pub(super) fn page(db: &Connection, from: u64, bytes: usize) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = db.prepare_cached(
        "SELECT place, id, record FROM places JOIN records USING (id)
         WHERE era = (SELECT era FROM ledger) AND place >= ?1 ORDER BY place",
    )?;
    let mut found = statement.query(params![signed(from)?])?;
    let (mut texts, mut length, mut next) = (Vec::new(), 0, signed(from)?);
    while length < bytes
        && let Some(row) = found.next()?
        && row.get::<_, i64>(0)? == next
    {
        let text: String = row.get(2)?;
        length += text.len();
        next += 1;
        texts.push((row.get(1)?, text));
    }
    Ok(texts)
}
