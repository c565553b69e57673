//! The elector of client-go: a Go program, built from pinned modules and run as processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::Pid;
use tempfile::NamedTempFile;

use crate::harness::until;

/// The program, built once for all tests.
pub fn program() -> &'static Path {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| build(".", "elector"));
    BUILT.as_deref().unwrap_or_else(|error| panic!("{error}"))
}

/// Builds a package of tests/interop's Go module.
pub fn build(package: &str, name: &str) -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let built = Command::new("go")
        .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(package)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop"))
        .status();
    match built {
        Ok(status) if status.success() => Ok(program),
        Ok(_) => Err("go build failed in tests/interop: it says above why".to_owned()),
        Err(error) => Err(format!(
            "go can't be run ({error}): install Go 1.25 or later (https://go.dev/dl/), which builds what tests/interop compares with"
        )),
    }
}

/// What the elector is told.
pub struct Standing<'a> {
    pub kubeconfig: &'a str,
    pub namespace: &'a str,
    pub lease: &'a str,
    pub identity: &'a str,
    /// LeaseDuration, RenewDeadline and RetryPeriod, in whole seconds.
    pub durations: [Duration; 3],
    /// ReleaseOnCancel.
    pub releases: bool,
}

/// A running elector; killed when it is dropped.
pub struct Elector {
    child: Child,
    events: NamedTempFile,
    log: NamedTempFile,
}

impl Elector {
    pub fn start(standing: &Standing) -> Elector {
        let (events, log) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        let [duration, deadline, retry] = standing.durations.map(|time| format!("{}s", time.as_secs()));
        let child = Command::new(program())
            .args(["-kubeconfig", standing.kubeconfig, "-namespace", standing.namespace])
            .args(["-lease", standing.lease, "-identity", standing.identity])
            .args([
                "-lease-duration",
                &duration,
                "-renew-deadline",
                &deadline,
                "-retry-period",
                &retry,
            ])
            .arg(format!("-release-on-cancel={}", standing.releases))
            .stdin(Stdio::null())
            .stdout(events.reopen().unwrap())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut elector = Elector { child, events, log };
        until("an elector that has seen the Lease", || {
            let ended = elector.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", elector.log());
            elector.log().contains("Attempting to acquire").then_some(())
        });
        elector
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it reported: a line of JSON for each event.
    pub fn events(&self) -> String {
        fs::read_to_string(self.events.path()).unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Waits for its end, and gives its events and its log.
    pub fn ended(mut self) -> (String, String) {
        until("an elector's end", || self.child.try_wait().unwrap());
        (self.events(), self.log())
    }
}

impl Drop for Elector {
    #[allow(clippy::print_stdout)] // the only stream that libtest keeps apart by test
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- an elector ---\n{}{}", self.events(), self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails on a complaint of client-go that contention, an end or a pause doesn't explain: above all, on one about the form of
/// what a member wrote.
pub fn check_log(log: &str) {
    let explained = [
        "the object has been modified",
        "context ",
        "Client.Timeout",
        "connection",
    ];
    for line in log.lines() {
        let informs = line.starts_with(['I', 'W']);
        assert!(
            informs || explained.iter().any(|part| line.contains(part)),
            "client-go: {line}"
        );
    }
}
