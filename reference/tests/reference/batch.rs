//! `java RandomRunner`, under the name that it has in the image.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{Ended, run, run_command, until};
use crate::pseudo_terminal::run_on_terminal;
use crate::service::{Service, fields, root};

/// A directory with the program as `java`.
fn image() -> TempDir {
    let dir = root();
    symlink(
        env!("CARGO_BIN_EXE_random-generator-reference"),
        dir.path().join("java"),
    )
    .unwrap();
    dir
}

fn java(image: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(image.path().join("java"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn lines_of(ended: &Ended, count: &str) -> Vec<String> {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let mut lines: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), format!("Starting to create {count} random numbers"));
    let last = lines.pop().unwrap();
    let ms = last
        .strip_prefix("Finished after ")
        .and_then(|rest| rest.strip_suffix(" ms"));
    assert!(ms.is_some_and(|ms| ms.parse::<u64>().is_ok()), "{last}");
    lines
}

#[test]
fn lines_go_to_standard_output_between_a_head_and_a_foot() {
    let image = image();
    for arguments in [
        &["RandomRunner", "--seed", "42", "-", "3"][..],
        &["-classpath", "/", "RandomRunner", "-", "3", "--seed", "42"],
        &["-jar", "/app.jar", "-", "3", "0", "--seed", "42"],
    ] {
        let lines = lines_of(&run_command(&mut java(&image, arguments)), "3");
        let numbers: Vec<i64> = lines.iter().map(|line| fields(line)[3].parse().unwrap()).collect();
        assert_eq!(numbers, [-1170105035, 234785527, -1360544799], "{arguments:?}");
    }
    let all = lines_of(&run_command(&mut java(&image, &["RandomRunner"])), "10000");
    assert_eq!(all.len(), 10_000);
    assert_eq!(lines_of(&run(&["batch", "-", "2"]), "2").len(), 2);
}

#[test]
fn with_no_lines_or_fewer_there_are_head_and_foot() {
    let image = image();
    for count in ["0", "-5"] {
        let ended = run_command(&mut java(&image, &["RandomRunner", "-", count]));
        assert!(lines_of(&ended, count).is_empty());
    }
}

fn whole_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| fields(line)[1].to_owned()).collect()
}

#[test]
fn processes_that_share_a_file_append_whole_lines() {
    let image = image();
    let path = image.path().join("numbers.txt");
    let arguments = ["RandomRunner", path.to_str().unwrap(), "10000"];
    let children: Vec<_> = (0..3)
        .map(|_| java(&image, &arguments).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let ids = whole_lines(&path);
    assert_eq!(ids.len(), 30_000);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3);
    // And a later one goes on after them.
    run_command(&mut java(&image, &arguments));
    assert_eq!(whole_lines(&path).len(), 40_000);
}

#[test]
fn a_device_is_a_file_as_well() {
    let image = image();
    assert!(
        lines_of(
            &run_command(&mut java(&image, &["RandomRunner", "/dev/null", "100"])),
            "100"
        )
        .is_empty()
    );
    let full = run_command(&mut java(&image, &["RandomRunner", "/dev/full", "1"]));
    assert_eq!(full.code, Some(1));
    assert!(full.line().contains("/dev/full"), "{}", full.line());
}

#[test]
fn a_mistake_is_one_line_and_exit_1() {
    let image = image();
    for arguments in [
        &["RandomRunner", "/f", "many"][..],
        &["RandomRunner", "/f", "1", "soon"],
        &["RandomRunner", "/f", "1", "0", "more"],
        &["RandomRunner", "--seed", "x"],
        &["RandomRunner", "--unknown"],
        &["RandomRunner", "/not/there/f", "1"],
        &["Hello"],
        &[],
    ] {
        let ended = run_command(&mut java(&image, arguments));
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(!ended.line().is_empty());
    }
    assert_eq!(run(&["batch", "/f", "many"]).code, Some(64));
}

#[test]
fn with_a_pause_it_begins_again_until_it_is_told_to_stop() {
    let image = image();
    let path = image.path().join("numbers.txt");
    let mut child = java(&image, &["RandomRunner", path.to_str().unwrap(), "2", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("two rounds", || {
        let lines = fs::read_to_string(&path).map_or(0, |text| text.lines().count());
        (lines >= 4).then_some(())
    });
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = until("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert_eq!(whole_lines(&path).len() % 2, 0);
}

#[test]
fn the_jar_without_arguments_is_the_service() {
    let image = image();
    let mut command = java(&image, &["-Xmx64m", "-jar", "/random-generator.jar"]);
    let service = Service::of(&mut command, image, &[]);
    assert_eq!(service.json("/")["version"], "1.0");
    service.stop();
}

#[test]
fn how_far_it_is_shows_on_a_terminal_and_nowhere_else() {
    let image = image();
    let count = "2000000";
    let quiet = run_command(&mut java(&image, &["RandomRunner", "/dev/null", count]));
    assert!(lines_of(&quiet, count).is_empty());
    let command = format!("{} RandomRunner /dev/null {count}", image.path().join("java").display());
    let how_far = format!(" of {count} lines");
    for variables in [&[("TERM", "xterm")][..], &[("TERM", "xterm"), ("NO_COLOR", "1")]] {
        let seen = run_on_terminal(&command, variables);
        assert_eq!(seen.code, Some(0), "{seen:?}");
        assert!(seen.stdout.contains(&how_far), "{seen:?}");
        assert!(!seen.stdout.contains('\u{1b}'), "{seen:?}");
    }
    // It can't write over a line.
    let dumb = run_on_terminal(&command, &[("TERM", "dumb")]);
    assert_eq!(dumb.code, Some(0), "{dumb:?}");
    assert!(
        !dumb.stdout.contains(&how_far) && !dumb.stdout.contains('\u{1b}'),
        "{dumb:?}"
    );
}
