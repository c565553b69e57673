//! The rows of records, and where each stands: by its hash, and in the chain by its round.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::logic::Old;
use crate::record::{Hash, Record};

/// The era of a record that is no part of the chain: its place is its slot. In others the place is the round; only those of the
/// present era are a part of the chain.
pub(super) const OFF: i64 = 0;

/// What records are found by: two rarely have the same.
pub(super) fn key(hash: &Hash) -> i64 {
    key_of(&hash.0)
}

/// Also of a digest: it is the exclusive or of the keys, as the digest is that of the hashes.
pub(super) fn key_of(bytes: &[u8; 32]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *bytes;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A row's record, which verifies by itself.
pub(super) fn parse(id: i64, text: &str) -> rusqlite::Result<Arc<Record>> {
    let record = Record::parse(text).map_err(|error| damage(format!("row {id}: {error}")))?;
    Ok(Arc::new(record))
}

/// What was read is not what a ledger writes.
pub(super) fn damage(detail: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, detail.into())
}

/// Returns its id.
pub(super) fn insert(db: &Connection, record: &Record) -> rusqlite::Result<i64> {
    db.prepare_cached("INSERT INTO records (record) VALUES (?1)")?
        .execute([record.canonical()])?;
    let id = db.last_insert_rowid();
    place(db, id, record)?;
    Ok(id)
}

pub(super) fn place(db: &Connection, id: i64, record: &Record) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO places (id, key, era, place) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id, key(&record.hash), OFF, record.slot.0])?;
    Ok(())
}

pub(super) fn delete(db: &Connection, id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM records WHERE id = ?1")?.execute([id])?;
    db.prepare_cached("DELETE FROM places WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(super) fn locate(db: &Connection, hash: &Hash) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM places JOIN records USING (id) WHERE key = ?1 AND instr(record, ?2)")?
        .query_row(params![key(hash), format!("\"hash\":\"{hash}\"")], |row| row.get(0))
        .optional()
}

pub(super) fn find(db: &Connection, hash: &Hash) -> rusqlite::Result<Option<Arc<Record>>> {
    match locate(db, hash)? {
        Some(id) => read(db, id).map(Some),
        None => Ok(None),
    }
}

pub(super) fn read(db: &Connection, id: i64) -> rusqlite::Result<Arc<Record>> {
    let mut statement = db.prepare_cached("SELECT id, record FROM records WHERE id = ?1")?;
    statement.query_row([id], record)
}

/// Of columns `id` and `record`.
fn record(row: &Row<'_>) -> rusqlite::Result<Arc<Record>> {
    parse(row.get(0)?, row.get_ref(1)?.as_str()?)
}

/// Makes the record a part of the chain, in place of another of its round.
pub(super) fn link(db: &Connection, record: &Record, era: i64) -> rusqlite::Result<()> {
    let Some(id) = locate(db, &record.hash)? else {
        return Ok(());
    };
    let round = super::signed(record.round)?;
    let other = db
        .prepare_cached("SELECT id FROM places WHERE era = ?1 AND place = ?2 AND id <> ?3")?
        .query_row(params![era, round, id], |row| row.get(0))
        .optional()?;
    if let Some(other) = other {
        let slot = read(db, other)?.slot;
        put(db, other, OFF, slot.0)?;
    }
    put(db, id, era, round)
}

pub(super) fn unlink(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    match locate(db, &record.hash)? {
        Some(id) => put(db, id, OFF, record.slot.0),
        None => Ok(()),
    }
}

fn put(db: &Connection, id: i64, era: i64, place: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE places SET era = ?2, place = ?3 WHERE id = ?1 AND (era <> ?2 OR place <> ?3)")?
        .execute(params![id, era, place])?;
    Ok(())
}

/// Up to `count` rows of an era from `place` backwards.
pub(super) fn newest(db: &Connection, era: i64, place: i64, count: usize) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        db.prepare_cached("SELECT id FROM places WHERE era = ?1 AND place <= ?2 ORDER BY place DESC LIMIT ?3")?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    statement
        .query_map(params![era, place, count], |row| row.get(0))?
        .collect()
}

/// Up to `count` records from `hash` backwards, newest first.
pub(super) fn ancestors(db: &Connection, hash: &Hash, count: usize) -> rusqlite::Result<Vec<Arc<Record>>> {
    let mut found: Vec<Arc<Record>> = Vec::new();
    let mut next = Some(*hash);
    while let Some(hash) = next.filter(|_| found.len() < count) {
        let Some(record) = find(db, &hash)? else { break };
        next = record.previous;
        found.push(record);
    }
    Ok(found)
}

/// Up to `count` of the oldest slots.
pub(super) fn oldest(db: &Connection, present: i64, count: usize) -> rusqlite::Result<Vec<Old>> {
    let mut found = Vec::new();
    let mut era = i64::MIN;
    // Each era by itself is in order: there are few.
    while let Some(next) = db
        .prepare_cached("SELECT min(era) FROM places WHERE era > ?1")?
        .query_row([era], |row| row.get::<_, Option<i64>>(0))?
    {
        era = next;
        let mut statement = db.prepare_cached(
            "SELECT id, record FROM places JOIN records USING (id) WHERE era = ?1 ORDER BY place LIMIT ?2",
        )?;
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        for record in statement.query_map(params![era, limit], record)? {
            let record = record?;
            let old = Old {
                hash: record.hash,
                round: record.round,
                slot: record.slot,
                linked: era == present,
            };
            found.push(old);
        }
    }
    found.sort_by_key(|old| (old.slot, old.hash));
    found.truncate(count);
    Ok(found)
}
