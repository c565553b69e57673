//! What everything costs that a member does around a number: its requests a second over those of a bare axum handler that
//! returns the same JSON, at each durability; and its bytes a second over those of a stream of zeros. Then what those who watch the
//! set cost: the member's requests a second with dashboards open over those without. `make bench`.
//!
//! Server and client have one processor each. Member and bare server are asked in turn, and the ratio is taken within each
//! round, since what else the machine does changes from one second to the next; the median of the rounds is told. Below it stands
//! the profile, which says where a ratio comes from: the processor time of an answer, thread by thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // it ends by panicking
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // its own times and arguments; its table

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const ROUNDS: usize = 7;
/// Of one measurement, after the warm-up.
const SPAN: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(300);
/// Enough that the server never waits for the client.
const CONNECTIONS: usize = 64;
const STREAM: u64 = 512 << 20;
/// What proc(5) counts processor time in; the same on every Linux that Rust knows.
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// (What is measured, the member's durability, the least ratio.)
const LIMITS: [(&str, &str, f64); 4] = [
    ("/ at durability none", "none", 0.85),
    ("/ at durability crash", "crash", 0.75),
    ("/ at durability power", "power", 0.60),
    ("/bytes", "crash", 0.65),
];
/// What a dashboard asks for each second, and how many are open.
const WATCHED: [&str; 2] = ["/set", "/dashboard"];
const WATCHERS: usize = 4;
const LEAST_WHILE_WATCHED: f64 = 0.97;
const SERVER: &str = "0";
const CLIENT: &str = "1";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |place: usize| arguments.get(place).map_or("", String::as_str);
    match word(0) {
        "serve-bare" => runtime().block_on(bare()),
        "ask" => println!("{}", runtime().block_on(requests(word(1).parse().unwrap()))),
        "ask-watched" => println!("{}", runtime().block_on(watched_requests(word(1).parse().unwrap()))),
        "stream" => println!("{}", runtime().block_on(bytes(word(1).parse().unwrap()))),
        _ => return compare(),
    }
    ExitCode::SUCCESS
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Ended by its id when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    _volume: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pinned(processor: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", processor, program]).stdin(Stdio::null());
    command
}

fn this() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

fn bare_server() -> Server {
    let mut child = pinned(SERVER, &this())
        .arg("serve-bare")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    Server {
        child,
        address: line.trim().parse().unwrap(),
        _volume: None,
    }
}

fn member(durability: &str) -> Server {
    let volume = tempfile::tempdir().unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = free();
    let mut command = pinned(SERVER, env!("CARGO_BIN_EXE_random-generator"));
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default());
    command.args([
        "serve",
        "--durability",
        durability,
        "--public-listen",
        &address.to_string(),
    ]);
    for other in ["peer", "admin", "metrics"] {
        command.args([format!("--{other}-listen"), free().to_string()]);
    }
    command.arg("--data-dir").arg(volume.path());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server {
        child,
        address,
        _volume: Some(volume),
    };
    let began = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < PATIENCE, "the member doesn't listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    server
}

/// Processor time in the program and in the kernel.
#[derive(Clone, Copy, Default)]
struct Spent {
    program: Duration,
    kernel: Duration,
}

impl Server {
    /// What each of its threads has had so far, by name; threads of one name together. See proc(5), `/proc/pid/stat`.
    fn spent(&self) -> BTreeMap<String, Spent> {
        let mut threads: BTreeMap<String, Spent> = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap() {
            // It may have ended by now.
            let Ok(stat) = fs::read_to_string(thread.unwrap().path().join("stat")) else {
                continue;
            };
            let (head, tail) = stat.rsplit_once(") ").unwrap();
            let name = head.split_once('(').unwrap().1;
            let ticks: Vec<u32> = tail
                .split(' ')
                .skip(11)
                .take(2)
                .map(|field| field.parse().unwrap())
                .collect();
            let spent = threads.entry(name.to_owned()).or_default();
            spent.program += TICK * ticks[0];
            spent.kernel += TICK * ticks[1];
        }
        threads
    }

    /// A line for each thread that counts: microseconds of an answer, or of a megabyte. Returns both kinds together, by thread.
    fn tell_profile(&self, who: &str, began: &BTreeMap<String, Spent>, answers: f64) -> BTreeMap<String, f64> {
        let mut threads = BTreeMap::new();
        for (name, spent) in self.spent() {
            let before = began.get(&name).copied().unwrap_or_default();
            let each = |spent: Duration, before: Duration| spent.saturating_sub(before).as_secs_f64() * 1e6 / answers;
            let (program, kernel) = (each(spent.program, before.program), each(spent.kernel, before.kernel));
            if program + kernel >= 0.1 {
                println!("    {who:<6} {name:<16} {program:>8.1} µs in the program {kernel:>8.1} µs in the kernel");
                threads.insert(name, program + kernel);
            }
        }
        threads
    }
}

/// The profile's reason for a ratio: which thread of the member takes how much more than the bare server's.
fn tell_reason(member: &BTreeMap<String, f64>, bare: &BTreeMap<String, f64>) {
    let more: Vec<String> = member
        .iter()
        .map(|(name, spent)| format!("{name} {:+.1} µs", spent - bare.get(name).unwrap_or(&0.0)))
        .collect();
    let all = bare.values().sum::<f64>();
    println!(
        "    why: on top of the {all:.1} µs of the bare server, {}",
        more.join(", ")
    );
}

/// What the client measures of a server, in a process on a processor of its own.
fn measured(what: &str, server: &Server) -> f64 {
    let output = pinned(CLIENT, &this())
        .args([what, &server.address.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)))
}

fn compare() -> ExitCode {
    println!(
        "{:<24} {:>12} {:>12} {:>7} {:>7}  rounds, and below the processor time of an answer or a megabyte",
        "", "member", "bare", "ratio", "least"
    );
    let mut met = true;
    for (name, durability, least) in LIMITS {
        let what = if name == "/bytes" { "stream" } else { "ask" };
        let (member, bare) = (member(durability), bare_server());
        let (member_began, bare_began) = (member.spent(), bare.spent());
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|round| match round % 2 {
                0 => (measured(what, &member), measured(what, &bare)),
                _ => {
                    let bare = measured(what, &bare);
                    (measured(what, &member), bare)
                }
            })
            .collect();
        rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
        let (of_member, of_bare) = rounds[ROUNDS / 2];
        let ratio = of_member / of_bare;
        let all: Vec<String> = rounds
            .iter()
            .map(|(member, bare)| format!("{:.2}", member / bare))
            .collect();
        let unit = if what == "stream" { "MB/s" } else { "/s" };
        let said = if ratio >= least { "" } else { "  not met" };
        println!(
            "{name:<24} {of_member:>8.0} {unit:<3} {of_bare:>8.0} {unit:<3} {ratio:>7.2} {least:>7.2}  {}{said}",
            all.join(" ")
        );
        met &= ratio >= least;
        let all = |rate: fn(&(f64, f64)) -> f64| match what {
            // The warm-up's as well, at the rate that was measured after it.
            "ask" => rounds.iter().map(rate).sum::<f64>() * (WARM_UP + SPAN).as_secs_f64(),
            _ => (ROUNDS as u64 * STREAM) as f64 / 1e6,
        };
        let of_member = member.tell_profile("member", &member_began, all(|round| round.0));
        let of_bare = bare.tell_profile("bare", &bare_began, all(|round| round.1));
        if ratio < least {
            tell_reason(&of_member, &of_bare);
        }
    }
    met &= compare_watched();
    match met {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// One member, asked in turn with dashboards open and without.
fn compare_watched() -> bool {
    let member = member("crash");
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|round| match round % 2 {
            0 => measured("ask-watched", &member) / measured("ask", &member),
            _ => {
                let alone = measured("ask", &member);
                measured("ask-watched", &member) / alone
            }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let said = if ratio >= LEAST_WHILE_WATCHED { "" } else { "  not met" };
    let name = format!("/ with {WATCHERS} dashboards open, over without");
    println!(
        "{name:<56} {ratio:>7.2} {LEAST_WHILE_WATCHED:>7.2}  {}{said}",
        all.join(" ")
    );
    ratio >= LEAST_WHILE_WATCHED
}

/// The handlers to compare with: axum and nothing else.
async fn bare() {
    async fn number() -> Json<Value> {
        let id = "0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11";
        Json(json!({"random": rand::random::<i32>(), "id": id, "version": env!("CARGO_PKG_VERSION")}))
    }
    async fn zeros() -> Body {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let parts = (0..STREAM / ZEROS.len() as u64).map(|_| Ok::<_, Infallible>(Bytes::from_static(&ZEROS)));
        Body::from_stream(futures_util::stream::iter(parts))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(number)).route("/bytes", get(zeros));
    axum::serve(listener, router).await.unwrap();
}

/// Answers a second, each connection asking again as soon as it is answered.
async fn requests(address: SocketAddr) -> f64 {
    let mut asking = JoinSet::new();
    for _ in 0..CONNECTIONS {
        asking.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut answer, mut counted) = (vec![0; 4096], 0_u64);
            let began = Instant::now();
            while began.elapsed() < WARM_UP + SPAN {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
                let mut got = 0;
                while !whole(&answer[..got]) {
                    let read = timeout(PATIENCE, stream.read(&mut answer[got..]))
                        .await
                        .unwrap()
                        .unwrap();
                    assert!(read > 0, "closed");
                    got += read;
                }
                assert!(answer.starts_with(b"HTTP/1.1 200"));
                counted += u64::from(began.elapsed() >= WARM_UP);
            }
            counted
        });
    }
    let mut all = 0;
    while let Some(counted) = asking.join_next().await {
        all += counted.unwrap();
    }
    all as f64 / SPAN.as_secs_f64()
}

/// As [`requests`], while dashboards are open.
async fn watched_requests(address: SocketAddr) -> f64 {
    let mut watching = JoinSet::new();
    for _ in 0..WATCHERS {
        watching.spawn(async move {
            let mut each_second = tokio::time::interval(Duration::from_secs(1));
            loop {
                each_second.tick().await;
                for path in WATCHED {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let mut answer = Vec::new();
                    timeout(PATIENCE, stream.read_to_end(&mut answer))
                        .await
                        .unwrap()
                        .unwrap();
                    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}");
                }
            }
        });
    }
    let rate = requests(address).await;
    // A watcher that met anything but a 200 has panicked.
    if let Some(ended) = watching.try_join_next() {
        ended.unwrap();
    }
    rate
}

/// Both servers end these answers with the brace of their JSON, which has no other.
fn whole(answer: &[u8]) -> bool {
    answer.ends_with(b"}")
}

/// Megabytes a second of one answer.
async fn bytes(address: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /bytes?count={STREAM} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let (mut part, mut got) = (vec![0; 256 * 1024], 0);
    loop {
        match timeout(PATIENCE, stream.read(&mut part)).await.unwrap().unwrap() {
            0 => break,
            read => got += read as u64,
        }
    }
    assert!(got >= STREAM, "{got} bytes");
    // So that the connection's end is no part of the next measurement.
    let took = began.elapsed();
    sleep(Duration::from_millis(50)).await;
    got as f64 / 1e6 / took.as_secs_f64()
}
