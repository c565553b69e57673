//! The journal's table: one row an entry.

use std::sync::LazyLock;

use rusqlite::{Connection, Statement};

use super::Entry;

pub const SCHEMA: u32 = 1;
/// Longer texts are truncated, so that a row has a bounded size.
const MAX_TEXT: usize = 1024;
/// Approximate bytes of a row without its texts.
const ROW_BYTES: usize = 40;
const COLUMNS: usize = 8;
/// Rows in one statement, where there are so many: fewer statements take less time.
const TOGETHER: usize = 16;

/// Creates the table if there is none.
pub fn create(db: &Connection) -> rusqlite::Result<()> {
    if db.table_exists(None, "entry")? {
        return Ok(());
    }
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
    ))
}

/// Ids of the oldest row, and of the one after the newest.
pub fn range(db: &Connection) -> rusqlite::Result<(i64, i64)> {
    let oldest: Option<i64> = db.query_row("SELECT min(id) FROM entry", [], |row| row.get(0))?;
    let newest: Option<i64> = db.query_row("SELECT max(id) FROM entry", [], |row| row.get(0))?;
    Ok((oldest.unwrap_or(1), newest.map_or(1, |newest| newest + 1)))
}

/// Inserts a row for each entry. Only the first id is given, and SQLite counts on from it: so ids never go back, even if somebody
/// deleted the newest rows.
pub fn insert(db: &Connection, first: i64, entries: &[&Entry]) -> rusqlite::Result<()> {
    static ONE: LazyLock<String> = LazyLock::new(|| statement(1));
    static MANY: LazyLock<String> = LazyLock::new(|| statement(TOGETHER));
    let mut id = Some(first);
    let (many, rest) = entries.as_chunks::<TOGETHER>();
    if !many.is_empty() {
        let mut insert = db.prepare_cached(&MANY)?;
        many.iter()
            .try_for_each(|entries| execute(&mut insert, id.take(), entries))?;
    }
    let mut insert = db.prepare_cached(&ONE)?;
    rest.iter()
        .try_for_each(|entry| execute(&mut insert, id.take(), &[entry]))
}

fn statement(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS].join(", "));
    format!("INSERT INTO entry VALUES {}", vec![row; rows].join(", "))
}

fn execute(insert: &mut Statement<'_>, mut id: Option<i64>, entries: &[&Entry]) -> rusqlite::Result<()> {
    for (row, entry) in entries.iter().enumerate() {
        let first = row * COLUMNS + 1;
        insert.raw_bind_parameter(first, id.take())?;
        insert.raw_bind_parameter(first + 1, entry.time.0)?;
        insert.raw_bind_parameter(first + 2, truncate(&entry.request))?;
        insert.raw_bind_parameter(first + 3, i64::try_from(entry.duration.as_micros()).unwrap_or(i64::MAX))?;
        insert.raw_bind_parameter(first + 4, truncate(&entry.method))?;
        insert.raw_bind_parameter(first + 5, truncate(&entry.parameters))?;
        insert.raw_bind_parameter(first + 6, i64::try_from(entry.count).unwrap_or(i64::MAX))?;
        insert.raw_bind_parameter(first + 7, entry.value)?;
    }
    insert.raw_execute().map(|_| ())
}

/// Approximate bytes of an entry in a transaction.
pub fn size(entry: &Entry) -> usize {
    ROW_BYTES + truncate(&entry.request).len() + truncate(&entry.method).len() + truncate(&entry.parameters).len()
}

/// The part of a text that a row has.
pub fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
