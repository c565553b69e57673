//! Lists of many parts, which the command verifies at once: the verdict of line by line, in constant memory.

use std::fs;
use std::io::{BufWriter, Read, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::both::{root, summary};
use crate::builder::write_chain;
use crate::member::Member;
use crate::memory::most_memory;

/// Several parts for each of many processors: a part has some 60 lines.
const MANY: u64 = 1_000;
/// What the command reads at once.
const READ: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

fn rust() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_random-generator"));
    command.arg("verify");
    command
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("verify_draws.py"));
    command
}

/// The first of [`MANY`] rounds.
fn chain(rounds: u64) -> &'static [u8] {
    static LIST: OnceLock<Vec<u8>> = OnceLock::new();
    let list = LIST.get_or_init(|| {
        let mut list = Vec::new();
        write_chain(&mut list, MANY);
        list
    });
    let lines = list.split_inclusive(|byte| *byte == b'\n').take(rounds as usize);
    &list[..lines.map(<[u8]>::len).sum()]
}

/// The list with these lines (from 1) changed so that none of them has its hash.
fn broken_at(list: &[u8], lines: &[usize]) -> Vec<u8> {
    let mut broken = Vec::new();
    for (index, line) in list.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let text = std::str::from_utf8(line).unwrap();
        match lines.contains(&(index + 1)) {
            true => broken.extend(text.replacen("\"fence\":1", "\"fence\":7", 1).into_bytes()),
            false => broken.extend_from_slice(line),
        }
    }
    assert_eq!(broken.len(), list.len());
    broken
}

#[test]
fn of_a_long_list_the_first_broken_record_is_named_whichever_part_it_is_in() {
    let list = chain(MANY);
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = |list: &[u8]| {
        fs::write(file.path(), list).unwrap();
        let output = rust().arg(file.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(65));
        let error = summary(list, None).unwrap_err();
        let expected = format!("random-generator: not verified: {error}\n");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
        (error.line().unwrap(), error.rule().name())
    };
    // Each of the lines around the end of the first part, and some far from it.
    let around = list[..READ].iter().filter(|byte| **byte == b'\n').count();
    for line in [1, 2, around - 1, around, around + 1, around + 2, MANY as usize] {
        assert_eq!(refused(&broken_at(list, &[line])), (line as u64, "hash"));
    }
    // The later ones are in parts that are verified at the same time.
    for _ in 0..5 {
        let many: Vec<usize> = (300..MANY as usize).step_by(50).collect();
        assert_eq!(refused(&broken_at(list, &many)), (300, "hash"));
    }
    // Without the line there, whose record the next one follows.
    let lines: Vec<&[u8]> = list.split_inclusive(|byte| *byte == b'\n').collect();
    for line in [around - 1, around, around + 1] {
        let without = [&lines[..line - 1], &lines[line..]].concat().concat();
        assert_eq!(refused(&without), (line as u64, "round"));
    }
    assert_eq!(refused(&list[..list.len() - 1]), (MANY, "form"));
    let long = [list, &vec![b'0'; 400_000]].concat();
    assert_eq!(refused(&long), (MANY + 1, "form"));
}

#[test]
fn a_long_list_has_the_same_summary_however_it_comes() {
    let list = chain(MANY);
    let expected = summary(list, None).unwrap();
    for size in [1_000, 65_536, 70_001, list.len()] {
        let arguments = ["--json", "--round", "900", "--integers", "1..6", "-"];
        let mut child = rust()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for piece in list.chunks(size) {
            stdin.write_all(piece).unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(verdict["summary"], serde_json::to_value(&expected).unwrap(), "{size}");
        assert_eq!(verdict["integers"]["round"], 900, "{size}");
    }
}

#[test]
fn a_broken_record_is_reported_though_its_writer_neither_writes_more_nor_ends() {
    let list = broken_at(chain(10), &[10]);
    for mut command in [rust(), python()] {
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&list).unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(told.contains("not verified: line 10: "), "{told}");
        assert_eq!(child.wait().unwrap().code(), Some(65));
    }
}

#[test]
fn a_page_that_does_not_verify_is_the_verdict_though_the_next_one_fails() {
    let list = broken_at(chain(200), &[151]);
    let lines: Vec<String> = String::from_utf8(list)
        .unwrap()
        .split_inclusive('\n')
        .map(String::from)
        .collect();
    let member = Member::start(move |path, _| {
        let from = path
            .split_once("from=")
            .map_or(1, |(_, from)| from.parse::<usize>().unwrap());
        Some(match lines.get(from - 1..from + 99) {
            Some(page) => (200, page.concat().into_bytes()),
            None => (503, br#"{"detail":"no ledger"}"#.to_vec()),
        })
    });
    for _ in 0..5 {
        let output = rust().arg(member.url()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("not verified: line 151: round 151: hash: "), "{told}");
    }
}

/// Verifies that many records, and ten times as many.
fn demand_the_same_memory(verifier: fn() -> Command, rounds: u64) {
    let [few, many] = [rounds, 10 * rounds].map(|rounds| {
        let list = tempfile::NamedTempFile::new().unwrap();
        let mut file = BufWriter::new(list.as_file());
        let head = write_chain(&mut file, rounds).hash.to_string();
        file.flush().unwrap();
        most_memory(verifier().arg("--head").arg(head).arg(list.path()), PATIENCE)
    });
    assert!(
        many * 10 <= few * 13,
        "{few} KiB for {rounds} records, {many} KiB for ten times as many"
    );
}

#[test]
fn the_command_takes_no_more_memory_for_ten_times_as_many_records() {
    demand_the_same_memory(rust, MANY);
}

#[test]
fn the_verifier_in_python_takes_no_more_memory_for_ten_times_as_many_records() {
    demand_the_same_memory(python, MANY);
}
