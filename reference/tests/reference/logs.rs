//! LOG_FILE and `/logs`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::ask;
use crate::service::{Service, fields, root};

const CLIENTS: usize = 8;
const EACH: usize = 150;

#[test]
fn every_request_of_many_at_once_is_answered_and_every_line_is_whole() {
    let root = root();
    let path = root.path().join("random.log");
    let service = Service::spawn(root, &[("LOG_FILE", path.to_str().unwrap())]);
    let (port, done) = (service.port(), AtomicBool::new(false));
    let given: Vec<i64> = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::SeqCst) {
                let reply = ask(port, "GET", "/logs", &[], b"").unwrap();
                assert_eq!(reply.status, 200);
                let text = reply.text();
                assert!(text.is_empty() || text.ends_with('\n'));
                for line in text.lines() {
                    fields(line);
                }
                reads += 1;
            }
            reads
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(move || {
                    let one = |_| {
                        let reply = ask(port, "GET", "/", &[], b"").unwrap();
                        assert_eq!(reply.status, 200);
                        reply.json()["random"].as_i64().unwrap()
                    };
                    (0..EACH).map(one).collect::<Vec<i64>>()
                })
            })
            .collect();
        let given = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        done.store(true, Ordering::SeqCst);
        assert!(reading.join().unwrap() > 0);
        given
    });
    let text = service.get("/tmp/logs").text();
    let logged: Vec<i64> = text.lines().map(|line| fields(line)[3].parse().unwrap()).collect();
    assert_eq!(logged.len(), CLIENTS * EACH);
    assert_eq!(
        logged.into_iter().collect::<BTreeSet<i64>>(),
        given.into_iter().collect()
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_number_is_in_the_logs_when_it_was_answered_before() {
    let root = root();
    let path = root.path().join("random.log");
    let service = Service::spawn(root, &[("LOG_FILE", path.to_str().unwrap())]);
    for asked in 1..=20 {
        let answer = service.json("/");
        let reply = service.get("/logs");
        assert!(reply.header("content-type").unwrap().starts_with("text/plain"));
        let text = reply.text();
        let [_, id, _, number] = fields(text.lines().last().unwrap());
        assert_eq!(
            (answer["id"].as_str(), answer["random"].to_string().as_str()),
            (Some(id), number)
        );
        assert_eq!(text.lines().count(), asked);
    }
}

#[test]
fn what_others_wrote_stays_and_what_is_left_at_the_end_is_written() {
    let root = root();
    let path = root.path().join("random.log");
    fs::write(&path, "a line of a run before\n").unwrap();
    let service = Service::spawn(root, &[("LOG_FILE", path.to_str().unwrap())]);
    for _ in 0..10 {
        service.random();
    }
    service.terminate();
    let (code, log, _root) = service.ended();
    assert_eq!(code, Some(0), "{log}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("a line of a run before\n"));
    assert_eq!(text.lines().count(), 11);
}

#[test]
fn without_a_file_there_are_no_lines() {
    let service = Service::start(&[]);
    service.random();
    for path in ["/logs", "/tmp/logs"] {
        let reply = service.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (200, ""), "{path}");
    }
}

#[test]
fn a_file_that_cannot_be_written_costs_its_lines_and_not_the_numbers() {
    let service = Service::start(&[("LOG_FILE", "/dev/full")]);
    for _ in 0..5 {
        service.random();
    }
    assert_eq!(service.get("/logs").text(), "");
    service.until_told("LOG_FILE can't be written");
    assert_eq!(service.json("/info")["logFile.lost"], 5);
}
