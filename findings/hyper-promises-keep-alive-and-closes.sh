#!/usr/bin/env bash
# hyper 1.12.0: an HTTP/1.0 request with `Connection: keep-alive` whose answer has no known length is answered with
# `Connection: keep-alive`, and then the connection is closed.
#
# HTTP/1.0 has no chunks, so only the end of the connection ends such a body (RFC 9112, 6.3), and a server that means to close
# says `close` (9.6). hyper does close, but still adds the keep-alive with which it answers every request of HTTP/1.0 that
# has one. A body of known length is answered as promised: the same connection takes the next request.
#
# Seen:
#   known length: connection: keep-alive, content-length: 6; the next request is answered
#   unknown length: connection: keep-alive; closed
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "hyper-keep-alive"
version = "0.0.0"
edition = "2024"

[dependencies]
futures-util = { version = "=0.3.34", default-features = false }
http-body-util = "=0.1.4"
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use std::convert::Infallible;

use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY: &[u8] = b"hello\n";

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let bytes = Bytes::from_static(BODY);
    Ok(Response::new(match request.uri().path() {
        "/known" => Full::new(bytes).boxed(),
        _ => StreamBody::new(stream::iter([Ok(Frame::data(bytes))])).boxed(),
    }))
}

/// Sends a request, and reads to the end of the body or of the connection: what came, and whether that is the end.
async fn ask(stream: &mut TcpStream, path: &str) -> (String, bool) {
    let request = format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !(read.ends_with(BODY) && path == "/known") {
        if stream.read_buf(&mut read).await.unwrap() == 0 {
            return (String::from_utf8(read).unwrap(), true);
        }
    }
    (String::from_utf8(read).unwrap(), false)
}

/// The headers of an answer but its date.
fn headers(answer: &str) -> String {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().skip(1).filter(|line| !line.starts_with("date"));
    lines.collect::<Vec<_>>().join(", ")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (first, _) = ask(&mut stream, "/known").await;
    let (second, _) = ask(&mut stream, "/known").await;
    let again = if second.starts_with("HTTP/1.0 200 ") { "answered" } else { "not answered" };
    println!("known length: {}; the next request is {again}", headers(&first));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (only, closed) = ask(&mut stream, "/unknown").await;
    println!("unknown length: {}; {}", headers(&only), if closed { "closed" } else { "open" });
}
RUST
nice -n 10 timeout 110 cargo run --quiet >seen
diff seen - <<'SEEN'
known length: connection: keep-alive, content-length: 6; the next request is answered
unknown length: connection: keep-alive; closed
SEEN
echo "still so"
