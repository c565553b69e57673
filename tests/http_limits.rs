//! What a listener does with clients that are slow, stuck, silent or many, and when it is asked to stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod http_world;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use http_world::{Member, Reply, SOON, closed, get, wait_for};
use random_generator::server::limits::{Limits, raise_open_files_limit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
/// So long that a test which runs into it fails.
const LONG: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits {
        header_time: LONG,
        idle_time: LONG,
        write_stall: LONG,
        drain_time: LONG,
        ..Limits::public()
    }
}

async fn connect(member: &Member) -> TcpStream {
    TcpStream::connect(member.running.address).await.unwrap()
}

/// Sends a request and reads its answer; the connection stays open.
async fn use_once(stream: &mut TcpStream) {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"alive\":true}") {
        assert_ne!(timeout(SOON, stream.read_buf(&mut answer)).await.unwrap().unwrap(), 0);
    }
}

/// Asks for much, again and again, and never reads.
async fn stuck_reader(member: &Member) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(member.running.address).await.unwrap();
    let request = b"GET /bytes?count=1048576 HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(&request.repeat(20)).await.unwrap();
    stream
}

fn cut(member: &Member, reason: &str) -> bool {
    let line = format!("http_connections_cut_total{{listener=\"public\",reason=\"{reason}\"}}");
    member.metrics().contains(&line)
}

#[tokio::test]
async fn a_request_of_http_1_1_names_one_host_and_an_unknown_path_has_no_allow() {
    let member = Member::start(limits()).await;
    for (request, expected) in [
        ("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n", "HTTP/1.1 400 "),
        (
            "GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        ("GET /livez HTTP/1.0\r\n\r\n", "HTTP/1.0 200 "),
        (
            "GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 404 ",
        ),
    ] {
        let mut stream = connect(&member).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(SOON, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.starts_with(expected), "{request}: {answer}");
        assert!(
            !answer.to_ascii_lowercase().contains("\r\nallow:"),
            "{request}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_half_sent_request_is_closed_in_time() {
    let member = Member::start(Limits {
        header_time: Duration::from_millis(100),
        ..limits()
    })
    .await;
    let mut stream = connect(&member).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
    assert_eq!(closed(&mut stream).await, b"");
    let mut stream = connect(&member).await;
    use_once(&mut stream).await;
    stream.write_all(b"G").await.unwrap();
    assert_eq!(closed(&mut stream).await, b"");
    wait_for("both are counted", || {
        member
            .metrics()
            .contains("http_connections_cut_total{listener=\"public\",reason=\"half_sent\"} 2")
    })
    .await;
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_answered_within_its_time() {
    let member = Member::start(limits()).await;
    let mut stream = connect(&member).await;
    for byte in b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(Reply::parse(&closed(&mut stream).await).unwrap().status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_used_before_or_not() {
    let member = Member::start(Limits {
        idle_time: Duration::from_millis(100),
        header_time: Duration::from_millis(100),
        ..limits()
    })
    .await;
    let mut silent = connect(&member).await;
    let mut used = connect(&member).await;
    use_once(&mut used).await;
    assert_eq!(closed(&mut silent).await, b"");
    assert_eq!(closed(&mut used).await, b"");
    wait_for("it is counted", || cut(&member, "idle")).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_others_are_served_meanwhile() {
    let member = Member::start(Limits {
        write_stall: Duration::from_millis(200),
        ..limits()
    })
    .await;
    let _stuck = stuck_reader(&member).await;
    assert_eq!(member.get("/livez").await.status, 200);
    wait_for("the stuck client is cut", || cut(&member, "stalled")).await;
    wait_for("its connection is gone", || {
        member.metrics().contains("http_connections{listener=\"public\"} 0")
    })
    .await;
}

#[tokio::test]
async fn near_the_cap_the_longest_idle_give_way_to_new_clients() {
    let member = Member::start(Limits {
        connections: 8,
        ..limits()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&member).await;
        use_once(&mut stream).await;
        idle.push(stream);
    }
    assert_eq!(closed(&mut idle[0]).await, b"");
    use_once(idle.last_mut().unwrap()).await;
    assert_eq!(member.get("/livez").await.status, 200);
    wait_for("it is counted", || cut(&member, "asked")).await;
}

#[tokio::test]
async fn a_client_beyond_the_cap_gets_503_when_all_others_are_being_answered() {
    let member = Member::start(Limits {
        connections: 3,
        ..limits()
    })
    .await;
    let held = member.journal.room.acquire_many(1_000).await.unwrap();
    let mut busy = Vec::new();
    for n in 1..=3 {
        let mut stream = connect(&member).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        busy.push(stream);
        wait_for("it is being answered", || {
            member.journal.waiting.load(std::sync::atomic::Ordering::SeqCst) == n
        })
        .await;
    }
    let mut refused = connect(&member).await;
    let reply = Reply::parse(&closed(&mut refused).await).unwrap();
    assert_eq!(reply.problem()["status"], 503);
    drop(held);
    for mut stream in busy {
        assert_eq!(Reply::parse(&closed(&mut stream).await).unwrap().status, 200);
    }
    assert_eq!(member.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_drain_finishes_the_request_in_flight_and_closes_the_idle_at_once() {
    let member = Member::start(limits()).await;
    let held = member.journal.room.acquire_many(1_000).await.unwrap();
    let (mut idle, mut silent, mut half) = (connect(&member).await, connect(&member).await, connect(&member).await);
    use_once(&mut idle).await;
    half.write_all(b"GET / HT").await.unwrap();
    let mut in_flight = connect(&member).await;
    in_flight.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    wait_for("it is being answered", || {
        member.journal.waiting.load(std::sync::atomic::Ordering::SeqCst) == 1
    })
    .await;
    member.running.stop.pull();
    let begun = Instant::now();
    for stream in [&mut idle, &mut silent, &mut half] {
        assert_eq!(closed(stream).await, b"");
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(
        TcpStream::connect(member.running.address).await.is_err(),
        "it still accepts"
    );
    drop(held);
    let reply = Reply::parse(&closed(&mut in_flight).await).unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    timeout(SOON, member.running.ended()).await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_by_its_deadline_with_a_stuck_client() {
    let member = Member::start(Limits {
        drain_time: Duration::from_millis(300),
        ..limits()
    })
    .await;
    let _stuck = stuck_reader(&member).await;
    let _held = member.journal.room.acquire_many(900).await.unwrap();
    wait_for("it is being answered", || {
        member.metrics().contains("http_connections{listener=\"public\"} 1")
            && member.journal.waiting.load(std::sync::atomic::Ordering::SeqCst) > 0
    })
    .await;
    let begun = Instant::now();
    timeout(SOON, member.running.ended()).await.unwrap();
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(300)..Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
}

const IDLE: usize = 10_000;
/// Set for the child process that holds the idle connections: both ends together are more than one process may open.
const IDLE_CLIENT_OF: &str = "HTTP_LIMITS_IDLE_CLIENT_OF";

/// The child: opens the connections, says so, and holds them until its parent goes away.
async fn hold_idle_connections(address: SocketAddr) {
    raise_open_files_limit();
    let mut idle = Vec::new();
    for n in 0..IDLE {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Half of them have been used, so that both kinds of idle are there.
        if n % 2 == 0 {
            use_once(&mut stream).await;
        }
        idle.push(stream);
    }
    std::io::Write::write_all(&mut std::io::stdout(), b"held\n").unwrap();
    // Ends when the parent closes it, or is gone.
    let _ = std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods)] // the child's role has no other way in than the environment
async fn with_ten_thousand_idle_connections_open_a_new_client_is_answered_within_a_second() {
    if let Ok(address) = std::env::var(IDLE_CLIENT_OF) {
        return hold_idle_connections(address.parse().unwrap()).await;
    }
    let files = raise_open_files_limit();
    assert!(files > IDLE as u64 + 500, "only {files} files may be open (ulimit -Hn)");
    let member = Member::start(limits()).await;
    let before = resident_kib();
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("with_ten_thousand_idle_connections_open_a_new_client_is_answered_within_a_second")
        .env(IDLE_CLIENT_OF, member.running.address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("held") {
                return;
            }
        }
        panic!("the idle client ended");
    };
    timeout(LONG, held).await.unwrap();
    // The last of them may still be waiting to be accepted.
    wait_for("all of them are open", || {
        member
            .metrics()
            .contains(&format!("http_connections{{listener=\"public\"}} {IDLE}"))
    })
    .await;
    let each = (resident_kib() - before) / IDLE;
    assert!(each < 24, "{each} KiB for each connection");
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(get(member.running.address, "/").await.status, 200);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    let begun = Instant::now();
    timeout(SOON, member.running.ended()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap()
}
