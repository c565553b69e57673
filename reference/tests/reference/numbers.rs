//! `/`.

use std::fs;
use std::io::Write;
use std::time::Duration;

use random_generator::clock::Clock;
use random_generator::generator::java_random::JavaRandom;
use serde_json::json;

use crate::harness::{ask, until};
use crate::service::Service;

#[test]
fn a_number_comes_with_the_id_of_the_process_and_the_version_whatever_the_method() {
    let service = Service::start(&[]);
    let id = service.json("/")["id"].clone();
    assert_eq!(id.as_str().unwrap().len(), 36);
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let reply = ask(service.port(), method, "/", &[], b"a body").unwrap();
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("application/json")),
            "{method}"
        );
        let answer = reply.json();
        let random = answer["random"].as_i64().unwrap();
        assert_eq!(
            answer,
            json!({"random": random, "id": id, "version": "1.0"}),
            "{method}"
        );
        assert!(i32::try_from(random).is_ok());
    }
    assert_eq!(service.ask("HEAD", "/", &[]).status, 200);
    let other = Service::start(&[]);
    assert_ne!(other.json("/")["id"], id);
}

#[test]
fn a_seed_gives_the_numbers_of_java_and_0_is_no_seed() {
    let service = Service::start(&[("SEED", "42")]);
    assert_eq!(
        [(); 3].map(|()| service.random()),
        [-1170105035, 234785527, -1360544799]
    );
    assert_eq!(Service::start(&[("SEED", "-7")]).random(), 1155869324);
    let unseeded = Service::start(&[("SEED", "0")]);
    assert_ne!([(); 2].map(|()| unseeded.random()), [-1155484576, -723955400]);
}

#[test]
fn a_pattern_is_shown_unless_it_is_none() {
    let service = Service::start(&[("PATTERN", "Configuration \"Resource\""), ("VERSION", "2.0")]);
    let answer = service.json("/");
    assert_eq!(
        (&answer["pattern"], &answer["version"]),
        (&json!("Configuration \"Resource\""), &json!("2.0"))
    );
    assert_eq!(Service::start(&[("PATTERN", "None")]).json("/").get("pattern"), None);
    assert_eq!(
        Service::start(&[("RANDOM_PATTERN", "P")]).json("/").get("pattern"),
        None
    );
}

#[test]
fn burning_draws_a_million_numbers_for_each_that_is_asked_for() {
    let service = Service::start(&[("SEED", "42")]);
    let mut sequence = JavaRandom::new(42);
    for (burn, millions) in [
        ("burn=1", 1),
        ("burn=0x2", 2),
        ("burn=", 0),
        ("burn=-5", 0),
        ("x=1&burn=%2B1", 1),
    ] {
        sequence.skip(millions * 1_000_000);
        let answer = service.json(&format!("/?{burn}"));
        assert_eq!(answer["random"], sequence.next_int(), "{burn}");
    }
}

/// Threads of a process that run, or wait for a processor to run on.
fn busy(service: &Service) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap();
    // A thread may end between the two looks.
    let states = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    states
        .filter(|stat| stat.rsplit(") ").next().unwrap().starts_with('R'))
        .count()
}

#[test]
fn a_burn_of_any_size_holds_up_nobody_and_ends_with_its_client() {
    let service = Service::start(&[]);
    let burning = ["10000", "9223372036854775807"].map(|burn| {
        let mut client = service.connect();
        write!(client, "GET /?burn={burn} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        client
    });
    until("both burn", || (busy(&service) >= 2).then_some(()));
    for _ in 0..50 {
        service.random();
    }
    let clock = Clock::system();
    let began = clock.boot();
    drop(burning);
    until("nobody burns", || (busy(&service) == 0).then_some(()));
    let took = clock.boot().since(began);
    assert!(took < Duration::from_secs(4), "each would burn for longer: {took:?}");
    service.stop();
}
