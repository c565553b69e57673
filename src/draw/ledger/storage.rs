//! The ledger's file on the volume, `ledger.db`: a SQLite database whose space is allocated when it is created.
//!
//! One thread uses it. Its content is verified when it is opened and trusted afterwards. It is never repaired or discarded here,
//! because lost content may have been promised.

mod load;
mod reserve;

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, params};
use sha2::{Digest, Sha256};

use self::reserve::Layout;
use super::{Aside, Promise, Stored, Write};
use crate::clock::Clock;
use crate::database::{DatabaseError, PAGE};
use crate::files::{beside, remove, sync_directory_of};
use crate::record::secrets::Seed;
use crate::record::{Hash, prefixed};

/// The space of a ledger on the volume, by default.
pub const DEFAULT_MAX_BYTES: u64 = 1536 * 1024;
/// The minimum: below it the fixed parts leave no room for a day's records.
pub const MIN_MAX_BYTES: u64 = 512 * 1024;
/// The most tails that are listed; the oldest are forgotten first. Each takes about 200 bytes.
pub const MAX_ASIDE: usize = 64;
/// Pages that capacity() leaves free for a transaction's splits and the errors of cost().
const MARGIN_PAGES: u64 = 12;
/// How long to wait for a reader, such as the sqlite3 tool.
const BUSY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// `ledger.db` and its journal together, in bytes; [`MIN_MAX_BYTES`] if it is less. An existing file grows to it, but never shrinks.
    pub max_bytes: u64,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// At creation, the volume lacks the space to reserve. At a commit, prune more or try again.
    #[error("no space left for the ledger")]
    Full,
    /// The file is not a valid ledger, or a newer version's. It is left as it was.
    #[error("the ledger is damaged: {0}")]
    Corrupt(String),
    #[error("the ledger can't be used: {0}")]
    Io(String),
}

/// The open ledger.
#[derive(Debug)]
pub struct Storage {
    path: PathBuf,
    layout: Layout,
    /// None after a failed commit: the next one opens the file again, which rolls back the failed one.
    db: Option<Connection>,
    facts: Facts,
    rows: Rows,
    pages: Pages,
}

/// The row of each record in `records`.
type Rows = HashMap<Hash, i64>;

#[derive(Clone, Copy, Debug, Default)]
struct Pages {
    all: u64,
    free: u64,
}

/// Everything but the records, and a digest of those: the seal covers it.
#[derive(Clone, Debug)]
struct Facts {
    seed: Seed,
    head: Option<Hash>,
    promise: Option<Promise>,
    aside: Vec<Aside>,
    count: u64,
    /// Exclusive or of the records' hashes, which shows a missing or an additional record.
    digest: [u8; 32],
}

impl Facts {
    fn new(seed: [u8; 32]) -> Facts {
        Facts {
            seed: Seed(seed),
            head: None,
            promise: None,
            aside: Vec::new(),
            count: 0,
            digest: [0; 32],
        }
    }

    fn toggle(&mut self, hash: &Hash) {
        for (byte, with) in self.digest.iter_mut().zip(hash.0) {
            *byte ^= with;
        }
    }

    /// A checksum, because SQLite has none: a flipped bit in the seed or in a promise would go unnoticed.
    fn seal(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        prefixed(&mut hasher, b"random-generator/ledger/1");
        prefixed(&mut hasher, &self.seed.0);
        prefixed(&mut hasher, self.head.as_ref().map_or(&[][..], |head| &head.0));
        if let Some(promise) = &self.promise {
            prefixed(&mut hasher, &promise.fence.to_be_bytes());
            prefixed(&mut hasher, promise.holder.as_bytes());
        }
        prefixed(&mut hasher, &self.count.to_be_bytes());
        prefixed(&mut hasher, &self.digest);
        for aside in &self.aside {
            prefixed(&mut hasher, &aside.chain.0);
            prefixed(&mut hasher, &aside.head.0);
            prefixed(&mut hasher, &aside.from_round.to_be_bytes());
            prefixed(&mut hasher, &aside.to_round.to_be_bytes());
        }
        hasher.finalize().into()
    }
}

impl Storage {
    /// Opens the ledger, or creates one with `new_seed` if there is no file. Anything else at `path`, even an empty file, is
    /// `Corrupt`: a ledger only ever appears whole.
    pub fn open(path: &Path, config: StorageConfig, new_seed: [u8; 32]) -> Result<(Storage, Stored), StorageError> {
        let layout = Layout::of(config.max_bytes);
        match fs::symlink_metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => reserve::create(path, layout, &Facts::new(new_seed))?,
            Err(error) => return Err(io_error(path, &error)),
        }
        let mut storage = Storage {
            path: path.to_owned(),
            layout,
            db: None,
            facts: Facts::new([0; 32]),
            rows: Rows::new(),
            pages: Pages::default(),
        };
        let stored = storage.connect()?;
        Ok((storage, stored))
    }

    /// Reads and checks the ledger at `path` without changing it; a member may have it open. Blocks while it reads: not for async
    /// threads.
    ///
    /// # Errors
    /// `Corrupt`: it is not valid. `Io`: it can't be read, is locked for more than a second, or has an unfinished commit that only its
    /// member can roll back.
    pub fn inspect(path: &Path) -> Result<Stored, StorageError> {
        let loaded = load::inspect(path)?;
        Ok(Stored {
            seed: loaded.facts.seed,
            records: loaded.records,
            head: loaded.facts.head,
            promise: loaded.facts.promise,
            aside: loaded.facts.aside,
        })
    }

    /// Stores all of `writes`, in order and durably, or none of them. To make room, put `Prune` before `Record`.
    ///
    /// After an error the same list may be tried again. In rare cases the failed commit is stored nevertheless; storing it twice
    /// changes nothing.
    pub fn commit(&mut self, writes: &[Write]) -> Result<(), StorageError> {
        if self.db.is_none() {
            self.connect()?;
        }
        let Some(mut db) = self.db.take() else {
            return Err(StorageError::Io(format!("{} is not open", self.path.display())));
        };
        let (facts, changed) = self.transact(&mut db, writes).map_err(|error| self.classify(error))?;
        self.facts = facts;
        for (hash, row) in changed {
            match row {
                Some(row) => self.rows.insert(hash, row),
                None => self.rows.remove(&hash),
            };
        }
        // The commit is durable, even if these figures can't be read.
        self.pages = pages(&db).unwrap_or(self.pages);
        self.db = Some(db);
        Ok(())
    }

    /// While [`used`](Storage::used) is below these bytes, a commit of up to [`largest_commit`](Storage::largest_commit) is certain
    /// to find room.
    pub fn capacity(&self) -> u64 {
        let pages = self.pages.all.max(u64::from(self.layout.file_pages));
        pages.saturating_sub(MARGIN_PAGES) * u64::from(PAGE)
    }

    /// Bytes in use, in whole pages: the records and a few fixed pages.
    pub fn used(&self) -> u64 {
        self.pages.all.saturating_sub(self.pages.free) * u64::from(PAGE)
    }

    /// Approximately what one record adds to [`used`](Storage::used), by the length of its canonical JSON.
    pub fn cost(canonical: usize) -> u64 {
        // A page holds 4,080 bytes of rows, each with an overhead of about 20. A row that doesn't fit one page gets pages of its own.
        const LEAF: u64 = 4080;
        let row = canonical as u64 + 20;
        if row <= LEAF {
            u64::from(PAGE) / (LEAF / row)
        } else {
            (row / LEAF + 1) * u64::from(PAGE)
        }
    }

    /// Bytes of records, written and pruned together, in a commit that fits the reserved journal. A larger commit works while the
    /// volume has space.
    pub fn largest_commit(&self) -> u64 {
        let images = self.layout.journal_bytes / (u64::from(PAGE) + 8);
        images.saturating_sub(MARGIN_PAGES) * u64::from(PAGE) / 2
    }

    /// Moves an unusable ledger and its journal to a name with the time, which it returns. Only the newest is kept: a small volume
    /// has room for one old ledger beside a new one.
    pub fn set_aside(path: &Path, clock: &Clock) -> Result<PathBuf, StorageError> {
        let time = clock.wall().timestamp().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        let kept = beside(path, &format!(".corrupt-{time}"));
        let kept_journal = beside(&kept, "-journal");
        let moved = || -> io::Result<()> {
            fs::rename(path, &kept)?;
            match fs::rename(beside(path, "-journal"), &kept_journal) {
                Err(error) if error.kind() == ErrorKind::NotFound => remove(&kept_journal)?,
                other => other?,
            }
            reserve::remove_older(path, &kept)?;
            sync_directory_of(path)
        };
        moved().map_err(|error| io_error(path, &error))?;
        Ok(kept)
    }

    fn connect(&mut self) -> Result<Stored, StorageError> {
        let loaded = load::load(&self.path, self.layout)?;
        self.rows = loaded.rows;
        self.pages = loaded.pages;
        let stored = Stored {
            seed: loaded.facts.seed.clone(),
            records: loaded.records,
            head: loaded.facts.head,
            promise: loaded.facts.promise.clone(),
            aside: loaded.facts.aside.clone(),
        };
        self.facts = loaded.facts;
        self.db = Some(loaded.db);
        Ok(stored)
    }

    fn transact(&self, db: &mut Connection, writes: &[Write]) -> rusqlite::Result<(Facts, HashMap<Hash, Option<i64>>)> {
        let mut facts = self.facts.clone();
        let mut changed: HashMap<Hash, Option<i64>> = HashMap::new();
        let transaction = db.transaction()?;
        for write in writes {
            match write {
                Write::Record(record) => {
                    if self.row(&changed, &record.hash).is_none() {
                        transaction
                            .prepare_cached("INSERT INTO records (record) VALUES (?1)")?
                            .execute([record.canonical()])?;
                        changed.insert(record.hash, Some(transaction.last_insert_rowid()));
                        facts.toggle(&record.hash);
                        facts.count += 1;
                    }
                }
                Write::Prune(hashes) => {
                    for hash in hashes {
                        if let Some(row) = self.row(&changed, hash) {
                            transaction
                                .prepare_cached("DELETE FROM records WHERE id = ?1")?
                                .execute([row])?;
                            changed.insert(*hash, None);
                            facts.toggle(hash);
                            facts.count -= 1;
                        }
                    }
                }
                Write::Head(hash) => facts.head = Some(*hash),
                Write::Promise(promise) => facts.promise = Some(promise.clone()),
                Write::Aside(aside) => facts.list(aside.clone()),
            }
        }
        if facts.aside != self.facts.aside {
            put_aside(&transaction, &facts.aside)?;
        }
        put_facts(&transaction, &facts)?;
        transaction.commit()?;
        Ok((facts, changed))
    }

    fn row(&self, changed: &HashMap<Hash, Option<i64>>, hash: &Hash) -> Option<i64> {
        changed
            .get(hash)
            .copied()
            .unwrap_or_else(|| self.rows.get(hash).copied())
    }

    fn classify(&self, error: rusqlite::Error) -> StorageError {
        classify(DatabaseError::new(&self.path, error))
    }
}

impl Facts {
    /// Lists a tail as the newest; the same tail is listed once.
    fn list(&mut self, aside: Aside) {
        self.aside.retain(|known| known.head != aside.head);
        self.aside.push(aside);
        let surplus = self.aside.len().saturating_sub(MAX_ASIDE);
        self.aside.drain(..surplus);
    }
}

/// Also inserts the first row of a new ledger.
fn put_facts(db: &Connection, facts: &Facts) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO ledger (id, seed, head, fence, holder, count, digest, seal)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        facts.seed.0,
        facts.head.map(|head| head.to_string()),
        facts
            .promise
            .as_ref()
            .map(|promise| signed(promise.fence))
            .transpose()?,
        facts.promise.as_ref().map(|promise| promise.holder.as_str()),
        signed(facts.count)?,
        facts.digest,
        facts.seal(),
    ])?;
    Ok(())
}

fn put_aside(db: &Connection, aside: &[Aside]) -> rusqlite::Result<()> {
    db.execute("DELETE FROM aside", [])?;
    let mut insert =
        db.prepare_cached("INSERT INTO aside (chain, head, from_round, to_round) VALUES (?1, ?2, ?3, ?4)")?;
    for tail in aside {
        insert.execute(params![
            tail.chain.to_string(),
            tail.head.to_string(),
            signed(tail.from_round)?,
            signed(tail.to_round)?
        ])?;
    }
    Ok(())
}

fn pages(db: &Connection) -> rusqlite::Result<Pages> {
    let number = |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, u32>(0).map(u64::from));
    Ok(Pages {
        all: number("PRAGMA page_count")?,
        free: number("PRAGMA freelist_count")?,
    })
}

fn classify(error: DatabaseError) -> StorageError {
    match &error {
        DatabaseError::Full { .. } => StorageError::Full,
        DatabaseError::Corrupt { detail, .. } => StorageError::Corrupt(detail.clone()),
        DatabaseError::Other { source, .. } => match source.sqlite_error_code() {
            // No such table or column: a different schema.
            Some(ErrorCode::Unknown) => StorageError::Corrupt(source.to_string()),
            _ => StorageError::Io(error.to_string()),
        },
        DatabaseError::Busy { .. } | DatabaseError::Io { .. } => StorageError::Io(error.to_string()),
    }
}

fn io_error(path: &Path, error: &io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::Full,
        _ => StorageError::Io(format!("{}: {error}", path.display())),
    }
}

/// SQLite's integers are signed.
fn signed(value: u64) -> rusqlite::Result<i64> {
    i64::try_from(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
