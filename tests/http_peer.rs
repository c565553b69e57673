//! What members say to each other: the peer listener and the client that asks it, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod http_world;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_world::{Reply, Running, SOON, chain, closed, raw, request, shown, wait_for};
use prometheus_client::registry::Registry;
use random_generator::client::{self, Client};
use random_generator::clock::{Boot, Clock, Now, Wall};
use random_generator::peer::client::{self as peer_client, PeerClient, PeerError, Target};
use random_generator::peer::listener::{self as peer, Declined, Peer, PeerService};
use random_generator::peer::message::{
    Given, HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal, ReportAnswer, ReportRequest,
};
use random_generator::peer::metrics::PeerMetrics;
use random_generator::peer::signature::{MAC_HEADER, Message, PeerSecret, TIME_HEADER};
use random_generator::record::{Hash, Hex, Record, Slot};
use random_generator::server::exchange::RequestLimits;
use random_generator::server::limits::Limits;
use random_generator::server::metrics::HttpMetrics;
use random_generator::server::routes::Routes;
use random_generator::set::question;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Keeps three records, and remembers what reached it.
#[derive(Default)]
struct Ledger {
    asked: AtomicUsize,
    refuses: Mutex<Option<Declined>>,
    hangs: AtomicBool,
}

impl Ledger {
    fn refuses(&self, declined: Option<Declined>) {
        *self.refuses.lock().unwrap() = declined;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn ask(&self) -> Result<(), Declined> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.refuses.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl PeerService for Ledger {
    async fn keep(&self, request: KeepRequest) -> Result<KeepAnswer, Declined> {
        self.ask().await?;
        Ok(KeepAnswer {
            version: 1,
            set: request.set,
            member: "rg-1".into(),
            ordinal: 1,
            chain: request.chain,
            round: request.round,
            kept: request.head.map(|head| head.hash),
            contribution: Some(Given {
                reveal: None,
                next_commitment: Hex([3; 32]),
            }),
        })
    }

    async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Declined> {
        self.ask().await?;
        let head = chain(1..=3).pop();
        let (set, member) = (request.set, "rg-1".to_owned());
        Ok(HeadsAnswer {
            version: 1,
            set,
            member,
            ordinal: 1,
            head,
            fence: 4,
        })
    }

    async fn records(&self, hash: Hash, count: usize) -> Result<Vec<Arc<Record>>, Declined> {
        self.ask().await?;
        let mut records = chain(1..=3);
        while records.last().is_some_and(|record| record.hash != hash) {
            records.pop();
        }
        Ok(records.into_iter().rev().take(count).collect())
    }

    fn report(&self) -> ReportAnswer {
        ReportAnswer {
            version: 1,
            set: "rg".into(),
            member: "rg-1".into(),
            ordinal: Some(1),
            report: http_world::report(),
        }
    }
}

struct Member {
    running: Running,
    ledger: Arc<Ledger>,
    registry: Registry,
}

fn secret() -> Option<PeerSecret> {
    Some(PeerSecret::new(b"a secret of the set rg\n").unwrap())
}

impl Member {
    async fn start(secret: Option<PeerSecret>, clock: Clock) -> Member {
        Member::start_at("127.0.0.1:0".parse().unwrap(), secret, clock).await
    }

    async fn start_at(address: SocketAddr, secret: Option<PeerSecret>, clock: Clock) -> Member {
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry);
        let ledger = Arc::new(Ledger::default());
        let peer = Peer {
            service: ledger.clone(),
            set: "rg".into(),
            secret,
            clock,
            metrics: PeerMetrics::register(&mut registry),
            memory: metrics.budget("peer", 1 << 20),
        };
        let routes = Routes::new("peer", RequestLimits::peer(), Clock::system(), metrics.clone(), 1);
        let running = Running::start_at(address, "peer", peer::paths(peer, routes), Limits::peer(), metrics).await;
        Member {
            running,
            ledger,
            registry,
        }
    }

    async fn post(&self, path: &str, body: &[u8]) -> Reply {
        request(self.running.address, "POST", path, "", body).await
    }

    fn refused(&self, reason: &str) -> u64 {
        let text = shown(&self.registry);
        let line = format!("peer_messages_refused_total{{reason=\"{reason}\"}} ");
        let count = text.lines().find_map(|there| there.strip_prefix(&line));
        count.map_or(0, |count| count.parse().unwrap())
    }
}

fn keep() -> KeepRequest {
    KeepRequest {
        version: 1,
        set: "rg".into(),
        from: "rg-0".into(),
        holder: "rg-0_uid-nonce".into(),
        fence: 1,
        voters: 3.into(),
        chain: Hex([7; 16]),
        round: 4,
        slot: Slot(1_800_000_100),
        head: chain(1..=3).pop(),
        contribute: true,
        restart: false,
        passed_over: Vec::new(),
    }
}

fn heads() -> HeadsRequest {
    let (from, holder) = ("rg-0".to_owned(), "rg-0_uid-nonce".to_owned());
    HeadsRequest {
        version: 1,
        set: "rg".into(),
        from,
        holder,
        fence: 1,
    }
}

fn client_with(secret: Option<PeerSecret>) -> PeerClient {
    PeerClient::new(Client::new(peer_client::LIMITS), secret, Clock::system())
}

fn at(address: &SocketAddr) -> Target<'_> {
    Target {
        addresses: std::slice::from_ref(address),
        host: "rg-1.peers",
    }
}

#[tokio::test]
async fn bodies_that_never_end_take_no_more_than_the_budget_and_small_messages_get_through() {
    const BODY: usize = 202 * 1024;
    let member = Member::start(None, Clock::system()).await;
    let mut halves = Vec::new();
    // All of them announce more than the budget; what has not arrived takes nothing.
    for sent in [
        100, 100, 100, 100, 100, 100, 100, 20_000, 20_000, 20_000, 20_000, 20_000,
    ] {
        let mut stream = TcpStream::connect(member.running.address).await.unwrap();
        let head = format!("POST /v1/heads HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; sent]).await.unwrap();
        halves.push(stream);
    }
    let held = format!("http_answer_memory_held_bytes{{listener=\"peer\"}} {}", 5 * BODY);
    wait_for("they hold the budget", || shown(&member.registry).contains(&held)).await;
    assert_eq!(member.post("/v1/heads", b"{}").await.status, 400);
    let large = member.post("/v1/heads", &[b' '; 20_000]).await;
    assert_eq!((large.status, large.header("retry-after")), (503, Some("2")));
    assert_eq!(member.refused("busy"), 1);
    drop(halves);
    assert_eq!(member.post("/v1/heads", &vec![b' '; BODY]).await.status, 400);
}

#[tokio::test]
async fn a_member_keeps_contributes_and_gives_heads_and_records_to_one_with_the_secret() {
    for secret in [None, secret()] {
        let member = Member::start(secret.clone(), Clock::system()).await;
        let client = client_with(secret);
        let address = member.running.address;
        // More than once, so that resting connections are used too.
        for _ in 0..3 {
            let answer = client.ask(at(&address), &keep(), SOON).await.unwrap().unwrap();
            assert_eq!(answer.kept, Some(keep().head.unwrap().hash));
            let answer = client.ask(at(&address), &heads(), SOON).await.unwrap().unwrap();
            let head = answer.head.unwrap();
            assert_eq!(head.round, 3);
            let records = client.records(at(&address), &head.hash, 2, SOON).await.unwrap();
            assert_eq!(records.iter().map(|record| record.round).collect::<Vec<_>>(), [3, 2]);
        }
        let none = client.records(at(&address), &Hex([9; 32]), 64, SOON).await.unwrap();
        assert!(none.is_empty());
        let connections = "http_connections{listener=\"peer\"} 1\n";
        assert!(
            shown(&member.registry).contains(connections),
            "one connection serves them all"
        );
    }
}

#[tokio::test]
async fn messages_that_are_not_understood_or_not_for_this_set_are_refused_and_counted() {
    let member = Member::start(None, Clock::system()).await;
    let text = serde_json::to_string(&keep()).unwrap();
    let newer = text.replacen("\"version\":1", "\"version\":2,\"new\":true", 1);
    let cases = [
        (newer, 409, "version"),
        (text.replacen("\"set\":\"rg\"", "\"set\":\"other\"", 1), 409, "set"),
        (text[..text.len() - 9].to_owned(), 400, "malformed"),
        (text.clone() + "{}", 400, "malformed"),
        (text.replacen("\"round\":4", "\"round\":-4", 1), 400, "malformed"),
        (
            text.replacen("\"round\":4", "\"round\":4,\"round\":4", 1),
            400,
            "malformed",
        ),
        (
            text.replacen("\"round\":4", "\"round\":4,\"more\":1", 1),
            400,
            "malformed",
        ),
        (text.replacen("rg-0_uid-nonce", &"a".repeat(254), 1), 400, "malformed"),
        (text.replacen("\"from\":\"rg-0\"", "\"from\":\"\"", 1), 400, "malformed"),
        ("\u{0}\u{ff}".to_owned(), 400, "malformed"),
    ];
    let mut counts = std::collections::HashMap::new();
    for (body, status, reason) in cases {
        let reply = member.post("/v1/keep", body.as_bytes()).await;
        assert_eq!(reply.status, status, "{body}");
        assert_eq!(reply.json()["refusal"], reason, "{body}");
        let count = counts.entry(reason).or_insert(0);
        *count += 1;
        assert_eq!(member.refused(reason), *count, "{body}");
    }
    let reply = member
        .post(
            "/v1/keep",
            text.replacen("\"version\":1", "\"version\":2", 1).as_bytes(),
        )
        .await;
    assert_eq!(reply.json(), serde_json::json!({"refusal": "version", "speaks": 1}));
    assert_eq!(member.ledger.asked(), 0, "nothing refused reaches the ledger");
    assert_eq!(member.post("/v1/keep", text.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn a_refusal_of_the_ledger_reaches_the_holder_as_it_is_and_is_counted() {
    let member = Member::start(secret(), Clock::system()).await;
    let client = client_with(secret());
    let address = member.running.address;
    let head = chain(1..=3).pop().unwrap();
    for (refusal, reason) in [
        (Refusal::Early { ahead_ms: 9_000 }, "early"),
        (Refusal::Fence { fence: 9 }, "fence"),
        (Refusal::Ahead { head }, "ahead"),
        (
            Refusal::Ledger {
                detail: "no space left".into(),
            },
            "ledger",
        ),
        (
            Refusal::Malformed {
                detail: "round 4 does not follow round 2".into(),
            },
            "malformed",
        ),
    ] {
        member.ledger.refuses(Some(Declined::Refused(refusal.clone())));
        assert_eq!(client.ask(at(&address), &keep(), SOON).await, Ok(Err(refusal)));
        assert_eq!(member.refused(reason), 1);
    }
    member.ledger.refuses(Some(Declined::Busy));
    assert_eq!(client.ask(at(&address), &keep(), SOON).await, Err(PeerError::Busy));
    assert_eq!(
        client.records(at(&address), &Hex([1; 32]), 1, SOON).await,
        Err(PeerError::Busy)
    );
    assert_eq!(member.refused("busy"), 2);
}

#[tokio::test]
async fn a_message_without_the_secret_is_refused_counted_and_reaches_no_ledger() {
    let member = Member::start(secret(), Clock::system()).await;
    let body = serde_json::to_vec(&keep()).unwrap();
    let reply = member.post("/v1/keep", &body).await;
    assert_eq!(reply.problem()["status"], 401);
    assert_eq!(member.refused("unsigned"), 1);
    let address = member.running.address;
    let other = client_with(Some(PeerSecret::new(b"a secret of another set").unwrap()));
    let error = other.ask(at(&address), &keep(), SOON).await.unwrap_err();
    assert!(
        matches!(&error, PeerError::Invalid(reason) if reason.contains("401")),
        "{error}"
    );
    assert_eq!(member.refused("forged"), 1);
    let bare = client_with(None);
    assert!(matches!(
        bare.ask(at(&address), &heads(), SOON).await,
        Err(PeerError::Invalid(_))
    ));
    assert_eq!(member.ledger.asked(), 0);
}

/// A signed request, as bytes that can be sent again or changed.
fn signed(body: &[u8], wall: Wall) -> Vec<u8> {
    let message = Message::Request {
        method: "POST",
        target: "/v1/heads",
        body,
    };
    let signature = secret().unwrap().sign(message, wall);
    let mac = hex::encode(signature.mac);
    let mut bytes = format!(
        "POST /v1/heads HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{MAC_HEADER}: {mac}\r\n{TIME_HEADER}: {}\r\ncontent-length: {}\r\n\r\n",
        signature.time_ms,
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn a_message_that_was_changed_or_is_replayed_late_is_refused_and_counted() {
    let then = Wall(1_800_000_000_000_000);
    let clock = Clock::held(Now {
        boot: Boot(1),
        wall: then,
    });
    let member = Member::start(secret(), clock.clone()).await;
    let address = member.running.address;
    let bytes = signed(&serde_json::to_vec(&heads()).unwrap(), then);
    let status = async |bytes: &[u8]| Reply::parse(&raw(address, bytes).await).unwrap().status;
    assert_eq!(status(&bytes).await, 200);
    assert_eq!(
        status(&bytes).await,
        200,
        "the same message within its time has the same answer"
    );
    let text = String::from_utf8(bytes.clone()).unwrap();
    let changed = [
        text.replacen("\"fence\":1", "\"fence\":9", 1),
        text.replacen("/v1/heads", "/v1/keep", 1),
        text.replacen("/v1/heads", "/v1/heads?a", 1),
        text.replacen(": 1800000000000", ": 1800000000001", 1),
    ];
    for (n, changed) in changed.iter().enumerate() {
        assert_ne!(*changed, text);
        assert_eq!(status(changed.as_bytes()).await, 401, "{changed}");
        assert_eq!(member.refused("forged"), n as u64 + 1);
    }
    clock.set(Now {
        boot: Boot(1),
        wall: Wall(then.0 + 30_001_000),
    });
    assert_eq!(status(&bytes).await, 401);
    assert_eq!(member.refused("late"), 1);
    assert_eq!(member.ledger.asked(), 2);
}

#[tokio::test]
async fn a_truncated_or_oversized_message_reaches_no_ledger() {
    let member = Member::start(None, Clock::system()).await;
    let address = member.running.address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /v1/keep HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{\"version\":")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    closed(&mut stream).await;
    wait_for("the truncated one is counted", || {
        member.refused("truncated") + member.refused("malformed") == 1
    })
    .await;
    let large = vec![b' '; RequestLimits::peer().body + 1];
    let head = format!(
        "POST /v1/keep HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        large.len()
    );
    assert!(raw(address, head.as_bytes()).await.starts_with(b"HTTP/1.1 413"));
    // Without a declared length it is counted as it comes.
    let mut chunked =
        b"POST /v1/keep HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("{:x}\r\n", large.len()).as_bytes());
    chunked.extend_from_slice(&large);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    raw(address, &chunked).await;
    wait_for("the oversized one is counted", || member.refused("malformed") >= 1).await;
    for path in ["/v1/records/xyz", "/v1/records/00?count=65", "/v1/records/00?cuont=1"] {
        assert_eq!(http_world::get(address, path).await.status, 400, "{path}");
    }
    assert_eq!(member.ledger.asked(), 0);
}

#[tokio::test]
async fn an_answer_that_no_peer_with_the_secret_signed_is_invalid() {
    // A member without the secret answers a client that has it.
    let member = Member::start(None, Clock::system()).await;
    let client = client_with(secret());
    let address = member.running.address;
    let error = client.ask(at(&address), &heads(), SOON).await.unwrap_err();
    assert!(matches!(error, PeerError::Invalid(_)), "{error}");
}

#[tokio::test]
async fn a_client_gives_up_in_time_and_tries_every_address() {
    let member = Member::start(None, Clock::system()).await;
    let client = client_with(None);
    let closed_port = {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let error = client.ask(at(&closed_port), &heads(), SOON).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable(_)), "{error}");
    let addresses = [closed_port, member.running.address];
    let both = Target {
        addresses: &addresses,
        host: "rg-1.peers",
    };
    assert!(client.ask(both, &heads(), SOON).await.unwrap().is_ok());
    member.ledger.hangs.store(true, Ordering::SeqCst);
    let short = Duration::from_millis(100);
    let target = at(&member.running.address);
    let answer = tokio::time::timeout(SOON, client.ask(target, &heads(), short))
        .await
        .unwrap();
    assert_eq!(answer, Err(PeerError::Timeout));
    member.ledger.hangs.store(false, Ordering::SeqCst);
    assert!(client.ask(target, &heads(), SOON).await.unwrap().is_ok());
}

/// A socket whose queue of connections is full: what else is sent to it is dropped, as on the way to a lost node. The sockets
/// are to be kept.
async fn swallowing() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let socket = socket.listen(1).unwrap();
    let address = socket.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (address, socket, queued)
}

#[tokio::test]
async fn an_address_that_swallows_what_is_sent_to_it_leaves_time_for_the_next() {
    let member = Member::start(None, Clock::system()).await;
    let client = client_with(None);
    let (lost, _socket, _queued) = swallowing().await;
    let addresses = [lost, lost, member.running.address];
    let all = Target {
        addresses: &addresses,
        host: "rg-1.peers",
    };
    let answer = client.ask(all, &heads(), SOON / 2).await;
    assert!(matches!(answer, Ok(Ok(_))), "{answer:?}");
    let alone = client.ask(at(&lost), &heads(), Duration::from_millis(100)).await;
    assert_eq!(alone, Err(PeerError::Timeout));
}

#[tokio::test]
async fn a_connection_that_rested_too_long_is_closed_though_nothing_is_asked() {
    let member = Member::start(None, Clock::system()).await;
    let limits = client::Limits {
        idle: Duration::from_millis(100),
        ..peer_client::LIMITS
    };
    let client = PeerClient::new(Client::new(limits), None, Clock::system());
    let target = at(&member.running.address);
    assert!(client.ask(target, &heads(), SOON).await.unwrap().is_ok());
    let open = |count: u8| {
        let line = format!("http_connections{{listener=\"peer\"}} {count}\n");
        shown(&member.registry).contains(&line)
    };
    wait_for("it is closed", || open(0)).await;
}

#[tokio::test]
async fn connections_end_with_their_client() {
    let member = Member::start(None, Clock::system()).await;
    let client = client_with(None);
    let target = at(&member.running.address);
    assert!(client.ask(target, &heads(), SOON).await.unwrap().is_ok());
    let open = |count: u8| {
        let line = format!("http_connections{{listener=\"peer\"}} {count}\n");
        shown(&member.registry).contains(&line)
    };
    assert!(open(1));
    drop(client);
    wait_for("it is closed", || open(0)).await;
}

#[tokio::test]
async fn a_client_asks_again_when_the_peer_closed_the_resting_connection() {
    let client = client_with(None);
    let first = Member::start(None, Clock::system()).await;
    let address = first.running.address;
    assert!(client.ask(at(&address), &heads(), SOON).await.unwrap().is_ok());
    first.running.ended().await;
    let second = Member::start_at(address, None, Clock::system()).await;
    assert!(client.ask(at(&address), &heads(), SOON).await.unwrap().is_ok());
    second.running.ended().await;
    let error = client.ask(at(&address), &heads(), SOON).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable(_)), "{error}");
}

/// Answers every connection with these bytes.
async fn answering(bytes: Vec<u8>) -> (SocketAddr, tokio::task::JoinSet<()>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut request = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
            let _ = stream.write_all(&bytes).await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn an_endless_or_wrong_answer_is_invalid() {
    let client = client_with(None);
    let mut endless = b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n".to_vec();
    endless.resize(3_000_000, b' ');
    let records = serde_json::to_vec(&[&chain(1..=3)[1]]).unwrap();
    let mut other = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", records.len()).into_bytes();
    other.extend_from_slice(&records);
    for bytes in [
        endless,
        other,
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
    ] {
        let (address, _task) = answering(bytes).await;
        let hash = chain(1..=3)[2].hash;
        let error = client.records(at(&address), &hash, 1, SOON).await.unwrap_err();
        assert!(matches!(error, PeerError::Invalid(_)), "{error}");
    }
}

/// The why of a peer that gives no report.
async fn silence(address: SocketAddr, secret: Option<PeerSecret>) -> String {
    let client = PeerClient::new(Client::new(peer_client::REPORT_LIMITS), secret, Clock::system());
    let ask = question::asking(client, &"rg-0".parse().unwrap());
    let peer = random_generator::discovery::Peer {
        name: "rg-1".into(),
        ordinal: 1,
        host: "rg-1.rg".into(),
        peer_port: address.port(),
        addresses: vec![address.ip()],
        is_self: false,
    };
    ask(peer).await.err().unwrap_or_default()
}

#[tokio::test]
async fn a_member_reports_how_it_is_to_members_of_its_set_and_to_nobody_else() {
    let member = Member::start(secret(), Clock::system()).await;
    let address = member.running.address;
    let client = client_with(secret());
    let request = |set: &str, version| ReportRequest {
        version,
        set: set.into(),
        from: "rg-0".into(),
    };
    let answer = client
        .ask(at(&address), &request("rg", 1), SOON)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((answer.ordinal, answer.report), (Some(1), http_world::report()));
    assert_eq!(member.ledger.asked(), 0, "no report waits for the ledger");
    for (request, refusal) in [
        (request("dice", 1), Refusal::Set { set: "rg".into() }),
        (request("rg", 2), Refusal::Version { speaks: 1 }),
    ] {
        assert_eq!(client.ask(at(&address), &request, SOON).await, Ok(Err(refusal)));
    }
    let nameless = ReportRequest {
        from: String::new(),
        ..request("rg", 1)
    };
    let refused = client.ask(at(&address), &nameless, SOON).await;
    assert!(matches!(refused, Ok(Err(Refusal::Malformed { .. }))), "{refused:?}");
    let body = serde_json::to_vec(&request("rg", 1)).unwrap();
    assert_eq!(member.post("/v1/report", &body).await.status, 401);
}

#[tokio::test]
async fn a_report_that_does_not_come_has_a_reason_in_one_plain_line() {
    let member = Member::start(secret(), Clock::system()).await;
    let address = member.running.address;
    assert_eq!(silence(address, secret()).await, "");
    let other = || Some(PeerSecret::new(b"a secret of another set").unwrap());
    for (secret, detail) in [(other(), "its HMAC is not that"), (None, "are absent")] {
        let why = silence(address, secret).await;
        let refused = "it refuses our signature, so its peer secret or its clock differs: ";
        assert!(why.contains(refused) && why.contains(detail), "{why}");
    }
    let bare = Member::start(None, Clock::system()).await;
    let why = silence(bare.running.address, secret()).await;
    assert!(why.contains("its answer isn't signed with our peer secret"), "{why}");
    // A member of before: it has this port, and not this path.
    let metrics = HttpMetrics::register(&mut Registry::default());
    let routes = Routes::new("peer", RequestLimits::peer(), Clock::system(), metrics.clone(), 1);
    let old = Running::start("peer", routes.finish(), Limits::peer(), metrics).await;
    for secret in [secret(), None] {
        let why = silence(old.address, secret).await;
        assert_eq!(why, "status 404: it doesn't know this question: its version is older");
    }
    // Bound, and nobody listens.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let why = silence(gone.local_addr().unwrap(), None).await;
    assert!(why.starts_with("unreachable: ") && why.contains("refused"), "{why}");
}

#[tokio::test]
async fn a_report_of_a_newer_version_is_read_and_one_that_is_too_large_is_not() {
    let mut newer = serde_json::json!({"version": 1, "set": "rg", "member": "rg-1", "ordinal": 1, "since": "later"});
    newer["report"] = serde_json::to_value(http_world::report()).unwrap();
    newer["report"]["mood"] = "good".into();
    newer["report"]["lease"]["kind"] = "new".into();
    assert_eq!(silence_at(&newer).await, "");
    newer["member"] = "rg-7".into();
    let why = silence_at(&newer).await;
    assert_eq!(why, "another member answers at its address: rg-7 of the set rg");
    newer["report"]["node"] = "n".repeat(64 * 1024).into();
    let why = silence_at(&newer).await;
    assert!(why.starts_with("its body: "), "{why}");
}

/// The why of a peer that answers with this JSON.
async fn silence_at(body: &serde_json::Value) -> String {
    let body = body.to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (address, _answering) = answering(answer.into_bytes()).await;
    silence(address, None).await
}
