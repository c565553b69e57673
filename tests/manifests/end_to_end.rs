//! How the end-to-end tests are called: what must be given, and that a cluster made for them is taken down however they end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::root;

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn make(arguments: &[&str]) -> Output {
    let mut make = Command::new("make");
    make.current_dir(root()).args(arguments).env_remove("MAKEFLAGS");
    for variable in ["KUBECONFIG", "FAULT", "IMAGE"] {
        make.env_remove(variable);
    }
    make.output().unwrap()
}

#[test]
fn what_the_end_to_end_tests_lack_is_reported_in_one_line_before_anything_is_built() {
    for (arguments, lacks) in [
        (&["e2e"][..], "KUBECONFIG is not set"),
        (&["e2e-faults", "FAULT=false"], "KUBECONFIG is not set"),
        (&["e2e-faults", "KUBECONFIG=/nowhere"], "FAULT is not set"),
    ] {
        let output = make(arguments);
        let told = told(&output);
        assert!(!output.status.success(), "{arguments:?}: {told}");
        let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with("make")).collect();
        assert!(lines.len() == 1 && lines[0].contains(lacks), "{arguments:?}: {told}");
    }
}

fn write(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/bash\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// tests/e2e/run with a cluster whose commands, as make, write down how they are called; `fails` is the target that fails.
fn run(fails: &str) -> (Output, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, tools, calls) = (
        folder.path().join("cluster"),
        folder.path().join("tools"),
        folder.path().join("calls"),
    );
    fs::create_dir(&cluster).unwrap();
    fs::create_dir(&tools).unwrap();
    let record = |name: &str| format!("echo \"{name} ${{KUBECONFIG:-}} $*\" >>{calls:?}");
    write(
        &cluster.join("up"),
        &format!("{}\necho 'it is up; export KUBECONFIG=/the/file'", record("up")),
    );
    for name in ["down", "build-image"] {
        write(&cluster.join(name), &record(name));
    }
    write(
        &tools.join("make"),
        &format!("{}\n[[ \" $* \" != *' {fails} '* ]]", record("make")),
    );
    let run = Command::new("bash")
        .args(["-c", "PATH=\"$1:$PATH\" tests/e2e/run \"$2\"", "-"])
        .args([&tools, &cluster])
        .current_dir(root())
        .env_remove("KUBECONFIG")
        .output()
        .unwrap();
    let calls = fs::read_to_string(&calls).unwrap();
    // Without what differs from run to run.
    let calls = calls.replace(folder.path().to_str().unwrap(), "…");
    let calls = calls
        .lines()
        .map(|call| call.split(" /tmp").next().unwrap().trim().to_owned());
    (run, calls.collect())
}

const GIVEN: &str = "IMAGE=random-generator:e2e CLIENT_IMAGE=random-generator-client:e2e";

#[test]
fn a_cluster_of_three_nodes_is_made_for_them_and_taken_down() {
    let (output, calls) = run("nothing");
    assert!(output.status.success(), "{}", told(&output));
    let expected = [
        "up  3",
        "build-image /the/file random-generator:e2e .",
        "build-image /the/file random-generator-client:e2e",
        "build-image /the/file docker.io/k8spatterns/random-generator:1.0 . reference",
        "build-image /the/file docker.io/k8spatterns/random-generator:2.0",
        "build-image /the/file random-generator:workshop . workshop",
        &format!("make /the/file --jobs=2 --output-sync=target e2e e2e-reference {GIVEN}"),
        &format!(
            "make /the/file e2e-faults {GIVEN} FAULT={}",
            root().join("tests/e2e/fault").display()
        ),
        &format!(
            "make /the/file workshop-check SOME=360 IMAGE=random-generator:workshop FAULT={}",
            root().join("tests/e2e/fault").display()
        ),
        "down /the/file",
    ];
    assert_eq!(calls, expected);
}

#[test]
fn the_cluster_is_taken_down_also_when_a_test_fails() {
    for (fails, last) in [
        ("e2e", "e2e"),
        ("e2e-reference", "e2e"),
        ("e2e-faults", "e2e-faults"),
        ("workshop-check", "workshop-check"),
    ] {
        let (output, calls) = run(fails);
        assert!(!output.status.success(), "{}", told(&output));
        assert_eq!(calls.last().unwrap(), "down /the/file");
        assert!(calls[calls.len() - 2].contains(last), "{calls:?}");
    }
}

#[test]
fn without_a_cluster_it_says_so_and_fails_only_where_nobody_would_read_it() {
    for (ci, succeeds) in [("", true), ("false", true), ("true", false)] {
        let output = Command::new(root().join("tests/e2e/run"))
            .arg("/nowhere")
            .env("CI", ci)
            .output()
            .unwrap();
        assert_eq!(output.status.success(), succeeds, "CI={ci}");
        assert!(told(&output).starts_with("e2e: not run"), "{}", told(&output));
    }
}

#[test]
fn an_api_server_whose_port_was_not_free_yet_is_started_once_more_and_no_other_fault_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    fs::create_dir(folder.path().join("lib")).unwrap();
    write(
        &folder.path().join("fault"),
        &format!("echo \"fault $*\" >>{calls:?}; exit 1"),
    );
    write(&folder.path().join("lib/api"), &format!("echo api >>{calls:?}"));
    for (fault, succeeds) in [("restart-api", true), ("kill", false)] {
        let status = Command::new(root().join("tests/e2e/fault"))
            .args([fault, "1"])
            .env("CLUSTER", folder.path())
            .status()
            .unwrap();
        assert_eq!(status.success(), succeeds, "{fault}");
    }
    assert_eq!(
        fs::read_to_string(&calls).unwrap(),
        "fault restart-api 1\napi\nfault kill 1\n"
    );
}
