//! A running set of shell scripts, and ways to look at it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use random_generator::clock::Clock;
use random_generator::local::layout::{ClusterError, Layout, Place};
use random_generator::local::output::Output;
use random_generator::local::supervisor::Supervisor;
use random_generator::shutdown::{self, Trigger};
use rustix::process::Pid;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::waiting::{PATIENCE, eventually};

const SERVICE: &str = "rg.default.svc.cluster.local";
/// Lives until SIGTERM, SIGKILL or the end of standard input.
pub const LIVES: &str = "read x";

/// What was written, for all to see.
#[derive(Clone, Default)]
pub struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn lines_with(&self, part: &str) -> Vec<String> {
        self.text()
            .lines()
            .filter(|line| line.contains(part))
            .map(str::to_owned)
            .collect()
    }
}

pub struct Running {
    pub dir: TempDir,
    pub layout: Layout,
    pub screen: Screen,
    pub stop: Trigger,
    pub kill: Trigger,
    pub tasks: JoinSet<Result<(), ClusterError>>,
}

/// Tests run at the same time, and each asks for ports of its own. Below the kernel's ephemeral range, so that no
/// connection of another test takes one in between.
pub fn next_base() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let part = (std::process::id() % 80) as u16 * 100;
    20_000 + part + NEXT.fetch_add(40, Ordering::SeqCst) % 4_000
}

pub async fn prepared(dir: &Path, members: u16) -> (Layout, Supervisor) {
    for _ in 0..100 {
        let layout = Layout::new("rg", members, next_base(), dir).unwrap();
        let limit = Duration::from_secs(15);
        match Supervisor::prepare(layout.clone(), "rg", SERVICE, Clock::system(), limit).await {
            Ok(supervisor) => return (layout, supervisor),
            Err(ClusterError::PortInUse { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no free ports")
}

/// A set whose member n runs `script(n)`; `$DIR` is the data directory, `$N` the ordinal.
pub async fn running(
    members: u16,
    json: bool,
    script: impl Fn(u16) -> &'static str + Send + Sync + 'static,
) -> Running {
    running_in(tempfile::tempdir().unwrap(), members, json, script).await
}

pub async fn running_in(
    dir: TempDir,
    members: u16,
    json: bool,
    script: impl Fn(u16) -> &'static str + Send + Sync + 'static,
) -> Running {
    let (layout, supervisor) = prepared(dir.path(), members).await;
    let screen = Screen::default();
    let output = Output::new(
        Box::new(screen.clone()),
        json,
        false,
        Clock::system(),
        layout.members.clone(),
    );
    let (stop, stopped) = shutdown::stage();
    let (kill, killed) = shutdown::stage();
    let data_dir = dir.path().to_owned();
    let command = Arc::new(move |place: &Place| {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script(place.ordinal)])
            .env("DIR", &data_dir)
            .env("N", place.ordinal.to_string());
        command
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(supervisor.run(command, output, stopped, killed));
    Running {
        dir,
        layout,
        screen,
        stop,
        kill,
        tasks,
    }
}

pub fn is_alive(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

/// The third field of /proc/PID/stat and the fifth: state and process group.
pub fn state(pid: Pid) -> (String, String) {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[0].to_owned(), fields[2].to_owned())
}

impl Running {
    pub fn pid(&self, n: usize) -> Option<Pid> {
        let text = fs::read_to_string(&self.layout.members[n].pid_file).ok()?;
        Pid::from_raw(text.strip_suffix('\n').expect("the file is whole").parse().unwrap())
    }

    pub async fn pids(&self) -> Vec<Pid> {
        let all = || (0..self.layout.members.len()).map(|n| self.pid(n)).collect();
        eventually("all pid files", async || all()).await
    }

    pub fn births(&self) -> Vec<Duration> {
        let text = fs::read_to_string(self.dir.path().join("births")).unwrap_or_default();
        text.lines()
            .map(|line| Duration::from_nanos(line.parse().unwrap()))
            .collect()
    }

    pub async fn ended(&mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.tasks.join_next())
            .await
            .expect("it ends");
        ended.unwrap().unwrap().unwrap();
    }
}
