//! Moves the log into the database while the writer goes on committing. A checkpoint by the writer would let the next batch wait
//! until the disk has the whole log, and then all its pages in the database.
//!
//! A checkpoint takes what was committed before it began. The rest is a few pages, which the writer moves itself between two
//! commits. Then the log begins again at its start, unless a reader still needs it
//! (<https://sqlite.org/wal.html#checkpointing>).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// The first takes long, so the second takes what was committed meanwhile.
const PASSES: usize = 2;

/// Begins a checkpoint each time the log has grown by so many pages.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    step: u64,
    /// Pages in the log, set by each commit.
    logged: Arc<AtomicU64>,
    last_logged: u64,
    /// Pages at which the next one begins.
    due_at: u64,
    /// A thread with a connection of its own.
    running: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Of the database that `db` has open at `path`.
    pub fn new(db: &mut Connection, path: &Path, step: u64) -> rusqlite::Result<Checkpoints> {
        let logged = Arc::new(AtomicU64::new(0));
        let after_commit = logged.clone();
        // It takes the place of SQLite's own checkpoints.
        db.wal_hook(Some(move |_: &mut _, pages: i32| {
            after_commit.store(u64::from(pages.unsigned_abs()), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Checkpoints {
            path: path.to_owned(),
            step,
            logged,
            last_logged: 0,
            due_at: step,
            running: None,
        })
    }

    /// To be called after each commit: starts a checkpoint that is due, and finishes one that is done. An error doesn't concern the
    /// commit. If the log keeps growing, the store's `bound_log` says why.
    pub fn advance(&mut self, db: &Connection) {
        let logged = self.logged.load(Ordering::Relaxed);
        if logged < self.last_logged {
            self.due_at = self.step;
        }
        self.last_logged = logged;
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            self.wait();
            log_error(pass(db));
        } else if self.running.is_none() && logged >= self.due_at {
            self.due_at = logged + self.step;
            let path = self.path.clone();
            let thread = std::thread::Builder::new().name("checkpoint".into());
            match thread.spawn(move || log_error(checkpoint(&path))) {
                Ok(thread) => self.running = Some(thread),
                // The process may have no more threads.
                Err(_) => log_error(pass(db)),
            }
        }
    }

    /// Waits for the thread, and so for the disk: SQLite refuses a checkpoint beside another.
    pub fn wait(&mut self) {
        if let Some(thread) = self.running.take() {
            // It doesn't panic; if it did, the writer's own pass would move everything.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.wait();
    }
}

fn checkpoint(path: &Path) -> rusqlite::Result<()> {
    // Never creates a file: the journal may have been removed.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    (0..PASSES).try_for_each(|_| pass(&db))
}

fn log_error(result: rusqlite::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a checkpoint of the journal failed");
    }
}

/// Moves what no reader still needs, without waiting for anyone.
fn pass(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::database::{self, JournalMode, Settings, Synchronous};

    const STEP: u64 = 50;

    fn begin(dir: &Path) -> (Connection, Checkpoints) {
        let path = dir.join("journal.db");
        let settings = Settings {
            journal_mode: JournalMode::Wal,
            synchronous: Synchronous::Normal,
            max_pages: None,
            busy_timeout: Duration::ZERO,
        };
        let mut db = database::open(&path, settings).unwrap();
        db.execute_batch("CREATE TABLE entry (text TEXT)").unwrap();
        let checkpoints = Checkpoints::new(&mut db, &path, STEP).unwrap();
        (db, checkpoints)
    }

    /// Adds a page to the log, and one more.
    fn commit(db: &Connection, checkpoints: &mut Checkpoints) {
        db.execute("INSERT INTO entry VALUES (zeroblob(4000))", []).unwrap();
        checkpoints.advance(db);
    }

    #[test]
    fn the_log_begins_again_though_commits_never_pause() {
        let dir = tempfile::tempdir().unwrap();
        let (db, mut checkpoints) = begin(dir.path());
        let (mut again, mut before) = (0, 0);
        while again < 3 {
            commit(&db, &mut checkpoints);
            again += u32::from(checkpoints.last_logged < before);
            before = checkpoints.last_logged;
        }
        let rows: i64 = db
            .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
            .unwrap();
        drop((checkpoints, db));
        let db = Connection::open(dir.path().join("journal.db")).unwrap();
        let found: i64 = db
            .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
            .unwrap();
        assert_eq!(found, rows);
    }

    #[test]
    fn a_log_that_a_reader_needs_is_not_tried_at_every_commit() {
        let dir = tempfile::tempdir().unwrap();
        let (db, mut checkpoints) = begin(dir.path());
        let reader = Connection::open(dir.path().join("journal.db")).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM entry").unwrap();
        let mut begun = 0;
        while checkpoints.last_logged < 4 * STEP {
            let idle = checkpoints.running.is_none();
            commit(&db, &mut checkpoints);
            begun += u32::from(idle && checkpoints.running.is_some());
            checkpoints.wait();
        }
        assert!((2..=4).contains(&begun), "{begun}");
        reader.execute_batch("COMMIT").unwrap();
        let clock = Clock::system();
        let (before, deadline) = (checkpoints.last_logged, clock.boot() + Duration::from_secs(20));
        while checkpoints.last_logged >= before {
            commit(&db, &mut checkpoints);
            assert!(clock.boot() < deadline, "the log goes on: {}", checkpoints.last_logged);
        }
    }
}
