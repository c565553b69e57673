//! What is waited for before the port opens, where it opens, and what keeps it from opening.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use random_generator::clock::Clock;

use crate::families::without_ipv6;
use crate::harness::{program, run_command, until};
use crate::service::{Service, root};

#[test]
fn a_setting_that_is_no_number_ends_it_with_1_and_one_line() {
    for (name, value) in [
        ("SEED", "abc"),
        ("SEED", "1e3"),
        ("DELAY_STARTUP", "soon"),
        ("SERVER_PORT", "http"),
    ] {
        let ended = run_command(program().env(name, value));
        assert_eq!(ended.code, Some(1), "{name}={value}");
        assert!(
            ended.line().contains(name) && ended.line().contains(value),
            "{}",
            ended.line()
        );
    }
}

#[test]
fn a_delay_holds_the_port_back_and_a_signal_ends_it_at_once() {
    let (clock, service) = (Clock::system(), Service::spawn(root(), &[("DELAY_STARTUP", "1")]));
    let began = clock.boot();
    service.until_told("DELAY_STARTUP");
    assert!(!service.ready());
    service.port();
    // It began to wait before the first look at its log, by at most what a start takes.
    assert!(clock.boot().since(began) > Duration::from_millis(500));
    let late = Service::spawn(root(), &[("DELAY_STARTUP", "3600")]);
    late.until_told("DELAY_STARTUP");
    late.stop();
}

#[test]
fn the_port_opens_as_soon_as_the_hook_is_done_and_its_content_is_logged() {
    let service = Service::spawn(root(), &[("WAIT_FOR_POST_START", "true")]);
    service.until_told("WAIT_FOR_POST_START");
    assert!(service.told("listening").is_none() && !service.ready());
    let clock = Clock::system();
    let began = clock.boot();
    fs::write(service.path("tmp/postStart-done"), "made by the hook\n").unwrap();
    service.port();
    let took = clock.boot().since(began);
    assert!(
        took < Duration::from_secs(5),
        "the original looks every 10 s, this took {took:?}"
    );
    assert_eq!(
        service.until_told("the postStart hook is done")["content"],
        "made by the hook"
    );
}

#[test]
fn properties_are_read_from_a_file_or_a_folder_and_variables_win() {
    let root = root();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = root.path().join("numbers.log");
    let text = format!(
        "# of a ConfigMap\nserver.port={port}\nseed=42\nversion: 7.0\npattern=Immutable \\\n  Configuration\nlog.file={}\n",
        log.display()
    );
    fs::write(root.path().join("application.properties"), text).unwrap();
    let folder = root.path().to_str().unwrap().to_owned();
    // An empty variable is none.
    let service = Service::spawn(
        root,
        &[
            ("SPRING_CONFIG_LOCATION", &folder),
            ("SERVER_PORT", ""),
            ("VERSION", "8.0"),
        ],
    );
    assert_eq!(service.port(), port);
    let answer = service.json("/");
    assert_eq!(answer["random"], -1170105035);
    assert_eq!(
        (&answer["version"], &answer["pattern"]),
        (&"8.0".into(), &"Immutable Configuration".into())
    );
    assert_eq!(service.get("/logs").text(), fs::read_to_string(&log).unwrap());
    let missing = program().env("SPRING_CONFIG_LOCATION", "/not/there.properties").spawn();
    let code = missing.unwrap().wait().unwrap().code();
    assert_eq!(code, Some(1));
}

#[test]
fn an_image_of_another_tag_tells_its_version() {
    let service = Service::start(&[("RANDOM_GENERATOR_REFERENCE_VERSION", "2.0")]);
    assert_eq!(service.json("/")["version"], "2.0");
    let said = Service::start(&[("RANDOM_GENERATOR_REFERENCE_VERSION", "2.0"), ("VERSION", "3.0")]);
    assert_eq!(said.json("/")["version"], "3.0");
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let service = Service::spawn(root(), &[("SERVER_PORT", &port)]);
    let (code, log, _) = service.ended();
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("can't be listened on"), "{log}");
}

#[test]
fn without_an_address_it_listens_on_all_of_them() {
    let service = Service::spawn(root(), &[("SERVER_ADDRESS", "")]);
    let line = service.until_told("listening, in reference mode");
    let address = line["address"].as_str().unwrap();
    assert!(address.starts_with("[::]:"), "{address}");
    until("an answer over IPv4", || service.get("/").json()["random"].as_i64());
    TcpStream::connect(("::1", service.port())).unwrap();
}

#[test]
fn without_ipv6_it_listens_on_all_addresses_of_ipv4() {
    let library = tempfile::tempdir().unwrap();
    let mut command = without_ipv6(program(), library.path());
    let service = Service::of(&mut command, root(), &[("SERVER_ADDRESS", "")]);
    let line = service.until_told("listening, in reference mode");
    let address = line["address"].as_str().unwrap();
    assert!(address.starts_with("0.0.0.0:"), "{address}");
    until("an answer over IPv4", || service.get("/").json()["random"].as_i64());
}
