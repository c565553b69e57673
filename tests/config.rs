//! Wrong arguments, as the operator meets them: exit code 64 and one line that names them and what is allowed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::process::{Command, Output};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_random-generator"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The one line on standard error of a run that ended with 64.
fn refusal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(arguments, variables);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{arguments:?}: {line}");
    assert_eq!(line.matches('\n').count(), 1, "one line: {line}");
    assert!(line.starts_with("random-generator: ") && line.ends_with('\n'), "{line}");
    assert!(output.stdout.is_empty());
    line
}

#[track_caller]
fn names(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing in: {line}");
    }
}

#[test]
fn an_unknown_argument_is_named_with_the_one_that_was_probably_meant() {
    names(
        &refusal(&["serve", "--lease-duratoin", "15s"], &[]),
        &["--lease-duratoin", "--lease-duration", "--help"],
    );
    names(&refusal(&["serv"], &[]), &["serv", "serve"]);
    names(&refusal(&["--voterz", "3"], &[]), &["--voterz", "--voters"]);
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    names(
        &refusal(&["serve", "--durability", "always"], &[]),
        &["--durability", "none, crash, power"],
    );
    names(
        &refusal(&["serve", "--drain-limit", "20"], &[]),
        &["--drain-limit", "1.5s"],
    );
    names(
        &refusal(&["serve", "--journal-max", "10mb"], &[]),
        &["--journal-max", "10MiB"],
    );
    names(
        &refusal(&["serve", "--public-listen", "8080"], &[]),
        &["--public-listen", "0.0.0.0:8080"],
    );
    for wrong in [
        "[::1",
        "[::1]",
        "::1:8080",
        "[::1]:http",
        "[::1]:65536",
        ":",
        "localhost",
        "rg-0:8080",
    ] {
        names(
            &refusal(&["serve"], &[("RANDOM_GENERATOR_ADMIN_LISTEN", wrong)]),
            &["--admin-listen", wrong, "[::1]:8080", ":8080 for all", "localhost:8080"],
        );
    }
    names(&refusal(&["serve", "--voters", "33"], &[]), &["--voters", "1 to 32"]);
    names(&refusal(&["serve", "--pod-name", "RG_0"], &[]), &["--pod-name", "rg-0"]);
    names(
        &refusal(&["serve", "--draw-schedule", "@reboot"], &[]),
        &["--draw-schedule", "@reboot", "@every", "@daily"],
    );
    names(
        &refusal(&["serve", "--connection-limit", "0"], &[]),
        &["--connection-limit", "1..=1000000"],
    );
}

#[test]
fn arguments_that_contradict_each_other_are_both_named() {
    names(
        &refusal(
            &["serve", "--lease-duration", "10s", "--lease-renew-deadline", "12s"],
            &[],
        ),
        &["--lease-duration 10s", "--lease-renew-deadline 12s"],
    );
    names(
        &refusal(&["serve", "--lease-retry", "9s"], &[]),
        &["--lease-renew-deadline 10s", "--lease-retry 9s"],
    );
    names(
        &refusal(&["serve", "--voters", "3"], &[]),
        &["--voters 3", "--discovery-name"],
    );
    names(
        &refusal(&["serve", "--admin-listen", "127.0.0.1:8080"], &[]),
        &["--public-listen", "--admin-listen", "8080"],
    );
}

#[test]
fn a_wrong_variable_is_named_as_it_was_written() {
    names(
        &refusal(&["serve"], &[("RANDOM_GENERATOR_LEASE_DURATION", "soon")]),
        &["RANDOM_GENERATOR_LEASE_DURATION", "soon", "1.5s"],
    );
    names(&refusal(&[], &[("POD_NAME", "Not A Pod")]), &["POD_NAME", "--pod-name"]);
}

#[test]
fn an_argument_wins_over_its_variable() {
    // The variable alone would be refused for another reason, before the argument's.
    let variables = [("RANDOM_GENERATOR_VOTERS", "99")];
    names(&refusal(&["serve"], &variables), &["RANDOM_GENERATOR_VOTERS"]);
    names(
        &refusal(&["serve", "--voters", "3"], &variables),
        &["--voters 3 needs --discovery-name"],
    );
}

#[test]
fn variables_that_kubernetes_injects_beside_a_service_of_this_name_change_nothing() {
    let injected = [
        ("RANDOM_GENERATOR_PORT", "tcp://10.96.0.7:8080"),
        ("RANDOM_GENERATOR_PORT_8080_TCP", "tcp://10.96.0.7:8080"),
        ("RANDOM_GENERATOR_SERVICE_HOST", "10.96.0.7"),
        ("RANDOM_GENERATOR_SERVICE_PORT", "8080"),
    ];
    // Reaches the check across arguments, which comes after all single values were taken.
    names(
        &refusal(&["serve", "--voters", "3"], &injected),
        &["--voters 3", "--discovery-name"],
    );
}

#[test]
fn a_new_chain_is_never_begun_without_being_confirmed() {
    names(&refusal(&["ledger", "restart"], &[]), &["--yes"]);
}

#[test]
fn help_and_version_go_to_standard_output_and_end_well() {
    for argument in ["--help", "--version"] {
        let output = run(&[argument], &[]);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty() && !output.stdout.is_empty());
    }
    let help = String::from_utf8(run(&["serve", "--help"], &[]).stdout).unwrap();
    for heading in [
        "Identity:",
        "Volume:",
        "Listeners:",
        "Draw:",
        "Lease:",
        "Discovery:",
        "Shutdown:",
        "Logs:",
        "Examples:",
    ] {
        assert!(help.contains(heading), "{heading} is missing");
    }
    assert!(
        !help.contains("stop-with-parent"),
        "what only `cluster` uses is not for people"
    );
}
