//! What the program says of itself: help, suggestions, colour, completions and manual pages.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use random_generator::clock::Clock;

use crate::harness::{program, run, run_command};
use crate::listener::{Listener, answer, path};
use crate::waiting::until;

#[test]
fn the_main_help_has_groups_examples_and_the_exit_codes_at_its_end() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    let order = [
        "Run members:",
        "Get numbers:",
        "Look at a set:",
        "Look after a member:",
        "Other:",
        "Options:",
        "Examples:",
    ];
    let places: Vec<usize> = order.iter().map(|part| help.stdout.find(part).unwrap()).collect();
    assert!(places.is_sorted(), "{}", help.stdout);
    let end: Vec<&str> = help.stdout.trim_end().lines().rev().take(2).collect();
    assert!(end[1].starts_with("Exit codes: 0 success, 64 usage"), "{end:?}");
    assert!(!help.stdout.contains('\x1b'));
}

#[test]
fn every_command_has_an_example_that_it_would_take() {
    let mut command = random_generator::cli::command().disable_help_subcommand(true);
    command.build();
    let mut open = vec![command.clone()];
    let mut seen = 0;
    while let Some(at) = open.pop() {
        open.extend(at.get_subcommands().cloned());
        let after = at.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = after
            .lines()
            .filter_map(|line| line.strip_prefix("  random-generator "))
            .collect();
        // The actions of these two have theirs together.
        let together = ["ledger ", "admin "]
            .iter()
            .any(|group| at.get_bin_name().unwrap_or_default().contains(group));
        assert!(!examples.is_empty() || together, "{} has no example", at.get_name());
        for example in examples {
            // Up to what is the shell's, or a word of explanation; quotes need a shell to read them.
            let line = example.split(['|', '>']).next().unwrap().split("  ").next().unwrap();
            if line.trim().is_empty() || line.contains(['\'', '$']) || line.contains("...") {
                continue;
            }
            let words = std::iter::once("random-generator").chain(line.split_whitespace());
            let parsed = command.clone().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn a_slip_of_the_pen_is_answered_with_what_may_have_been_meant() {
    for (wrong, meant) in [
        (&["drwas"][..], "'draws'"),
        (&["get", "integer"], "'integers'"),
        (&["draws", "--folow"], "'--follow'"),
        (&["completions", "bahs"], "'bash'"),
    ] {
        let ended = run(wrong);
        assert_eq!(ended.code, Some(64), "{wrong:?}");
        assert!(ended.line().contains(meant), "{}", ended.line());
    }
}

const LEADER: &str =
    r#"{"holder":"rg-1_u-1","member":"rg-1","self":true,"fence":4,"acquired_at":null,"remaining_ms":5}"#;

/// What a command writes to a terminal, which script(1) makes, with `variables` set.
fn on_a_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let line = [&[env!("CARGO_BIN_EXE_random-generator")], arguments]
        .concat()
        .join(" ");
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("TERM", "xterm")
        .envs(variables.iter().copied());
    let path = std::ffi::OsString::from("/usr/bin:/bin");
    let ended = command.env("PATH", path).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn colour_is_for_terminals_and_for_who_asks_for_it() {
    let member = Listener::saying(200, LEADER);
    let url = member.url();
    let coloured = |text: &str| text.contains("\x1b[1m");
    assert!(coloured(&on_a_terminal(&["leader", &url], &[])));
    assert!(!coloured(&on_a_terminal(&["leader", &url], &[("NO_COLOR", "1")])));
    assert!(!coloured(&on_a_terminal(&["leader", &url, "--color", "never"], &[])));
    assert!(coloured(&on_a_terminal(
        &["leader", &url, "--color", "always"],
        &[("NO_COLOR", "1")]
    )));
    assert!(!coloured(&run(&["leader", &url]).stdout));
    assert!(coloured(&run(&["leader", &url, "--color", "always"]).stdout));
}

#[test]
fn random_bytes_are_not_written_to_a_terminal_unless_that_is_meant() {
    let member = Listener::saying(200, "abc");
    let url = member.url();
    let refused = on_a_terminal(&["get", "bytes", "--count", "3", &url], &[]);
    assert!(refused.contains("--hex") && !refused.contains("abc"), "{refused}");
    assert_eq!(
        on_a_terminal(&["get", "bytes", "--count", "3", "--hex", &url], &[]).trim(),
        "616263"
    );
    assert_eq!(
        on_a_terminal(&["get", "bytes", "--count", "3", "--output", "-", &url], &[]),
        "abc"
    );
}

/// One line for both would be written over by the other's.
#[test]
fn values_on_a_terminal_have_no_progress_among_them() {
    let slow = Listener::start(|head, stream| {
        let count: usize = path(head).rsplit('=').next().unwrap().parse().unwrap();
        // Progress is for what takes longer than a second.
        let (clock, second) = (Clock::system(), Duration::from_secs(1));
        let began = clock.boot();
        until("a second", || (clock.boot().since(began) > second).then_some(()));
        answer(stream, 200, "7\n".repeat(count).as_bytes());
    });
    let text = on_a_terminal(&["get", "integers", "--count", "20000", &slow.url()], &[]);
    assert_eq!(text.matches("7\r\n").count(), 20_000);
    assert!(
        !text.contains('\x1b'),
        "{:?}",
        text.split("7\r\n").find(|part| !part.is_empty())
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let out = [
        "get",
        "integers",
        "--count",
        "20000",
        "--output",
        file.to_str().unwrap(),
    ];
    let shown = on_a_terminal(&[&out[..], &[&slow.url()]].concat(), &[]);
    assert!(shown.contains("of 20000"), "{shown:?}");
}

#[test]
fn completions_are_scripts_that_their_shell_reads() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""), "{shell}");
        for word in ["random-generator", "integers", "unique"] {
            assert!(script.stdout.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let file = dir.path().join(shell);
            fs::write(&file, &script.stdout).unwrap();
            let parsed = Command::new("bash").arg("-n").arg(&file).output().unwrap();
            assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
        }
    }
    let bash = "source /dev/stdin; COMP_WORDS=(random-generator get int); COMP_CWORD=2; \
                _random__generator random-generator int get; echo \"${COMPREPLY[@]}\"";
    let script = program().args(["completions", "bash"]).output().unwrap().stdout;
    let file = dir.path().join("script");
    fs::write(&file, script).unwrap();
    let completed = Command::new("bash")
        .args(["-c", bash])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "integers");
}

#[test]
fn every_command_has_a_manual_page_that_has_no_unknown_requests() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let written = run(&["man", pages.to_str().unwrap()]);
    assert_eq!(
        (written.code, written.stdout.as_str(), written.stderr.as_str()),
        (Some(0), "", "")
    );
    let mut names: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for expected in [
        "random-generator.1",
        "random-generator-draws.1",
        "random-generator-get-integers.1",
    ] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    assert!(names.len() > 25, "{names:?}");
    for name in &names {
        let page = fs::read_to_string(pages.join(name)).unwrap();
        assert!(
            page.contains(".TH ") && page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"),
            "{name}"
        );
        // man-db and groff are not on every machine: the requests are held against those of man(7).
        for line in page.lines().filter(|line| line.starts_with('.')) {
            let request = line[1..].split(' ').next().unwrap();
            let known = ["TH", "SH", "TP", "RS", "RE", "IP", "br", "ie", "el"];
            assert!(known.contains(&request), "{name}: {line}");
        }
    }
    let main = run(&["man"]);
    assert_eq!(
        main.stdout,
        fs::read_to_string(pages.join("random-generator.1")).unwrap()
    );
    let nowhere = run(&["man", "/dev/null/man1"]);
    assert_eq!(nowhere.code, Some(74), "{}", nowhere.stderr);
}

#[test]
fn what_is_written_to_nobody_ends_quietly() {
    for arguments in [&["completions", "bash"][..], &["man"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = run_command_to(writer, arguments);
        assert_eq!(ended, (Some(0), String::new()), "{arguments:?}");
    }
    assert_eq!(run_command(program().arg("--version")).code, Some(0));
}

fn run_command_to(out: std::io::PipeWriter, arguments: &[&str]) -> (Option<i32>, String) {
    let output = program()
        .args(arguments)
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = output.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
