//! Checks a ledger of any length in constant memory, while its member may go on writing it.
//!
//! The file is only read, in steps: a commit waits for one of them. The member may change the ledger between steps.

use std::path::Path;
use std::sync::Arc;

use rusqlite::backup::Backup;
use rusqlite::{Connection, params};

use super::super::{Aside, Promise};
use super::check::{self, Check};
use super::facts::Facts;
use super::load::{check_header, check_structure, stored};
use super::rows::{self, damage};
use super::{StorageError, failed, migrate, read};
use crate::record::Record;
use crate::record::chain::{Summary, Verifier, VerifyError};

/// Rows that are verified in one step.
const STEP: usize = 250;
/// Bytes of records in one step.
const PAGE_BYTES: usize = 256 * 1024;
/// How often the chain is read from its beginning, if it becomes another meanwhile.
const MOST_TRIES: usize = 5;

/// What is in a ledger that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The unbroken chain down from the head; none before the first draw.
    pub chain: Option<Summary>,
    /// All records: of the chain, of tails set aside, from the Lease, or below a gap.
    pub records: u64,
    pub promise: Option<Promise>,
    pub aside: Vec<Aside>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("its chain does not verify: {0}")]
    Chain(VerifyError),
}

/// Why a step ended.
enum Stop {
    Sqlite(rusqlite::Error),
    Chain(VerifyError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Sqlite(error)
    }
}

pub(super) fn inspect(path: &Path) -> Result<Inspected, InspectError> {
    check_header(path)?;
    let inspected = || -> Result<Inspected, Stop> {
        let mut db = read::connect(path)?;
        if read::at_once(&db, check_structure)? == migrate::SCHEMA_BEFORE {
            // Without its places, records are found in memory only.
            db = converted(&db)?;
        }
        read::at_once(&db, check_whole)?;
        check_rows(&db)?;
        check_chain(&db)
    };
    inspected().map_err(|stop| match stop {
        Stop::Sqlite(error) => failed(path, error).into(),
        Stop::Chain(error) => InspectError::Chain(error),
    })
}

/// A copy of a ledger of the schema before, with the present one.
fn converted(db: &Connection) -> rusqlite::Result<Connection> {
    let mut copy = Connection::open_in_memory()?;
    Backup::new(db, &mut copy)?.step(-1)?;
    if check_structure(&copy)? == migrate::SCHEMA_BEFORE {
        migrate::migrate(&mut copy)?;
    }
    Ok(copy)
}

/// That no record is missing and none is extra, by their keys; and what an opening member relies on.
fn check_whole(db: &Connection) -> rusqlite::Result<()> {
    let mut facts = Facts::read(db, true)?;
    let mut statement = db.prepare("SELECT key FROM places")?;
    let mut keys = statement.query([])?;
    let (mut count, mut keys_xor) = (0, 0);
    while let Some(row) = keys.next()? {
        count += 1;
        keys_xor ^= row.get::<_, i64>(0)?;
    }
    if count != facts.count || keys_xor != rows::key_of(&facts.digest) {
        return Err(check::differs(count, facts.count));
    }
    stored(db, &mut facts, &check::Verified::new()).map(|_| ())
}

/// Each row by itself, and that it has its place.
fn check_rows(db: &Connection) -> rusqlite::Result<()> {
    let mut check = Check::default();
    let mut more = true;
    while more {
        more = read::at_once(db, |db| {
            let era = db.query_row("SELECT era FROM ledger", [], |row| row.get(0))?;
            let after = check.last();
            let count = check.read(db, era, STEP)?.len();
            let more = count == STEP;
            let to = if more { check.last() } else { i64::MAX };
            let places = db.query_row(
                "SELECT count(*) FROM places WHERE id > ?1 AND id <= ?2",
                params![after, to],
                |row| row.get::<_, u32>(0),
            )?;
            if u32::try_from(count) != Ok(places) {
                return Err(damage(format!("{places} places where {count} records are")));
            }
            Ok(more)
        })?;
    }
    Ok(())
}

fn check_chain(db: &Connection) -> Result<Inspected, Stop> {
    let mut tries = 1;
    loop {
        // In one transaction: else the first page could be pruned before it is read.
        let (facts, page) = read::at_once(db, |db| {
            let facts = Facts::read(db, true)?;
            let page = facts.runs.last().map(|run| read::page(db, run.low, PAGE_BYTES));
            Ok((facts, page.transpose()?.unwrap_or_default()))
        })?;
        let broken = match verify_chain(db, &facts, page) {
            Ok(chain) => {
                return Ok(Inspected {
                    chain,
                    records: facts.count,
                    promise: facts.promise,
                    aside: facts.aside,
                });
            }
            Err(broken) => broken,
        };
        // It may have become another chain.
        let changed = read::at_once(db, |db| Facts::read(db, true))?.seal() != facts.seal();
        if !changed || tries == MOST_TRIES {
            return Err(broken);
        }
        tries += 1;
    }
}

fn verify_chain(db: &Connection, facts: &Facts, mut page: Vec<(i64, String)>) -> Result<Option<Summary>, Stop> {
    let Some(head) = facts.head else { return Ok(None) };
    let mut verifier = Verifier::new();
    if let Some(run) = facts.runs.last() {
        let mut next = run.low;
        while next <= run.high {
            if page.is_empty() {
                return Err(damage(format!("round {next} of its chain is missing")).into());
            }
            for (id, text) in page {
                // What was drawn since.
                if next > run.high {
                    break;
                }
                push(&mut verifier, rows::parse(id, &text)?)?;
                next += 1;
            }
            page = read::at_once(db, |db| read::page(db, next, PAGE_BYTES))?;
        }
    } else if let Some(record) = read::at_once(db, |db| rows::find(db, &head))? {
        push(&mut verifier, record)?;
    }
    verifier.finish(Some(head)).map(Some).map_err(Stop::Chain)
}

fn push(verifier: &mut Verifier, record: Arc<Record>) -> Result<(), Stop> {
    let pushed = verifier.push(Arc::unwrap_or_clone(record));
    pushed.map(|_| ()).map_err(Stop::Chain)
}
