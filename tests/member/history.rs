//! A history that is longer than what a member has in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;

use random_generator::record::Record;
use random_generator::record::chain::Verifier;
use serde_json::Value;

use crate::grown::{following, grow};
use crate::harness::{Member, PATIENCE, ask, until, volume};

const ROUNDS: u64 = 2_000;
const SPACE: u64 = 4 << 20;

/// It never draws: the ledger stays as it is.
const ARGUMENTS: [&str; 6] = [
    "--ledger-max",
    "4MiB",
    "--draw-schedule",
    "0 0 1 1 *",
    "--lease-duration",
    "2s",
];

fn grown() -> (tempfile::TempDir, Member, Vec<Record>) {
    let (dir, volume) = volume();
    std::fs::create_dir_all(&volume).unwrap();
    grow(&volume.join("ledger.db"), ROUNDS, 1, SPACE);
    let mut records: Vec<Record> = Vec::new();
    for _ in 0..ROUNDS {
        records.push(following(records.last(), 1));
    }
    let member = Member::start(&volume, &ARGUMENTS);
    until("an open ledger", || {
        (member.admin("/ledger")["condition"] == "writable").then_some(())
    });
    (dir, member, records)
}

#[test]
fn a_history_longer_than_the_memory_is_read_from_the_volume_record_by_record_and_in_pages() {
    let (_dir, member, records) = grown();
    let lines = member.get("/draws?format=jsonl").unwrap();
    assert_eq!(lines.status, 200);
    let mut verifier = Verifier::new();
    for line in lines.text().split_inclusive('\n') {
        verifier.push_line(line.as_bytes()).unwrap();
    }
    let newest = records.last().unwrap();
    let verified = verifier.finish(Some(newest.hash)).unwrap();
    assert_eq!(serde_json::to_value(verified).unwrap()["records"], ROUNDS);
    // Pages that lie below, across and above what is in memory, and their ends.
    let memory = ROUNDS - 511;
    for (from, count) in [
        (1, 1),
        (3, 100),
        (memory - 50, 100),
        (memory, 1),
        (ROUNDS - 9, 100),
        (ROUNDS + 1, 5),
    ] {
        let page = member.json(&format!("/draws?from={from}&limit={count}"));
        let end = (from + count).min(ROUNDS + 1).max(from);
        let shown: Vec<u64> = page["draws"].as_array().unwrap().iter().map(round).collect();
        assert_eq!(shown, (from..end).collect::<Vec<_>>());
        assert_eq!(page["next"].as_u64(), (end <= ROUNDS).then_some(end), "from {from}");
    }
    for at in [1, 2, memory - 1, memory, ROUNDS] {
        assert_eq!(
            member.json(&format!("/draws/{at}"))["hash"],
            records[at as usize - 1].hash.to_string()
        );
    }
    assert_eq!(member.json("/draws/2/integers")["hash"], records[1].hash.to_string());
    assert_eq!(member.get(&format!("/draws/{}", ROUNDS + 1)).unwrap().status, 404);
    let ledger = member.admin("/ledger");
    assert_eq!((&ledger["records"], &ledger["oldest"]), (&ROUNDS.into(), &1.into()));
    // A peer is given them too.
    let path = format!("/v1/records/{}?count=64", records[69].hash);
    let sent = ask(member.base + 1, "GET", &path, &[], b"").unwrap();
    assert_eq!(sent.status, 200, "{}", sent.text());
    let sent: Vec<u64> = sent.json().as_array().unwrap().iter().map(round).collect();
    assert_eq!(sent, (7..=70).rev().collect::<Vec<_>>());
    member.stop();
}

fn round(record: &Value) -> u64 {
    record["round"].as_u64().unwrap()
}

#[test]
fn who_comes_back_after_a_long_time_is_sent_every_draw_since() {
    let (_dir, member, records) = grown();
    let mut stream = TcpStream::connect(("127.0.0.1", member.base)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "GET /draws/stream HTTP/1.1\r\nhost: a\r\nlast-event-id: 1\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut draws = lines.filter_map(|line| Some(line.strip_prefix("data: {\"chain\"")?.to_owned()));
    for record in &records[1..] {
        assert_eq!(format!("{{\"chain\"{}", draws.next().unwrap()), record.canonical());
    }
    drop(draws);
    member.stop();
}

/// Overwrites a part of the record of a round.
fn damage(ledger: &Path, round: u64) {
    let bytes = std::fs::read(ledger).unwrap();
    let text = format!("\"round\":{round},");
    let at = bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes())
        .unwrap();
    File::options()
        .write(true)
        .open(ledger)
        .unwrap()
        .write_all_at(b"\"sound\"", at as u64)
        .unwrap();
}

#[test]
fn damage_in_an_old_record_is_found_without_being_read_and_makes_the_ledger_corrupt() {
    let (dir, volume) = volume();
    std::fs::create_dir_all(&volume).unwrap();
    let ledger = volume.join("ledger.db");
    grow(&ledger, ROUNDS, 1, SPACE);
    // Neither among the rows that are verified first, nor in memory.
    damage(&ledger, 1_200);
    let member = Member::start_unready(&volume, &ARGUMENTS);
    until("a corrupt ledger", || {
        (member.admin("/ledger")["condition"] == "corrupt").then_some(())
    });
    let found = member.admin("/ledger");
    assert!(
        found["detail"]
            .as_str()
            .unwrap()
            .contains("the ledger is damaged: row 1200"),
        "{found}"
    );
    assert_eq!(ask(member.base, "GET", "/draws/3", &[], b"").unwrap().status, 503);
    member.stop();
    drop(dir);
}
