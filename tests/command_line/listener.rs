//! A public listener whose answers a test chooses, for what a real member does only seldom.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The request's head as it came, and where the answer goes; the connection is closed afterwards.
type Serve = dyn Fn(&str, &mut TcpStream) + Send + Sync;

pub struct Listener {
    pub address: SocketAddr,
    /// Heads of the requests so far.
    pub seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Each connection has a thread of its own, joined when this is dropped: `serve` must not wait without a bound.
    pub fn start(serve: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stopped, heads) = (stop.clone(), seen.clone());
        let serve: Arc<Serve> = Arc::new(serve);
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (serve, heads) = (serve.clone(), heads.clone());
                connections.push(std::thread::spawn(move || one(stream, &*serve, &heads)));
            }
            for connection in connections {
                connection.join().unwrap();
            }
        });
        Listener {
            address,
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// The same answer to everything.
    pub fn saying(status: u16, body: &str) -> Listener {
        let body = body.to_owned();
        Listener::start(move |_, stream| answer(stream, status, body.as_bytes()))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Path and query of each request so far.
    pub fn paths(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|head| path(head).to_owned()).collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

pub fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The value of a header, by its name in lower case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name));
    head.lines().find_map(named).map(|(_, value)| value.trim())
}

pub fn answer(stream: &mut TcpStream, status: u16, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The client may have hung up.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn one(stream: TcpStream, serve: &Serve, heads: &Mutex<Vec<String>>) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !reader.read_line(&mut head).is_ok_and(|read| read > 0) {
            return;
        }
    }
    heads.lock().unwrap().push(head.clone());
    serve(&head, &mut reader.into_inner());
}

/// An address that nobody listens on.
pub fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
