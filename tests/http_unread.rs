//! Large answers, whose clients read slowly or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod http_world;

use std::time::Duration;

use http_world::{Member, Reply, SOON, chain, closed, get, ledger, wait_for};
use random_generator::server::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// So long that a test which runs into it fails.
const LONG: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
/// What one answer in parts takes of the budget.
const ONE: u64 = 64 << 10;

fn limits() -> Limits {
    Limits {
        write_stall: LONG,
        ..Limits::public()
    }
}

/// 1,048,576 characters of 4 bytes each.
fn long_strings() -> String {
    let characters: String = (0x80..0xc0).map(|last| format!("%F0%9F%98%{last:02X}")).collect();
    format!("/strings?count=1024&length=1024&characters={characters}")
}

/// Asks for something, and reads nothing.
async fn unread(member: &Member, target: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(member.running.address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The value of a metric of the public listener.
fn metric(member: &Member, name: &str) -> u64 {
    let begins = format!("random_generator_{name}{{listener=\"public\"}} ");
    let text = member.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix(&begins));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn held(member: &Member) -> u64 {
    metric(member, "http_answer_memory_held_bytes")
}

fn resident_bytes() -> u64 {
    random_generator::metrics::resident_memory().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_take_little_memory_each_and_small_ones_come_at_once() {
    const EACH: usize = 60;
    let member = Member::start(limits()).await;
    member.ledger.send_replace(ledger(chain(1..=3_000)).into());
    let targets = [
        long_strings(),
        "/bytes?count=1048576&format=text".to_owned(),
        "/bytes?count=1048576&format=json".to_owned(),
        "/bytes?count=1099511627776".to_owned(),
        "/draws?format=jsonl".to_owned(),
        "/draws?limit=1000".to_owned(),
        format!("/integers?count=10000&min={}", i64::MIN),
        "/uuids?version=7&count=10000".to_owned(),
        "/sequence?seed=42&count=10000".to_owned(),
    ];
    for target in &targets {
        let reply = get(member.running.address, "/integers?count=10").await;
        assert_eq!(reply.status, 200);
        let before = resident_bytes();
        let mut clients = Vec::new();
        for _ in 0..EACH {
            clients.push(unread(&member, target).await);
        }
        let least = EACH as u64 * ONE;
        wait_for("all are being answered", || held(&member) >= least).await;
        for _ in 0..20 {
            for small in ["/", "/integers?count=10", "/livez"] {
                assert_eq!(member.get(small).await.status, 200);
            }
        }
        let each = (resident_bytes().saturating_sub(before)) / EACH as u64;
        assert!(each < 512 << 10, "{target}: {each} bytes for each client");
        drop(clients);
        wait_for("it is given back", || held(&member) == 0).await;
    }
}

#[tokio::test]
async fn of_an_answer_that_nobody_reads_the_kernel_takes_little_and_no_more_is_made() {
    let member = Member::start(Limits {
        write_stall: Duration::from_millis(300),
        ..Limits::public()
    })
    .await;
    let _client = unread(&member, &long_strings()).await;
    let cut = "http_connections_cut_total{listener=\"public\",reason=\"stalled\"} 1";
    wait_for("it is cut", || member.metrics().contains(cut)).await;
    let bytes = 4 * member.numbers.given();
    assert!(bytes < 512 << 10, "{bytes} bytes were made");
    assert_eq!(held(&member), 0);
}

#[tokio::test]
async fn without_memory_a_large_answer_is_refused_and_given_again_when_there_is_some() {
    let member = Member::start_with_memory(limits(), MIB).await;
    let target = long_strings();
    let mut clients = Vec::new();
    while held(&member) + ONE <= MIB {
        let before = held(&member);
        clients.push(unread(&member, &target).await);
        wait_for("it is being answered", || held(&member) > before).await;
    }
    let refused = member.get(&target).await;
    let problem = refused.problem();
    assert_eq!(metric(&member, "http_answer_memory_limit_bytes"), MIB);
    assert_eq!(refused.status, 503);
    assert_eq!(problem["type"], "urn:random-generator:problem:unavailable");
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(metric(&member, "http_answer_memory_refusals_total"), 1);
    // What was not given is not in the journal.
    assert_eq!(member.journal.entries.lock().unwrap().len(), clients.len());
    for small in ["/", "/integers?count=100", "/bytes", "/livez", "/openapi.json"] {
        let begun = Instant::now();
        assert_eq!(member.get(small).await.status, 200, "{small}");
        assert!(begun.elapsed() < Duration::from_millis(400), "{small} waited");
    }
    drop(clients);
    let whole = member.get(&target).await;
    assert_eq!((whole.status, whole.body.len() > 4 << 20), (200, true));
    wait_for("it is given back", || held(&member) == 0).await;
}

#[tokio::test]
async fn an_answer_that_waits_for_memory_is_given_when_another_ends() {
    let member = Member::start_with_memory(limits(), MIB).await;
    let mut clients = Vec::new();
    while held(&member) + ONE <= MIB {
        let before = held(&member);
        clients.push(unread(&member, "/bytes?count=1048576&format=text").await);
        wait_for("it is being answered", || held(&member) > before).await;
    }
    let mut waiting = unread(&member, "/uuids?count=10000&format=text").await;
    drop(clients.pop());
    let reply = Reply::parse(&closed(&mut waiting).await).unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 370_000));
}

#[tokio::test]
async fn a_slow_reader_gets_the_whole_answer_that_the_journal_has() {
    let member = Member::start_with_memory(limits(), MIB).await;
    member.ledger.send_replace(ledger(chain(1..=400)).into());
    for (target, journalled) in [
        (long_strings(), 1_024),
        ("/bytes?count=1048576&format=json".to_owned(), 1 << 20),
        (format!("/integers?count=10000&min={}", i64::MIN), 10_000),
        ("/integers?count=10000&max=10000&unique=true".to_owned(), 10_000),
        ("/decimals?count=10000".to_owned(), 10_000),
        ("/gaussians?count=10000".to_owned(), 10_000),
        ("/uuids?count=10000".to_owned(), 10_000),
        ("/uuids?version=7&count=10000".to_owned(), 10_000),
        ("/shuffle?min=-9999&max=0".to_owned(), 10_000),
        ("/sequence?seed=42&count=10000".to_owned(), 10_000),
        ("/ids?count=1000".to_owned(), 1_000),
        ("/draws?limit=400".to_owned(), 0),
    ] {
        member.journal.entries.lock().unwrap().clear();
        let mut stream = unread(&member, &target).await;
        let mut answer = Vec::new();
        let read = async {
            let mut part = [0; 3_000];
            while let n @ 1.. = stream.read(&mut part).await.unwrap() {
                answer.extend_from_slice(&part[..n]);
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, read).await.unwrap();
        let reply = Reply::parse(&answer).unwrap();
        assert_eq!(reply.status, 200, "{target}");
        let json = reply.json();
        let entries: Vec<u64> = member
            .journal
            .entries
            .lock()
            .unwrap()
            .iter()
            .map(|entry| entry.count)
            .collect();
        match target.split('?').next().unwrap() {
            "/draws" => {
                assert_eq!(json["draws"].as_array().unwrap().len(), 400);
                assert!(entries.is_empty());
            }
            path => {
                let values = json["values"].as_array().unwrap();
                let expected = if path == "/bytes" { 1 } else { journalled as usize };
                assert_eq!((values.len(), entries), (expected, vec![journalled]), "{target}");
                if path == "/strings" {
                    assert!(
                        values
                            .iter()
                            .all(|text| text.as_str().unwrap().chars().count() == 1_024)
                    );
                }
                if target.contains("unique") || path == "/shuffle" {
                    let mut numbers: Vec<i64> = values.iter().map(|value| value.as_i64().unwrap()).collect();
                    numbers.sort_unstable();
                    numbers.dedup();
                    assert_eq!(numbers.len(), 10_000);
                }
            }
        }
        assert_eq!(held(&member), 0, "{target}");
    }
}

#[tokio::test]
async fn a_length_that_is_known_is_sent_and_an_answer_without_one_ends_with_its_last_chunk_or_its_connection() {
    let member = Member::start(limits()).await;
    for (target, length) in [
        ("/uuids?count=10000", 390_012),
        ("/uuids?count=10000&format=text", 370_000),
        ("/uuids?count=10000&format=bytes", 160_000),
        ("/decimals?count=10000&format=bytes", 80_000),
        ("/bytes?count=1048576&format=json", 2_097_167),
        ("/bytes?count=1048576&format=text", 2_097_153),
        ("/integers?count=5&min=7&max=7", 22),
    ] {
        let reply = member.get(target).await;
        assert_eq!(reply.header("content-length"), Some(&*length.to_string()), "{target}");
        assert_eq!(reply.body.len(), length, "{target}");
    }
    let target = format!("/integers?count=10000&max={}", i64::MAX);
    let chunked = member.get(&target).await;
    assert_eq!(chunked.header("transfer-encoding"), Some("chunked"));
    assert_eq!(chunked.json()["values"].as_array().unwrap().len(), 10_000);
    // HTTP/1.0 has no chunks.
    for wish in ["", "connection: keep-alive\r\n"] {
        let request = format!("GET {target} HTTP/1.0\r\n{wish}\r\n");
        let old = http_world::raw(member.running.address, request.as_bytes()).await;
        let old = Reply::parse(&old).unwrap();
        assert_eq!(old.header("transfer-encoding"), None);
        assert_ne!(
            old.header("connection"),
            Some("keep-alive"),
            "its end says that it is whole"
        );
        assert_eq!(old.json()["values"].as_array().unwrap().len(), 10_000);
    }
    let given = (member.numbers.given(), member.journal.entries.lock().unwrap().len());
    let head = http_world::request(member.running.address, "HEAD", &long_strings(), "", b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        (member.numbers.given(), member.journal.entries.lock().unwrap().len()),
        given
    );
    timeout(SOON, member.running.ended()).await.unwrap();
}
