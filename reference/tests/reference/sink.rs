//! LOG_URL.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;

use crate::harness::{PATIENCE, until};
use crate::service::Service;
use crate::tls::{authority, in_front_of};

/// What a sink was sent: the head in lower case, and the body.
type Post = (String, String);

/// Answers every post with this status, until the test ends.
fn sink(status: u16) -> (SocketAddr, Receiver<Post>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (posts, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let posts = posts.clone();
            std::thread::spawn(move || serve(stream, status, &posts));
        }
    });
    (address, received)
}

/// One connection, kept for many.
fn serve(mut stream: TcpStream, status: u16, posts: &Sender<Post>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").unwrap();
        let closes = head.contains("connection: close");
        if posts.send((head, String::from_utf8(body).unwrap())).is_err() || closes {
            return;
        }
    }
}

#[test]
fn each_number_is_posted_as_text_and_an_error_of_the_sink_is_ignored() {
    for status in [200, 500] {
        let (address, posts) = sink(status);
        let service = Service::start(&[("LOG_URL", &format!("http://{address}/sink?a=b"))]);
        for _ in 0..3 {
            let answer = service.json("/");
            let (head, body) = posts.recv_timeout(PATIENCE).unwrap();
            assert!(head.starts_with("post /sink?a=b http/1.1\r\n"), "{head}");
            assert!(
                head.contains("content-type: application/x-www-form-urlencoded\r\n"),
                "{head}"
            );
            let post: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(post["id"], answer["id"]);
            assert_eq!(post["random"], answer["random"].to_string());
            let duration = post["duration"].as_str().unwrap();
            assert!(duration.parse::<u64>().unwrap() > 0);
            assert!(body.starts_with("{ \"id\": \"") && body.ends_with("\" }"), "{body}");
        }
        assert_eq!(service.json("/info").get("logUrl.lost"), None, "{status}");
    }
}

#[test]
fn a_sink_by_https_gets_each_number() {
    let (address, posts) = sink(200);
    let url = format!("https://localhost:{}/sink", in_front_of(address).port());
    let service = Service::start(&[("LOG_URL", &url), ("SSL_CERT_FILE", authority().to_str().unwrap())]);
    for _ in 0..2 {
        let answer = service.json("/");
        let (head, body) = posts.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("post /sink http/1.1\r\n"), "{head}");
        let post: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(post["random"], answer["random"].to_string());
    }
}

#[test]
fn a_sink_that_is_not_there_costs_no_request_and_is_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = Service::start(&[("LOG_URL", &format!("http://{nobody}"))]);
    for _ in 0..5 {
        service.random();
    }
    service.until_told("LOG_URL can't be reached");
    until("five lost", || {
        (service.json("/info")["logUrl.lost"] == 5).then_some(())
    });
}

#[test]
fn a_sink_that_never_answers_holds_up_no_request() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let service = Service::start(&[("LOG_URL", &format!("http://{address}"))]);
    // More than its queue holds.
    let mut client = service.connect();
    let count = 1_500;
    let writing = client.try_clone().unwrap();
    let requests = std::thread::spawn(move || {
        let mut writing = writing;
        for left in (0..count).rev() {
            let last = if left == 0 { "connection: close\r\n" } else { "" };
            write!(writing, "GET / HTTP/1.1\r\nhost: a\r\n{last}\r\n").unwrap();
        }
    });
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    requests.join().unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), count);
    assert!(service.json("/info")["logUrl.lost"].as_u64().unwrap() > 400);
}

#[test]
fn what_is_no_url_is_reported_and_changes_nothing_else() {
    let service = Service::start(&[("LOG_URL", "ftp://localhost")]);
    service.until_told("LOG_URL is not an http:// or https:// URL");
    service.random();
}
