//! A client that writes what it is told to, byte for byte.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SOON;
use super::chunked::joined;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (there, value) = line.split_once(": ")?;
            there.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Names in lower case, as they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().filter_map(|line| line.split_once(": "))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem, which must be one.
    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem
    }

    /// Splits what a connection gave until it was closed; none when that was nothing.
    pub fn parse(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Reply {
            status,
            head,
            body: if chunked {
                joined(&bytes[end + 4..])
            } else {
                bytes[end + 4..].to_vec()
            },
        })
    }
}

pub async fn get(address: SocketAddr, target: &str) -> Reply {
    request(address, "GET", target, "", b"").await
}

/// `headers`: whole lines, each with its line's end.
pub async fn request(address: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> Reply {
    let length = match body.is_empty() && method != "POST" {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    let host = if headers.to_ascii_lowercase().contains("host:") {
        ""
    } else {
        "host: localhost\r\n"
    };
    let mut bytes =
        format!("{method} {target} HTTP/1.1\r\n{host}connection: close\r\n{length}{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    let answer = raw(address, &bytes).await;
    Reply::parse(&answer).unwrap_or_else(|| panic!("{method} {target}: closed without an answer"))
}

/// Writes bytes and reads until the other side closes. A reset counts as closed.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may refuse before it has read all.
    let _ = stream.write_all(bytes).await;
    closed(&mut stream).await
}

/// What still comes until the other side closes.
pub async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = async {
        let mut part = [0; 16 * 1024];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..n]);
        }
    };
    timeout(SOON, read).await.expect("the connection is not closed");
    answer
}
