//! `/toggle-live`, `/toggle-ready`, `/shutdown`, and the file of readiness.

use std::fs;

use crate::harness::until;
use crate::service::{Service, root};

#[test]
fn liveness_flips_with_any_method_and_says_nothing() {
    let service = Service::start(&[]);
    for (method, status) in [("GET", 503), ("POST", 200), ("PUT", 503)] {
        let reply = service.ask(method, "/toggle-live", &[]);
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(service.get("/actuator/health").status, status, "{method}");
    }
}

#[test]
fn a_member_may_begin_as_down() {
    let service = Service::start(&[("HEALTHY", "false")]);
    let reply = service.get("/actuator/health");
    assert_eq!((reply.status, &reply.json()["status"]), (503, &"DOWN".into()));
    service.get("/toggle-live");
    assert_eq!(service.get("/actuator/health").status, 200);
}

#[test]
fn the_file_of_readiness_is_there_from_readiness_on_and_toggled() {
    let service = Service::start(&[]);
    until("the file of readiness", || service.ready().then_some(()));
    for (method, there) in [("GET", false), ("POST", true), ("DELETE", false), ("GET", true)] {
        let reply = service.ask(method, "/toggle-ready", &[]);
        assert_eq!((reply.status, reply.body.len(), service.ready()), (200, 0, there));
    }
    service.terminate();
    let (code, log, root) = service.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(!root.path().join("tmp/random-generator-ready").exists());
}

#[test]
fn a_file_of_readiness_of_a_run_before_does_not_count() {
    let root = root();
    let (ready, hook) = (
        root.path().join("tmp/random-generator-ready"),
        root.path().join("tmp/postStart-done"),
    );
    fs::write(&ready, "").unwrap();
    let service = Service::spawn(root, &[("WAIT_FOR_POST_START", "true")]);
    until("the old file removed", || (!ready.exists()).then_some(()));
    fs::write(&hook, "").unwrap();
    until("the new file", || ready.exists().then_some(()));
    service.random();
}

#[test]
fn shutdown_is_answered_and_ends_the_process_in_order() {
    for method in ["GET", "POST"] {
        let service = Service::start(&[]);
        let reply = service.ask(method, "/shutdown", &[]);
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        let (code, log, root) = service.ended();
        assert_eq!(code, Some(0), "{log}");
        assert!(!root.path().join("tmp/random-generator-ready").exists());
    }
}
