//! Ending as asked: in order, with what is under way finished.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use random_generator::clock::Clock;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Member, free_base, read_reply, until, volume};

/// The Lease's holder and duration, as a person reads them. None while it is being replaced.
fn lease(directory: &Path) -> Option<(String, u64)> {
    let mut files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|ending| ending == "json"))?;
    let lease: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let holder = lease["spec"]["holderIdentity"].as_str()?.to_owned();
    Some((holder, lease["spec"]["leaseDurationSeconds"].as_u64()?))
}

#[test]
fn sigterm_makes_it_unready_at_once_frees_the_lease_and_serves_until_the_delay_is_over() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &["--shutdown-delay", "3s", "--draw-schedule", "@every 1s"]);
    member.until_round(1);
    let clock = Clock::system();
    let began = clock.boot();
    member.signal(Signal::TERM);
    let status = until("not ready", || {
        Some(member.readyz()).filter(|reply| reply.status == 503)
    })
    .json();
    assert_eq!((&status["ready"], &status["stopping"]), (&json!(false), &json!(true)));
    until("the lease is free", || {
        (lease(&volume.join("lease")) == Some((String::new(), 1))).then_some(())
    });
    assert!(
        clock.boot().since(began) < Duration::from_secs(2),
        "both come before the delay is over"
    );
    for target in ["/", "/integers?count=3", "/ids", "/draws/latest", "/livez"] {
        assert_eq!(member.get(target).unwrap().status, 200, "{target}");
    }
    let (code, log) = member.ended();
    assert_eq!(code, Some(0), "{log}");
    let took = clock.boot().since(began);
    assert!(took >= Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &[]);
    let mut half = TcpStream::connect(("127.0.0.1", member.base)).unwrap();
    half.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap();
    // The connection is taken before the signal: what came after it on another one is answered.
    assert_eq!(member.get("/livez").unwrap().status, 200);
    member.signal(Signal::TERM);
    until("not ready or closed", || member.readyz_or_closed());
    half.write_all(b"connection: close\r\n\r\n").unwrap();
    let reply = read_reply(&mut half).unwrap();
    assert_eq!(reply.status, 200);
    let (code, log) = member.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn sigint_sighup_and_the_admin_listener_end_it_as_sigterm_does() {
    let (_dir, volume) = volume();
    for signal in [Signal::INT, Signal::HUP] {
        // Whoever runs the tests may have ignored SIGHUP.
        let mut usual = Command::new("env");
        usual.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_random-generator")]);
        let member = Member::spawn_by(usual, free_base(), &volume, &[]);
        until("ready", || (member.get("/readyz").ok()?.status == 200).then_some(()));
        member.signal(signal);
        let (code, log) = member.ended();
        assert_eq!(code, Some(0), "{signal:?}: {log}");
        assert!(log.contains("stopping"), "{signal:?}: {log}");
    }
    let member = Member::start(&volume, &[]);
    let reply = crate::harness::ask(member.base + 2, "POST", "/shutdown", &[], b"").unwrap();
    assert_eq!(reply.status, 202);
    assert_eq!(member.ended().0, Some(0));
}

/// A client that keeps its connection alive until an answer says that it is the last. The number of answers, or how one was lost.
fn ask_until_closed(port: u16) -> io::Result<usize> {
    let mut writer = TcpStream::connect(("127.0.0.1", port))?;
    writer.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(writer.try_clone()?);
    for answers in 1.. {
        writer.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")?;
        let (mut status, mut length, mut last) = (String::new(), 0, false);
        reader.read_line(&mut status)?;
        if !status.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(format!("{answers}: {status:?}")));
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", text)) => length = text.parse().unwrap(),
                Some(("connection", "close")) => last = true,
                Some(_) => {}
                None => break,
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        if last {
            return match reader.read(&mut [0])? {
                0 => Ok(answers),
                _ => Err(io::Error::other("more came after the last answer")),
            };
        }
    }
    unreachable!()
}

#[test]
fn clients_on_keep_alive_are_told_to_go_and_lose_no_request() {
    for _ in 0..20 {
        let (_dir, volume) = volume();
        let member = Member::start(&volume, &["--shutdown-delay", "1s"]);
        let port = member.base;
        let clients: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(move || ask_until_closed(port)))
            .collect();
        member.signal(Signal::TERM);
        for client in clients {
            client.join().unwrap().unwrap();
        }
        let (code, log) = member.ended();
        assert_eq!(code, Some(0), "{log}");
    }
}

#[test]
fn under_nohup_it_outlives_its_terminal() {
    let (_dir, volume) = volume();
    let mut nohup = Command::new("sh");
    nohup.args([
        "-c",
        "trap '' HUP; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_random-generator"),
    ]);
    let member = Member::spawn_by(nohup, free_base(), &volume, &[]);
    until("ready", || (member.get("/readyz").ok()?.status == 200).then_some(()));
    member.signal(Signal::HUP);
    assert_eq!(member.get("/").unwrap().status, 200);
    member.signal(Signal::TERM);
    let (code, log) = member.ended();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        log.matches("\"stopping\"").count() + log.matches(" stopping").count(),
        1,
        "{log}"
    );
}

#[test]
fn several_signals_of_one_moment_are_one_request() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &["--shutdown-delay", "2s", "--draw-schedule", "@every 1s"]);
    member.until_round(1);
    let clock = Clock::system();
    let began = clock.boot();
    // As timeout(1) and a supervisor's kill of the group do.
    for signal in [Signal::TERM, Signal::TERM, Signal::HUP, Signal::INT] {
        member.signal(signal);
        until("not ready", || (member.readyz().status == 503).then_some(()));
    }
    let (code, log) = member.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("second stop signal"), "{log}");
    let took = clock.boot().since(began);
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert_eq!(
        lease(&volume.join("lease")),
        Some((String::new(), 1)),
        "the lease is free"
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &["--shutdown-delay", "10m"]);
    member.signal(Signal::TERM);
    until("not ready", || (member.readyz().status == 503).then_some(()));
    // By now the member has taken the first signal. What comes within a second of that counts as the same request.
    let clock = Clock::system();
    let first = clock.boot();
    until("another moment", || {
        (clock.boot().since(first) > Duration::from_secs(1)).then_some(())
    });
    let began = clock.boot();
    member.signal(Signal::TERM);
    let (code, log) = member.ended();
    let took = clock.boot().since(began);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(code, Some(0), "{log}");
    Member::start(&volume, &[]).stop();
}

#[test]
fn an_idle_client_does_not_hold_up_the_end() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &[]);
    let mut idle = TcpStream::connect(("127.0.0.1", member.base)).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(member.get("/livez").unwrap().status, 200);
    let clock = Clock::system();
    let began = clock.boot();
    member.stop();
    let took = clock.boot().since(began);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Some of these stop while the lease is being acquired: it is given back then, and not a retry (2 s) later.
#[test]
fn a_member_that_has_only_just_started_stops_at_once() {
    for _ in 0..10 {
        let (_dir, volume) = volume();
        let member = Member::start(&volume, &[]);
        let clock = Clock::system();
        let began = clock.boot();
        member.stop();
        let took = clock.boot().since(began);
        assert!(took < Duration::from_millis(1_500), "{took:?}");
    }
}

#[test]
fn a_stream_gives_draws_as_they_come_and_ends_in_order_with_the_member() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &["--draw-schedule", "@every 1s"]);
    // The ledger is open by then.
    member.until_round(1);
    let mut stream = TcpStream::connect(("127.0.0.1", member.base)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = b"GET /draws/stream?from=1 HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut told = Vec::new();
    let mut part = [0; 4096];
    let has = |told: &[u8], text: &str| String::from_utf8_lossy(told).contains(text);
    while !has(&told, "id: 3\nevent: draw\n") {
        let read = stream.read(&mut part).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&part[..read]);
    }
    let clock = Clock::system();
    let began = clock.boot();
    member.stop();
    let took = clock.boot().since(began);
    assert!(took < Duration::from_secs(3), "{took:?}");
    stream.read_to_end(&mut told).unwrap();
    let text = String::from_utf8(told).unwrap();
    assert!(text.ends_with("\r\n0\r\n\r\n"), "the body has no end: {text}");
    let rounds = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok());
    assert!(rounds.enumerate().all(|(n, round)| n as u64 == round), "{text}");
}
