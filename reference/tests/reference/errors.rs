//! The image's shape of an error.

use serde_json::json;

use crate::harness::Reply;
use crate::service::{Service, root};

fn expect(reply: &Reply, status: u16, error: &str, path: &str) {
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (status, Some("application/json")),
        "{path}"
    );
    let mut fault = reply.json();
    let time = fault["timestamp"].take();
    let time = time.as_str().unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99T99:99:99.999+99:99");
    assert!(
        time.ends_with("+00:00") && time.parse::<jiff::Timestamp>().is_ok(),
        "{time}"
    );
    assert_eq!(
        fault,
        json!({"timestamp": null, "status": status, "error": error, "path": path})
    );
}

#[test]
fn every_error_has_the_images_shape() {
    let service = Service::start(&[]);
    for burn in ["ten", "1.5", "9223372036854775808", "99999999999999999999", "0x", "%ff"] {
        expect(&service.get(&format!("/?burn={burn}")), 400, "Bad Request", "/");
    }
    expect(&service.get("/nowhere?a=b"), 404, "Not Found", "/nowhere");
    expect(&service.get("/actuator/env"), 404, "Not Found", "/actuator/env");
    let reply = service.ask("POST", "/actuator/health", &[]);
    expect(&reply, 405, "Method Not Allowed", "/actuator/health");
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    for (path, accept) in [
        ("/", "text/html"),
        ("/info", "image/png"),
        ("/logs", "image/png"),
        ("/actuator/health", "text/plain"),
    ] {
        expect(
            &service.ask("GET", path, &[("accept", accept)]),
            406,
            "Not Acceptable",
            path,
        );
    }
}

#[test]
fn what_a_browser_accepts_is_given() {
    let service = Service::start(&[]);
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    for path in ["/", "/info", "/logs", "/actuator", "/actuator/health"] {
        assert_eq!(service.ask("GET", path, &browser).status, 200, "{path}");
    }
}

#[test]
fn what_cannot_be_written_is_a_500_and_the_service_goes_on() {
    let root = root();
    std::fs::remove_dir(root.path().join("tmp")).unwrap();
    let service = Service::spawn(root, &[]);
    expect(
        &service.get("/toggle-ready"),
        500,
        "Internal Server Error",
        "/toggle-ready",
    );
    service.random();
}
