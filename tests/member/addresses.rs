//! Where a member listens: in both families where the host has both, and in the other where one is missing.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::families::{LINK_LOCAL, in_own_network, without_ipv6};
use crate::harness::{PATIENCE, program, run_command};
use crate::waiting::until;

/// A member at ports that the kernel chose.
struct Listening {
    child: Child,
    log: NamedTempFile,
    _dir: TempDir,
}

const ANY_PORT: [&str; 9] = [
    "serve",
    "--public-listen",
    ":0",
    "--peer-listen",
    ":0",
    "--admin-listen",
    "localhost:0",
    "--metrics-listen",
    ":0",
];

impl Listening {
    fn start(mut command: std::process::Command, dir: TempDir) -> Listening {
        let log = NamedTempFile::new().unwrap();
        let child = command
            .args(ANY_PORT)
            .arg("--data-dir")
            .arg(dir.path().join("rg-0"))
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Listening { child, log, _dir: dir }
    }

    /// What its log says of a listener.
    fn bound(&self, listener: &str) -> String {
        let line = until("the line of the log", || {
            let log = fs::read_to_string(self.log.path()).unwrap();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == "listening")
        });
        line[listener].as_str().unwrap().to_owned()
    }

    fn port(&self, listener: &str) -> u16 {
        self.bound(listener).rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of an answer.
fn ask(ip: &str, port: u16, path: &str) -> u16 {
    let answer = until("an answer", || {
        let mut stream = TcpStream::connect((ip, port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.to_owned()
        };
        let head = format!("GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    });
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

const PATHS: [(&str, &str, u16); 4] = [
    ("public", "/livez", 200),
    ("peer", "/v1/heads", 405),
    ("admin", "/log-level", 200),
    ("metrics", "/metrics", 200),
];

#[test]
fn every_listener_answers_in_both_families() {
    let member = Listening::start(program(), tempfile::tempdir().unwrap());
    for (listener, path, status) in PATHS {
        for ip in ["127.0.0.1", "::1"] {
            assert_eq!(ask(ip, member.port(listener), path), status, "{listener} at {ip}");
        }
    }
    for listener in ["public", "peer", "metrics"] {
        assert!(
            member.bound(listener).starts_with("[::]:"),
            "{}",
            member.bound(listener)
        );
    }
    let port = member.port("admin");
    assert_eq!(member.bound("admin"), format!("127.0.0.1:{port} and [::1]:{port}"));
}

#[test]
fn without_ipv6_every_listener_answers_over_ipv4() {
    let dir = tempfile::tempdir().unwrap();
    let member = Listening::start(without_ipv6(program(), dir.path()), dir);
    for (listener, path, status) in PATHS {
        assert_eq!(ask("127.0.0.1", member.port(listener), path), status, "{listener}");
        let host = if listener == "admin" { "127.0.0.1" } else { "0.0.0.0" };
        let bound = member.bound(listener);
        assert_eq!(bound, format!("{host}:{}", member.port(listener)));
    }
}

/// Starts a member without any argument, asks it at these URLs, and stops it.
fn defaults(settings: &[(&str, &str)], urls: &[&str], admin: &[&str]) -> String {
    defaults_after("", settings, urls, admin)
}

/// As `defaults`, after these lines of shell.
fn defaults_after(before: &str, settings: &[(&str, &str)], urls: &[&str], admin: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let program = format!("env -i {}", program().get_program().display());
    let mut script = format!("{before}cd {}\n{program} serve &\nmember=$!\n", dir.path().display());
    script += &format!(
        "until {program} health {} >/dev/null 2>&1; do kill -0 $member; sleep 0.02; done\n",
        urls.join(" ")
    );
    for url in admin {
        script += &format!("{program} admin ledger --admin {url} >/dev/null\n");
    }
    script += "kill $member\nwait $member\n";
    let mut command = in_own_network(settings, &script);
    let ended = run_command(&mut command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stderr
}

#[test]
fn the_defaults_take_both_families_though_the_host_separates_them() {
    let both = ["http://127.0.0.1:8080", "http://[::1]:8080"];
    let log = defaults(
        &[("bindv6only", "1")],
        &both,
        &["http://127.0.0.1:8082", "http://[::1]:8082"],
    );
    assert!(log.contains("\"public\":\"[::]:8080\""), "{log}");
}

#[test]
fn the_defaults_work_where_ipv6_is_turned_off() {
    let off = [("conf/all/disable_ipv6", "1"), ("conf/default/disable_ipv6", "1")];
    let log = defaults(&off, &["http://127.0.0.1:8080"], &["http://127.0.0.1:8082"]);
    assert!(log.contains("\"admin\":\"127.0.0.1:8082\""), "{log}");
}

#[test]
fn a_url_may_name_the_zone_of_a_link_local_address_and_a_host_in_upper_case() {
    defaults_after(
        LINK_LOCAL,
        &[],
        &[
            "http://[fe80::1%25lo]:8080",
            "http://[FE80::1%lo]:8080",
            "http://LOCALHOST:8080",
        ],
        &["http://LocalHost:8082"],
    );
}
