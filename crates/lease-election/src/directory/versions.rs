//! The files of a Lease in its directory, and the compare-and-swap on them.
//!
//! Version 42 is two files: `42-5f3a9c1e0b7d2a46.json` is the Lease, and the empty `42-5f3a9c1e0b7d2a46.current` says that
//! it is the newest. A write puts `43-NONCE.json` beside them and syncs it, renames `42-….current` to `43-NONCE.current`,
//! and syncs the directory.
//!
//! No process can win a stale compare-and-swap, wherever and however long it was stopped:
//! - A directory has one `.current` file for as long as it exists: a new Lease is renamed into place with its directory,
//!   and after that only the rename above touches the file.
//! - A rename fails once its source is gone, and a name with a nonce never comes back. So a write based on version 42
//!   succeeds only while 42 is the newest, and only once. (A `link` to the bare name `43` would succeed again after
//!   version 43 was removed.)
//! - A `.current` file that a listing shows was there at some moment of the listing, so that version was the newest then.
//! - Nobody holds a lock. The winner removes files of old versions, which can't become the newest again.
//!
//! A commit is durable before anyone acts on it: a reader syncs the directory before it returns a version it didn't know.
//! A full disk does not stop the writes: the Lease before the newest stays as `NAME.spare`, and the next write takes that
//! file's space. So a reader looks after it has read whether the version still is the newest: its file was not reused before.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{
    AtFlags, Dir, FallocateFlags, Mode, OFlags, fallocate, fstat, fsync, openat, renameat, statat, unlinkat,
};
use serde_json::{Value, json};
use uuid::Uuid;

#[cfg(test)]
use super::interleavings::pause;
use crate::object;
use crate::payload::{Annotations, Payload};
use crate::store::{LeaseChange, LeaseObject, StoreError, WriteOutcome};

/// How often, and how far apart, a reader looks again at a directory that is being written, filled or removed: 100 ms in all.
const LOOKS: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Well above a Lease with its largest payload.
const FILE_LIMIT: u64 = 1 << 20;
/// A file's space from the start, so that a Lease may grow on a full disk.
const RESERVED: u64 = 16 << 10;
/// The endings of file names.
const LEASE: &str = ".json";
const CURRENT: &str = ".current";
const SPARE: &str = ".spare";
const INCOMPLETE: &str = "it does not hold a whole Lease";

/// A test stops a process here, between two system calls.
#[cfg(not(test))]
fn pause() {}

/// A version's number, and its file names without their endings: `42-5f3a9c1e0b7d2a46`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    number: u64,
    stem: String,
}

impl Version {
    fn new(number: u64) -> Version {
        let nonce = Uuid::new_v4().as_u64_pair().0;
        Version {
            number,
            stem: format!("{number}-{nonce:016x}"),
        }
    }

    fn parse(name: &str, ending: &str) -> Option<Version> {
        let stem = name.strip_suffix(ending)?;
        let number = stem.split_once('-')?.0.parse().ok()?;
        Some(Version {
            number,
            stem: stem.to_owned(),
        })
    }

    fn file(&self, ending: &str) -> String {
        format!("{}{ending}", self.stem)
    }
}

/// The newest version, as found in a directory that stays open.
struct Found<P> {
    directory: OwnedFd,
    version: Version,
    object: LeaseObject<P>,
    /// Leases of writers that lost or were killed: they can't become the newest.
    dead: Vec<String>,
    spares: Vec<String>,
}

pub(super) struct LeaseDirectory<P> {
    path: PathBuf,
    annotations: Annotations,
    /// The newest version seen. It is known to survive a power loss.
    newest: Option<Version>,
    is_hopeless: bool,
    payload: PhantomData<P>,
}

impl<P: Payload> LeaseDirectory<P> {
    pub(super) fn new(path: PathBuf, annotations: Annotations) -> LeaseDirectory<P> {
        LeaseDirectory {
            path,
            annotations,
            newest: None,
            is_hopeless: false,
            payload: PhantomData,
        }
    }

    /// Returns the Lease as it is.
    pub(super) fn look(&mut self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        Ok(self.find()?.map(|found| Arc::new(found.object)))
    }

    /// Returns the Lease. If it is absent this says so, and creates one with another uid for the next read.
    pub(super) fn read(&mut self) -> Result<Option<Arc<LeaseObject<P>>>, StoreError> {
        for _ in 0..LOOKS {
            if let Some(object) = self.look()? {
                return Ok(Some(object));
            }
            // Otherwise another process was first, or the listing missed files that were being replaced.
            if self.create()? {
                return Ok(None);
            }
        }
        Err(self.damaged(INCOMPLETE))
    }

    /// The compare-and-swap. `Conflict` and `Failed` mean that it did not and will not happen.
    pub(super) fn write(&mut self, base: &LeaseObject<P>, change: &LeaseChange<P>) -> WriteOutcome<P> {
        let found = match self.find() {
            Ok(Some(found)) if found.object.uid == base.uid && found.version.number == base.version => found,
            Ok(_) => return WriteOutcome::Conflict,
            Err(error) => return WriteOutcome::Failed(error),
        };
        let directory = &found.directory;
        let next = Version::new(base.version.saturating_add(1));
        let replacement = LeaseObject {
            version: next.number,
            ..found.object
        };
        let json = object::replacement(&replacement, change, &self.annotations);
        pause();
        let mut spares = found.spares.iter();
        if let Some(spare) = spares.next() {
            // Otherwise another writer has taken it.
            let _ = renameat(directory, spare, directory, next.file(LEASE));
        }
        if let Err(error) = write_file(directory, &next.file(LEASE), &json) {
            retire(directory, &next);
            return self.not_written(&error);
        }
        pause();
        if let Err(errno) = renameat(directory, found.version.file(CURRENT), directory, next.file(CURRENT)) {
            let error = errno.into();
            return match self.not_written(&error) {
                WriteOutcome::Failed(StoreError::Unreachable(text)) => WriteOutcome::Unknown(text),
                outcome => {
                    retire(directory, &next);
                    outcome
                }
            };
        }
        pause();
        if let Err(error) = fsync(directory) {
            return WriteOutcome::Unknown(self.explain(&error.into()).to_string());
        }
        if !self.is_at_its_path(directory) {
            return WriteOutcome::Unknown(format!(
                "{} was removed or replaced during the write",
                self.path.display()
            ));
        }
        for old in found.dead.iter().chain(spares) {
            pause();
            let _ = unlinkat(directory, old, AtFlags::empty());
        }
        retire(directory, &found.version);
        self.newest = Some(next);
        match object::parse(json, &self.annotations) {
            Ok(object) => WriteOutcome::Written(Arc::new(object)),
            Err(error) => WriteOutcome::Unknown(error),
        }
    }

    /// Whether the version seen last is still the newest. One system call, as this is asked forty times a second.
    pub(super) fn is_unchanged(&self) -> bool {
        let marker = self
            .newest
            .as_ref()
            .map(|version| self.path.join(version.file(CURRENT)));
        marker.is_some_and(|marker| fs::symlink_metadata(marker).is_ok())
    }

    /// Whether the last error is one of configuration: this path can't hold a Lease, whatever happens to the files there.
    pub(super) fn is_hopeless(&self) -> bool {
        self.is_hopeless
    }

    fn find(&mut self) -> Result<Option<Found<P>>, StoreError> {
        let mut is_empty = false;
        let mut lost = None;
        for _ in 0..LOOKS {
            pause();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = match rustix::fs::open(&self.path, flags, Mode::empty()) {
                Ok(directory) => directory,
                Err(rustix::io::Errno::NOENT) => return Ok(None),
                Err(error) => return Err(self.open_error(&error.into())),
            };
            pause();
            let names = list(&directory).map_err(|error| self.explain(&error))?;
            is_empty = names.is_empty();
            let markers = names.iter().filter_map(|name| Version::parse(name, CURRENT));
            // Two, if it was renamed during the listing.
            if let Some(version) = markers.max_by_key(|version| version.number) {
                pause();
                let json = read_file(&directory, &version.file(LEASE));
                pause();
                let replaced = statat(&directory, version.file(CURRENT), AtFlags::SYMLINK_NOFOLLOW).is_err();
                match json {
                    Ok(json) if !replaced => return self.accept(directory, version, &json, names).map(Some),
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.explain(&error)),
                    _ => lost = Some(version),
                }
            }
            thread::sleep(LOOK_AGAIN);
        }
        // An empty directory is created again only now: `rm -r` may be about to remove it, or `cp` to fill it.
        match (is_empty, lost) {
            (true, _) => Ok(None),
            (false, None) => Err(self.damaged(INCOMPLETE)),
            (false, Some(version)) => {
                let (marker, file) = (version.file(CURRENT), version.file(LEASE));
                Err(self.damaged(&format!("{marker} names a version without its file {file}")))
            }
        }
    }

    fn accept(
        &mut self,
        directory: OwnedFd,
        version: Version,
        json: &[u8],
        names: Vec<String>,
    ) -> Result<Found<P>, StoreError> {
        let parsed = serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"));
        let mut object = parsed
            .and_then(|json| object::parse(json, &self.annotations))
            .map_err(|error| self.damaged(&format!("{}: {error}", version.file(LEASE))))?;
        object.version = version.number;
        if self.newest.as_ref() != Some(&version) {
            pause();
            fsync(&directory).map_err(|error| self.explain(&error.into()))?;
            self.newest = Some(version.clone());
        }
        let (spares, mut dead): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.ends_with(SPARE));
        dead.retain(|name| {
            let other = Version::parse(name, LEASE);
            other.is_some_and(|other| other.number <= version.number && other != version)
        });
        Ok(Found {
            directory,
            version,
            object,
            dead,
            spares,
        })
    }

    /// Creates a Lease with its directory under another name, and renames it into place: onto nothing, or onto an empty
    /// directory. Onto the directory of another Lease that fails: false.
    fn create(&mut self) -> Result<bool, StoreError> {
        // Numbers go on growing, as far as this process knows them.
        let version = Version::new(self.newest.as_ref().map_or(1, |newest| newest.number.saturating_add(1)));
        let mut draft = self.path.clone().into_os_string();
        draft.push(format!(".new-{}", version.stem));
        let draft = PathBuf::from(draft);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"uid": Uuid::new_v4().to_string(), "resourceVersion": version.number.to_string()},
            "spec": {},
        });
        let create = || -> io::Result<()> {
            fs::create_dir(&draft)?;
            let directory = OwnedFd::from(File::open(&draft)?);
            write_file(&directory, &version.file(LEASE), &lease)?;
            write_file(&directory, &version.file(SPARE), &lease)?;
            File::create_new(draft.join(version.file(CURRENT)))?;
            fsync(&directory)?;
            pause();
            fs::rename(&draft, &self.path)?;
            pause();
            File::open(parent(&self.path))?.sync_all()
        };
        match create() {
            Ok(()) => Ok(true),
            Err(error) => {
                let _ = fs::remove_dir_all(&draft);
                match error.kind() {
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists => Ok(false),
                    kind => {
                        self.is_hopeless = kind == ErrorKind::NotFound || is_unsupported(kind);
                        Err(self.explain(&error))
                    }
                }
            }
        }
    }

    fn is_at_its_path(&self, directory: &OwnedFd) -> bool {
        let (found, open) = (rustix::fs::stat(&self.path), fstat(directory));
        found.is_ok_and(|found| open.is_ok_and(|open| (found.st_dev, found.st_ino) == (open.st_dev, open.st_ino)))
    }

    /// What a failed step of a write means: a file that isn't there any more was another writer's to replace or remove.
    fn not_written(&self, error: &io::Error) -> WriteOutcome<P> {
        match error.kind() {
            ErrorKind::NotFound => WriteOutcome::Conflict,
            _ => WriteOutcome::Failed(self.explain(error)),
        }
    }

    /// Why the directory can't be opened.
    fn open_error(&mut self, error: &io::Error) -> StoreError {
        if error.kind() == ErrorKind::NotADirectory && !parent(&self.path).is_dir() {
            self.is_hopeless = true;
            let (path, above) = (self.path.display(), parent(&self.path).display());
            return StoreError::Refused(format!(
                "{path} can't be used: {above} is not a directory; name a path in a directory"
            ));
        }
        self.explain(error)
    }

    fn explain(&self, error: &io::Error) -> StoreError {
        let path = self.path.display();
        let advice = match error.kind() {
            ErrorKind::NotADirectory => "move away what is there, and a new Lease will be created",
            ErrorKind::ResourceBusy => "it is a mount point: name a directory inside it",
            ErrorKind::NotFound => "the directory above it must exist: create that, or name another",
            ErrorKind::PermissionDenied => "this user must be able to write to it and to the directory above it",
            ErrorKind::ReadOnlyFilesystem => "remount its file system as writable, or name a directory on another one",
            kind if is_unsupported(kind) => {
                "its file system can't rename or sync files: name a directory on a local disk"
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                return StoreError::Unreachable(format!("{path}: {error}; free space on its file system"));
            }
            ErrorKind::StaleNetworkFileHandle | ErrorKind::NotConnected | ErrorKind::HostUnreachable => {
                return StoreError::Unreachable(format!("{path}: {error}; its mount is gone: mount it again"));
            }
            _ => return StoreError::Unreachable(format!("{path}: {error}; check its disk or its mount")),
        };
        StoreError::Refused(format!("{path} can't be used: {error}; {advice}"))
    }

    fn damaged(&self, detail: &str) -> StoreError {
        let path = self.path.display();
        StoreError::Refused(format!(
            "{path} is damaged ({detail}); move it away, and a new Lease will be created"
        ))
    }
}

fn is_unsupported(kind: ErrorKind) -> bool {
    use ErrorKind::{CrossesDevices, InvalidInput, Unsupported};
    matches!(kind, Unsupported | InvalidInput | CrossesDevices)
}

fn list(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Writes a file, new or a spare, and returns once it survives a power loss (its name does so when the directory is synced).
fn write_file(directory: &OwnedFd, name: &str, json: &Value) -> io::Result<()> {
    pause();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::from(0o666))?);
    pause();
    // Not every file system can reserve.
    let _ = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, RESERVED);
    // Cutting a spare off would give up its space: blanks follow the Lease.
    let width = usize::try_from(file.metadata()?.len()).unwrap_or(0).saturating_sub(1);
    let text = format!("{json:#}");
    file.write_all(format!("{text:width$}\n").as_bytes())?;
    file.sync_all()
}

fn read_file(directory: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    // Neither follows a link nor waits for the writer of a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    pause();
    let mut text = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut text)?;
    Ok(text)
}

/// Turns a version that is not the newest into the spare file, so that its space can be reused.
fn retire(directory: &OwnedFd, version: &Version) {
    pause();
    // If this fails, a later winner removes the file.
    let _ = renameat(directory, version.file(LEASE), directory, version.file(SPARE));
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn each_error_says_what_to_do_about_it() {
        let annotations = Annotations {
            fence: "example.com/fence".into(),
            payload: "example.com/payload".into(),
        };
        let directory = LeaseDirectory::<()>::new("/shared/lease".into(), annotations);
        for (errno, advice) in [
            (Errno::NOTDIR, "move away what is there"),
            (Errno::BUSY, "name a directory inside it"),
            (Errno::NOENT, "the directory above it must exist"),
            (Errno::ACCESS, "this user must be able to write to it"),
            (Errno::ROFS, "remount its file system as writable"),
            (Errno::INVAL, "name a directory on a local disk"),
            (Errno::NOSPC, "free space"),
            (Errno::STALE, "its mount is gone: mount it again"),
            (Errno::NOTCONN, "its mount is gone: mount it again"),
            (Errno::IO, "check its disk or its mount"),
        ] {
            let text = directory.explain(&errno.into()).to_string();
            let named = text.contains("/shared/lease") && text.contains(&format!("os error {}", errno.raw_os_error()));
            assert!(named && text.contains(advice), "{text}");
        }
    }
}
