//! `journal` on the volumes of members that run and that have ended.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use random_generator::clock::Clock;
use serde_json::Value;

use crate::harness::{Ended, Member, ask, program, run};
use crate::waiting::until;

fn json(ended: &Ended) -> Vec<Value> {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn asked(member: &Member, target: &str, id: &str) {
    let reply = ask(member.base, "GET", target, &[("x-request-id", id)], b"").unwrap();
    assert_eq!(reply.status, 200);
}

#[test]
fn what_was_given_is_exported_from_a_running_and_from_a_stopped_volume() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &[]);
    asked(&member, "/integers?min=1&max=6&count=5", "dice,\"two\"");
    asked(&member, "/", "one");
    asked(&member, "/ids?count=3", "three");
    let at = volume.to_str().unwrap();
    let live = run(&["journal", at, "--format", "jsonl"]);
    let rows = json(&live);
    let methods: Vec<&str> = rows.iter().map(|row| row["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["GET /integers", "GET /", "GET /ids"]);
    assert_eq!(rows[0]["parameters"], "min=1&max=6&count=5");
    assert!(rows[1]["value"].is_i64() && rows[0]["value"].is_null());
    let csv = run(&["journal", at, "--format", "csv"]).stdout;
    assert!(
        csv.starts_with("id,time,request,duration_us,method,parameters,count,value\r\n1,"),
        "{csv}"
    );
    assert!(csv.contains(",\"dice,\"\"two\"\"\",") && csv.ends_with("\r\n"), "{csv}");
    let table = run(&["journal", at]).stdout;
    assert!(
        table.starts_with("TIME ") && table.lines().count() == 4 && !table.contains('\x1b'),
        "{table}"
    );
    member.stop();
    let stopped = run(&[
        "journal",
        volume.join("journal.db").to_str().unwrap(),
        "--format",
        "jsonl",
    ]);
    assert_eq!(stopped.stdout, live.stdout);
}

#[test]
fn a_formula_that_a_client_sent_is_text_in_csv_and_as_it_was_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &[]);
    let ids = ["=cmd|'/c'!A1", "+1", "-1", "@A1", "plain"];
    for id in ids {
        asked(&member, "/shuffle?items=%3D1%2B1", id);
    }
    let at = volume.to_str().unwrap();
    let csv = run(&["journal", at, "--format", "csv"]).stdout;
    for line in csv.lines() {
        let begins = line
            .split(',')
            .any(|cell| cell.trim_matches('"').starts_with(['=', '+', '-', '@']));
        assert!(!begins, "{line}");
    }
    assert!(csv.contains(",\"'=cmd|'/c'!A1\",") && csv.contains(",plain,"), "{csv}");
    let rows = json(&run(&["journal", at, "--format", "jsonl"]));
    let requests: Vec<&str> = rows.iter().map(|row| row["request"].as_str().unwrap()).collect();
    assert_eq!(requests, ids);
}

#[test]
fn rows_are_chosen_by_path_request_time_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &[]);
    for number in 0..6 {
        asked(
            &member,
            if number % 2 == 0 { "/" } else { "/ids" },
            &format!("request-{number}"),
        );
    }
    let rows = |arguments: &[&str]| {
        let all = [&["journal", volume.to_str().unwrap(), "--format", "jsonl"], arguments].concat();
        let rows = json(&run(&all));
        rows.iter()
            .map(|row| row["request"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&["--path", "/ids"]), ["request-1", "request-3", "request-5"]);
    assert_eq!(rows(&["--request-id", "request-4"]), ["request-4"]);
    assert_eq!(rows(&["--path", "/", "--limit", "2"]), ["request-0", "request-2"]);
    assert_eq!(rows(&["--since", "1h"]).len(), 6);
    assert_eq!(rows(&["--until", "1h"]).len(), 0);
    let all = json(&run(&["journal", volume.to_str().unwrap(), "--format", "jsonl"]));
    let third = all[2]["time"].as_str().unwrap();
    assert_eq!(rows(&["--since", third]).len() + rows(&["--until", third]).len(), 6);
}

#[test]
fn a_journal_is_followed_while_its_member_writes() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &[]);
    asked(&member, "/", "before");
    let mut child = program()
        .args(["journal", volume.to_str().unwrap(), "--follow", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"before\""));
    for number in 0..20 {
        asked(&member, "/ids", &format!("r-{number}"));
        assert!(lines.next().unwrap().unwrap().contains(&format!("\"r-{number}\"")));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A journal that is damaged is moved aside before the new one is made.
#[test]
fn one_that_is_followed_may_be_away_for_a_while_and_come_back_another() {
    let dir = tempfile::tempdir().unwrap();
    let (volume, other) = (dir.path().join("rg-0"), dir.path().join("rg-1"));
    for (volume, id) in [(&volume, "before"), (&other, "after")] {
        let member = Member::start(volume, &[]);
        asked(&member, "/", id);
        member.stop();
    }
    let mut child = program()
        .args(["journal", volume.to_str().unwrap(), "--follow", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"before\""));
    std::fs::rename(volume.join("journal.db"), volume.join("aside.db")).unwrap();
    let away = told.next().unwrap().unwrap();
    assert!(away.contains("the journal is missing"), "{away}");
    // A new one is an empty file at first.
    std::fs::write(volume.join("journal.db"), "").unwrap();
    let anew = told.next().unwrap().unwrap();
    assert!(anew.contains("the journal was replaced"), "{anew}");
    std::fs::rename(other.join("journal.db"), volume.join("journal.db")).unwrap();
    assert!(lines.next().unwrap().unwrap().contains("\"after\""));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn following_ends_once_the_time_is_past_that_it_goes_to() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &[]);
    asked(&member, "/", "before");
    let now = || Clock::system().wall().timestamp();
    let soon = now() + jiff::SignedDuration::from_secs(2);
    let at = volume.to_str().unwrap();
    let mut child = program()
        .args([
            "journal",
            at,
            "--follow",
            "--format",
            "jsonl",
            "--until",
            &soon.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"before\""));
    // A member that never rests gives rows that are later.
    let ended = until("its end", || {
        asked(&member, "/ids", "later");
        child.try_wait().unwrap()
    });
    assert!(ended.success(), "{ended}");
    assert!(now() >= soon);
    assert_eq!(run(&["journal", at, "--follow", "--until", "1h"]).code, Some(0));
}

#[test]
fn rows_that_retention_took_between_two_looks_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &["--journal-max", "2MiB"]);
    asked(&member, "/", "first");
    let mut child = program()
        .args(["journal", volume.to_str().unwrap(), "--follow", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"first\""));
    // It holds still while more rows come than the share has room for.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // Long rows, so that few fill it.
    let characters: String = (0..64)
        .map(|n| format!("%E4%B8%{0:02X}%E4%B9%{0:02X}", 0x80 + n))
        .collect();
    let request = format!("/strings?count=1&length=1&characters={characters}");
    let oldest = until("retention", || {
        for _ in 0..100 {
            asked(&member, &request, &"x".repeat(64));
        }
        let rows = run(&["journal", volume.to_str().unwrap(), "--format", "jsonl", "--limit", "1"]);
        let oldest = json(&rows)[0]["id"].as_i64().unwrap();
        (oldest > 2).then_some(oldest)
    });
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let next: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(next["id"].as_i64().unwrap() >= oldest);
    child.kill().unwrap();
    let told = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(told.contains("rows were removed by retention"), "{told}");
}

#[test]
fn a_volume_without_a_journal_and_a_file_that_is_none_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let none = run(&["journal", dir.path().to_str().unwrap()]);
    assert_eq!(none.code, Some(74), "{}", none.stderr);
    assert!(none.line().contains("journal.db"), "{}", none.line());
    let file = dir.path().join("journal.db");
    std::fs::write(
        &file,
        "no database, but a text that is long enough to be looked at".repeat(20),
    )
    .unwrap();
    let damaged = run(&["journal", file.to_str().unwrap()]);
    assert_eq!(damaged.code, Some(65), "{}", damaged.stderr);
    for wrong in [["--since", "yesterday"], ["--format", "xml"], ["--limit", "0"]] {
        let ended = run(&["journal", wrong[0], wrong[1]]);
        assert_eq!(ended.code, Some(64), "{wrong:?}");
    }
}
