//! Which members a command asks, and in what order.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{PATIENCE, program, run, run_command, until};
use crate::listener::{Listener, answer, closed};

#[test]
fn a_member_that_is_named_twice_is_asked_and_reported_once() {
    let member = Listener::saying(200, r#"{"ready":true}"#);
    let (url, other) = (member.url(), closed());
    let health = run(&["health", "--json", &url, &other, &format!("{url}/"), &other]);
    assert_eq!(health.code, Some(75), "{}", health.stderr);
    assert_eq!(health.stdout.lines().count(), 2, "{}", health.stdout);
    assert_eq!(member.paths(), ["/livez", "/readyz"]);
}

#[test]
fn a_member_that_is_named_in_upper_and_lower_case_is_one() {
    let member = Listener::saying(200, r#"{"ready":true}"#);
    let port = member.address.port();
    let (lower, upper) = (format!("http://localhost:{port}"), format!("HTTP://LocalHost:{port}/"));
    let health = run(&["health", "--json", &lower, &upper]);
    assert_eq!(health.code, Some(0), "{}", health.stderr);
    assert_eq!(member.paths(), ["/livez", "/readyz"]);
}

#[test]
fn a_member_without_a_scheme_is_answered_with_the_url_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("localhost:8080");
    let verify = run_command(program().args(["verify", "localhost:8080"]).current_dir(&dir));
    assert_eq!(verify.code, Some(74));
    let line = verify.line();
    assert!(line.ends_with("; for a member, write http://localhost:8080"), "{line}");
    // A file of that name is one.
    std::fs::write(&file, "").unwrap();
    let verify = run_command(program().args(["verify", "localhost:8080"]).current_dir(&dir));
    assert_eq!(
        (verify.code, verify.line().contains("write http")),
        (Some(65), false),
        "{}",
        verify.line()
    );
    for command in [
        &["health", "localhost:8080"][..],
        &["get", "number", "localhost:8080/"],
        &["draws", "localhost:8080/draws"],
        &["admin", "journal", "--admin", "localhost:8080"],
    ] {
        let ended = run(command);
        assert_eq!(ended.code, Some(64), "{command:?}");
        let line = ended.line();
        assert!(line.contains(": expected a URL: write http://localhost:8080"), "{line}");
    }
}

#[test]
fn status_asks_the_first_member_that_answers_and_ends_as_the_set_is() {
    let silent = r#"{"since":"2027-01-15T07:59:41.101377Z","why":"DNS doesn't list it"}"#;
    let set = format!(
        r#"{{"self":"rg-0","at":"2027-01-15T08:00:00Z","age_ms":1,"members":[{{"name":"rg-0","ordinal":0,"self":true,"published":false,"silent":{silent},"report":null,"report_age_ms":null}}]}}"#
    );
    let member = Listener::saying(200, &set);
    let json = run(&["status", "--json", &closed(), &member.url()]);
    assert_eq!(
        (json.code, json.line()),
        (Some(75), "random-generator: not ready: rg-0")
    );
    assert_eq!(json.stdout, set + "\n");
    assert_eq!(member.paths(), ["/set"]);
    let table = run(&["status", &member.url()]);
    assert!(
        table
            .stdout
            .starts_with("rg-0 sees 1 member at 2027-01-15T08:00:00Z\nMEMBER "),
        "{table:?}"
    );
    let other = Listener::saying(200, "{}");
    assert_eq!(run(&["status", &other.url()]).code, Some(65));
    assert_eq!(run(&["status", &closed()]).code, Some(75));
}

fn watching(more: &[&str]) -> Child {
    let mut command = program();
    command.args(["status", "--watch"]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The first lines of what it writes, until `enough`; then nobody reads it any more, and it ends.
fn read_until(mut child: Child, enough: impl Fn(&str) -> bool) -> String {
    let reader = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    // Ends, and closes the pipe, with the line after the last that is wanted.
    let reading = std::thread::spawn(move || {
        reader
            .lines()
            .map_while(Result::ok)
            .all(|line| sender.send(line).is_ok());
    });
    let mut text = String::new();
    while !enough(&text) {
        let Ok(line) = lines.recv_timeout(PATIENCE) else {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no more lines after: {text}");
        };
        text += &(line + "\n");
    }
    drop(lines);
    let code = until("its end", || child.try_wait().unwrap()).code();
    reading.join().unwrap();
    assert_eq!(code, Some(0));
    text
}

fn set_of(own: &str) -> String {
    format!(r#"{{"self":"{own}","at":"2027-01-15T08:00:00Z","age_ms":1,"members":[]}}"#)
}

#[test]
fn a_status_that_is_watched_comes_every_second_from_another_member_when_one_fails_until_nobody_reads() {
    let failed = AtomicBool::new(false);
    let failing = Listener::start(move |_, stream| {
        let status = if failed.swap(true, Ordering::SeqCst) { 503 } else { 200 };
        answer(stream, status, set_of("rg-0").as_bytes());
    });
    let other = Listener::saying(200, &set_of("rg-1"));
    let lines = read_until(watching(&["--json", &failing.url(), &other.url()]), |text| {
        text.lines().count() == 3
    });
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [set_of("rg-0"), set_of("rg-1"), set_of("rg-1")]
    );
    assert_eq!(failing.paths(), ["/set"; 3], "asked first, and then in order");
}

#[test]
fn where_nothing_can_be_written_over_each_screen_follows_below_the_last_one() {
    let member = Listener::saying(200, &set_of("rg-0"));
    let two = "rg-0 sees 0 members at 2027-01-15T08:00:00Z\nMEMBER  NODE  VERSION  SINCE  READY  VOLUME  JOURNAL  LAG  ROUNDS  NOTES\n\n";
    let text = read_until(watching(&[&member.url()]), |text| text.len() >= 2 * two.len());
    assert_eq!(text, two.repeat(2));
    // Nobody answers: the screen says so, and it goes on.
    let text = read_until(watching(&[&closed()]), |text| {
        text.matches("is the member running?").count() == 2
    });
    assert!(!text.contains('\u{1b}'), "{text}");
}
