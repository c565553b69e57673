//! Sets with IPv6 addresses, and with addresses of both families that they serve one of.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ended, free_base, program, run};
use crate::set::{Dns, SERVICE};
use crate::waiting::until;

/// Members that find each other, each at an address of its own choice.
struct Set {
    dir: TempDir,
    dns: Dns,
    bases: Vec<u16>,
    running: Vec<Child>,
}

impl Set {
    /// DNS says that each is at all of `published`; member n is at `serves[n]`.
    fn start(nameserver: &str, published: &[&str], serves: &[&str]) -> Set {
        let dir = tempfile::tempdir().unwrap();
        let dns = Dns::start_at(nameserver);
        let bases: Vec<u16> = serves.iter().map(|_| free_base()).collect();
        let members: Vec<(u16, u16)> = (0..).zip(bases.iter().copied()).collect();
        dns.publish_at(&members, published);
        let mut set = Set {
            dir,
            dns,
            bases,
            running: Vec::new(),
        };
        for (ordinal, host) in serves.iter().enumerate() {
            let log = File::create(set.dir.path().join(format!("{ordinal}.log"))).unwrap();
            let mut command = program();
            command.arg("serve");
            for (at, listener) in (0..).zip(["public", "peer", "admin", "metrics"]) {
                let address = format!("{host}:{}", set.bases[ordinal] + at);
                command.args([format!("--{listener}-listen"), address]);
            }
            for (argument, value) in [
                ("--pod-name", format!("rg-{ordinal}")),
                ("--data-dir", set.path(&format!("rg-{ordinal}"))),
                ("--discovery-name", SERVICE.to_owned()),
                ("--discovery-nameserver", set.dns.address.to_string()),
                ("--discovery-interval", "500ms".to_owned()),
                ("--lease-directory", set.path("lease")),
                ("--lease-duration", "2s".to_owned()),
                ("--draw-schedule", "@every 1s".to_owned()),
                ("--voters", serves.len().to_string()),
            ] {
                command.args([argument.to_owned(), value]);
            }
            set.running
                .push(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        }
        set
    }

    fn path(&self, below: &str) -> String {
        self.dir.path().join(below).to_str().unwrap().to_owned()
    }

    /// A command about all members.
    fn ask(&self, command: &[&str]) -> Ended {
        let (nameserver, service) = (self.dns.address.to_string(), format!("srv://{SERVICE}"));
        run(&[command, &["--discovery-nameserver", &nameserver, &service]].concat())
    }

    /// Once all are ready, and each gave to a draw.
    fn until_all_draw(&self) {
        let all = self.bases.len();
        until("all are ready", || {
            let health = self.ask(&["health", "--json"]);
            (health.code == Some(0) && health.stdout.lines().count() == all).then_some(())
        });
        until("a draw of all", || {
            let draws = self.ask(&["draws", "--json"]);
            let mut records = draws
                .stdout
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            records.find(|record| record["contributions"].as_array().unwrap().len() == all)
        });
    }

    fn assert_answers(&self, command: &[&str]) -> String {
        let ended = self.ask(command);
        assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
        ended.stdout
    }
}

impl Drop for Set {
    #[allow(clippy::print_stdout)] // the only stream that libtest keeps apart by test
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for ordinal in 0..self.running.len() {
                let log = std::fs::read_to_string(self.path(&format!("{ordinal}.log")));
                println!("--- rg-{ordinal} ---\n{}", log.unwrap());
            }
        }
    }
}

const COMMANDS: [&[&str]; 5] = [
    &["get", "integers", "--count", "3"],
    &["draws"],
    &["verify"],
    &["peers"],
    &["leader"],
];

#[test]
fn a_set_with_ipv6_addresses_draws_and_answers_every_command() {
    let set = Set::start("[::1]:0", &["::1"], &["[::1]"; 3]);
    set.until_all_draw();
    for command in COMMANDS {
        set.assert_answers(command);
    }
    let url = format!("http://[::1]:{}/", set.bases[0]);
    for command in COMMANDS.iter().chain([&["health"][..]].iter()) {
        let ended = run(&[command, &[url.as_str()][..]].concat());
        assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    }
    let admin = format!("http://[::1]:{}", set.bases[0] + 2);
    let ended = run(&["admin", "ledger", "--admin", &admin]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn members_and_commands_try_the_address_of_the_other_family() {
    let both = ["127.0.0.1", "::1"];
    let set = Set::start("127.0.0.1:0", &both, &["[::1]", "127.0.0.1", "[::1]"]);
    set.until_all_draw();
    for command in COMMANDS {
        set.assert_answers(command);
    }
    let mut follow = program()
        .args(["draws", "--follow", "--discovery-nameserver"])
        .args([set.dns.address.to_string(), format!("srv://{SERVICE}")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("ROUND"));
    assert!(lines.next().unwrap().unwrap().contains("3 of 3"));
    follow.kill().unwrap();
    follow.wait().unwrap();
}
