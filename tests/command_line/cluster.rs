//! `cluster` as far as its command line goes; tests/cluster_supervisor has what it does.

use std::net::TcpListener;

use crate::harness::{free_base, program, run_command};

/// The port is taken, so that no member is ever started: what is wrong with arguments is told before.
#[test]
fn the_lease_may_be_elsewhere_by_an_argument_or_by_a_variable() {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base();
    let _taken = TcpListener::bind(("127.0.0.1", base)).unwrap();
    let (port, data) = (base.to_string(), dir.path().join("data"));
    let line = [
        "cluster",
        "--members",
        "1",
        "--base-port",
        &port,
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let ended = |arguments: &[&str], store: Option<&str>| {
        let mut command = program();
        command.args(line).args(arguments);
        command.envs(store.map(|store| ("RANDOM_GENERATOR_LEASE_STORE", store)));
        run_command(&mut command)
    };
    let here = ended(&[], None);
    assert!(here.line().contains("in use"), "{}", here.line());
    for (arguments, store) in [
        (&["--lease-store", "kubernetes", "--kubeconfig", "k"][..], None),
        (&["--lease-store=kubernetes", "--kubeconfig", "k"], None),
        (&["--kubeconfig", "k"], Some("kubernetes")),
        // The argument wins.
        (&["--lease-store", "directory"], Some("kubernetes")),
    ] {
        let elsewhere = ended(arguments, store);
        assert_eq!(
            (elsewhere.code, elsewhere.line()),
            (here.code, here.line()),
            "{arguments:?} {store:?}"
        );
    }
    let wrong = ended(&["--lease-store", "paper"], None);
    assert_eq!(wrong.code, Some(64), "{}", wrong.stderr);
    assert!(wrong.line().contains("'paper'"), "{}", wrong.line());
}

#[test]
fn what_cluster_sets_itself_and_what_was_renamed_is_refused_in_one_line_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let cluster = ["cluster", "--members", "1", "--data-dir", data.to_str().unwrap()];
    for (argument, expected) in [
        (
            "--lease-directory",
            "`cluster` sets --lease-directory for each member itself",
        ),
        ("--pod-name", "`cluster` sets --pod-name for each member itself"),
        ("--lease-file", "--lease-file is --lease-directory now"),
    ] {
        for value in [&[argument, "rg-7"][..], &[&format!("{argument}=rg-7")]] {
            let refused = run_command(program().args(cluster).args(value));
            assert_eq!(refused.code, Some(64), "{}", refused.stderr);
            assert!(refused.line().contains(expected), "{}", refused.stderr);
        }
    }
    assert!(!data.exists());
    let mut command = program();
    command.args(cluster).args(["--pod-name", "rg-7"]);
    let hinted = run_command(command.env("RANDOM_GENERATOR_LEASE_FILE", "lease.db")).stderr;
    assert!(hinted.contains("RANDOM_GENERATOR_LEASE_DIRECTORY"), "{hinted}");
}
