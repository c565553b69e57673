//! A client that keeps its connections, as a program of its own: std alone, so that `rustc` makes one static file of it, for a Pod
//! of any image. Each argument is a client of its own: IP:PORT, or a file whose last line is IP:PORT of a Pod, and which gets
//! another line once there is another Pod.
//!
//! It prints `failed …` for a request or connection that failed, which ends that client, `ended TARGET` where an answer said
//! `Connection: close`, and `total N` now and then.

use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between an answer and the next request of a client: its load is part of the test. Also between two looks at a file.
const PAUSE: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(3);
/// Requests between two totals.
const COUNTED: u64 = 200;

static TOTAL: AtomicU64 = AtomicU64::new(0);

pub fn main() {
    let client = |target: String| spawn(move || keep_asking(&target));
    let clients: Vec<_> = std::env::args().skip(1).map(client).collect();
    for client in clients {
        client.join().unwrap();
    }
}

fn keep_asking(target: &str) {
    let mut pods = 0;
    loop {
        let address = match target.starts_with('/') {
            true => next_pod(target, &mut pods),
            false => target.to_owned(),
        };
        match ask(&address) {
            Ok(()) => println!("ended {target}"),
            Err(why) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                println!("failed {:.3} {target} {address}: {why}", now.as_secs_f64());
                return;
            }
        }
    }
}

/// Waits for a line after the first `pods`: until then nobody has to accept a connection.
fn next_pod(file: &str, pods: &mut usize) -> String {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        if lines.len() > *pods {
            *pods = lines.len();
            return lines[lines.len() - 1].trim().to_owned();
        }
        sleep(PAUSE);
    }
}

/// Over one connection, until an answer says that it was the last.
fn ask(address: &str) -> Result<(), String> {
    let during = |what: &'static str| move |error: Error| format!("{what}: {error}");
    let address = address.parse().map_err(|_| format!("{address} is no address"))?;
    let mut connection = TcpStream::connect_timeout(&address, LIMIT).map_err(during("connection"))?;
    connection.set_nodelay(true).map_err(during("connection"))?;
    connection.set_read_timeout(Some(LIMIT)).map_err(during("connection"))?;
    let mut asked = 0;
    loop {
        let sent = connection.write_all(b"GET / HTTP/1.1\r\nhost: member\r\n\r\n");
        sent.map_err(during("request"))?;
        asked += 1;
        let head = answer(&mut connection).map_err(|why| format!("request {asked} of the connection: {why}"))?;
        let total = TOTAL.fetch_add(1, Ordering::Relaxed) + 1;
        if total.is_multiple_of(COUNTED) {
            println!("total {total}");
        }
        if head.contains("\r\nconnection: close\r\n") {
            return match connection.read(&mut [0]) {
                Ok(0) => Ok(()),
                other => Err(format!("{other:?} after `connection: close`")),
            };
        }
        sleep(PAUSE);
    }
}

/// The head of an answer with status 200, in small letters, once all of it has come.
fn answer(connection: &mut TcpStream) -> Result<String, String> {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    let mut whole = None;
    while whole.as_ref().is_none_or(|(_, length)| got.len() < *length) {
        match connection.read(&mut buffer) {
            Ok(0) => return Err(format!("the connection ended after {} bytes of the answer", got.len())),
            Ok(read) => got.extend_from_slice(&buffer[..read]),
            Err(error) => return Err(format!("{error}, after {} bytes of the answer", got.len())),
        }
        if let (None, Some(end)) = (&whole, got.windows(4).position(|four| four == b"\r\n\r\n")) {
            let head = String::from_utf8_lossy(&got[..end + 2]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).ok_or("no length")?;
            whole = Some((head, end + 4 + length));
        }
    }
    match whole {
        Some((head, length)) if got.len() == length && head.starts_with("http/1.1 200 ") => Ok(head),
        other => Err(format!("{other:?}")),
    }
}
