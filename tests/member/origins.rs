//! Web pages of other origins: whether a browser lets them read what the member answers.

use crate::harness::{Member, Reply, ask};

const ALLOWED: &str = "access-control-allow-origin";

fn asked_from(member: &Member, origin: &str, method: &str) -> Reply {
    let preflight = [("origin", origin), ("access-control-request-method", "GET")];
    ask(member.base, method, "/integers", &preflight, b"").unwrap()
}

#[test]
fn a_web_page_may_read_nothing_unless_its_origin_is_allowed() {
    let volume = tempfile::tempdir().unwrap();
    let member = Member::start(volume.path(), &[]);
    let reply = asked_from(&member, "https://example.org", "GET");
    assert_eq!((reply.status, reply.header(ALLOWED)), (200, None));
    assert_eq!(asked_from(&member, "https://example.org", "OPTIONS").status, 405);
}

#[test]
fn pages_of_the_allowed_origins_may_read_and_others_may_not() {
    let volume = tempfile::tempdir().unwrap();
    let allowed = "https://example.org,http://localhost:3000";
    let member = Member::start(volume.path(), &["--allowed-origins", allowed]);
    for origin in allowed.split(',') {
        let reply = asked_from(&member, origin, "GET");
        assert_eq!((reply.status, reply.header(ALLOWED)), (200, Some(origin)));
        assert!(
            reply
                .header("access-control-expose-headers")
                .unwrap()
                .contains("x-request-id")
        );
        let preflight = asked_from(&member, origin, "OPTIONS");
        assert_eq!((preflight.status, preflight.header(ALLOWED)), (200, Some(origin)));
        assert_eq!(preflight.header("access-control-allow-methods"), Some("GET,HEAD"));
    }
    for origin in ["https://example.com", "http://example.org", "null"] {
        assert_eq!(asked_from(&member, origin, "GET").header(ALLOWED), None, "{origin}");
    }
}

#[test]
fn what_is_no_preflight_is_answered_and_counted_as_without_origins() {
    let volume = tempfile::tempdir().unwrap();
    let member = Member::start(volume.path(), &["--allowed-origins", "*"]);
    let options = |path: &str| ask(member.base, "OPTIONS", path, &[("x-request-id", "mine")], b"").unwrap();
    let integers = options("/integers");
    assert_eq!((integers.status, integers.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(options("/nowhere").status, 404);
    assert_eq!(options(&format!("/{}", "a".repeat(5_000))).status, 414);
    // A page may read why it was refused.
    let long = format!("/{}", "a".repeat(5_000));
    let refused = ask(member.base, "GET", &long, &[("origin", "https://example.org")], b"").unwrap();
    assert_eq!((refused.status, refused.header(ALLOWED)), (414, Some("*")));
    let preflight = asked_from(&member, "https://example.org", "OPTIONS");
    assert_eq!(preflight.status, 200);
    for reply in [&integers, &preflight] {
        assert!(reply.header("x-request-id").is_some(), "{reply:?}");
    }
    assert_eq!(integers.header("x-request-id"), Some("mine"));
    let metrics = ask(member.base + 3, "GET", "/metrics", &[], b"").unwrap().text();
    for status in [200, 405] {
        let labels = format!("listener=\"public\",route=\"/integers\",method=\"OPTIONS\",status=\"{status}\"");
        let line = format!("random_generator_http_requests_total{{{labels}}} 1");
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
}

#[test]
fn a_star_allows_pages_of_any_origin() {
    let volume = tempfile::tempdir().unwrap();
    let member = Member::start(volume.path(), &["--allowed-origins", "*"]);
    assert_eq!(
        asked_from(&member, "https://example.com", "GET").header(ALLOWED),
        Some("*")
    );
}
