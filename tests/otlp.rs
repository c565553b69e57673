//! A member that sends its spans to a collector, which is a small HTTP server here; and to one that is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by panicking

#[path = "member/harness.rs"]
#[allow(dead_code)] // what other tests ask of it
mod harness;
mod tls;
mod waiting;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use harness::{Member, PATIENCE, ask, free_base, program, until, volume};
use serde_json::Value;

/// What a collector was sent: path, lines of the head in lower case, and body.
type Sent = (String, Vec<String>, Value);

/// Answers every request, and passes on what it was, until the test ends.
fn collector() -> (SocketAddr, Receiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_ascii_lowercase()),
                }
            }
            let length = lines
                .iter()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            assert!(
                lines.contains(&"content-type: application/json".to_owned()),
                "{lines:?}"
            );
            let path = lines[0].split(' ').nth(1).unwrap().to_owned();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .unwrap();
            if sender
                .send((path, lines, serde_json::from_slice(&body).unwrap()))
                .is_err()
            {
                return;
            }
        }
    });
    (address, receiver)
}

/// An attribute's value.
fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let attributes = of["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    &found.unwrap_or_else(|| panic!("no {key} in {of}"))["value"]
}

/// A draw, and the question to a voter that is a part of it. A slot that was missed has none.
fn keep_of_draw(spans: &[Value]) -> Option<(&Value, &Value)> {
    let named = |name: &'static str| spans.iter().filter(move |span| span["name"] == name);
    let mut pairs = named("draw").flat_map(|drawn| named("keep").map(move |asked| (drawn, asked)));
    pairs.find(|(drawn, asked)| asked["parentSpanId"] == drawn["spanId"])
}

#[test]
fn a_collector_gets_the_spans_of_draws_and_requests() {
    let (address, received) = collector();
    let (_directory, volume) = volume();
    let endpoint = format!("http://{address}/otlp");
    let member = Member::start(&volume, &["--otlp-endpoint", &endpoint, "--draw-schedule", "@every 1s"]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for flags in ["01", "00"] {
        let parent = format!("00-{trace}-00f067aa0ba902b7-{flags}");
        let headers = [("traceparent", parent.as_str()), ("tracestate", "a=1")];
        assert_eq!(
            ask(member.base, "GET", "/integers?count=2", &headers, b"")
                .unwrap()
                .status,
            200
        );
    }
    member.until_round(2);
    let mut spans: Vec<Value> = Vec::new();
    let has = |spans: &[Value], name: &str| spans.iter().any(|span| span["name"] == name);
    until("spans of a request and a draw", || {
        while let Ok((path, _, document)) = received.try_recv() {
            assert_eq!(path, "/otlp/v1/traces");
            let resource = &document["resourceSpans"][0];
            let service = attribute(&resource["resource"], "service.name");
            assert_eq!(service["stringValue"], "random-generator");
            assert_eq!(
                attribute(&resource["resource"], "service.namespace")["stringValue"],
                "rg"
            );
            let more = resource["scopeSpans"][0]["spans"].as_array().unwrap();
            spans.extend(more.iter().cloned());
        }
        (has(&spans, "GET /integers") && keep_of_draw(&spans).is_some()).then_some(())
    });
    let ours: Vec<&Value> = spans.iter().filter(|span| span["traceId"] == trace).collect();
    let [span] = ours[..] else {
        panic!("one of the two was sampled: {ours:?}");
    };
    assert_eq!(
        (&span["parentSpanId"], &span["kind"]),
        (&"00f067aa0ba902b7".into(), &2.into())
    );
    assert_eq!(span["traceState"], "a=1");
    assert_eq!(attribute(span, "http.response.status_code")["intValue"], "200");
    assert_eq!(attribute(span, "http.route")["stringValue"], "/integers");
    let time = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    // What was asked of a voter for a draw is a part of the draw.
    let (drawn, asked) = keep_of_draw(&spans).unwrap();
    // protobuf's JSON may leave out an empty value, or write it.
    assert!(drawn.get("parentSpanId").is_none_or(|parent| parent == ""), "{drawn}");
    assert_eq!(asked["traceId"], drawn["traceId"]);
    assert!(member.metric("random_generator_otlp_spans_sent_total") > 0.0);

    // What is left is sent when it stops.
    let reply = ask(member.base, "GET", "/version", &[], b"").unwrap();
    assert_eq!(reply.status, 200);
    member.stop();
    let last: Vec<_> = received.try_iter().collect();
    assert!(format!("{last:?}").contains("GET /version"), "{last:?}");
}

#[test]
fn the_standard_variables_name_the_service_headers_and_a_collector_over_tls() {
    let (address, received) = collector();
    let endpoint = format!("https://localhost:{}", tls::in_front_of(address).port());
    let (_directory, volume) = volume();
    let mut member = program()
        .args(Member::arguments(
            free_base(),
            &volume,
            &["--draw-schedule", "@every 1s"],
        ))
        .env("SSL_CERT_FILE", tls::authority())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=tests")
        .env("OTEL_SERVICE_NAME", "renamed")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sent = received.recv_timeout(PATIENCE);
    member.kill().unwrap();
    member.wait().unwrap();
    let (_, head, document) = sent.expect("spans come");
    assert!(head.contains(&"x-tenant: tests".to_owned()), "{head:?}");
    let name = attribute(&document["resourceSpans"][0]["resource"], "service.name");
    assert_eq!(name["stringValue"], "renamed");
}

#[test]
fn a_collector_that_never_answers_delays_nobody_and_what_it_lost_is_counted() {
    // Its connections are accepted by the kernel, and nothing more.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let (_directory, volume) = volume();
    let member = Member::start(&volume, &["--otlp-endpoint", &endpoint, "--durability", "none"]);
    let lost = |reason: &str| {
        member.metric(&format!(
            "random_generator_otlp_spans_lost_total{{reason=\"{reason}\"}}"
        ))
    };
    until("a full queue", || {
        for _ in 0..200 {
            assert_eq!(member.get("/").unwrap().status, 200);
        }
        (lost("queue") > 0.0).then_some(())
    });
    until("a batch given up", || (lost("collector") > 0.0).then_some(()));
    assert_eq!(member.log().matches("spans can't be sent, and are lost").count(), 1);
    // Its end has a bound as well.
    member.stop();
}
