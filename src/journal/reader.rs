//! Reads a journal, from any process, while it may be being written.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::aside::length;
use super::log_index::INDEX_BYTES;
use crate::clock::Wall;
use crate::database::DatabaseError;
use crate::files::beside;
use crate::identity::volume_space;

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

/// The space that reading needs for the log's index if no process has the journal open. Without it, reading would not fail but kill
/// the process.
const SPACE_FOR_INDEX: u64 = 128 * 1024;

/// Up to `limit` rows (at most [`MAX_PAGE`]) from row id `from` on, ascending. Blocks: not for async threads.
pub fn read(path: &Path, from: i64, limit: u32) -> Result<Vec<Row>, DatabaseError> {
    let indexed = length(&beside(path, "-shm")) >= INDEX_BYTES;
    let free = volume_space(path.parent().unwrap_or(path)).map_or(u64::MAX, |space| space.free);
    if !indexed && free < SPACE_FOR_INDEX {
        return Err(DatabaseError::Full { path: path.to_owned() });
    }
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
