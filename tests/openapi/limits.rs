//! The table of what is limited, of the listeners' own constants: in docs/http.md.

use std::time::Duration;

use random_generator::http::public::ids::IDS;
use random_generator::http::public::numbers::VALUES;
use random_generator::http::public::numbers::bytes::{BYTES, BYTES_IN_HEX};
use random_generator::http::public::numbers::shuffle::ITEMS_MAX;
use random_generator::http::public::numbers::strings::CHARACTERS_MAX;
use random_generator::server::budget::{PARTS, PLENTY, SMALL, WAIT, WIDE_PARTS};
use random_generator::server::exchange::{REQUEST_ID_MAX, RequestLimits, URI_MAX};
use random_generator::server::limits::Limits;

pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn seconds(duration: Duration) -> String {
    assert_eq!(duration.subsec_nanos(), 0);
    format!("{} s", duration.as_secs())
}

fn kib(bytes: usize) -> String {
    assert_eq!(bytes % 1024, 0);
    format!("{} KiB", bytes / 1024)
}

pub fn table() -> String {
    let (public, peer, internal) = (Limits::public(), Limits::peer(), Limits::internal());
    let (asked, of_peers, of_admin) = (RequestLimits::public(), RequestLimits::peer(), RequestLimits::admin());
    let streams = public.streams();
    assert_eq!((asked.time, public.write_stall), (of_peers.time, internal.write_stall));
    let rows = [
        (
            "connections",
            format!(
                "{} public (`--connection-limit`), {} peer, {} admin and metrics each; at most ¾ of the process's open files",
                grouped(public.connections as u64),
                grouped(peer.connections as u64),
                internal.connections
            ),
            "the longest idle are closed; if none is idle, 503".to_owned(),
        ),
        (
            "path and query",
            format!("{} bytes", grouped(URI_MAX as u64)),
            "414".to_owned(),
        ),
        (
            "request line and headers",
            format!(
                "{}, 100 headers, {} from the first byte",
                kib(public.header_bytes),
                seconds(public.header_time)
            ),
            "431; closed".to_owned(),
        ),
        (
            "body",
            format!(
                "{} public, {} peer, {} admin",
                kib(asked.body),
                kib(of_peers.body),
                kib(of_admin.body)
            ),
            "413".to_owned(),
        ),
        (
            "from a request's headers to its response's headers",
            format!("{}; {} admin", seconds(asked.time), seconds(of_admin.time)),
            "408, 503".to_owned(),
        ),
        ("an idle connection", seconds(public.idle_time), "closed".to_owned()),
        (
            "a client that stops reading",
            seconds(public.write_stall),
            "closed".to_owned(),
        ),
        (
            "values in a response",
            format!(
                "{}; {} ids, {} items to shuffle, {} characters of strings",
                grouped(*VALUES.end() as u64),
                grouped(*IDS.end() as u64),
                grouped(ITEMS_MAX as u64),
                grouped(CHARACTERS_MAX as u64)
            ),
            "400".to_owned(),
        ),
        (
            "`/bytes`",
            format!(
                "{} (a TiB) in a response, generated while they are sent; {} (a MiB) as JSON or text",
                grouped(*BYTES.end() as u64),
                grouped(*BYTES_IN_HEX.end() as u64)
            ),
            "400".to_owned(),
        ),
        (
            "memory held for large answers and requests",
            format!(
                "`--answer-memory` on the public listener, half of it on peer, an eighth on metrics, 1 MiB on admin. Up to {} \
                 take none, a long answer takes {}, and a long `/bytes` {} while at most 1/{PLENTY} of it is held",
                kib(SMALL),
                kib(PARTS),
                kib(WIDE_PARTS)
            ),
            format!("503 after {} ms; a stream ends", WAIT.as_millis()),
        ),
        (
            "streams of draws",
            format!(
                "an eighth of the public connections, at most {}",
                grouped(streams.open as u64)
            ),
            "503".to_owned(),
        ),
        (
            "silence on a stream of draws",
            seconds(streams.heartbeat),
            "a comment is sent".to_owned(),
        ),
        (
            "rounds of a stream that are being fetched from peers",
            format!("{} after the last one came", seconds(streams.fetching)),
            "reported as a gap".to_owned(),
        ),
        (
            "`X-Request-Id`",
            format!("{REQUEST_ID_MAX} visible characters"),
            "the member creates its own".to_owned(),
        ),
        (
            "requests in flight when the member stops",
            "`--drain-limit`".to_owned(),
            "cut".to_owned(),
        ),
    ];
    let rows: String = rows
        .iter()
        .map(|(of, limit, beyond)| format!("| {of} | {limit} | {beyond} |\n"))
        .collect();
    format!("| what | limit | when exceeded |\n| --- | --- | --- |\n{rows}")
}
