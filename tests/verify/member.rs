//! A member's public listener as the commands see it: real sockets, answers of our choice.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use random_generator::record::Record;

/// Path with query, and whether JSON lines are wanted → status and body; no answer at all where it is none.
type Answer = dyn Fn(&str, bool) -> Option<(u16, Vec<u8>)> + Send + Sync;

pub struct Member {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    pub fn start(answer: impl Fn(&str, bool) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static) -> Member {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let answer: Arc<Answer> = Arc::new(answer);
        let thread = std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                silent.extend(serve(stream, &*answer));
            }
        });
        Member {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// Keeps these records, and pages them as `/draws` does.
    pub fn with(records: Vec<Record>) -> Member {
        Member::start(move |path, lines| Some(draws(&records, path, lines)))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Gives the stream back when it is to stay open without an answer.
fn serve(stream: TcpStream, answer: &Answer) -> Option<TcpStream> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    let path = request.split(' ').nth(1)?;
    let mut stream = reader.into_inner();
    let Some((status, body)) = answer(
        path,
        request.contains("application/x-ndjson") || path.contains("format=jsonl"),
    ) else {
        return Some(stream);
    };
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The client may hang up when it has seen enough.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    None
}

fn draws(records: &[Record], path: &str, lines: bool) -> (u16, Vec<u8>) {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let number = |name: &str| {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.parse::<u64>().unwrap())
    };
    let oldest = records.first().map_or(1, |record| record.round);
    let wanted = match route {
        "/draws" => number("from").unwrap_or(oldest),
        "/draws/latest" => match records.last() {
            Some(record) => return (200, record.canonical().into_bytes()),
            None => return (404, br#"{"detail":"nothing has been drawn yet"}"#.to_vec()),
        },
        _ => match route.strip_prefix("/draws/") {
            Some(round) => round.parse().unwrap(),
            None => return (404, Vec::new()),
        },
    };
    if wanted < oldest {
        return (
            410,
            format!(r#"{{"detail":"round {wanted} is no longer kept"}}"#).into_bytes(),
        );
    }
    let limit = number("limit").unwrap_or(if lines { u64::MAX } else { 100 }) as usize;
    let mut rest = records.iter().filter(|record| record.round >= wanted);
    let shown: Vec<String> = rest.by_ref().take(limit).map(Record::canonical).collect();
    let next = rest.next().map_or("null".into(), |record| record.round.to_string());
    match lines {
        true => (
            200,
            shown.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect(),
        ),
        false => (
            200,
            format!(r#"{{"draws":[{}],"next":{next}}}"#, shown.join(",")).into_bytes(),
        ),
    }
}
