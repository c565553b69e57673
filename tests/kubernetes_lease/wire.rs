//! HTTP on a connection to the test's API server: requests as they arrive, and answers whole, in chunks or without end.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Request {
    pub method: String,
    pub target: String,
    pub authorization: Option<String>,
    pub body: Vec<u8>,
}

pub async fn chunk(stream: &mut TcpStream, event: &Value) -> std::io::Result<()> {
    let line = format!("{event}\n");
    stream
        .write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
        .await
}

pub async fn send(stream: &mut TcpStream, code: u16, headers: &str, body: &Value) -> bool {
    send_text(stream, code, headers, &body.to_string()).await
}

pub async fn send_text(stream: &mut TcpStream, code: u16, headers: &str, body: &str) -> bool {
    let head = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.is_ok()
}

/// Sends one line for as long as the client reads it.
pub async fn flood(stream: &mut TcpStream, code: u16) -> usize {
    let head = format!("HTTP/1.1 {code} So\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0;
    if stream.write_all(head.as_bytes()).await.is_ok() {
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
    }
    sent
}

/// None when the client has closed the connection.
pub async fn request(stream: &mut TcpStream, arrived: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(end) = arrived.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => arrived.extend_from_slice(&more[..read]),
        }
    };
    let head = String::from_utf8(arrived.drain(..end).collect()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    while arrived.len() < length {
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => arrived.extend_from_slice(&more[..read]),
        }
    }
    let body = arrived.drain(..length).collect();
    Some(Request {
        method,
        target,
        authorization: header("authorization"),
        body,
    })
}
