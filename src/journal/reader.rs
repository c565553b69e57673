//! Reads a journal, from any process, while it may be being written.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::log_index;
use crate::clock::Wall;
use crate::database::DatabaseError;

/// The most rows of one page. Read transactions are short, because they keep the log from being emptied.
pub const MAX_PAGE: u32 = 10_000;

/// An entry with its row id; ids only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: i64,
    pub time: Wall,
    pub request: String,
    pub duration: Duration,
    pub method: String,
    pub parameters: String,
    pub count: u64,
    pub value: Option<i64>,
}

/// Up to `limit` rows (at most [`MAX_PAGE`]) from row id `from` on, ascending. Blocks: not for async threads.
pub fn read(path: &Path, from: i64, limit: u32) -> Result<Vec<Row>, DatabaseError> {
    // Dropped after the connection. A process that has the journal open has reserved the index.
    let _index = match has_log(path) {
        true => Some(log_index::reserve(path, Duration::ZERO)?),
        false => None,
    };
    let rows = || -> rusqlite::Result<Vec<Row>> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(Duration::from_secs(1))?;
        let mut select = db.prepare(
            "SELECT id, time, request, duration, method, parameters, count, value FROM entry WHERE id >= ? ORDER BY id LIMIT ?",
        )?;
        select
            .query_map((from, limit.min(MAX_PAGE)), |row| {
                Ok(Row {
                    id: row.get(0)?,
                    time: Wall(row.get(1)?),
                    request: row.get(2)?,
                    duration: Duration::from_micros(row.get::<_, i64>(3)?.unsigned_abs()),
                    method: row.get(4)?,
                    parameters: row.get(5)?,
                    count: row.get::<_, i64>(6)?.unsigned_abs(),
                    value: row.get(7)?,
                })
            })?
            .collect()
    };
    rows().map_err(|error| DatabaseError::new(path, error))
}

/// Whether this is a database with a log: for any other file SQLite makes no index. Closing the file ends the locks that this
/// process has on it, so this comes before the connection.
fn has_log(path: &Path) -> bool {
    let mut header = [0; 20];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut header, 0));
    // "File format write version" and "read version": https://sqlite.org/fileformat.html
    read.is_ok() && header.starts_with(b"SQLite format 3\0") && header[18..] == [2, 2]
}
