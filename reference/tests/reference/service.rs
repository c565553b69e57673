//! One process of the service, with a directory of its own in the place of `/`.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::harness::{Reply, ask, program, until};

pub struct Service {
    child: Child,
    log: NamedTempFile,
    pub root: TempDir,
}

/// A directory that has `tmp`.
pub fn root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tmp")).unwrap();
    root
}

impl Service {
    /// Starts with these variables, and waits until it listens.
    pub fn start(variables: &[(&str, &str)]) -> Service {
        let service = Service::spawn(root(), variables);
        service.port();
        service
    }

    pub fn spawn(root: TempDir, variables: &[(&str, &str)]) -> Service {
        Service::of(&mut program(), root, variables)
    }

    /// Another command that comes to the same.
    pub fn of(command: &mut Command, root: TempDir, variables: &[(&str, &str)]) -> Service {
        let log = NamedTempFile::new().unwrap();
        let child = command
            .current_dir(root.path())
            .env("RANDOM_GENERATOR_REFERENCE_ROOT", root.path())
            .env("SERVER_ADDRESS", "127.0.0.1")
            .env("SERVER_PORT", "0")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Service { child, log, root }
    }

    /// The first log line that has this text as its message.
    pub fn told(&self, message: &str) -> Option<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .into_iter()
            .find(|line| line["message"].as_str().is_some_and(|text| text.contains(message)))
    }

    pub fn until_told(&self, message: &str) -> Value {
        until(message, || self.told(message))
    }

    /// Once it listens.
    pub fn port(&self) -> u16 {
        let address = self.until_told("listening, in reference mode")["address"]
            .as_str()
            .unwrap()
            .to_owned();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        ask(self.port(), method, target, headers, b"").unwrap()
    }

    pub fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[])
    }

    pub fn json(&self, target: &str) -> Value {
        let reply = self.get(target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.json()
    }

    pub fn random(&self) -> i64 {
        self.json("/")["random"].as_i64().unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port())).unwrap()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub fn ready(&self) -> bool {
        self.path("tmp/random-generator-ready").exists()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Its exit code once it ends by itself, with the log and its directory.
    pub fn ended(mut self) -> (Option<i32>, String, TempDir) {
        let status = until("the end of the process", || self.child.try_wait().unwrap());
        let root = std::mem::replace(&mut self.root, tempfile::tempdir().unwrap());
        (status.code(), self.log(), root)
    }

    /// Ends it, and shows its log.
    pub fn stop(self) -> String {
        self.terminate();
        let (code, log, _) = self.ended();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- log ---\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The four fields of a line, which must be whole.
pub fn fields(line: &str) -> [&str; 4] {
    let fields: Vec<&str> = line.split(',').collect();
    let fields: [&str; 4] = fields
        .try_into()
        .unwrap_or_else(|fields| panic!("{line:?}: {fields:?}"));
    let [time, id, took, number] = fields;
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "99:99:99.999", "{line:?}");
    assert_eq!(id.len(), 36, "{line:?}");
    assert!(took.parse::<u64>().is_ok() && number.parse::<i32>().is_ok(), "{line:?}");
    fields
}
