//! The commands as people run them: processes, standard streams and exit codes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use random_generator::record::Record;
use random_generator::record::integers::Question;

use crate::both::root;
use crate::builder::{Builder, Round, eventful, lines, short};
use crate::member::Member;

fn rust(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_random-generator"));
    command.args(arguments);
    command
}

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("verify_draws.py")).args(arguments);
    command
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may stop reading at the first broken rule.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn many(rounds: usize) -> Vec<Record> {
    let mut chain = Builder::new();
    for _ in 0..rounds {
        chain.draw(Round::default());
    }
    chain.records
}

/// Runs both; demands the exit code, one line where it belongs, and returns what each wrote there.
fn both(arguments: &[&str], input: &[u8], code: i32) -> [String; 2] {
    let told = both_told(arguments, input, code);
    for told in &told {
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    told
}

/// As [`both`], of as many lines as there are.
fn both_told(arguments: &[&str], input: &[u8], code: i32) -> [String; 2] {
    let verify = [&["verify"], arguments].concat();
    [rust(&verify), python(arguments)].map(|command| {
        let what = format!("{command:?}");
        let output = with_input(command, input);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{what}: {error}");
        let (told, silent) = if code == 0 { (out, error) } else { (error, out) };
        assert_eq!(silent, "", "{what}");
        told.to_owned()
    })
}

#[test]
fn both_commands_give_the_same_verdict_on_a_file_a_pipe_and_a_member_that_pages() {
    let records = many(250);
    let member = Member::with(records.clone());
    let list = lines(&records);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &list).unwrap();
    let head = records[249].hash.to_string();
    for source in [file.path().to_str().unwrap(), "-", &member.url()] {
        let [rust, python] = both(&[source, "--head", &head], &list, 0);
        assert_eq!(rust, python);
        assert!(
            rust.starts_with("verified: set rg, chain ") && rust.contains("rounds 1 to 250: 250 records"),
            "{rust}"
        );
    }
}

#[test]
fn both_commands_print_the_same_integers_of_a_draw_after_the_verdict() {
    let records = eventful();
    let member = Member::with(records.clone());
    let question = ["--round", "2", "--integers=-50..149", "--count", "200", "--unique"];
    let [rust, python] = both_told(&[&[&*member.url()], &question[..]].concat(), b"", 0);
    assert_eq!(rust, python);
    let mut told = rust.lines();
    assert!(told.next().unwrap().starts_with("verified: set rg, "), "{rust}");
    let mut values: Vec<i64> = told.map(|line| line.parse().unwrap()).collect();
    assert_eq!(
        values[..2],
        Question::new(-50, 149, 2, true)
            .unwrap()
            .values(&records[1].output.unwrap())
    );
    values.sort_unstable();
    assert!(values.into_iter().eq(-50..=149));
    // Without --count it is one, and as JSON what the member's own answer has.
    let arguments = ["verify", "--json", "--round", "2", "--integers", "1..6"];
    let json = with_input(self::rust(&arguments), &lines(&records));
    let verdict: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&verdict["verified"], &verdict["summary"]["to_round"]),
        (&true.into(), &15.into())
    );
    let integers = &verdict["integers"];
    assert_eq!((&integers["round"], &integers["count"]), (&2.into(), &1.into()));
    assert_eq!(integers["hash"], records[1].hash.to_string());
    assert_eq!(integers["values"].as_array().unwrap().len(), 1);
}

#[test]
fn integers_of_a_draw_that_gives_none_are_refused_and_so_is_what_is_no_question() {
    let list = lines(&eventful());
    for round in ["1", "14", "16"] {
        for told in both(&["-", "--round", round, "--integers", "1..6"], &list, 65) {
            assert!(
                told.contains("not verified: ") && told.contains("drawn: there is no record"),
                "{told}"
            );
        }
    }
    for wrong in [
        &["--round", "2"][..],
        &["--integers", "1..6"],
        &["--round", "0", "--integers", "1..6"],
        &["--round", "9007199254740992", "--integers", "1..6"],
        &["--round", "2", "--integers", "6..1"],
        &["--round", "2", "--integers", "1...6"],
        &["--round", "2", "--integers", "+1..6"],
        &["--round", "2", "--integers", "1..9223372036854775808"],
        &["--round", "2", "--integers", "1..6", "--count", "0"],
        &["--round", "2", "--integers", "1..6", "--count", "10001"],
        &["--round", "2", "--integers", "1..6", "--count", "7", "--unique"],
    ] {
        both(&[&["-"], wrong].concat(), &list, 64);
    }
}

#[test]
fn both_commands_say_where_a_member_that_no_longer_keeps_everything_starts() {
    let member = Member::with(eventful()[4..].to_vec());
    let [rust, python] = both(&[&member.url()], b"", 0);
    assert_eq!(rust, python);
    assert!(
        rust.contains("rounds 5 to 15 (what lies before round 5 was not judged): 11 records"),
        "{rust}"
    );
}

#[test]
fn what_does_not_verify_is_named_with_line_and_rule_and_exit_code_65() {
    let mut records = short();
    records[1].fence = 7;
    for told in both(&["-"], &lines(&records), 65) {
        assert!(
            told.contains("not verified: line 2: ") && told.contains("hash: it is not the hash"),
            "{told}"
        );
    }
    let member = Member::with(records);
    for told in both(&[&member.url()], b"", 65) {
        assert!(told.contains("not verified: line 2: "), "{told}");
    }
    for told in both(&["-", "--head", &"0".repeat(64)], &lines(&short()), 65) {
        assert!(told.contains("not verified: ") && told.contains("head: "), "{told}");
    }
    for told in both(&[&Member::with(Vec::new()).url()], b"", 65) {
        assert!(told.contains("empty: there is no record"), "{told}");
    }
}

#[test]
fn what_can_not_be_read_and_what_is_no_argument_have_exit_codes_of_their_own() {
    both(&["/nonexistent/draws.jsonl"], b"", 74);
    both(&["/"], b"", 74);
    both(&["-", "--head", "abc"], b"", 64);
    both(&["--tail", "3"], b"", 64);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for told in both(&[&format!("http://{closed}")], b"", 75) {
        assert!(told.contains(&closed.to_string()), "{told}");
    }
    let failing = Member::start(|_, _| Some((503, br#"{"detail":"no ledger"}"#.to_vec())));
    both(&[&failing.url()], b"", 75);
    for url in ["ftp://127.0.0.1", "http://127.0.0.1:8080/draws"] {
        let output = rust(&["verify", url]).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        assert!(
            text(&output.stderr).contains("http://HOST:PORT"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_verdict_as_json_names_line_round_and_rule() {
    let records = short();
    let good = with_input(rust(&["verify", "--json"]), &lines(&records));
    let verdict: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(verdict["verified"], true);
    assert_eq!(verdict["summary"]["head"], records[2].hash.to_string());
    assert_eq!(verdict["summary"]["to_round"], 3);
    let bad = with_input(
        rust(&["verify", "--json"]),
        &lines(&[records[0].clone(), records[2].clone()]),
    );
    assert_eq!(bad.status.code(), Some(65));
    let verdict: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    let named = (
        &verdict["verified"],
        &verdict["line"],
        &verdict["round"],
        &verdict["rule"],
    );
    assert_eq!(named, (&false.into(), &2.into(), &3.into(), &"round".into()));
}

#[test]
fn a_member_that_never_answers_or_never_ends_costs_a_bounded_time() {
    let silent = Member::start(|_, _| None);
    let endless = Member::start(|_, _| Some((200, vec![b'0'; 32 * 1024 * 1024])));
    for (member, expected) in [(silent, "no answer within"), (endless, "length limit exceeded")] {
        let output = rust(&["verify", &member.url()]).output().unwrap();
        assert_eq!(output.status.code(), Some(75));
        let told = text(&output.stderr);
        assert!(told.contains(expected) && told.contains(&member.url()), "{told}");
    }
}

#[test]
fn draws_are_a_table_for_people_and_lines_that_verify_for_programs() {
    let records = eventful();
    let member = Member::with(records[4..].to_vec());
    let output = rust(&["draws", &member.url(), "--limit", "3"]).output().unwrap();
    let table = text(&output.stdout);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(rows[0].starts_with("ROUND  SLOT") && !table.contains('\x1b'), "{table}");
    assert!(rows[1].starts_with("13 ") && rows[3].starts_with("15 "), "{table}");
    assert!(
        rows[2].contains("none") && rows[3].contains("2 of 3") && rows[3].contains("2 unreachable"),
        "{table}"
    );

    let all = rust(&["draws", &member.url(), "--json", "--limit", "100"])
        .output()
        .unwrap();
    assert_eq!(all.stdout, lines(&records[4..]));
    let from = rust(&["draws", &member.url(), "--json", "--from", "7", "--limit", "2"])
        .output()
        .unwrap();
    assert_eq!(from.stdout, lines(&records[6..8]));
    let gone = rust(&["draws", &member.url(), "--from", "1"]).output().unwrap();
    assert_eq!(gone.status.code(), Some(75));
    assert!(
        text(&gone.stderr).contains("round 1 is no longer kept"),
        "{}",
        text(&gone.stderr)
    );
    let none = rust(&["draws", &Member::with(Vec::new()).url()]).output().unwrap();
    assert_eq!(none.status.code(), Some(0));
}

#[test]
fn a_reader_that_hangs_up_ends_a_command_quietly() {
    let member = Member::with(many(2_500));
    let mut child = rust(&["draws", &member.url(), "--json", "--from", "1", "--limit", "2500"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

const PEERS: &str = r#"{"self":"rg-1","resolved_at":"2026-11-21T06:00:00Z","stale":true,"peers":[
    {"name":"rg-0","ordinal":0,"host":"rg-0.rg","peer_port":8081,"self":false},
    {"name":"rg-1","ordinal":1,"host":"rg-1.rg","peer_port":8091,"self":true}]}"#;
const LEADER: &str = r#"{"holder":"rg-1_uid-00000001","member":"rg-1","self":true,"fence":4,
    "acquired_at":"2026-11-21T06:00:00.123456Z","remaining_ms":12345,"view_age_ms":3}"#;
const NOBODY: &str = r#"{"holder":null,"member":null,"self":false,"fence":4,"acquired_at":null,"remaining_ms":null}"#;

fn answering(leader: &'static str, ready: (u16, &'static str)) -> Member {
    Member::start(move |path, _| {
        let (status, body) = match path {
            "/peers" => (200, PEERS),
            "/leader" => (200, leader),
            "/livez" => (200, r#"{"alive":true}"#),
            "/readyz" => ready,
            _ => (404, ""),
        };
        Some((status, body.as_bytes().to_vec()))
    })
}

const READY: (u16, &str) = (
    200,
    r#"{"ready":true,"latches":{"volume":true},"degraded":[{"source":"lease","reason":"absent"}]}"#,
);
const UNREADY: (u16, &str) = (503, r#"{"ready":false,"latches":{"volume":false},"degraded":[]}"#);

#[test]
fn peers_and_leader_are_tables_or_the_members_own_json() {
    let member = answering(LEADER, READY);
    let peers = rust(&["peers", &member.url()]).output().unwrap();
    let expected = "NAME  ORDINAL  PEER ADDRESS\n\
                    rg-0  0        rg-0.rg:8081\n\
                    rg-1  1        rg-1.rg:8091  self\n\
                    stale: the last look-up failed; last resolved at 2026-11-21T06:00:00Z\n";
    assert_eq!(text(&peers.stdout), expected);
    let leader = rust(&["leader", &member.url()]).output().unwrap();
    let expected = "MEMBER  FENCE  ACQUIRED                     REMAINING  IDENTITY\n\
                    rg-1    4      2026-11-21T06:00:00.123456Z  12.3 s     rg-1_uid-00000001\n";
    assert_eq!(text(&leader.stdout), expected);
    let json = rust(&["leader", &member.url(), "--json"]).output().unwrap();
    assert_eq!(text(&json.stdout), format!("{LEADER}\n"));
    let nobody = rust(&["leader", &answering(NOBODY, READY).url()]).output().unwrap();
    assert_eq!(text(&nobody.stdout), "no member holds the lease (fence 4)\n");
    let wrong = Member::start(|_, _| Some((200, b"<html>".to_vec())));
    let output = rust(&["peers", &wrong.url()]).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
}

#[test]
fn health_is_0_when_every_member_is_ready_and_75_otherwise() {
    let (ready, unready) = (answering(LEADER, READY), answering(LEADER, UNREADY));
    let good = rust(&["health", &ready.url()]).output().unwrap();
    assert_eq!(good.status.code(), Some(0));
    assert!(
        text(&good.stdout).contains("yes   yes    lease: absent"),
        "{}",
        text(&good.stdout)
    );
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bad = rust(&[
        "health",
        &ready.url(),
        &unready.url(),
        &format!("http://{closed}"),
        "--json",
    ])
    .output()
    .unwrap();
    assert_eq!(bad.status.code(), Some(75));
    let told: Vec<serde_json::Value> = text(&bad.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let states: Vec<_> = told
        .iter()
        .map(|told| (told["live"].as_bool().unwrap(), told["ready"].as_bool().unwrap()))
        .collect();
    assert_eq!(states, [(true, true), (true, false), (false, false)]);
    assert_eq!(told[1]["notes"][0], "waits for volume");
    assert!(text(&bad.stderr).contains(&unready.url()) && !text(&bad.stderr).contains(&ready.url()));
}
