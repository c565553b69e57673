//! Where values go: standard output, or a file that appears under its name only once complete.
//!
//! A thread writes, so that a slow reader delays no request and no deadline.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::cli::{Exit, Failure};
use crate::files;

/// Pieces on their way to the thread.
const QUEUE: usize = 2;
/// How many names are tried for a draft. There are 2^32: the second is one too many.
const DRAFT_NAMES: u32 = 4;

pub(super) struct Sink {
    name: String,
    pieces: Option<mpsc::Sender<Bytes>>,
    ended: oneshot::Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
    draft: Option<Draft>,
}

/// What a path names.
enum Destination {
    /// A file, or nothing yet.
    File {
        target: PathBuf,
        permissions: Option<fs::Permissions>,
    },
    /// A device or a pipe.
    Other(PathBuf),
}

/// Through a link to what it names: a rename would replace the link.
fn destination(path: &Path) -> io::Result<Destination> {
    let target = match if_there(fs::canonicalize(path))? {
        Some(target) => target,
        None if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            return Err(io::Error::new(
                ErrorKind::NotFound,
                "it is a link that names nothing: make the directory and the file that it names, or remove it",
            ));
        }
        None => path.to_owned(),
    };
    match if_there(fs::metadata(&target))? {
        Some(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Some(found) if !found.is_file() => Ok(Destination::Other(target)),
        found => Ok(Destination::File {
            target,
            permissions: found.map(|found| found.permissions()),
        }),
    }
}

fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// A file that is not complete yet; removed unless it becomes so.
struct Draft {
    path: PathBuf,
    target: PathBuf,
    whole: bool,
}

impl Draft {
    /// Beside its target, as a rename needs it.
    fn new(target: PathBuf) -> io::Result<(File, Draft)> {
        let Some(last) = target.file_name() else {
            return Err(ErrorKind::InvalidFilename.into());
        };
        let mut attempts = 0;
        loop {
            // Not the process id: a container always has the same one, and SIGKILL leaves the draft behind.
            let mut draft = std::ffi::OsString::from(".");
            draft.push(last);
            draft.push(format!(".{:08x}.part", rand::random::<u32>()));
            let path = target.with_file_name(draft);
            attempts += 1;
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let whole = false;
                    return Ok((file, Draft { path, target, whole }));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempts < DRAFT_NAMES => {}
                Err(error) => {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("its draft {}: {error}", path.display()),
                    ));
                }
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.whole {
            // A draft that stays behind is recognised by its name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Sink {
    pub(super) fn stdout() -> Result<Sink, Failure> {
        let name = "standard output".to_owned();
        // A descriptor of its own: the thread must not wait for the lock of the standard library's.
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(out) => Sink::start(name, || Ok(out.into()), None),
            Err(error) => Err(failed(&name, &error)),
        }
    }

    /// The file at `path` stays until [`finish`](Sink::finish) replaces it. A device or a pipe is written directly.
    pub(super) fn file(path: &Path) -> Result<Sink, Failure> {
        let name = path.display().to_string();
        match destination(path).map_err(|error| failed(&name, &error))? {
            // Opening a pipe waits for a reader, which may never come.
            Destination::Other(target) => Sink::start(name, move || OpenOptions::new().write(true).open(target), None),
            Destination::File { target, permissions } => {
                let (file, draft) = Draft::new(target).map_err(|error| failed(&name, &error))?;
                if let Some(permissions) = permissions {
                    file.set_permissions(permissions)
                        .map_err(|error| failed(&name, &error))?;
                }
                Sink::start(name, || Ok(file), Some(draft))
            }
        }
    }

    /// Whether the output is hidden until it is complete.
    pub(super) fn is_draft(&self) -> bool {
        self.draft.is_some()
    }

    /// Opens on the thread: opening a pipe may wait without a bound.
    fn start(
        name: String,
        open: impl FnOnce() -> io::Result<File> + Send + 'static,
        draft: Option<Draft>,
    ) -> Result<Sink, Failure> {
        let (pieces, mut queue) = mpsc::channel::<Bytes>(QUEUE);
        let (end, ended) = oneshot::channel();
        let whole = draft.is_some();
        let write = move || {
            let write = || -> io::Result<()> {
                let mut out = open()?;
                while let Some(piece) = queue.blocking_recv() {
                    out.write_all(&piece)?;
                }
                match whole {
                    true => out.sync_all(),
                    false => Ok(()),
                }
            };
            // Without a receiver the command has ended already.
            let _ = end.send(write());
        };
        let thread = std::thread::Builder::new().name("output".into()).spawn(write);
        let thread = thread.map_err(|error| failed(&name, &error))?;
        Ok(Sink {
            name,
            pieces: Some(pieces),
            ended,
            thread: Some(thread),
            draft,
        })
    }

    /// False when the reader is gone, which is not an error.
    ///
    /// # Errors
    /// I/O: anything but a closed pipe.
    pub(super) async fn put(&mut self, piece: Bytes) -> Result<bool, Failure> {
        if let Some(pieces) = &self.pieces
            && pieces.send(piece).await.is_ok()
        {
            return Ok(true);
        }
        self.end().await
    }

    /// Waits until everything is written, and names the file. False when the reader left before the end.
    pub(super) async fn finish(mut self) -> Result<bool, Failure> {
        if !self.end().await? {
            return Ok(false);
        }
        if let Some(draft) = &mut self.draft {
            let named = fs::rename(&draft.path, &draft.target);
            named.map_err(|error| failed(&self.name, &error))?;
            draft.whole = true;
            // A directory that can't be opened can't be synced; the file's content is safe.
            let _ = files::sync_directory_of(&draft.target);
        }
        Ok(true)
    }

    async fn end(&mut self) -> Result<bool, Failure> {
        self.pieces = None;
        let written = (&mut self.ended).await;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            return Err(Failure::new(Exit::Bug, "the thread that writes panicked"));
        }
        match written {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Ok(Err(error)) => Err(failed(&self.name, &error)),
            Err(_) => Err(Failure::new(Exit::Bug, "the thread that writes ended unasked")),
        }
    }
}

// A command that ends early doesn't join the thread: it may be blocked by a reader that stopped reading, or never comes.

fn failed(name: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{name}: {error}"))
}
