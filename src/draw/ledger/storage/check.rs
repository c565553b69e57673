//! Verifies the rows, some at a time, against the digest that the seal covers.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::facts::Facts;
use super::rows::{self, OFF};
use super::signed;
use crate::record::{Hash, Record};

/// Other records than the seal covers.
pub(super) fn differs(has: u64, should: u64) -> rusqlite::Error {
    rows::damage(format!(
        "it should have {should} records and has {has}, or others than those"
    ))
}

/// How far the rows are verified.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    /// The last row verified.
    id: i64,
    count: u64,
    digest: [u8; 32],
    done: bool,
}

/// Records by their row.
pub(super) type Verified = BTreeMap<i64, Arc<Record>>;

struct Found {
    id: i64,
    text: String,
    /// Its place: key, era, place; none if it has no row.
    place: Option<(i64, i64, i64)>,
    indexed: bool,
}

impl Check {
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The last row verified.
    pub fn last(&self) -> i64 {
        self.id
    }

    /// Verifies up to `count` more rows, and returns them. The digest shows rows that are missing only when all are read.
    pub fn advance(&mut self, db: &Connection, facts: &Facts, count: usize) -> rusqlite::Result<Verified> {
        let verified = self.read(db, facts.era, count)?;
        if verified.len() < count {
            self.done = true;
            if self.count != facts.count || self.digest != facts.digest {
                return Err(differs(self.count, facts.count));
            }
        }
        Ok(verified)
    }

    /// Verifies up to `count` more rows by themselves, and returns them.
    pub fn read(&mut self, db: &Connection, present: i64, count: usize) -> rusqlite::Result<Verified> {
        let mut statement = db.prepare_cached(
            "SELECT r.id, r.record, p.key, p.era, p.place,
                    EXISTS (SELECT 1 FROM places AS k INDEXED BY by_key WHERE k.key = p.key AND k.id = p.id)
                    AND EXISTS (SELECT 1 FROM places AS e INDEXED BY by_place
                                WHERE e.era = p.era AND e.place = p.place AND e.id = p.id)
             FROM records AS r LEFT JOIN places AS p ON p.id = r.id WHERE r.id > ?1 ORDER BY r.id LIMIT ?2",
        )?;
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let mut found = statement.query_map(params![self.id, limit], |row| {
            Ok(Found {
                id: row.get(0)?,
                text: row.get(1)?,
                place: match row.get::<_, Option<i64>>(2)? {
                    Some(key) => Some((key, row.get(3)?, row.get(4)?)),
                    None => None,
                },
                indexed: row.get(5)?,
            })
        })?;
        let mut verified = Verified::new();
        while let Some(row) = found.next().transpose()? {
            let record = rows::parse(row.id, &row.text)?;
            let is_right = row.place.is_some_and(|(key, era, place)| {
                let belongs = if era == OFF {
                    Ok(record.slot.0)
                } else {
                    signed(record.round)
                };
                (OFF..=present).contains(&era) && belongs.is_ok_and(|at| at == place) && key == rows::key(&record.hash)
            });
            if !row.indexed || !is_right {
                return Err(rows::damage(format!("row {}: it is not where it belongs", row.id)));
            }
            self.id = row.id;
            self.toggle(&record.hash);
            self.count += 1;
            verified.insert(row.id, record);
        }
        Ok(verified)
    }

    /// What was written since then.
    pub fn on_insert(&mut self, id: i64, hash: &Hash) {
        if id <= self.id {
            self.toggle(hash);
            self.count += 1;
        }
    }

    pub fn on_delete(&mut self, id: i64, hash: &Hash) {
        if id <= self.id {
            self.toggle(hash);
            self.count = self.count.saturating_sub(1);
        }
    }

    fn toggle(&mut self, hash: &Hash) {
        super::toggle(&mut self.digest, hash);
    }
}
