//! The paths that give numbers out, over real sockets: shapes, formats and ranges. Whether the numbers are random is for
//! tests/distributions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod http_world;

use std::collections::HashSet;
use std::time::Duration;

use http_world::{Member, SOON, closed, request};
use random_generator::clock::Clock;
use random_generator::server::limits::Limits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::{Uuid, Version};

async fn member() -> Member {
    Member::start(Limits::public()).await
}

async fn values(member: &Member, target: &str) -> Vec<Value> {
    let reply = member.get(target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"), "{target}");
    let body: Value = serde_json::from_str(reply.text()).unwrap();
    body["values"].as_array().unwrap().clone()
}

async fn lines(member: &Member, target: &str) -> Vec<String> {
    let reply = member.get(target).await;
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8"),
        "{target}"
    );
    let text = reply.text();
    assert!(text.ends_with('\n'), "{target}: {text:?}");
    text.lines().map(str::to_owned).collect()
}

async fn bytes(member: &Member, target: &str) -> Vec<u8> {
    let reply = member.get(target).await;
    assert_eq!(
        reply.header("content-type"),
        Some("application/octet-stream"),
        "{target}"
    );
    reply.body
}

#[tokio::test]
async fn no_random_answer_is_kept_by_a_cache_and_each_is_journalled_with_how_many_it_gave() {
    let member = member().await;
    let asked = [
        ("/integers?count=7&unique=true", 7),
        ("/decimals?count=3", 3),
        ("/gaussians?count=4", 4),
        ("/bytes?count=100000", 100_000),
        ("/strings?count=5", 5),
        ("/uuids?count=6", 6),
        ("/shuffle?max=8", 8),
        ("/shuffle?items=a,b", 2),
        ("/sequence?seed=1", 4),
    ];
    for (target, _) in asked {
        let reply = member.get(target).await;
        // A sequence is the same for ever.
        let kept = match target.starts_with("/sequence") {
            true => "public, max-age=3600, immutable",
            false => "no-store",
        };
        assert_eq!(reply.header("cache-control"), Some(kept), "{target}");
    }
    let entries = member.journal.entries.lock().unwrap();
    let kept: Vec<_> = entries
        .iter()
        .map(|entry| (entry.target.as_str(), entry.count))
        .collect();
    assert_eq!(kept, asked);
}

#[tokio::test]
async fn unique_integers_are_different_and_may_be_all_that_there_are() {
    let member = member().await;
    let mut all: Vec<i64> = values(&member, "/integers?min=-3&max=3&count=7&unique=true")
        .await
        .iter()
        .map(|value| value.as_i64().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, [-3, -2, -1, 0, 1, 2, 3]);
    let widest = format!(
        "/integers?min={}&max={}&count=10000&unique=true&format=text",
        i64::MIN,
        i64::MAX
    );
    let many: HashSet<String> = lines(&member, &widest).await.into_iter().collect();
    assert_eq!(many.len(), 10_000);
    assert_eq!(
        values(&member, "/integers?min=5&max=5&count=3&unique=false").await,
        [5, 5, 5]
    );
    assert_eq!(values(&member, "/integers?min=5&max=5&unique=true").await, [5]);
}

#[tokio::test]
async fn decimals_are_of_their_range_and_the_same_number_in_each_format() {
    let member = member().await;
    for value in values(&member, "/decimals?count=1000").await {
        assert!((0.0..1.0).contains(&value.as_f64().unwrap()), "{value}");
    }
    for line in lines(&member, "/decimals?min=-1e-3&max=2.5E2&count=100&format=text").await {
        assert!((-0.001..250.0).contains(&line.parse::<f64>().unwrap()), "{line}");
    }
    let raw = bytes(&member, "/decimals?min=-2&max=-1&count=3&format=bytes").await;
    let (doubles, rest) = raw.as_chunks::<8>();
    assert_eq!((doubles.len(), rest.len()), (3, 0));
    assert!(
        doubles
            .iter()
            .all(|eight| (-2.0..-1.0).contains(&f64::from_be_bytes(*eight)))
    );
    // 4,096 doubles: what rounds to the nearest comes to the end.
    for value in values(&member, "/decimals?min=1767225600000&max=1767225600001&count=10000").await {
        assert_ne!(value.as_f64(), Some(1_767_225_600_001.0));
    }
    // The shortest text reads back as the very number: no wider than 17 digits.
    let wide = values(&member, "/decimals?min=1e299&max=1e300&count=100").await;
    assert!(
        wide.iter()
            .all(|value| (1e299..1e300).contains(&value.as_f64().unwrap())),
        "{wide:?}"
    );
}

#[tokio::test]
async fn gaussians_lie_around_their_mean() {
    let member = member().await;
    let values = values(&member, "/gaussians?mean=-50&deviation=0.5&count=1000").await;
    assert_eq!(values.len(), 1_000);
    assert!(
        values.iter().all(|value| (value.as_f64().unwrap() + 50.0).abs() < 5.0),
        "ten deviations"
    );
    assert_eq!(
        lines(&member, "/gaussians?mean=1.5&deviation=0&count=2&format=text").await,
        ["1.5", "1.5"]
    );
    assert_eq!(
        bytes(&member, "/gaussians?mean=1.5&deviation=0&format=bytes").await,
        1.5_f64.to_be_bytes()
    );
}

#[tokio::test]
async fn strings_are_as_long_as_asked_for_and_of_the_alphabet_asked_for() {
    let member = member().await;
    for (alphabet, of) in [
        (
            "alphanumeric",
            "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        ),
        ("letters", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        ("lowercase", "abcdefghijklmnopqrstuvwxyz"),
        ("uppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ("digits", "0123456789"),
        ("hex", "0123456789abcdef"),
        (
            "base64url",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        ),
    ] {
        let target = format!("/strings?alphabet={alphabet}&length=1000&count=3");
        for value in values(&member, &target).await {
            let text = value.as_str().unwrap();
            assert_eq!(text.len(), 1_000);
            let used: HashSet<char> = text.chars().collect();
            assert!(
                used.iter().all(|&character| of.contains(character)),
                "{alphabet}: {text}"
            );
        }
    }
    assert_eq!(values(&member, "/strings").await[0].as_str().unwrap().len(), 16);
    // What JSON must escape, and what takes more than one byte.
    let odd = values(&member, "/strings?characters=%22%5C%C3%A4%F0%9F%8E%B2&length=500").await;
    assert_eq!(odd[0].as_str().unwrap().chars().count(), 500);
    let text = lines(
        &member,
        "/strings?characters=%22%5C%C3%A4%F0%9F%8E%B2&length=500&count=2&format=text",
    )
    .await;
    assert!(
        text.iter()
            .all(|line| line.chars().all(|character| "\"\\ä🎲".contains(character)))
    );
    assert_eq!(values(&member, "/strings?characters=x&length=3").await, ["xxx"]);
}

#[tokio::test]
async fn uuids_say_their_version_and_come_in_each_format() {
    let member = member().await;
    for value in values(&member, "/uuids?count=100").await {
        let uuid: Uuid = value.as_str().unwrap().parse().unwrap();
        assert_eq!(uuid.get_version(), Some(Version::Random));
    }
    let before = Clock::system().wall().0.unsigned_abs() as u128 / 1_000;
    let timed: Vec<Uuid> = lines(&member, "/uuids?version=7&count=10000&format=text")
        .await
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    let after = Clock::system().wall().0.unsigned_abs() as u128 / 1_000;
    assert_eq!(timed.len(), 10_000);
    assert!(timed.is_sorted_by(|one, next| one < next));
    assert!(timed.iter().all(|uuid| uuid.get_version() == Some(Version::SortRand)));
    assert!(
        timed
            .iter()
            .all(|uuid| (before..=after).contains(&(uuid.as_u128() >> 80)))
    );
    assert_eq!(bytes(&member, "/uuids?count=3&format=bytes").await.len(), 48);
}

#[tokio::test]
async fn uuids_of_version_7_ascend_over_the_requests_of_each_connection() {
    let member = member().await;
    let address = member.running.address;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Sent at once: several are answered within a millisecond.
            let asked = "GET /uuids?version=7&count=2&format=text HTTP/1.1\r\nhost: a\r\n";
            let requests = format!("{asked}\r\n").repeat(299) + asked + "connection: close\r\n\r\n";
            stream.write_all(requests.as_bytes()).await.unwrap();
            let mut answers = String::new();
            timeout(SOON, stream.read_to_string(&mut answers))
                .await
                .unwrap()
                .unwrap();
            answers
                .lines()
                .filter_map(|line| line.parse().ok())
                .collect::<Vec<Uuid>>()
        });
    }
    let mut all = HashSet::new();
    while let Some(given) = clients.join_next().await {
        let given = given.unwrap();
        assert!(given.is_sorted_by(|one, next| one < next));
        all.extend(given);
    }
    assert_eq!(all.len(), 4 * 600);
}

#[tokio::test]
async fn a_shuffle_has_each_item_once() {
    let member = member().await;
    let mut numbers: Vec<i64> = values(&member, "/shuffle?min=-5000&max=4999")
        .await
        .iter()
        .map(|value| value.as_i64().unwrap())
        .collect();
    assert!(!numbers.is_sorted());
    numbers.sort_unstable();
    assert_eq!(numbers, (-5_000..5_000).collect::<Vec<_>>());
    let mut names = lines(&member, "/shuffle?items=anna,b%C3%B6rje,anna,c&format=text").await;
    names.sort_unstable();
    assert_eq!(names, ["anna", "anna", "börje", "c"]);
    assert_eq!(values(&member, "/shuffle?items=only").await, ["only"]);
    assert_eq!(
        values(&member, "/shuffle?min=9223372036854775807&max=9223372036854775807").await,
        [i64::MAX]
    );
    assert_eq!(values(&member, "/shuffle").await.len(), 10);
}

#[tokio::test]
async fn a_sequence_is_javas_from_any_place_on() {
    let member = member().await;
    let java = json!([-1170105035, 234785527, -1360544799, 205897768]);
    assert_eq!(json!(values(&member, "/sequence?seed=42&count=4").await), java);
    assert_eq!(json!(values(&member, "/sequence?seed=42").await), java);
    assert_eq!(
        values(&member, "/sequence?seed=42&from=2&count=2").await,
        [-1360544799, 205897768]
    );
    assert_eq!(
        lines(&member, "/sequence?seed=42&count=2&format=text").await,
        ["-1170105035", "234785527"]
    );
    assert_eq!(
        bytes(&member, "/sequence?seed=42&count=1&format=bytes").await,
        (-1170105035_i32).to_be_bytes()
    );
    // A client that has it gets it no second time, and other numbers are another thing.
    let reply = member.get("/sequence?seed=42").await;
    let known = format!("if-none-match: {}\r\n", reply.header("etag").unwrap());
    let address = member.running.address;
    for (target, status) in [
        ("/sequence?seed=42&count=4", 304),
        ("/sequence?seed=42&count=5", 200),
        ("/sequence?seed=43", 200),
    ] {
        assert_eq!(
            request(address, "GET", target, &known, b"").await.status,
            status,
            "{target}"
        );
    }
    let long = values(&member, "/sequence?seed=-7&count=10000").await;
    assert_eq!(
        values(&member, "/sequence?seed=-7&from=9990&count=10").await,
        long[9_990..]
    );
}

#[tokio::test]
async fn many_bytes_are_sent_as_they_are_made_and_their_number_is_said_first() {
    let member = member().await;
    let reply = member.get("/bytes?count=10000001").await;
    assert_eq!(reply.header("content-length"), Some("10000001"));
    assert_eq!(reply.body.len(), 10_000_001);
    assert!(reply.body.iter().all(|&byte| byte == 0xab));
    assert_eq!(member.get("/bytes?count=65536").await.body.len(), 65_536);
    // A TiB is not made before it is sent: the first part comes at once, and a client that has enough may go.
    let mut stream = TcpStream::connect(member.running.address).await.unwrap();
    stream
        .write_all(b"GET /bytes?count=1099511627776 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut part = vec![0; 1 << 20];
    timeout(SOON, stream.read_exact(&mut part))
        .await
        .expect("in time")
        .unwrap();
    drop(stream);
    assert_eq!(member.get("/").await.status, 200);
}

#[tokio::test]
async fn a_reader_that_stops_within_a_long_answer_is_cut_off() {
    let limits = Limits {
        write_stall: Duration::from_millis(200),
        ..Limits::public()
    };
    let member = Member::start(limits).await;
    let mut stream = TcpStream::connect(member.running.address).await.unwrap();
    stream
        .write_all(b"GET /bytes?count=1099511627776 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    timeout(SOON, stream.read_exact(&mut first))
        .await
        .expect("in time")
        .unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let none = "random_generator_http_connections{listener=\"public\"} 0";
    http_world::wait_for("its end", || member.metrics().contains(none)).await;
    closed(&mut stream).await;
}
