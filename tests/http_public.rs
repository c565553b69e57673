//! The public paths: their shapes, their formats, and what they say to wrong requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod http_world;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_world::{Member, SOON, chain, ledger, raw, request, wait_for};
use lease_election::{Leadership, LeaseSpec, LeaseTrouble};
use random_generator::clock::{Boot, Clock, Wall};
use random_generator::discovery::{Peer, PeerList};
use random_generator::lease::{Head, LeaseObject, LeaseSnapshot};
use random_generator::readiness::Latch;
use random_generator::record::Hex;
use random_generator::record::integers::Question;
use random_generator::server::exchange::RequestLimits;
use random_generator::server::limits::Limits;

/// What gives something out, each way once.
const GIVING: [&str; 12] = [
    "/",
    "/integers",
    "/decimals",
    "/gaussians",
    "/bytes",
    "/bytes?count=9&format=json",
    "/strings",
    "/uuids",
    "/ids",
    "/shuffle",
    "/shuffle?items=a,b",
    "/sequence?seed=1",
];

async fn member() -> Member {
    Member::start(Limits::public()).await
}

#[tokio::test]
async fn the_root_gives_a_number_the_process_and_the_version_and_journals_it_first() {
    let member = member().await;
    let reply = member.get("/").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.text(),
        r#"{"random":0,"id":"00000000-0000-0000-0000-000000000000","version":"1.2.3"}"#
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(member.get("/?format=text").await.text(), "1\n");
    assert_eq!(member.get("/?format=bytes").await.body, [0, 0, 0, 2]);
    let entries = member.journal.entries.lock().unwrap();
    let kept: Vec<_> = entries.iter().map(|e| (e.target.as_str(), e.count, e.value)).collect();
    assert_eq!(
        kept,
        [
            ("/", 1, Some(0)),
            ("/?format=text", 1, Some(1)),
            ("/?format=bytes", 1, Some(2))
        ]
    );
    assert_eq!(Some(entries[0].request_id.as_str()), reply.header("x-request-id"));
}

#[tokio::test]
async fn a_number_that_the_journal_cannot_keep_is_not_given_out() {
    let member = member().await;
    member.journal.full.store(true, Ordering::SeqCst);
    for path in GIVING {
        let reply = member.get(path).await;
        if path.starts_with("/sequence") {
            assert_eq!(reply.status, 200, "anyone can compute it again");
            continue;
        }
        assert_eq!(reply.status, 503, "{path}");
        assert_eq!(reply.header("retry-after"), Some("3"));
        assert!(reply.problem()["detail"].as_str().unwrap().contains("no space left"));
    }
    member.journal.full.store(false, Ordering::SeqCst);
    assert_eq!(member.get("/").await.status, 200);
}

#[tokio::test]
async fn integers_bytes_and_ids_come_in_each_format() {
    let member = member().await;
    assert_eq!(
        member
            .get(&format!("/integers?min={0}&max={0}&count=2", i64::MIN))
            .await
            .text(),
        r#"{"values":[-9223372036854775808,-9223372036854775808]}"#
    );
    let all = format!("/integers?min={}&max={}&count=3", i64::MIN, i64::MAX);
    let reply = member.get(&all).await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(reply.text()).unwrap()["values"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let reply = member.get("/integers?min=-1&max=2&count=20&format=text").await;
    let text = reply.text();
    assert_eq!(text.lines().count(), 20);
    assert!(
        text.lines()
            .all(|line| (-1..=2).contains(&line.parse::<i32>().unwrap())),
        "{text}"
    );
    let bytes = member.get("/integers?min=-1&max=-1&format=bytes").await;
    assert_eq!(bytes.body, [0xff; 8]);
    let bytes = member.get("/bytes").await;
    assert_eq!(bytes.header("content-type"), Some("application/octet-stream"));
    assert_eq!(bytes.body, [0xab; 32]);
    assert_eq!(member.get("/bytes?count=1048576").await.body.len(), 1 << 20);
    assert_eq!(
        member.get("/bytes?count=2&format=json").await.text(),
        r#"{"values":["abab"]}"#
    );
    assert_eq!(
        member.get("/ids?count=2").await.text(),
        r#"{"values":["1152921504606846976","1152921504606846977"]}"#
    );
    let address = member.running.address;
    let text = request(address, "GET", "/ids", "accept: text/plain\r\n", b"").await;
    assert_eq!(text.text(), "1152921504606846978\n");
    assert_eq!(member.journal.entries.lock().unwrap().len(), 9);
}

#[tokio::test]
async fn a_wrong_parameter_is_a_problem_that_names_it() {
    let member = member().await;
    for (target, name) in [
        ("/integers?cuont=1", "cuont"),
        ("/integers?count=1&count=1", "count"),
        ("/integers?count=one", "count"),
        ("/integers?count=1.5", "count"),
        ("/integers?count=0", "count"),
        ("/integers?count=10001", "count"),
        ("/integers?max=10&count=11&unique=true", "count"),
        ("/integers?unique=yes", "unique"),
        ("/integers?min=-9223372036854775809", "min"),
        ("/integers?count=99999999999999999999999", "count"),
        ("/integers?max=9223372036854775808", "max"),
        ("/integers?min=5&max=4", "max"),
        ("/integers?min=101", "min"),
        ("/integers?min=%ff", "min"),
        ("/integers?min=%zz", "min"),
        ("/integers?%ff=1", "%ff"),
        ("/integers?format=xml", "format"),
        ("/bytes?count=1048577&format=json", "count"),
        ("/bytes?count=1048577&format=text", "count"),
        ("/bytes?count=1099511627777", "count"),
        ("/decimals?min=1", "min"),
        ("/decimals?min=2&max=2", "max"),
        ("/decimals?max=inf", "max"),
        ("/decimals?max=nan", "max"),
        ("/decimals?max=2e300", "max"),
        ("/decimals?max=1e999", "max"),
        ("/decimals?max=0x10", "max"),
        ("/decimals?max=", "max"),
        ("/gaussians?deviation=-1", "deviation"),
        ("/gaussians?mean=infinity", "mean"),
        ("/gaussians?count=0", "count"),
        ("/strings?length=0", "length"),
        ("/strings?length=1025", "length"),
        ("/strings?length=1024&count=1025", "count"),
        ("/strings?alphabet=greek", "alphabet"),
        ("/strings?characters=", "characters"),
        ("/strings?characters=aba", "characters"),
        ("/strings?characters=a%0a", "characters"),
        ("/strings?characters=ab&alphabet=hex", "characters"),
        ("/uuids?version=1", "version"),
        ("/uuids?count=10001", "count"),
        ("/shuffle?min=11", "min"),
        ("/shuffle?max=10001", "max"),
        ("/shuffle?min=-20000", "min"),
        ("/shuffle?min=-9223372036854775808&max=9223372036854775807", "max"),
        ("/shuffle?items=a,,b", "items"),
        ("/shuffle?items=a%0a,b", "items"),
        ("/shuffle?items=a&min=1", "items"),
        ("/sequence", "seed"),
        ("/sequence?seed=x", "seed"),
        ("/sequence?seed=9223372036854775808", "seed"),
        ("/sequence?seed=1&from=281474976710656", "from"),
        ("/sequence?seed=1&count=10001", "count"),
        ("/bytes?count=-1", "count"),
        ("/ids?count=1001", "count"),
        ("/?count=1", "count"),
        ("/draws?from=0", "from"),
        ("/draws?limit=1001", "limit"),
        ("/draws/-1", "round"),
        ("/draws/9007199254740992", "round"),
        ("/draws/%ff", "round"),
        ("/draws/0/integers", "round"),
        ("/draws/latest/integers", "round"),
        ("/draws/1/integers?min=5&max=4", "max"),
        ("/draws/1/integers?min=101", "min"),
        ("/draws/1/integers?max=9223372036854775808", "max"),
        ("/draws/1/integers?count=10001", "count"),
        ("/draws/1/integers?count=0", "count"),
        ("/draws/1/integers?count=101&unique=true", "count"),
        ("/draws/1/integers?unique=yes", "unique"),
        ("/draws/1/integers?unique", "unique"),
        ("/draws/1/integers?seed=1", "seed"),
        ("/peers?all", "all"),
        ("/set?all", "all"),
        ("/set?format=xml", "format"),
    ] {
        let reply = member.get(target).await;
        assert_eq!(reply.status, 400, "{target}");
        let problem = reply.problem();
        assert_eq!(problem["parameter"], name, "{target}");
        assert!(problem["allowed"].is_string(), "{target}");
        assert!(
            problem["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:random-generator:problem:")
        );
    }
    assert_eq!(member.numbers.given(), 0);
    assert!(member.journal.entries.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bytes_that_are_not_utf8_or_not_http_are_refused() {
    let member = member().await;
    let address = member.running.address;
    for (bytes, status) in [
        (
            b"GET /integers?min=\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".as_slice(),
            400,
        ),
        (b"\x16\x03\x01\x00\xff\r\n\r\n".as_slice(), 400),
        (b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n".as_slice(), 400),
    ] {
        let answer = raw(address, bytes).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_and_formats_are_problems() {
    let member = member().await;
    let address = member.running.address;
    assert_eq!(member.get("/nothing").await.problem()["status"], 404);
    let reply = request(address, "POST", "/integers", "", b"").await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    assert_eq!(reply.problem()["allowed"], "GET, HEAD");
    let reply = request(address, "GET", "/ids", "accept: image/png\r\n", b"").await;
    assert_eq!(reply.status, 406);
    assert!(reply.problem()["allowed"].as_str().unwrap().contains("text/plain"));
    assert_eq!(member.get("/ids?format=bytes").await.status, 406);
}

#[tokio::test]
async fn an_oversized_header_uri_or_body_is_refused() {
    let member = member().await;
    let address = member.running.address;
    let long = format!("x-long: {}\r\n", "a".repeat(20_000));
    assert_eq!(request(address, "GET", "/", &long, b"").await.status, 431);
    let many: String = (0..200).map(|n| format!("x-{n}: a\r\n")).collect();
    assert_eq!(request(address, "GET", "/", &many, b"").await.status, 431);
    let reply = member.get(&format!("/integers?min={}", "1".repeat(5_000))).await;
    assert_eq!(reply.problem()["status"], 414);
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1000000\r\n\r\n";
    let answer = raw(address, head.as_bytes()).await;
    let reply = http_world::Reply::parse(&answer).unwrap();
    assert_eq!(reply.problem()["status"], 413);
}

#[tokio::test]
async fn head_gives_nothing_out() {
    let member = member().await;
    for path in GIVING {
        let reply = request(member.running.address, "HEAD", path, "", b"").await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{path}");
        let known = path.starts_with("/bytes") || path == "/uuids";
        assert_eq!(reply.header("content-length").is_some(), known, "{path}");
    }
    assert_eq!(member.numbers.given(), 0);
    assert_eq!(member.ids.taken.load(Ordering::SeqCst), 0);
    assert!(member.journal.entries.lock().unwrap().is_empty());
    assert_eq!(
        request(member.running.address, "HEAD", "/?cuont=1", "", b"")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn head_has_the_length_of_get_where_no_number_is_needed_to_know_it() {
    let member = member().await;
    let address = member.running.address;
    for path in [
        "/?format=bytes",
        "/integers?count=9&format=bytes",
        "/integers?count=9&unique=true&format=bytes",
        "/decimals?format=bytes",
        "/gaussians?count=3&format=bytes",
        "/bytes",
        "/bytes?count=9&format=json",
        "/bytes?count=9&format=text",
        "/uuids",
        "/uuids?count=5&format=text",
        "/uuids?version=7&count=3000",
        "/sequence?seed=1&count=3&format=bytes",
    ] {
        let head = request(address, "HEAD", path, "", b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        let get = member.get(path).await;
        let length = get.body.len().to_string();
        assert_eq!(get.header("content-length"), Some(length.as_str()), "{path}");
        assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
    }
    // A TiB, which nobody reads to its end here.
    let head = request(address, "HEAD", "/bytes?count=1099511627776", "", b"").await;
    assert_eq!(head.header("content-length"), Some("1099511627776"));
    for path in [
        "/docs",
        "/openapi.json",
        "/version",
        "/livez",
        "/readyz",
        "/peers",
        "/leader",
        "/draws",
    ] {
        let head = request(address, "HEAD", path, "", b"").await;
        let length = member.get(path).await.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
    }
}

#[tokio::test]
async fn draws_are_given_as_their_canonical_text() {
    let member = member().await;
    assert_eq!(member.get("/draws/latest").await.problem()["status"], 404);
    assert_eq!(member.get("/draws").await.text(), r#"{"draws":[],"next":null}"#);
    let records = chain(5..=9);
    member.ledger.send_replace(Arc::new(ledger(records.clone())));
    assert_eq!(member.get("/draws/latest").await.text(), records[4].canonical());
    assert_eq!(member.get("/draws/6").await.text(), records[1].canonical());
    assert_eq!(member.get("/draws/10").await.problem()["status"], 404);
    let gone = member.get("/draws/4").await;
    assert_eq!((gone.status, gone.problem()["oldest"].as_u64()), (410, Some(5)));
    assert_eq!(member.get("/draws?from=4").await.status, 410);
    let page = member.get("/draws?from=6&limit=2").await.json();
    assert_eq!(page["next"], 8);
    assert_eq!(page["draws"][0]["round"], 6);
    assert_eq!(page["draws"].as_array().unwrap().len(), 2);
    let page = member.get("/draws?from=8").await.json();
    assert_eq!(
        (&page["next"], page["draws"].as_array().unwrap().len()),
        (&serde_json::Value::Null, 2)
    );
    assert_eq!(member.get("/draws?from=10").await.text(), r#"{"draws":[],"next":null}"#);
    let lines: String = records.iter().map(|record| record.canonical() + "\n").collect();
    assert_eq!(member.get("/draws?format=jsonl").await.text(), lines);
    let accepted = request(
        member.running.address,
        "GET",
        "/draws?limit=1",
        "accept: application/x-ndjson\r\n",
        b"",
    )
    .await;
    assert_eq!(accepted.text(), records[0].canonical() + "\n");
    assert_eq!(accepted.header("random-generator-next"), Some("6"));
}

#[tokio::test]
async fn integers_derived_from_a_draw_are_those_of_its_output_and_the_same_each_time() {
    let member = member().await;
    assert_eq!(member.get("/draws/6/integers").await.problem()["status"], 404);
    let records = chain(5..=9);
    member.ledger.send_replace(Arc::new(ledger(records.clone())));
    for (target, status) in [
        ("/draws/10/integers", 404),
        ("/draws/4/integers", 410),
        // A chain in which nobody reveals anything has no outputs.
        ("/draws/6/integers", 409),
        ("/draws/6/integers?format=bytes", 406),
        ("/draws/6/integers/", 404),
    ] {
        assert_eq!(member.get(target).await.problem()["status"], status, "{target}");
    }
    let mut revealed = (*records[4]).clone();
    revealed.output = Some(Hex([9; 64]));
    let expected = Question::new(-5, 5, 11, true).unwrap().values(&Hex([9; 64]));
    member
        .ledger
        .send_replace(Arc::new(ledger(vec![Arc::new(revealed.clone())])));
    let target = "/draws/9/integers?min=-5&max=5&count=11&unique=true";
    let reply = member.get(target).await;
    assert_eq!(
        reply.json(),
        serde_json::json!({"round": 9, "hash": revealed.hash.to_string(), "min": -5, "max": 5, "count": 11, "unique": true,
            "values": expected})
    );
    assert_eq!(member.get(target).await.text(), reply.text());
    let lines: String = expected.iter().map(|value| format!("{value}\n")).collect();
    assert_eq!(member.get(&format!("{target}&format=text")).await.text(), lines);
    let usual = member.get("/draws/9/integers").await.json();
    let asked = (&usual["min"], &usual["max"], &usual["count"], &usual["unique"]);
    assert_eq!(asked, (&1.into(), &100.into(), &1.into(), &false.into()));
    let wide = format!("/draws/9/integers?min={}&max={}", i64::MIN, i64::MAX);
    assert!(member.get(&wide).await.json()["values"][0].is_i64());
}

#[tokio::test]
async fn a_cache_may_keep_what_is_final_and_is_reported_when_it_has_it() {
    let member = member().await;
    let mut records = chain(5..=9);
    Arc::make_mut(&mut records[4]).output = Some(Hex([9; 64]));
    member.ledger.send_replace(Arc::new(ledger(records.clone())));
    let again = async |target: &str, tag: &str| {
        let having = format!("if-none-match: \"x\", W/{tag}\r\n");
        request(member.running.address, "GET", target, &having, b"").await
    };
    let mut tags = Vec::new();
    for (target, control) in [
        ("/draws/8", "public, max-age=3600, immutable"),
        ("/draws/9", "public, max-age=3600, immutable"),
        ("/draws/9?format=jsonl", "public, max-age=3600, immutable"),
        ("/draws/9/integers", "public, max-age=3600, immutable"),
        ("/draws/9/integers?format=text", "public, max-age=3600, immutable"),
        ("/draws/9/integers?count=2", "public, max-age=3600, immutable"),
        ("/draws/9/integers?min=2", "public, max-age=3600, immutable"),
        ("/draws/9/integers?max=2", "public, max-age=3600, immutable"),
        ("/draws/9/integers?unique=true", "public, max-age=3600, immutable"),
        ("/draws/latest", "no-cache"),
    ] {
        let reply = member.get(target).await;
        let tag = reply.header("etag").unwrap().to_owned();
        assert_eq!(
            (reply.status, reply.header("cache-control")),
            (200, Some(control)),
            "{target}"
        );
        assert_eq!(reply.header("vary"), Some("accept"));
        let unchanged = again(target, &tag).await;
        assert_eq!((unchanged.status, unchanged.text()), (304, ""), "{target}");
        assert_eq!(
            (unchanged.header("etag"), unchanged.header("cache-control")),
            (Some(&*tag), Some(control))
        );
        assert_eq!(again(target, "\"another\"").await.text(), reply.text());
        tags.push(tag);
    }
    assert_eq!(
        tags.pop(),
        Some(tags[1].clone()),
        "the newest is the record of its round"
    );
    let different: std::collections::BTreeSet<_> = tags.iter().collect();
    assert_eq!(different.len(), tags.len(), "{tags:?}");
    // The next draw changes what is newest, and nothing else.
    member.ledger.send_replace(Arc::new(ledger(chain(5..=10))));
    assert_eq!(again("/draws/latest", &tags[1]).await.json()["round"], 10);
    // What isn't there now may be there soon.
    assert_eq!(member.get("/draws/11").await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_range_is_ignored_and_the_answer_is_the_whole() {
    let member = member().await;
    let mut records = chain(1..=3);
    Arc::make_mut(&mut records[1]).output = Some(Hex([9; 64]));
    member.ledger.send_replace(ledger(records).into());
    for target in [
        "/sequence?seed=42&count=1000&format=bytes",
        "/draws/2",
        "/draws/latest?format=jsonl",
        "/draws/2/integers?count=100&format=text",
    ] {
        let whole = member.get(target).await;
        assert_eq!(whole.header("accept-ranges"), None, "{target}");
        let tag = whole.header("etag").unwrap();
        let length = whole.body.len();
        for headers in [
            "range: bytes=0-6\r\n".to_owned(),
            format!("range: bytes={length}-\r\n"),
            format!("range: bytes=0-6\r\nif-range: {tag}\r\n"),
        ] {
            let reply = request(member.running.address, "GET", target, &headers, b"").await;
            assert!((reply.status, &reply.body) == (200, &whole.body), "{target} {headers}");
            assert_eq!(reply.header("content-range"), None, "{target} {headers}");
        }
    }
    // Of a download that broke off, the rest can't be asked for: the bytes are not made again.
    let reply = request(
        member.running.address,
        "GET",
        "/bytes?count=10",
        "range: bytes=0-3\r\n",
        b"",
    )
    .await;
    assert_eq!((reply.status, reply.body.len()), (200, 10));
    assert_eq!(reply.header("accept-ranges"), Some("none"));
}

#[tokio::test]
async fn draws_say_how_old_the_view_of_the_lease_is_when_it_cannot_be_seen() {
    let member = member().await;
    let age = "random-generator-view-age-ms";
    assert_eq!(member.get("/draws").await.header(age), Some("unknown"));
    let boot = Clock::system().boot();
    let seen = |confirmed_at, trouble| {
        Arc::new(LeaseSnapshot {
            leadership: Leadership::Follower { holder: None },
            object: None,
            confirmed_at: Some(confirmed_at),
            expires_at: None,
            trouble,
        })
    };
    member.lease.send_replace(seen(boot, None));
    assert_eq!(member.get("/draws").await.header(age), None);
    member.lease.send_replace(seen(Boot(boot.0 - 40_000_000_000), None));
    let old: u64 = member.get("/draws").await.header(age).unwrap().parse().unwrap();
    assert!((40_000..60_000).contains(&old), "{old}");
    member.lease.send_replace(seen(boot, Some(LeaseTrouble::Absent)));
    assert!(member.get("/draws").await.header(age).is_some());
}

#[tokio::test]
async fn peers_and_leader_have_the_shapes_that_clients_rely_on() {
    let member = member().await;
    let first = member.get("/peers").await.json();
    assert_eq!(
        first,
        serde_json::json!({"self": "rg-1", "resolved_at": null, "stale": false, "peers": []})
    );
    member.peers.send_replace(Arc::new(PeerList {
        peers: vec![Peer {
            name: "rg-1".into(),
            ordinal: 1,
            host: "rg-1.peers.local".into(),
            peer_port: 8081,
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            is_self: true,
        }],
        resolved_at: Some((Boot(1), Wall(1_800_000_000_000_000))),
        stale: true,
        trouble: None,
    }));
    let reply = member.get("/peers").await.json();
    assert_eq!(
        reply,
        serde_json::json!({
            "self": "rg-1", "resolved_at": "2027-01-15T08:00:00Z", "stale": true,
            "peers": [{"name": "rg-1", "ordinal": 1, "host": "rg-1.peers.local", "peer_port": 8081, "self": true}],
        })
    );
    assert_eq!(
        member.get("/peers?format=text").await.text(),
        "rg-1 rg-1.peers.local:8081\n"
    );

    let leader = member.get("/leader").await.json();
    assert_eq!(
        (&leader["holder"], &leader["fence"]),
        (&serde_json::Value::Null, &serde_json::json!(0))
    );
    let boot = Clock::system().boot();
    let mut snapshot = LeaseSnapshot {
        leadership: Leadership::Leader {
            fence: 3,
            renew_deadline: boot + Duration::from_secs(3600),
        },
        object: Some(Arc::new(LeaseObject {
            uid: "u".into(),
            version: 1,
            spec: LeaseSpec {
                holder: Some("rg-1_uid-nonce".into()),
                duration_seconds: Some(15),
                acquire_time: Some("2027-01-15T08:00:00.5Z".parse().unwrap()),
                renew_time: None,
                transitions: 1,
            },
            fence: 3,
            payload: Head::Absent,
            carried: Arc::new(serde_json::Value::Null),
        })),
        confirmed_at: Some(boot),
        expires_at: Some(boot + Duration::from_secs(3600)),
        trouble: None,
    };
    member.lease.send_replace(Arc::new(snapshot.clone()));
    let leader = member.get("/leader").await.json();
    assert_eq!(leader["holder"], "rg-1_uid-nonce");
    assert_eq!(leader["member"], "rg-1");
    assert_eq!(leader["self"], true);
    assert_eq!(leader["fence"], 3);
    assert_eq!(leader["acquired_at"], "2027-01-15T08:00:00.5Z");
    assert!((3_500_000..=3_600_000).contains(&leader["remaining_ms"].as_u64().unwrap()));

    // Its term is over, though nobody has taken its name out of the Lease.
    snapshot.leadership = Leadership::Leader {
        fence: 3,
        renew_deadline: boot,
    };
    member.lease.send_replace(Arc::new(snapshot));
    let leader = member.get("/leader").await.json();
    assert_eq!((&leader["member"], &leader["self"]), (&"rg-1".into(), &false.into()));
}

#[tokio::test]
async fn readiness_is_503_until_the_latches_are_released_and_liveness_never() {
    let member = member().await;
    let reply = member.get("/readyz").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["ready"], false);
    assert_eq!(member.get("/livez").await.status, 200);
    for latch in [Latch::Listeners, Latch::Volume, Latch::Entropy, Latch::Journal] {
        member.readiness.release(latch);
    }
    member.readiness.report("lease", Some("nobody leads".into()));
    let reply = member.get("/readyz?verbose").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json(),
        serde_json::json!({
            "ready": true, "stopping": false,
            "latches": {"listeners": true, "volume": true, "entropy": true, "journal": true},
            "degraded": [{"source": "lease", "reason": "nobody leads"}],
        })
    );
    member.readiness.stop();
    assert_eq!(member.get("/readyz").await.status, 503);
    assert_eq!(member.get("/version").await.json()["version"], "1.2.3");
}

#[tokio::test]
async fn a_request_keeps_its_id_if_it_is_sane_and_gets_one_otherwise() {
    let member = member().await;
    let address = member.running.address;
    let reply = request(address, "GET", "/livez", "x-request-id: abc-1\r\n", b"").await;
    assert_eq!(reply.header("x-request-id"), Some("abc-1"));
    for id in ["", "two words", &"a".repeat(65)] {
        let reply = request(address, "GET", "/nothing", &format!("x-request-id: {id}\r\n"), b"").await;
        let given = reply.header("x-request-id").unwrap();
        assert!(given.starts_with("00000007-"), "{given}");
    }
}

#[tokio::test]
async fn ids_that_no_later_request_will_get_either_are_refused_without_a_time_to_retry() {
    let member = member().await;
    member.ids.unavailable.store(true, Ordering::SeqCst);
    let reply = member.get("/ids").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, None));
    assert!(reply.problem()["detail"].as_str().unwrap().contains("no ordinal"));
}

#[tokio::test]
async fn each_reason_to_cut_a_connection_is_counted_from_the_start() {
    let member = member().await;
    wait_for("each reason is there", || {
        let metrics = member.metrics();
        ["idle", "half_sent", "stalled", "slow_stream", "asked", "full", "drain"]
            .iter()
            .all(|reason| {
                let line = format!("http_connections_cut_total{{listener=\"public\",reason=\"{reason}\"}} 0\n");
                metrics.contains(&line)
            })
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_and_the_connection_and_the_member_go_on() {
    let member = member().await;
    let reply = member.get("/integers?count=13").await;
    assert_eq!(reply.problem()["status"], 500);
    assert_eq!(member.get("/").await.status, 200);
    let metrics = member.metrics();
    assert!(
        metrics.contains(r#"http_requests_total{listener="public",route="/integers",method="GET",status="500"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_503_in_time() {
    let limits = RequestLimits {
        time: Duration::from_millis(50),
        ..RequestLimits::public()
    };
    let member = Member::start_with(Limits::public(), limits).await;
    let _held = member.journal.room.acquire_many(1_000).await.unwrap();
    let reply = tokio::time::timeout(SOON, member.get("/")).await.unwrap();
    assert_eq!(reply.problem()["status"], 503);
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_none_stays_in_flight() {
    let member = member().await;
    member.get("/draws/77").await;
    member.get("/").await;
    member.get("/../etc/passwd").await;
    let metrics = member.metrics();
    for line in [
        r#"http_requests_total{listener="public",route="/draws/{round}",method="GET",status="404"} 1"#,
        r#"http_requests_total{listener="public",route="/",method="GET",status="200"} 1"#,
        r#"http_requests_total{listener="public",route="other",method="GET",status="404"} 1"#,
        r#"http_requests_in_flight{listener="public"} 0"#,
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    wait_for("closed connections are counted down", || {
        member.metrics().contains(r#"http_connections{listener="public"} 0"#)
    })
    .await;
}

#[tokio::test]
async fn the_set_is_every_member_by_ordinal_with_its_report_or_why_there_is_none() {
    let member = member().await;
    let alone = member.get("/set").await;
    assert_eq!(alone.header("cache-control"), Some("no-store"));
    let alone = alone.json();
    assert_eq!(alone["self"], "rg-1");
    // The other voter isn't listed, and this member always has its own report.
    let names = |set: &serde_json::Value| -> Vec<String> {
        let members = set["members"].as_array().unwrap();
        members
            .iter()
            .map(|member| member["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&alone), ["rg-0", "rg-1"]);
    let [other, own] = [&alone["members"][0], &alone["members"][1]];
    assert_eq!(other["silent"]["why"], "DNS hasn't answered yet");
    assert_eq!((&other["self"], &other["published"]), (&false.into(), &false.into()));
    assert_eq!(
        (&other["report"], &other["report_age_ms"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!((&own["self"], &own["silent"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(own["report"], serde_json::to_value(http_world::report()).unwrap());
    assert!(own["report_age_ms"].is_u64());
    for (header, status) in [("", 200), ("accept: */*\r\n", 200), ("accept: text/plain\r\n", 406)] {
        let reply = request(member.running.address, "GET", "/set", header, b"").await;
        assert_eq!(reply.status, status, "{header}");
    }
    let head = request(member.running.address, "HEAD", "/set", "", b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        request(member.running.address, "POST", "/set", "", b"")
            .await
            .header("allow"),
        Some("GET, HEAD")
    );
}

#[tokio::test]
async fn the_largest_set_is_one_answer_that_takes_its_memory_from_the_budget() {
    let member = Member::start_with_memory(Limits::public(), 1 << 20).await;
    let listed = (0..1024).map(|ordinal| Peer {
        name: format!("rg-{ordinal}"),
        ordinal,
        host: format!("rg-{ordinal}.peers.local"),
        peer_port: 8081,
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        is_self: ordinal == 1,
    });
    member.peers.send_replace(Arc::new(PeerList {
        peers: listed.collect(),
        resolved_at: Some((Boot(1), Wall(1_800_000_000_000_000))),
        stale: false,
        trouble: None,
    }));
    let set = member.get("/set").await.json();
    let members = set["members"].as_array().unwrap();
    assert_eq!(members.len(), 1024);
    assert_eq!(members[1023]["silent"]["why"], "no answer within 1 s");
    // A client that doesn't read the answer holds all of the budget.
    let slow = tokio::net::TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(1024).unwrap();
    let mut slow = slow.connect(member.running.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut slow, b"GET /set HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    wait_for("it holds the budget", || {
        member
            .metrics()
            .contains("http_answer_memory_held_bytes{listener=\"public\"} 1048576")
    })
    .await;
    let refused = member.get("/set").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert_eq!(member.get("/").await.status, 200);
}
