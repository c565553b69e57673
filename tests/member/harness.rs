//! One member process, and ways to ask it.

#[path = "../chunked/mod.rs"]
mod chunked;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use random_generator::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;

use self::chunked::joined;
pub use crate::waiting::{PATIENCE, until};

/// Ten ports in a row, free a moment ago: below the kernel's ephemeral range, so that no connection takes one in between.
pub fn free_base() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let part = (std::process::id() % 150) as u16 * 50;
    for _ in 0..500 {
        let base = 22_000 + (part + NEXT.fetch_add(10, Ordering::SeqCst)) % 8_000;
        let free = |port| {
            ["127.0.0.1", "::1"]
                .iter()
                .all(|ip| TcpListener::bind((*ip, port)).is_ok())
        };
        if (base..base + 4).all(free) {
            return base;
        }
    }
    panic!("no free ports");
}

/// The program under test: a member, or what stands in for the reference image and runs the member beside it.
const PROGRAM: Option<&str> = match option_env!("CARGO_BIN_EXE_random-generator") {
    None => option_env!("CARGO_BIN_EXE_random-generator-reference"),
    member => member,
};

pub fn program() -> Command {
    let mut command = Command::new(PROGRAM.unwrap());
    // What this machine's environment says is no part of a test.
    command.env_clear().stdin(Stdio::null());
    command
}

/// How a command ended that ends by itself.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The one line of standard error that isn't a log line.
    pub fn line(&self) -> &str {
        let lines: Vec<_> = self.stderr.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(lines.len(), 1, "one line says it all: {:?}", self.stderr);
        lines[0]
    }
}

pub fn run(arguments: &[&str]) -> Ended {
    run_command(program().args(arguments))
}

/// Runs a command to its end, which must come by itself.
pub fn run_command(command: &mut Command) -> Ended {
    let (out, err) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    let mut child = command
        .stdout(out.reopen().unwrap())
        .stderr(err.reopen().unwrap())
        .spawn()
        .unwrap();
    let status = wait(&mut child);
    let text = |file: NamedTempFile| String::from_utf8(fs::read(file.path()).unwrap()).unwrap();
    Ended {
        code: status.code(),
        stdout: text(out),
        stderr: text(err),
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let clock = Clock::system();
    let began = clock.boot();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if clock.boot().since(began) > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the process did not end by itself");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An answer of HTTP.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

/// One request on a connection of its own.
pub fn ask(port: u16, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    read_reply(&mut stream)
}

pub fn read_reply(stream: &mut TcpStream) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let broken = || io::Error::other("no whole answer");
    let end = bytes
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .ok_or_else(broken)?;
    let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| broken())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.filter_map(|line| line.split_once(':'));
    let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    let body = &bytes[end + 4..];
    Ok(Reply {
        status: status.and_then(|status| status.parse().ok()).ok_or_else(broken)?,
        headers: headers
            .map(|(name, value)| (name.into(), value.trim().into()))
            .collect(),
        body: if chunked { joined(body) } else { body.to_vec() },
    })
}

/// A running `serve`; killed when it is dropped.
pub struct Member {
    child: Child,
    pub base: u16,
    log: NamedTempFile,
}

impl Member {
    /// Starts `serve` on free ports and waits until it is ready.
    pub fn start(volume: &Path, more: &[&str]) -> Member {
        for _ in 0..20 {
            let mut member = Member::spawn(free_base(), volume, more);
            if member.came_up() {
                return member;
            }
            let code = wait(&mut member.child).code();
            assert_eq!(code, Some(75), "{}", member.log());
            assert!(member.log().contains("can't listen on"), "{}", member.log());
        }
        panic!("no free ports");
    }

    /// Starts `serve` and waits until it answers, ready or not.
    pub fn start_unready(volume: &Path, more: &[&str]) -> Member {
        let member = Member::spawn(free_base(), volume, more);
        until("a live member", || {
            member.get("/livez").ok().filter(|reply| reply.status == 200)
        });
        member
    }

    /// The same at ports known before, as a restarted member has them.
    pub fn start_at(base: u16, volume: &Path, more: &[&str]) -> Member {
        let mut member = Member::spawn(base, volume, more);
        assert!(member.came_up(), "{}", member.log());
        member
    }

    pub fn arguments(base: u16, volume: &Path, more: &[&str]) -> Vec<String> {
        let mut arguments = vec!["serve".to_owned()];
        for (argument, port) in [
            ("public", base),
            ("peer", base + 1),
            ("admin", base + 2),
            ("metrics", base + 3),
        ] {
            arguments.extend([format!("--{argument}-listen"), format!("127.0.0.1:{port}")]);
        }
        arguments.extend(["--data-dir".to_owned(), volume.to_str().unwrap().to_owned()]);
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        arguments
    }

    /// Starts it, and waits for nothing.
    pub fn spawn(base: u16, volume: &Path, more: &[&str]) -> Member {
        Member::spawn_by(program(), base, volume, more)
    }

    /// The same, started by a command that takes the arguments.
    pub fn spawn_by(mut command: Command, base: u16, volume: &Path, more: &[&str]) -> Member {
        let log = NamedTempFile::new().unwrap();
        let child = command
            .args(Member::arguments(base, volume, more))
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Member { child, base, log }
    }

    /// False when the process ended instead.
    fn came_up(&mut self) -> bool {
        until("a ready member, or its end", || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            // Another process may have the port: the answer must be this one's.
            let ready = self.get("/readyz").is_ok_and(|reply| reply.status == 200);
            (ready && self.child.try_wait().unwrap().is_none()).then_some(true)
        })
    }

    pub fn get(&self, target: &str) -> io::Result<Reply> {
        ask(self.base, "GET", target, &[], b"")
    }

    pub fn json(&self, target: &str) -> Value {
        let reply = self.get(target).unwrap();
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.json()
    }

    pub fn peer(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        ask(self.base + 1, "POST", target, headers, body).unwrap()
    }

    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.base + 2)
    }

    pub fn admin(&self, target: &str) -> Value {
        ask(self.base + 2, "GET", target, &[], b"").unwrap().json()
    }

    /// The value of a metric, by its whole name with labels; 0 when it isn't there.
    pub fn metric(&self, name: &str) -> f64 {
        let text = ask(self.base + 3, "GET", "/metrics", &[], b"").unwrap().text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    pub fn readyz(&self) -> Reply {
        self.get("/readyz").unwrap()
    }

    /// Once it is stopping: it says so, or takes no more connections.
    pub fn readyz_or_closed(&self) -> Option<()> {
        let closed = |reply: io::Result<Reply>| reply.map_or(true, |reply| reply.status == 503);
        closed(self.get("/readyz")).then_some(())
    }

    /// What `/readyz` says of one part.
    pub fn degraded(&self, source: &str) -> Option<String> {
        let status = self.readyz().json();
        let degraded = status["degraded"].as_array().unwrap().clone();
        let found = degraded.iter().find(|degraded| degraded["source"] == source);
        found.map(|degraded| degraded["reason"].as_str().unwrap().to_owned())
    }

    pub fn until_degraded(&self, source: &str, part: &str) -> String {
        until(&format!("{source} degraded: {part}"), || {
            self.degraded(source).filter(|reason| reason.contains(part))
        })
    }

    /// Nothing is wrong with any part.
    pub fn until_well(&self) {
        until("nothing degraded", || {
            let status = self.readyz().json();
            (status["degraded"] == serde_json::json!([])).then_some(())
        });
    }

    /// The newest round that it reports; 0 before the first.
    pub fn round(&self) -> u64 {
        let reply = self.get("/draws/latest").unwrap();
        match reply.status {
            200 => reply.json()["round"].as_u64().unwrap(),
            _ => 0,
        }
    }

    pub fn until_round(&self, round: u64) {
        until(&format!("round {round}"), || (self.round() >= round).then_some(()));
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// kill -9, and its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code, once it ends by itself; with the log.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        (status.code(), self.log())
    }

    pub fn stop(self) {
        self.signal(Signal::TERM);
        let (code, log) = self.ended();
        assert_eq!(code, Some(0), "{log}");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for Member {
    #[allow(clippy::print_stdout)] // the only stream that libtest keeps apart by test
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- log of the member at {} ---\n{}", self.base, self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn volume() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    (dir, volume)
}

/// Overwrites a file from its beginning with what is no database.
pub fn garble(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    let mut file = File::options().write(true).open(path).unwrap();
    let noise: Vec<u8> = (0..length).map(|at| (at % 251) as u8 ^ 0x5a).collect();
    file.write_all(&noise).unwrap();
}
