//! What else a Pod has around the process: service links, a read-only file system, nothing of a member.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Member, program, run_command, until, volume};
use crate::service::{Service, root};

#[test]
fn a_service_of_its_name_beside_it_changes_nothing() {
    let service = Service::start(&[
        ("RANDOM_GENERATOR_PORT", "tcp://10.0.0.1:8080"),
        ("RANDOM_GENERATOR_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("RANDOM_GENERATOR_SERVICE_HOST", "10.0.0.1"),
        ("RANDOM_GENERATOR_SERVICE_PORT", "8080"),
        ("RANDOM_GENERATOR_SERVICE_PORT_HTTP", "8080"),
    ]);
    service.random();
    assert_quiet(&service.stop());
}

fn assert_quiet(log: &str) {
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "INFO", "{line}");
    }
}

/// Ports on which a process listens.
fn listening(pid: u32) -> usize {
    let sockets: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    let tables =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        // 0A: LISTEN; the tenth field is the inode.
        fields[3] == "0A" && sockets.contains(fields[9])
    })
    .count()
}

#[test]
fn one_port_is_open_and_nothing_of_a_member_runs_or_is_written() {
    let service = Service::start(&[]);
    service.random();
    until("the file of readiness", || service.ready().then_some(()));
    assert_eq!(listening(service.pid()), 1);
    for path in ["/integers", "/draws", "/peers", "/readyz"] {
        assert_eq!(service.get(path).status, 404, "{path}");
    }
    let mut names = Vec::new();
    let mut open = vec![service.root.path().to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => names.push(path.file_name().unwrap().to_owned()),
            }
        }
    }
    assert_eq!(names, ["random-generator-ready"]);
    assert_quiet(&service.stop());
}

#[test]
fn on_a_read_only_root_it_runs_and_says_what_it_could_not_write() {
    let root = root();
    let tmp = root.path().join("tmp");
    // For root, whom permissions don't stop, the directory isn't there at all.
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(tmp.join("probe"), "").is_ok() {
        fs::remove_dir_all(&tmp).unwrap();
    }
    let log_file = tmp.join("random.log");
    let service = Service::spawn(root, &[("LOG_FILE", log_file.to_str().unwrap())]);
    service.random();
    let told = service.until_told("the file of readiness can't be written");
    assert!(told["path"].as_str().unwrap().ends_with("/tmp/random-generator-ready"));
    assert_eq!(service.get("/actuator/health").status, 200);
    service.until_told("LOG_FILE can't be written");
    service.random();
}

/// The member beside this program, which `cargo test --workspace` builds there.
fn build_member() {
    let member = Path::new(env!("CARGO_BIN_EXE_random-generator-reference")).with_file_name("random-generator");
    if !member.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        let target = member.ancestors().nth(2).unwrap();
        cargo
            .args(["build", "--package", "random-generator", "--target-dir"])
            .arg(target);
        assert!(cargo.status().unwrap().success());
    }
}

#[test]
fn with_a_part_of_a_member_configured_it_is_a_member() {
    build_member();
    let lease = tempfile::tempdir().unwrap();
    let lease = lease.path().join("lease");
    for part in [
        ["--lease-directory", lease.to_str().unwrap()],
        ["--draw-schedule", "@every 10s"],
    ] {
        let (_dir, volume) = volume();
        let member = Member::start(&volume, &part);
        assert_eq!(member.readyz().status, 200);
        assert_eq!(member.get("/shutdown").unwrap().status, 404);
        member.stop();
    }
    // By variables alone, as in a StatefulSet; one of them is wrong, and it is the member that says so.
    let ended = run_command(program().env("RANDOM_GENERATOR_VOTERS", "3"));
    assert_eq!(ended.code, Some(64));
    assert!(ended.line().contains("--discovery-name"), "{}", ended.line());
}
