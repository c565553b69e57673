//! Gives a ledger of schema 1, whose rows were found by reading all of them, the places of its records.
//!
//! One transaction: a crash leaves the file as it was. What is written goes to free pages, so the journal, which has only what a
//! transaction overwrites, stays small.

use rusqlite::Connection;

use super::super::Run;
use super::check::Check;
use super::facts::Facts;
use super::reserve::{SCHEMA, TABLES};
use super::rows;

pub(super) const SCHEMA_BEFORE: u32 = 1;

/// By name.
pub(super) const TABLES_BEFORE: [&str; 3] = [
    TABLES[0],
    "CREATE TABLE ledger (id INTEGER PRIMARY KEY CHECK (id = 1), seed BLOB NOT NULL, head TEXT, fence INTEGER, holder TEXT, count INTEGER NOT NULL, digest BLOB NOT NULL, seal BLOB NOT NULL)",
    TABLES[5],
];

/// Records in memory at once.
const STEP: usize = 1_000;

pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    let mut facts = Facts::read(&transaction, false)?;
    let [_, by_key, by_place, ledger, places, _] = TABLES;
    transaction.execute_batch(&format!("{places}; {by_key}; {by_place}; DROP TABLE ledger; {ledger}"))?;
    {
        let mut statement = transaction.prepare("SELECT id, record FROM records")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let id: i64 = row.get(0)?;
            let record = rows::parse(id, row.get_ref(1)?.as_str()?)?;
            rows::place(&transaction, id, &record)?;
            let new = (record.age(), record.hash);
            facts.newest = facts.newest.max(Some(new));
        }
    }
    let mut check = Check::default();
    while !check.is_done() {
        check.advance(&transaction, &facts, STEP)?;
    }
    let mut run: Option<Run> = None;
    let mut next = facts.head;
    while let Some(hash) = next {
        let Some(record) = rows::find(&transaction, &hash)? else {
            break;
        };
        rows::link(&transaction, &record, facts.era)?;
        facts.aside.retain(|aside| aside.head != hash);
        next = record.previous;
        let run = run.get_or_insert(Run {
            low: record.round,
            high: record.round,
            tip: hash,
            base: None,
        });
        (run.low, run.base) = (record.round, record.previous);
    }
    facts.runs.extend(run);
    facts.put_aside(&transaction)?;
    facts.put(&transaction)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()
}
