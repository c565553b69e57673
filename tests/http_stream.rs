//! `/draws/stream` over real sockets: what a reader is told, how it resumes, and what a slow one costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

#[path = "grown/mod.rs"]
#[allow(dead_code)] // what other tests ask of it
mod grown;
mod http_world;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use grown::appended;
use http_world::{Member, SOON, chain, closed, ledger, request, wait_for};
use prometheus_client::registry::Registry;
use random_generator::clock::Clock;
use random_generator::draw::contributor::Contributor;
use random_generator::draw::ledger::storage::{Storage, StorageConfig};
use random_generator::draw::ledger::task::{LedgerConfig, LedgerHandle, LedgerMetrics, LedgerTask, start};
use random_generator::draw::ledger::{Condition, LedgerSnapshot, Write};
use random_generator::record::{Contribution, Hex, Record};
use random_generator::server::exchange::RequestLimits;
use random_generator::server::limits::{Limits, StreamLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// So long that a test which runs into it fails.
const LONG: Duration = Duration::from_secs(60);

fn patient() -> StreamLimits {
    StreamLimits {
        open: 8,
        heartbeat: LONG,
        fetching: LONG,
    }
}

async fn member_with(streams: StreamLimits) -> Member {
    Member::start_streaming(Limits::public(), RequestLimits::public(), streams).await
}

/// An event as a reader by WHATWG HTML, 9.2.6, dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
    /// The last event's id as of this one.
    id: String,
}

impl Event {
    fn round(&self) -> u64 {
        assert_eq!(self.name, "draw", "{self:?}");
        let record = Record::parse(&self.data).unwrap();
        assert_eq!(self.id, record.round.to_string());
        record.round
    }
}

/// One reader of a stream.
struct Reader {
    socket: TcpStream,
    head: String,
    /// Bytes of the body, without the marks of its chunks, that are not a whole line yet.
    rest: String,
    raw: Vec<u8>,
    events: VecDeque<Event>,
    id: String,
    name: String,
    data: Vec<String>,
    comments: usize,
    retry: Option<String>,
    /// The body came to its end in order.
    ended: bool,
}

impl Reader {
    /// As an EventSource does. `headers`: whole lines.
    async fn open(address: SocketAddr, target: &str, headers: &str) -> Reader {
        let headers = format!("accept: text/event-stream\r\n{headers}");
        Reader::connect(address, target, &headers).await
    }

    async fn connect(address: SocketAddr, target: &str, headers: &str) -> Reader {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert_ne!(timeout(SOON, socket.read_buf(&mut raw)).await.unwrap().unwrap(), 0);
        };
        let head = String::from_utf8(raw[..end].to_vec()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        raw.drain(..end + 4);
        let mut reader = Reader {
            socket,
            head: head.to_ascii_lowercase(),
            rest: String::new(),
            raw,
            events: VecDeque::new(),
            id: String::new(),
            name: String::new(),
            data: Vec::new(),
            comments: 0,
            retry: None,
            ended: false,
        };
        reader.parse();
        // What is said at once, before any event.
        while reader.retry.is_none() || reader.id.is_empty() {
            reader.read().await;
        }
        reader
    }

    async fn follow(member: &Member, target: &str) -> Reader {
        Reader::open(member.running.address, target, "").await
    }

    /// Takes what has come; false at the end of the connection.
    async fn read(&mut self) -> bool {
        let read = timeout(SOON, self.socket.read_buf(&mut self.raw));
        let open = read.await.expect("nothing comes").is_ok_and(|bytes| bytes > 0);
        self.parse();
        open
    }

    fn parse(&mut self) {
        while let Some(line) = self.raw.windows(2).position(|window| window == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..line]).unwrap(), 16).unwrap();
            if self.raw.len() < line + 2 + size + 2 {
                break;
            }
            let chunk: Vec<u8> = self.raw.drain(..line + 2 + size + 2).collect();
            self.rest
                .push_str(std::str::from_utf8(&chunk[line + 2..line + 2 + size]).unwrap());
            self.ended |= size == 0;
        }
        while let Some((line, rest)) = self.rest.split_once('\n') {
            let (line, rest) = (line.to_owned(), rest.to_owned());
            self.rest = rest;
            self.line(&line);
        }
    }

    fn line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" if line.is_empty() => {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                if name == "position" {
                    let next = self.id.parse::<u64>().unwrap() + 1;
                    assert_eq!(data, [format!("{{\"next\":{next}}}")]);
                } else if !data.is_empty() {
                    let (data, id) = (data.join("\n"), self.id.clone());
                    self.events.push_back(Event { name, data, id });
                }
            }
            "" => self.comments += 1,
            "id" => self.id = value,
            "event" => self.name = value,
            "data" => self.data.push(value),
            "retry" => self.retry = Some(value),
            other => panic!("{other} is no field of an event"),
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            assert!(self.read().await, "the stream ended");
        }
    }

    async fn rounds(&mut self, count: usize) -> Vec<u64> {
        let mut rounds = Vec::new();
        while rounds.len() < count {
            rounds.push(self.next().await.round());
        }
        rounds
    }

    /// The next event, as name and data.
    async fn told(&mut self) -> (String, serde_json::Value) {
        let event = self.next().await;
        (event.name, serde_json::from_str(&event.data).unwrap())
    }
}

fn report(member: &Member, records: &[Arc<Record>]) {
    member.ledger.send_replace(Arc::new(ledger(records.to_vec())));
}

#[tokio::test]
async fn a_stream_gives_what_is_there_at_once_and_then_each_draw_as_it_is_reported() {
    let member = member_with(patient()).await;
    let records = chain(1..=400);
    report(&member, &records[..300]);
    let mut reader = Reader::follow(&member, "/draws/stream?from=1").await;
    for header in ["content-type: text/event-stream", "cache-control: no-store"] {
        assert!(reader.head.contains(header), "{}", reader.head);
    }
    assert_eq!((reader.retry.as_deref(), reader.id.as_str()), (Some("1000"), "0"));
    let first = reader.next().await;
    assert_eq!((first.round(), first.data), (1, records[0].canonical()));
    // Draws come while the reader is still being given what was there.
    report(&member, &records[..303]);
    assert!(reader.rounds(302).await.into_iter().eq(2..=303));
    for newest in [304, 305, 310, 400] {
        report(&member, &records[..newest]);
        let next = reader.rounds(1).await[0];
        let rest = reader.rounds(newest - next as usize).await;
        assert!(rest.into_iter().eq(next + 1..=newest as u64));
    }
    // A snapshot that changes something else tells nothing again.
    member
        .ledger
        .send_modify(|ledger| Arc::make_mut(ledger).promised_fence += 1);
    let records = chain(1..=401);
    report(&member, &records);
    assert_eq!(reader.rounds(1).await, [401]);
}

#[tokio::test]
async fn a_reader_resumes_after_its_last_event_and_else_begins_with_the_next_draw() {
    let member = member_with(patient()).await;
    let records = chain(1..=12);
    report(&member, &records[..10]);
    let mut next = Reader::follow(&member, "/draws/stream").await;
    assert_eq!(next.id, "10", "a reader cut off before its first event misses none");
    let address = member.running.address;
    let resumed = async |target: &str, header: &str| Reader::open(address, target, header).await;
    let mut after = resumed("/draws/stream", "last-event-id: 7\r\n").await;
    assert_eq!(after.rounds(3).await, [8, 9, 10]);
    // A reader that comes back has both, and the header knows more.
    let mut both = resumed("/draws/stream?from=2", "last-event-id: 8\r\n").await;
    assert_eq!(both.rounds(2).await, [9, 10]);
    let mut from = resumed("/draws/stream?from=9", "last-event-id: \r\n").await;
    assert_eq!(from.rounds(2).await, [9, 10]);
    let mut beginning = resumed("/draws/stream", "last-event-id: 0\r\n").await;
    assert_eq!(beginning.rounds(10).await.last(), Some(&10));
    report(&member, &records);
    for reader in [&mut next, &mut after, &mut both, &mut from, &mut beginning] {
        assert_eq!(reader.rounds(2).await, [11, 12]);
    }
}

#[tokio::test]
async fn before_the_first_draw_a_stream_waits_for_it() {
    let member = member_with(patient()).await;
    let mut reader = Reader::follow(&member, "/draws/stream").await;
    assert_eq!(reader.id, "0");
    report(&member, &chain(1..=1));
    assert_eq!(reader.rounds(1).await, [1]);
}

#[tokio::test]
async fn what_is_no_place_to_begin_is_a_problem() {
    let member = member_with(patient()).await;
    report(&member, &chain(1..=3));
    for (target, header) in [
        ("/draws/stream?from=0", ""),
        ("/draws/stream?from=one", ""),
        ("/draws/stream?since=1", ""),
        ("/draws/stream?from=1&from=1", ""),
        ("/draws/stream", "last-event-id: -1\r\n"),
        ("/draws/stream", "last-event-id: seven\r\n"),
        ("/draws/stream", "last-event-id: 9007199254740991\r\n"),
        ("/draws/stream", "last-event-id: \u{fc}\r\n"),
        ("/draws/stream", "last-event-id: 1\r\nlast-event-id: 1\r\n"),
    ] {
        let reply = request(member.running.address, "GET", target, header, b"").await;
        assert_eq!(reply.problem()["status"], 400, "{target} {header}");
    }
    let head = request(member.running.address, "HEAD", "/draws/stream", "", b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn a_client_that_accepts_no_event_stream_gets_406_and_takes_no_stream() {
    let streams = StreamLimits { open: 1, ..patient() };
    let member = member_with(streams).await;
    for accept in [
        "accept: application/json\r\n",
        "accept: text/html, text/plain;q=0.5\r\n",
        "accept: text/event-stream;q=0, */*\r\n",
        "accept: text/html\r\naccept: image/*\r\n",
    ] {
        for method in ["GET", "HEAD"] {
            let reply = request(member.running.address, method, "/draws/stream", accept, b"").await;
            assert_eq!(reply.status, 406, "{method} {accept}");
            if method == "GET" {
                assert_eq!(reply.problem()["allowed"], "Accept: text/event-stream");
            }
        }
    }
    for accept in [
        "",
        "accept: */*\r\n",
        "accept: text/*\r\n",
        "accept: TEXT/Event-Stream\r\n",
        "accept: text/event-stream;charset=utf-8\r\n",
        "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n",
        "accept: application/json\r\naccept: text/event-stream;q=0.1\r\n",
    ] {
        drop(Reader::connect(member.running.address, "/draws/stream", accept).await);
        wait_for("its place is free", || {
            member.metrics().contains("random_generator_http_draw_streams 0\n")
        })
        .await;
    }
}

#[tokio::test]
async fn rounds_that_are_no_longer_kept_are_reported_as_a_gap() {
    let member = member_with(patient()).await;
    let records = chain(1..=30);
    report(&member, &records[19..25]);
    let mut reader = Reader::follow(&member, "/draws/stream?from=3").await;
    let gap = serde_json::json!({"from": 3, "oldest": 20});
    assert_eq!(reader.told().await, ("gap".to_owned(), gap));
    assert!(reader.rounds(6).await.into_iter().eq(20..=25));
    // Pruned before they were told.
    report(&member, &records[27..]);
    let gap = serde_json::json!({"from": 26, "oldest": 28});
    assert_eq!(reader.told().await, ("gap".to_owned(), gap));
    assert_eq!(reader.rounds(3).await, [28, 29, 30]);
}

/// The ledger of a member that knows of a record before its oldest and asks its peers for it.
fn fetching(records: &[Arc<Record>]) -> Arc<LedgerSnapshot> {
    let mut snapshot = ledger(records.to_vec());
    snapshot.wanted = records[0].previous;
    Arc::new(snapshot)
}

#[tokio::test]
async fn rounds_that_are_being_fetched_from_the_peers_are_waited_for_and_then_sent_in_order() {
    let member = member_with(patient()).await;
    let records = chain(1..=9);
    report(&member, &records[..4]);
    let mut reader = Reader::follow(&member, "/draws/stream").await;
    // Cut off for a while, the member sees the ninth first, and fetches the others down from it.
    member.ledger.send_replace(fetching(&records[8..]));
    member.ledger.send_replace(fetching(&records[6..]));
    report(&member, &records);
    assert_eq!(reader.rounds(5).await, [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn rounds_that_no_peer_has_are_reported_as_a_gap_after_a_while() {
    let limits = StreamLimits {
        fetching: Duration::from_millis(50),
        ..patient()
    };
    let member = member_with(limits).await;
    let records = chain(1..=9);
    report(&member, &records[..4]);
    let mut reader = Reader::follow(&member, "/draws/stream").await;
    member.ledger.send_replace(fetching(&records[6..]));
    let gap = serde_json::json!({"from": 5, "oldest": 7});
    assert_eq!(reader.told().await, ("gap".to_owned(), gap));
    assert_eq!(reader.rounds(3).await, [7, 8, 9]);
}

/// The same rounds with another member as holder, after the first `common`.
fn otherwise(records: &[Arc<Record>], common: usize, id: u8) -> Vec<Arc<Record>> {
    let mut other: Vec<Arc<Record>> = records[..common].to_vec();
    for record in &records[common..] {
        let mut record = (**record).clone();
        record.holder = "rg-1_uid-nonce".into();
        record.chain = Hex([id; 16]);
        record.previous = other.last().map(|record| record.hash);
        record.hash = record.computed_hash();
        other.push(Arc::new(record));
    }
    other
}

#[tokio::test]
async fn a_chain_that_goes_on_otherwise_is_reported_and_so_is_one_that_is_behind() {
    let member = member_with(patient()).await;
    let records = chain(1..=9);
    report(&member, &records[..8]);
    let mut reader = Reader::follow(&member, "/draws/stream?from=7").await;
    assert_eq!(reader.rounds(2).await, [7, 8]);
    // The Lease went on after round 5 without what came then: 6 was not told to this reader, and is another now.
    let other = otherwise(&records, 5, 7);
    report(&member, &other[..8]);
    let chain_id = "07".repeat(16);
    let told = serde_json::json!({"chain": chain_id, "from": 6});
    assert_eq!(reader.told().await, ("chain".to_owned(), told));
    assert_eq!(reader.next().await.data, other[5].canonical());
    assert_eq!(reader.rounds(2).await, [7, 8]);
    // A person began a new chain.
    let new = otherwise(&records[..2], 0, 8);
    report(&member, &new);
    let told = serde_json::json!({"chain": "08".repeat(16), "from": 1});
    assert_eq!(reader.told().await, ("chain".to_owned(), told));
    assert_eq!(reader.rounds(2).await, [1, 2]);
    // Who comes back with a round of the old one is told that there is no such round yet.
    let mut late = Reader::open(member.running.address, "/draws/stream", "last-event-id: 8\r\n").await;
    let told = serde_json::json!({"from": 9, "newest": 2, "chain": "08".repeat(16)});
    assert_eq!(late.told().await, ("ahead".to_owned(), told));
}

/// Records of the chain that a member has in memory.
const RECENT: usize = 512;

/// A ledger's file, and the thread that reads what the member doesn't have in memory. What is reported of it, a test says.
struct Volume {
    _dir: tempfile::TempDir,
    file: Storage,
    ledger: LedgerHandle,
    _task: LedgerTask,
}

impl Volume {
    async fn with(records: &[Arc<Record>]) -> Volume {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let (mut file, _) = Storage::open(&path, StorageConfig::default(), [7; 32]).unwrap();
        file.commit(&appended(records)).unwrap();
        let (set, ordinal) = ("rg".into(), 1);
        let config = LedgerConfig {
            path,
            storage: StorageConfig::default(),
            keep: None,
            contributor: Contributor { set, ordinal },
        };
        let metrics = LedgerMetrics::register(&mut Registry::default());
        let (task, ledger) = start(config, Clock::system(), metrics).unwrap();
        let mut snapshots = ledger.snapshots();
        let open = snapshots.wait_for(|snapshot| snapshot.condition == Condition::Writable);
        timeout(SOON, open).await.unwrap().unwrap();
        Volume {
            _dir: dir,
            file,
            ledger,
            _task: task,
        }
    }

    async fn member(&self) -> Member {
        Member::start_reading(patient(), self.ledger.history().clone()).await
    }
}

/// As [`report`], of a chain from round 1 on whose older records only the volume has.
fn report_recent(member: &Member, records: &[Arc<Record>]) {
    let below = records.len().saturating_sub(RECENT);
    let mut snapshot = ledger(records[below..].to_vec());
    snapshot.below = below as u64;
    member.ledger.send_replace(Arc::new(snapshot));
}

#[tokio::test]
async fn who_is_far_behind_is_sent_the_chain_that_a_person_started_meanwhile() {
    let records = chain(1..=600);
    let mut volume = Volume::with(&records).await;
    let member = volume.member().await;
    report_recent(&member, &records);
    // It is on the volume a moment before it is reported.
    let new = otherwise(&records[..2], 0, 8);
    let mut writes = vec![Write::Renew];
    writes.extend(appended(&new));
    volume.file.commit(&writes).unwrap();
    let mut reader = Reader::open(member.running.address, "/draws/stream", "last-event-id: 49\r\n").await;
    report_recent(&member, &new);
    let told = serde_json::json!({"chain": "08".repeat(16), "from": 1});
    assert_eq!(reader.told().await, ("chain".to_owned(), told));
    assert_eq!(reader.rounds(2).await, [1, 2]);
}

#[tokio::test]
async fn who_is_far_behind_is_sent_the_chain_that_went_on_otherwise_meanwhile() {
    let records = chain(1..=600);
    // What this member has yet to write makes the reader wait at round 61.
    let mut volume = Volume::with(&records[..60]).await;
    let member = volume.member().await;
    report_recent(&member, &records);
    let mut reader = Reader::follow(&member, "/draws/stream?from=50").await;
    assert_eq!(reader.rounds(11).await, (50..=60).collect::<Vec<_>>());
    let other = otherwise(&records, 55, 7);
    let mut writes = vec![Write::Unlink(records[55..60].to_vec())];
    writes.extend(appended(&other[55..]));
    volume.file.commit(&writes).unwrap();
    report_recent(&member, &other);
    let told = serde_json::json!({"chain": "07".repeat(16), "from": 1});
    assert_eq!(reader.told().await, ("chain".to_owned(), told));
    for record in &other {
        assert_eq!(reader.next().await.data, record.canonical());
    }
}

#[tokio::test]
async fn who_comes_back_before_anything_is_drawn_is_told_of_the_chain_that_begins() {
    let member = member_with(patient()).await;
    let mut reader = Reader::open(member.running.address, "/draws/stream", "last-event-id: 8\r\n").await;
    let told = serde_json::json!({"from": 9, "newest": null, "chain": null});
    assert_eq!(reader.told().await, ("ahead".to_owned(), told));
    report(&member, &otherwise(&chain(1..=1), 0, 8));
    let told = serde_json::json!({"from": 9, "newest": 1, "chain": "08".repeat(16)});
    assert_eq!(reader.told().await, ("ahead".to_owned(), told));
    // Once; and who only waits for the first draw is told of no such thing.
    report(&member, &otherwise(&chain(1..=9), 0, 8));
    assert_eq!(reader.rounds(1).await, [9]);
    let waiting = member_with(patient()).await;
    let mut reader = Reader::follow(&waiting, "/draws/stream").await;
    report(&waiting, &chain(1..=2));
    assert_eq!(reader.rounds(2).await, [1, 2]);
}

#[tokio::test]
async fn a_healthy_stream_is_cut_by_no_limit_of_requests_and_says_that_it_is_there() {
    let short = Duration::from_millis(40);
    let limits = Limits {
        header_time: short,
        idle_time: short,
        write_stall: short,
        ..Limits::public()
    };
    let requests = RequestLimits {
        time: short,
        ..RequestLimits::public()
    };
    let streams = StreamLimits {
        heartbeat: Duration::from_millis(10),
        ..patient()
    };
    let member = Member::start_streaming(limits, requests, streams).await;
    let mut reader = Reader::follow(&member, "/draws/stream").await;
    let begun = Instant::now();
    while reader.comments < 20 || begun.elapsed() < 4 * short {
        assert!(
            reader.read().await,
            "the stream ended after {} heartbeats",
            reader.comments
        );
    }
    report(&member, &chain(1..=1));
    assert_eq!(reader.rounds(1).await, [1]);
}

#[tokio::test]
async fn one_stream_more_than_allowed_is_asked_to_come_back_until_another_ends() {
    let streams = StreamLimits { open: 2, ..patient() };
    let member = member_with(streams).await;
    let open = |count| format!("random_generator_http_draw_streams {count}\n");
    let (first, second) = (
        Reader::follow(&member, "/draws/stream").await,
        Reader::follow(&member, "/draws/stream").await,
    );
    assert!(member.metrics().contains(&open(2)));
    let refused = member.get("/draws/stream").await;
    // Not 503: an EventSource would give up for good.
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert!(
        refused.text().starts_with("retry: 5000\n: all 2 streams "),
        "{}",
        refused.text()
    );
    let resumed = request(
        member.running.address,
        "GET",
        "/draws/stream",
        "last-event-id: 41\r\n",
        b"",
    )
    .await;
    assert!(
        resumed.text().starts_with("retry: 5000\nid: 41\n: all 2 streams "),
        "it must keep its id: {}",
        resumed.text()
    );
    // A wrong request is told so, and takes no place.
    assert_eq!(member.get("/draws/stream?from=0").await.status, 400);
    drop(first);
    wait_for("its place is free", || member.metrics().contains(&open(1))).await;
    let third = Reader::follow(&member, "/draws/stream").await;
    drop((second, third));
    wait_for("no stream is open", || member.metrics().contains(&open(0))).await;
}

/// Some 30 MB of records: more than the sockets of both sides take.
fn many() -> Vec<Arc<Record>> {
    let mut records = chain(1..=4_000);
    for record in &mut records {
        let one = record.contributions[0].clone();
        let wide = (0..32).map(|ordinal| Contribution {
            ordinal,
            member: format!("rg-{ordinal}"),
            reveal: Some(Hex([7; 32])),
            ..one.clone()
        });
        // It needn't be true: nobody verifies it here.
        Arc::make_mut(record).contributions = wide.collect();
    }
    records
}

/// Asks for all, and reads nothing, or a byte now and then.
async fn stuck(member: &Member) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(member.running.address).await.unwrap();
    let request = b"GET /draws/stream?from=1 HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream
}

fn cut(member: &Member, count: usize) -> bool {
    let line = format!("http_connections_cut_total{{listener=\"public\",reason=\"slow_stream\"}} {count}\n");
    member.metrics().contains(&line)
}

#[tokio::test]
async fn a_reader_that_reads_too_slowly_is_cut_and_nobody_else_waits_for_it() {
    let limits = Limits {
        write_stall: Duration::from_millis(400),
        ..Limits::public()
    };
    let member = Member::start_streaming(limits, RequestLimits::public(), patient()).await;
    let records = many();
    report(&member, &records[..3_999]);
    let _stuck = stuck(&member).await;
    let mut trickling = stuck(&member).await;
    // A healthy one gets everything meanwhile, and what is drawn then.
    let mut healthy = Reader::follow(&member, "/draws/stream?from=3990").await;
    let mut told = Vec::new();
    while told.len() < 10 {
        told.push(healthy.next().await.id);
    }
    report(&member, &records);
    assert_eq!(healthy.next().await.id, "4000");
    // Some bytes now and then are not enough: what was handed over has to be taken whole.
    wait_for("both are cut", || {
        let _ = trickling.try_read(&mut [0; 64]);
        cut(&member, 2)
    })
    .await;
    wait_for("their streams are closed", || {
        member.metrics().contains("random_generator_http_draw_streams 1\n")
    })
    .await;
    // It comes back for what it hasn't seen.
    let mut back = Reader::open(member.running.address, "/draws/stream", "last-event-id: 3998\r\n").await;
    assert_eq!(back.next().await.id, "3999");
    // Both that read were cut within the bound, and the healthy one is none of them.
    report(&member, &chain(1..=4_001)[4_000..]);
    assert_eq!(healthy.next().await.id, "4001");
    closed(&mut trickling).await;
}

#[tokio::test]
async fn a_stop_ends_streams_in_order_and_waits_for_no_reader() {
    let limits = Limits {
        write_stall: LONG,
        drain_time: LONG,
        ..Limits::public()
    };
    let member = Member::start_streaming(limits, RequestLimits::public(), patient()).await;
    report(&member, &many());
    let mut stuck = stuck(&member).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Reader::follow(&member, "/draws/stream").await);
    }
    wait_for("all are open", || {
        member.metrics().contains("random_generator_http_draw_streams 4\n")
    })
    .await;
    let begun = Instant::now();
    member.running.stop.pull();
    for reader in &mut readers {
        while reader.read().await {}
        assert!(reader.ended, "the body was cut");
    }
    timeout(SOON, member.running.ended()).await.unwrap();
    // The grace of 200 ms for the one that doesn't read, on a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    closed(&mut stuck).await;
}
