//! One member process: started, started again when it dies, ended when asked.

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
use crate::shutdown::Signal;

/// Before the first restart; doubled with each death that follows soon.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A life of this length was a good one: the next death counts as the first.
const GOOD_LIFE: Duration = Duration::from_secs(2);
/// A log longer than this is set aside (`.log.1`, one generation) when the member starts.
const LONGEST_LOG: u64 = 10 * 1024 * 1024;
/// What a last line of a log may be at most.
const LONGEST_LINE: u64 = 1024;
/// How long a process may take to be gone after SIGKILL (it may hang in the kernel).
const REAP: Duration = Duration::from_secs(1);

/// The command that starts a member. Standard input, output and error and the process group are set by [`Keeper`].
pub type CommandFor = Arc<dyn Fn(&Place) -> std::process::Command + Send + Sync>;

/// Keeps one member running.
pub struct Keeper {
    pub place: Place,
    pub command: CommandFor,
    pub events: mpsc::Sender<Event>,
    pub clock: Clock,
    /// From SIGTERM to SIGKILL.
    pub stop_limit: Duration,
    /// Ends the member in order.
    pub stop: Signal,
    /// Ends it at once.
    pub kill: Signal,
}

/// Its exit code, if it had one, and how it died.
type Death = (Option<i32>, String);

impl Keeper {
    /// Until `stop`. Codes 64 and 78 say that it can't start as things are: those are told once, and tried again at the
    /// slowest pace, because a person may set right a volume or a file without starting the whole set again.
    pub async fn run(mut self) {
        let mut delay = SHORTEST_DELAY;
        let mut told: Option<Death> = None;
        while !self.stop.is_requested() {
            let born = self.clock.boot();
            let death = match self.start() {
                Ok((child, log_from)) => match self.live(child, log_from, told.is_none()).await {
                    Some(death) => death,
                    None => return,
                },
                Err(error) => (None, format!("could not be started: {error}")),
            };
            delay = match death.0 {
                Some(64 | 78) => LONGEST_DELAY,
                _ if self.clock.boot().since(born) >= GOOD_LIFE => SHORTEST_DELAY,
                _ => delay,
            };
            if told.as_ref() != Some(&death) || delay < LONGEST_DELAY {
                let ordinal = self.place.ordinal;
                self.tell(Event::Exited {
                    ordinal,
                    code: death.0,
                    how: death.1.clone(),
                    again_in: delay,
                });
            }
            told = (delay == LONGEST_DELAY).then_some(death);
            tokio::select! {
                biased;
                () = self.stop.requested() => return,
                () = sleep(delay) => {}
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// The process, and how long its log was before.
    fn start(&self) -> io::Result<(Child, u64)> {
        let log = open_log(&self.place.log_file)?;
        let log_from = log.metadata()?.len();
        let mut command = Command::from((self.command)(&self.place));
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        // Its own group: ^C on the terminal reaches the supervisor alone, which then ends the members in order.
        command.process_group(0);
        // Only if this task is dropped or panics; otherwise end() has been there before.
        command.kill_on_drop(true);
        Ok((command.spawn()?, log_from))
    }

    /// One life. None when it was ended as asked.
    async fn live(&mut self, mut child: Child, log_from: u64, tell_at_once: bool) -> Option<Death> {
        let ordinal = self.place.ordinal;
        let pid = child.id().unwrap_or_default();
        if let Err(error) = write_whole(&self.place.pid_file, &format!("{pid}\n")) {
            self.tell(Event::Trouble(format!("{}: {error}", self.place.pid_file.display())));
        }
        let mut told = tell_at_once;
        if told {
            self.tell(Event::Started { ordinal, pid });
        }
        // tokio's wait() would close it: the open end is what tells the member that we live.
        let _open_while_it_runs = child.stdin.take();
        let good = Instant::now() + GOOD_LIFE;
        let status = loop {
            tokio::select! {
                biased;
                () = self.stop.requested() => {
                    let how = self.end(&mut child).await;
                    remove(&self.place.pid_file);
                    self.tell(Event::Ended { ordinal, how });
                    return None;
                }
                status = child.wait() => break status,
                () = sleep_until(good), if !told => {
                    told = true;
                    self.tell(Event::Started { ordinal, pid });
                }
            }
        };
        remove(&self.place.pid_file);
        let code = status.as_ref().ok().and_then(ExitStatus::code);
        Some((code, reason(&status, last_line(&self.place.log_file, log_from))))
    }

    /// SIGTERM, a bounded wait, SIGKILL. SIGCONT as well: a stopped process would not see the SIGTERM.
    async fn end(&mut self, child: &mut Child) -> String {
        // The id is None once the process was waited for, so that no other process can be hit.
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have died just now; then wait() says how.
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

    /// A reader of the events that is slow (a terminal that was stopped) must not keep a member from being restarted:
    /// with the queue full, the line is lost.
    fn tell(&self, event: Event) {
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

/// What the process that just ended said last; `from` is where its part of the log begins.
fn last_line(path: &Path, from: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE).max(from)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(LONGEST_LINE).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    // It goes to a terminal: nothing of it may steer that.
    Some(line.chars().filter(|c| !c.is_control()).collect())
}

/// Whoever reads the file sees all of it or none.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("pid.new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

/// An old pid is worse than none: the number may be another process's by now.
fn remove(pid_file: &Path) {
    if let Err(error) = fs::remove_file(pid_file)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %pid_file.display(), %error, "a process id file could not be removed");
    }
}
