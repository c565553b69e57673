//! One member process: started, restarted when it dies, stopped when asked.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal as Unix};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::layout::Place;
use super::output::Event;
use crate::clock::Clock;
use crate::files;
use crate::shutdown::Signal;
use crate::table::one_line;

/// Before the first restart; doubled with each death soon after.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// After running this long, the next death counts as the first.
const STABLE: Duration = Duration::from_secs(2);
/// A longer log is renamed to `.log.1` when the member starts (one generation).
const LONGEST_LOG: u64 = 10 * 1024 * 1024;
/// How much of a log's last line is shown.
const LONGEST_LINE: u64 = 1024;
/// How long a process may take to exit after SIGKILL (it may hang in the kernel).
const REAP: Duration = Duration::from_secs(1);

/// The command that starts a member. Standard input, output and error and the process group are set by [`MemberProcess`].
pub type CommandFor = Arc<dyn Fn(&Place) -> std::process::Command + Send + Sync>;

/// Keeps one member running.
pub struct MemberProcess {
    pub place: Place,
    pub command: CommandFor,
    pub events: mpsc::Sender<Event>,
    pub clock: Clock,
    /// From SIGTERM to SIGKILL.
    pub stop_limit: Duration,
    /// Stops the member gracefully.
    pub stop: Signal,
    /// Kills it.
    pub kill: Signal,
}

/// Its exit code, if it has one, and how it died.
type Death = (Option<i32>, String);

impl MemberProcess {
    /// Runs until `stop`. Exit codes 64 and 78 mean that it can't start like this: they are reported once, and retried slowly,
    /// since a person may repair a volume or a file without restarting the whole set.
    pub async fn run(mut self) {
        let mut delay = SHORTEST_DELAY;
        let mut reported: Option<Death> = None;
        while !self.stop.is_requested() {
            let started = self.clock.boot();
            let death = match self.start() {
                Ok((child, log_from)) => match self.watch(child, log_from, reported.is_none()).await {
                    Some(death) => death,
                    None => return,
                },
                Err(error) => (None, format!("could not be started: {error}")),
            };
            delay = match death.0 {
                Some(64 | 78) => LONGEST_DELAY,
                _ if self.clock.boot().since(started) >= STABLE => SHORTEST_DELAY,
                _ => delay,
            };
            if reported.as_ref() != Some(&death) || delay < LONGEST_DELAY {
                self.publish(Event::Exited {
                    member: self.place.name.clone(),
                    code: death.0,
                    how: death.1.clone(),
                    again_in_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                });
            }
            reported = (delay == LONGEST_DELAY).then_some(death);
            tokio::select! {
                biased;
                () = self.stop.requested() => return,
                () = sleep(delay) => {}
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// Starts the process. Also returns how long its log was before.
    fn start(&self) -> io::Result<(Child, u64)> {
        let log = open_log(&self.place.log_file)?;
        let log_from = log.metadata()?.len();
        let mut command = Command::from((self.command)(&self.place));
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        // Its own group: ^C on the terminal reaches only the supervisor, which then stops the members.
        command.process_group(0);
        // If this task is dropped or panics; otherwise terminate() came first.
        command.kill_on_drop(true);
        Ok((command.spawn()?, log_from))
    }

    /// Waits until the process dies. None when it was stopped as requested.
    async fn watch(&mut self, mut child: Child, log_from: u64, publish_at_once: bool) -> Option<Death> {
        let member = self.place.name.clone();
        let pid = child.id().unwrap_or_default();
        if let Err(error) = files::replace(&self.place.pid_file, format!("{pid}\n").as_bytes()) {
            let text = format!("{}: {error}", self.place.pid_file.display());
            self.publish(Event::Trouble { text });
        }
        let mut published = publish_at_once;
        if published {
            self.publish(Event::Started {
                member: member.clone(),
                pid,
            });
        }
        // tokio's wait() would close it; while this end is open, the member knows that its supervisor lives.
        let _open_while_it_runs = child.stdin.take();
        let stable = Instant::now() + STABLE;
        let status = loop {
            tokio::select! {
                biased;
                () = self.stop.requested() => {
                    let how = self.terminate(&mut child).await;
                    remove(&self.place.pid_file);
                    self.publish(Event::Ended { member: member.clone(), how });
                    return None;
                }
                status = child.wait() => break status,
                () = sleep_until(stable), if !published => {
                    published = true;
                    self.publish(Event::Started { member: member.clone(), pid });
                }
            }
        };
        remove(&self.place.pid_file);
        let code = status.as_ref().ok().and_then(ExitStatus::code);
        Some((code, reason(&status, last_line(&self.place.log_file, log_from))))
    }

    /// SIGTERM, a bounded wait, SIGKILL. Also SIGCONT: a stopped process would not see the SIGTERM.
    async fn terminate(&mut self, child: &mut Child) -> String {
        // The id is None once the process was waited for, so no other process can be hit.
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have just died; then wait() returns at once.
            let _ = rustix::process::kill_process(pid, Unix::TERM);
            let _ = rustix::process::kill_process(pid, Unix::CONT);
        }
        let limit = self.stop_limit;
        tokio::select! {
            biased;
            () = self.kill.requested() => {}
            status = timeout(limit, child.wait()) => if let Ok(status) = status {
                return reason(&status, None);
            },
        }
        // An error means that it is gone already.
        let _ = child.start_kill();
        match timeout(REAP, child.wait()).await {
            Ok(status) => format!("{}, as it did not end in time", reason(&status, None)),
            Err(_) => "is still there after SIGKILL".to_owned(),
        }
    }

    /// Drops the event when the queue is full: a slow reader (a stopped terminal) must not delay a restart.
    fn publish(&self, event: Event) {
        let _ = self.events.try_send(event);
    }
}

fn reason(status: &io::Result<ExitStatus>, last_words: Option<String>) -> String {
    let what = match status {
        Err(error) => return format!("could not be waited for: {error}"),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0), _) => return "ended with 0".to_owned(),
            (Some(code), _) => match code {
                64 => "exited with 64 (usage)".to_owned(),
                70 => "exited with 70 (a bug)".to_owned(),
                74 => "exited with 74 (I/O)".to_owned(),
                75 => "exited with 75 (try again later)".to_owned(),
                78 => "exited with 78 (configuration, or a volume that isn't its own)".to_owned(),
                code => format!("exited with {code}"),
            },
            (None, Some(9)) => return "was killed (SIGKILL)".to_owned(),
            (None, Some(15)) => return "was ended (SIGTERM)".to_owned(),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
        },
    };
    match last_words {
        Some(words) => format!("{what}: {words}"),
        None => what,
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LONGEST_LOG) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// The last log line of the process that just exited; `from` is where its part of the log begins.
fn last_line(path: &Path, from: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE).max(from)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(LONGEST_LINE).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    // It may go to a terminal, which it must not control.
    Some(one_line(line))
}

/// Removes the file: the number of an old pid may belong to another process.
fn remove(pid_file: &Path) {
    if let Err(error) = files::remove(pid_file) {
        tracing::warn!(path = %pid_file.display(), %error, "can't remove a process id file");
    }
}
