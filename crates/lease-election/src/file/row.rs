//! A Lease as a row of the file: columns that a person can read, and what they mean.

use std::sync::Arc;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value, json};

use crate::payload::{Annotations, Payload};
use crate::store::{LeaseChange, LeaseObject, LeaseSpec, micro_time};

/// The layout that this build reads and writes: `PRAGMA user_version`.
pub(super) const SCHEMA: i64 = 1;

// `version` has a table of its own: it goes on counting when the row is deleted and made anew.
pub(super) const CREATE: &str = "
    CREATE TABLE lease (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        uid TEXT NOT NULL,
        version INTEGER NOT NULL,
        holder_identity TEXT,
        lease_duration_seconds INTEGER,
        acquire_time TEXT,
        renew_time TEXT,
        lease_transitions INTEGER,
        labels TEXT NOT NULL DEFAULT '{}',
        annotations TEXT NOT NULL DEFAULT '{}'
    );
    CREATE TABLE version (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL);
    INSERT INTO version (id, last) VALUES (1, 0);
    PRAGMA user_version = 1;
";

/// The Lease, if there is one. A column that a hand has damaged counts as absent; a damaged record says so.
pub(super) fn select<P: Payload>(db: &Connection, names: &Annotations) -> rusqlite::Result<Option<LeaseObject<P>>> {
    db.prepare_cached(
        "SELECT uid, version, holder_identity, lease_duration_seconds, acquire_time, renew_time, lease_transitions,
                labels, annotations FROM lease WHERE id = 1",
    )?
    .query_row([], |row| object(row, names))
    .optional()
}

pub(super) fn is_absent(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) = 0 FROM lease WHERE id = 1", [], |row| row.get(0))
}

/// Makes a Lease with neither spec nor annotations, and a uid never used before.
pub(super) fn insert(db: &Connection) -> rusqlite::Result<()> {
    let version = next_version(db, 0)?;
    let uid = uuid::Uuid::new_v4().to_string();
    db.execute(
        "INSERT INTO lease (id, uid, version) VALUES (1, ?1, ?2)",
        params![uid, version],
    )?;
    Ok(())
}

/// Puts spec and annotations in place, and gives the object as it stands then. The caller has compared, and commits.
pub(super) fn update<P: Payload>(
    db: &Connection,
    names: &Annotations,
    base: &LeaseObject<P>,
    change: &LeaseChange<P>,
) -> rusqlite::Result<LeaseObject<P>> {
    let version = next_version(db, i64::try_from(base.version).unwrap_or(i64::MAX - 1))?;
    let mut annotations = carried(&base.carried, "annotations");
    names.put(&mut annotations, change.fence, &change.payload);
    let spec = &change.spec;
    db.prepare_cached(
        "UPDATE lease SET version = ?1, holder_identity = ?2, lease_duration_seconds = ?3, acquire_time = ?4,
                renew_time = ?5, lease_transitions = ?6, labels = ?7, annotations = ?8 WHERE id = 1",
    )?
    .execute(params![
        version,
        spec.holder,
        spec.duration_seconds,
        spec.acquire_time.map(micro_time),
        spec.renew_time.map(micro_time),
        spec.transitions,
        Value::from(carried(&base.carried, "labels")).to_string(),
        Value::from(annotations).to_string(),
    ])?;
    select(db, names)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// One more than any version given in this file.
fn next_version(db: &Connection, seen: i64) -> rusqlite::Result<i64> {
    db.query_row(
        "UPDATE version SET last = max(last, ?1) + 1 WHERE id = 1 RETURNING last",
        [seen],
        |row| row.get(0),
    )
}

fn object<P: Payload>(row: &Row<'_>, names: &Annotations) -> rusqlite::Result<LeaseObject<P>> {
    let mut annotations = map(&row.get(8)?);
    let (fence, payload) = names.take(&mut annotations);
    Ok(LeaseObject {
        uid: row.get(0)?,
        version: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        spec: LeaseSpec {
            holder: text(row.get(2)?),
            duration_seconds: number(&row.get(3)?),
            acquire_time: text(row.get(4)?).and_then(|time| time.parse().ok()),
            renew_time: text(row.get(5)?).and_then(|time| time.parse().ok()),
            transitions: number(&row.get(6)?).unwrap_or(0),
        },
        fence,
        payload,
        carried: Arc::new(json!({ "labels": map(&row.get(7)?), "annotations": annotations })),
    })
}

fn carried(carried: &Value, key: &str) -> Map<String, Value> {
    carried.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn map(cell: &Cell) -> Map<String, Value> {
    match cell {
        Cell::Text(text) => serde_json::from_str(text).unwrap_or_default(),
        _ => Map::new(),
    }
}

fn text(cell: Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

fn number(cell: &Cell) -> Option<u32> {
    match cell {
        Cell::Integer(number) => u32::try_from(*number).ok(),
        _ => None,
    }
}
