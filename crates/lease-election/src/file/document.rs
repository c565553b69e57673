//! The lease file itself: opened, found removed or replaced, made anew, read and written. Used by one thread.
//!
//! A rollback journal, not WAL: both lie beside the file under names made from its name, so a new file of that name would meet
//! those of the removed one. Of a WAL and its shared memory, which stay open and mapped, nothing in SQLite would notice. A
//! rollback journal is opened for each write, after SQLite has looked whether the file still is at its path. What is left of
//! that race goes by a lock on the directory: shared to read, exclusive to write and to make a file, and the maker removes the
//! journal that the file before may have left. A file that a person puts in place of a living one must come with its own
//! journal or with none.
//!
//! `synchronous=FULL`: a new record stands nowhere but in the Lease until the next draw, so a commit must survive the machine.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, FileControl, TransactionBehavior, ffi};
use rustix::fs::FlockOperation;

use super::database::{self, DatabaseError};
use super::row;
use crate::payload::{Annotations, Payload};
use crate::store::{LeaseChange, LeaseObject, StoreError, WriteOutcome};

/// How long a statement waits for someone else's lock: a person's sqlite3 tool, since members queue for the directory.
const BUSY: Duration = Duration::from_secs(1);
/// How often, and how far apart, the directory's lock is tried: 1 s. A waiting lock would have no bound.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// A file just made empty may be one that a person's `cp` is about to fill.
const EMPTY_PAUSE: Duration = Duration::from_millis(50);

/// What changes whenever the file is written, removed or replaced (two writes within a tick of the kernel's clock may look
/// alike). The change time is none that a tool could set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    place: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

pub(super) struct LeaseFile<P> {
    annotations: Annotations,
    path: PathBuf,
    directory: PathBuf,
    opened: Option<Opened<P>>,
}

struct Opened<P> {
    db: Connection,
    device: u64,
    /// The object that stands there as long as SQLite's data version is this one.
    cached: Option<(i64, Option<Arc<LeaseObject<P>>>)>,
}

enum Attached {
    Yes,
    Absent,
    /// It has to be opened, and only the exclusive lock is held off by everyone else.
    Unopened,
}

/// The lock on the directory, for as long as this lives.
struct Locked {
    _directory: File,
}

impl<P: Payload> LeaseFile<P> {
    pub(super) fn new(path: PathBuf, annotations: Annotations) -> LeaseFile<P> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        LeaseFile {
            annotations,
            path,
            directory,
            opened: None,
        }
    }

    /// The Lease as it stands. Absent is said before it is mended: the next read finds a Lease made anew, with another uid.
    pub(super) fn read(&mut self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        match self.look()? {
            Some(object) => Ok(Some(object)),
            None => {
                self.make()?;
                Ok(None)
            }
        }
    }

    /// Makes the Lease if it is absent: the file, or only the row in it.
    pub(super) fn make(&mut self) -> Result<(), StoreError> {
        let lock = self.lock(FlockOperation::NonBlockingLockExclusive)?;
        match self.attach(true)? {
            Attached::Yes => self.restore_row(),
            Attached::Absent | Attached::Unopened => self.create(&lock),
        }
    }

    fn look(&mut self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        let shared = self.lock(FlockOperation::NonBlockingLockShared)?;
        let mut attached = self.attach(false)?;
        let _lock = if matches!(attached, Attached::Unopened) {
            drop(shared);
            let exclusive = self.lock(FlockOperation::NonBlockingLockExclusive)?;
            attached = self.attach(true)?;
            exclusive
        } else {
            shared
        };
        let Some(opened) = self.opened.as_mut().filter(|_| matches!(attached, Attached::Yes)) else {
            return Ok(None);
        };
        let found = opened.current(&self.annotations);
        found.map_err(|error| self.failed(error))
    }

    pub(super) fn write(&mut self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> WriteOutcome<P> {
        let lock = self.lock(FlockOperation::NonBlockingLockExclusive);
        let (_lock, attached) = match lock.and_then(|lock| Ok((lock, self.attach(true)?))) {
            Ok(done) => done,
            Err(error) => return WriteOutcome::Failed(error),
        };
        let Some(opened) = self.opened.as_mut().filter(|_| matches!(attached, Attached::Yes)) else {
            return WriteOutcome::Conflict;
        };
        match opened.replace(&self.annotations, base, change) {
            Ok(None) => WriteOutcome::Conflict,
            // Removed or replaced while the transaction ran: what was written may lie in a file that nobody will read.
            Ok(Some(_)) if !self.in_place() => {
                self.opened = None;
                WriteOutcome::Unknown(format!(
                    "{} was removed or replaced during the write",
                    self.path.display()
                ))
            }
            Ok(Some(object)) => WriteOutcome::Written(object),
            Err(Failure::Before(error)) if moved(&error) => {
                self.opened = None;
                WriteOutcome::Conflict
            }
            Err(Failure::Before(error)) => WriteOutcome::Failed(self.failed(error)),
            Err(Failure::Commit(error)) => {
                let error = self.failed(error);
                self.opened = None;
                WriteOutcome::Unknown(error.to_string())
            }
        }
    }

    /// Cheap enough to ask forty times a second: one system call, no lock.
    pub(super) fn signature(&self) -> Option<Signature> {
        fs::metadata(&self.path).ok().map(|found| Signature {
            place: (found.dev(), found.ino()),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Whether there is a file at the path, whatever is in it.
    pub(super) fn stands(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.is_file())
    }

    fn lock(&self, operation: FlockOperation) -> Result<Locked, StoreError> {
        let unusable = |error: &dyn std::fmt::Display| {
            StoreError::Refused(format!(
                "the directory {} can't be used: {error}; it must exist, and this user may write there",
                self.directory.display()
            ))
        };
        let directory = File::open(&self.directory).map_err(|error| unusable(&error))?;
        for _ in 0..LOCK_TRIES {
            match rustix::fs::flock(&directory, operation) {
                Ok(()) => return Ok(Locked { _directory: directory }),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(unusable(&error)),
            }
        }
        Err(StoreError::Unreachable(format!(
            "{} is locked by another process",
            self.directory.display()
        )))
    }

    /// Finds out whether what is open still is what stands at the path, and opens that if it may.
    fn attach(&mut self, may_open: bool) -> Result<Attached, StoreError> {
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.opened = None;
                return Ok(Attached::Absent);
            }
            Err(error) => return Err(self.unusable(&error)),
        };
        if !found.is_file() {
            return Err(self.unusable(&"it is no file"));
        }
        if found.size() == 0 {
            self.opened = None;
            return Ok(Attached::Absent);
        }
        if self.in_place() {
            return Ok(Attached::Yes);
        }
        self.opened = None;
        if !may_open {
            return Ok(Attached::Unopened);
        }
        let db = database::open(&self.path, BUSY).map_err(|error| self.sorted(error))?;
        match db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)) {
            Ok(row::SCHEMA) => {}
            Ok(newer) if newer > row::SCHEMA => {
                return Err(self.unusable(&format!("it was written by a newer version (schema {newer})")));
            }
            Ok(_) => return Err(self.damaged("it holds no lease")),
            Err(error) => return Err(self.sorted(DatabaseError::new(&self.path, error))),
        }
        self.opened = Some(Opened {
            db,
            device: found.dev(),
            cached: None,
        });
        Ok(Attached::Yes)
    }

    /// Whether the open file still is the one at the path. SQLite compares the inode; it stays taken while the file is open.
    fn in_place(&self) -> bool {
        let Some(opened) = &self.opened else {
            return false;
        };
        let mut moved = 1;
        let asked = opened.db.file_control(None::<&str>, FileControl::HasMoved(&mut moved));
        let device = fs::metadata(&self.path).map(|found| found.dev());
        asked.is_ok() && moved == 0 && device.is_ok_and(|device| device == opened.device)
    }

    /// A file that is absent or empty. It is made whole under another name, so that nobody meets half of one.
    fn create(&mut self, _exclusive: &Locked) -> Result<(), StoreError> {
        let over = fs::metadata(&self.path).is_ok();
        if over {
            thread::sleep(EMPTY_PAUSE);
            if fs::metadata(&self.path).is_ok_and(|found| found.size() > 0) {
                return Ok(());
            }
        }
        let draft = beside(&self.path, ".new");
        let draft_journal = beside(&draft, "-journal");
        let unusable = |error: io::Error| self.unusable(&error);
        remove(&draft).and_then(|()| remove(&draft_journal)).map_err(unusable)?;
        let built = database::open(&draft, BUSY).and_then(|mut db| {
            let build = |db: &mut Connection| {
                // The draft is synced once, when it is whole: a member's start waits for this.
                db.pragma_update(None, "synchronous", "off")?;
                let transaction = db.transaction()?;
                transaction.execute_batch(row::CREATE)?;
                row::insert(&transaction)?;
                transaction.commit()
            };
            build(&mut db).map_err(|error| DatabaseError::new(&draft, error))
        });
        built.map_err(|error| self.sorted(error))?;
        let placed = || -> io::Result<()> {
            File::open(&draft)?.sync_all()?;
            remove(&draft_journal)?;
            // Of a file before this one. SQLite would take it for this one's, and roll it back into it.
            remove(&beside(&self.path, "-journal"))?;
            if over {
                fs::rename(&draft, &self.path)?;
            } else {
                match fs::hard_link(&draft, &self.path) {
                    // A person put one there, regardless of the lock: theirs stands.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    other => other?,
                }
                remove(&draft)?;
            }
            File::open(&self.directory)?.sync_all()
        };
        placed().map_err(unusable)
    }

    /// The file stands, and the row was deleted: a new Lease, with a new uid, and versions that go on.
    fn restore_row(&mut self) -> Result<(), StoreError> {
        let Some(opened) = self.opened.as_mut() else {
            return Ok(());
        };
        let mut restore = || {
            let transaction = opened.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if row::is_absent(&transaction)? {
                row::insert(&transaction)?;
            }
            transaction.commit()
        };
        let restored = restore();
        opened.cached = None;
        restored.map_err(|error| self.failed(error))
    }

    /// An error of SQLite on the open file. Anything but somebody else's lock is met with a fresh connection next time.
    fn failed(&mut self, error: rusqlite::Error) -> StoreError {
        let error = DatabaseError::new(&self.path, error);
        if !matches!(error, DatabaseError::Busy { .. }) {
            self.opened = None;
        }
        self.sorted(error)
    }

    fn sorted(&self, error: DatabaseError) -> StoreError {
        match error {
            DatabaseError::Corrupt { detail, .. } => self.damaged(&detail),
            DatabaseError::Full { .. } | DatabaseError::Busy { .. } => StoreError::Unreachable(error.to_string()),
            DatabaseError::Other { ref source, .. } => match source.sqlite_error_code() {
                // No such table, no such column, a cell of another type.
                Some(ErrorCode::Unknown) | None => self.damaged(&source.to_string()),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                    self.unusable(source)
                }
                _ => StoreError::Unreachable(error.to_string()),
            },
        }
    }

    fn unusable(&self, detail: &dyn std::fmt::Display) -> StoreError {
        StoreError::Refused(format!(
            "{} can't be used: {detail}; it must be a lease file in a directory where this user may write",
            self.path.display()
        ))
    }

    fn damaged(&self, detail: &str) -> StoreError {
        let path = self.path.display();
        StoreError::Refused(format!(
            "{path} is damaged ({detail}); move {path} and {path}-journal away, and the members make a new one and go on from their ledgers"
        ))
    }
}

/// Where a write failed: before its COMMIT it has not happened, in it nobody knows.
enum Failure {
    Before(rusqlite::Error),
    Commit(rusqlite::Error),
}

impl<P: Payload> Opened<P> {
    fn current(&mut self, annotations: &Annotations) -> rusqlite::Result<Option<Arc<LeaseObject<P>>>> {
        let version = self
            .db
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if let Some((cached, object)) = &self.cached
            && *cached == version
        {
            return Ok(object.clone());
        }
        let object = row::select(&self.db, annotations)?.map(Arc::new);
        self.cached = Some((version, object.clone()));
        Ok(object)
    }

    /// The compare-and-swap; none when there is another object than `base`, or none at all.
    fn replace(
        &mut self,
        annotations: &Annotations,
        base: &LeaseObject<P>,
        change: &LeaseChange<P>,
    ) -> Result<Option<Arc<LeaseObject<P>>>, Failure> {
        // Own writes don't move SQLite's data version.
        self.cached = None;
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Failure::Before)?;
        let swap = || match row::select::<P>(&transaction, annotations)? {
            Some(found) if found.uid == base.uid && found.version == base.version => {
                row::update(&transaction, annotations, base, change).map(Some)
            }
            _ => Ok(None),
        };
        let Some(object) = swap().map_err(Failure::Before)? else {
            return Ok(None);
        };
        match transaction.commit() {
            Ok(()) => Ok(Some(Arc::new(object))),
            // A reader of another tool was in the way. The transaction was rolled back when it was dropped.
            Err(error) if busy(&error) && self.db.is_autocommit() => Err(Failure::Before(error)),
            Err(error) => Err(Failure::Commit(error)),
        }
    }
}

fn busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// SQLite itself found, on opening the journal, that the file is no longer at its path.
fn moved(error: &rusqlite::Error) -> bool {
    error.sqlite_extended_error_code() == Some(ffi::SQLITE_READONLY_DBMOVED)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
