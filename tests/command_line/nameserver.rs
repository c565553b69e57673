//! `srv://` where the system's DNS servers don't know the Service: a set on this machine, which has a DNS server of its own.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{free_base, program, run, run_command};
use crate::waiting::until;

/// Two tens of ports in a row.
fn base() -> u16 {
    loop {
        let base = free_base();
        if free_base() == base + 10 {
            return base;
        }
    }
}

#[test]
fn the_members_of_a_set_on_this_machine_are_found_by_its_own_dns_server() {
    let dir = tempfile::tempdir().unwrap();
    let (base, data) = (base().to_string(), dir.path().join("set"));
    let mut set = program()
        .args([
            "cluster",
            "--members",
            "2",
            "--json",
            "--base-port",
            &base,
            "--data-dir",
        ])
        .arg(&data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(set.stdout.take().unwrap()).lines();
    let members: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let service = format!("srv://{}", members["service"].as_str().unwrap());
    let nameserver = members["nameserver"].as_str().unwrap().to_owned();
    let ask = |command: &[&str]| run(&[command, &["--discovery-nameserver", &nameserver, &service]].concat());
    let healthy = until("both are ready", || {
        let health = ask(&["health", "--json"]);
        (health.code == Some(0)).then_some(health.stdout)
    });
    assert_eq!(healthy.lines().count(), 2, "{healthy}");
    for command in [
        &["peers"][..],
        &["leader"],
        &["draws"],
        &["get", "integers", "--count", "3"],
    ] {
        let ended = ask(command);
        assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    }
    let mut verify = program();
    verify
        .args(["verify", &service])
        .env("RANDOM_GENERATOR_DISCOVERY_NAMESERVER", &nameserver);
    let verified = until("a chain", || {
        let ended = run_command(&mut verify);
        (ended.code == Some(0)).then_some(ended.stdout)
    });
    assert!(verified.contains("verified"), "{verified}");
    // Another Service has nobody there.
    let other = run(&[
        "peers",
        "--discovery-nameserver",
        &nameserver,
        "srv://other.default.svc.cluster.local",
    ]);
    assert_eq!(other.code, Some(75), "{}", other.stderr);
    kill_process(Pid::from_child(&set), Signal::INT).unwrap();
    // Its reader stays until it has ended.
    let rest = lines.map_while(Result::ok).count();
    assert!(set.wait().unwrap().success(), "after {rest} lines");
}
