//! Where values go: standard output, or a file that has its name only when it is whole.
//!
//! A thread writes, so that a reader that takes its time holds up no question and no deadline.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::cli::{Exit, Failure};

/// Pieces on their way to the thread.
const QUEUE: usize = 2;

pub(super) struct Sink {
    name: String,
    pieces: Option<mpsc::Sender<Bytes>>,
    ended: oneshot::Receiver<io::Result<File>>,
    thread: Option<JoinHandle<()>>,
    draft: Option<Draft>,
}

/// A file on its way to its name; removed when it doesn't get there.
struct Draft {
    path: PathBuf,
    target: PathBuf,
    whole: bool,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.whole {
            // Nobody is left to be told, and the name says what it is.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Sink {
    /// # Errors
    /// I/O.
    pub(super) fn stdout() -> Result<Sink, Failure> {
        let name = "standard output".to_owned();
        // A descriptor of its own: the thread must not wait for whoever has locked the standard library's.
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(out) => Sink::start(name, out.into(), None),
            Err(error) => Err(failed(&name, &error)),
        }
    }

    /// What stands at `path` stays until [`finish`](Sink::finish) replaces it. A device or a pipe is written to as it is.
    ///
    /// # Errors
    /// I/O: there can't be a file.
    pub(super) fn file(path: &Path) -> Result<Sink, Failure> {
        let name = path.display().to_string();
        let open = || -> io::Result<(File, Option<Draft>)> {
            // Through a link to what it names: a rename would replace the link.
            let target = match fs::canonicalize(path) {
                Ok(target) => target,
                Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
                Err(error) => return Err(error),
            };
            let found = match fs::metadata(&target) {
                Ok(found) => Some(found),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            if found.as_ref().is_some_and(|found| found.is_dir()) {
                return Err(ErrorKind::IsADirectory.into());
            }
            if found.as_ref().is_some_and(|found| !found.is_file()) {
                return Ok((OpenOptions::new().write(true).open(&target)?, None));
            }
            let Some(last) = target.file_name() else {
                return Err(ErrorKind::InvalidFilename.into());
            };
            let mut draft = std::ffi::OsString::from(".");
            draft.push(last);
            draft.push(format!(".{}.part", std::process::id()));
            let draft = target.with_file_name(draft);
            let file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
            let draft = Draft {
                path: draft,
                target,
                whole: false,
            };
            if let Some(found) = found {
                file.set_permissions(found.permissions())?;
            }
            Ok((file, Some(draft)))
        };
        let (file, draft) = open().map_err(|error| failed(&name, &error))?;
        Sink::start(name, file, draft)
    }

    fn start(name: String, mut out: File, draft: Option<Draft>) -> Result<Sink, Failure> {
        let (pieces, mut queue) = mpsc::channel::<Bytes>(QUEUE);
        let (end, ended) = oneshot::channel();
        let whole = draft.is_some();
        let write = move || {
            let mut write = || -> io::Result<()> {
                while let Some(piece) = queue.blocking_recv() {
                    out.write_all(&piece)?;
                }
                match whole {
                    true => out.sync_all(),
                    false => Ok(()),
                }
            };
            let written = write();
            // With its receiver gone the command has ended otherwise.
            let _ = end.send(written.map(|()| out));
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

    /// False when nobody reads any more, which is no error.
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

    /// Waits until all is written, and gives the file its name. False when nobody read all of it.
    ///
    /// # Errors
    /// As [`put`](Sink::put).
    pub(super) async fn finish(mut self) -> Result<bool, Failure> {
        if !self.end().await? {
            return Ok(false);
        }
        if let Some(draft) = &mut self.draft {
            let named = fs::rename(&draft.path, &draft.target);
            named.map_err(|error| failed(&self.name, &error))?;
            draft.whole = true;
            // A directory that can't be opened can't be synced, and the file's content is safe.
            let directory = draft.target.parent().filter(|parent| *parent != Path::new(""));
            if let Ok(directory) = File::open(directory.unwrap_or(Path::new("."))) {
                let _ = directory.sync_all();
            }
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
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Ok(Err(error)) => Err(failed(&self.name, &error)),
            Err(_) => Err(Failure::new(Exit::Bug, "the thread that writes ended unasked")),
        }
    }
}

// A command that ends early leaves the thread to the end of the process: it may be held up by a reader that doesn't read,
// and joining it would wait for that one.

fn failed(name: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("{name}: {error}"))
}
