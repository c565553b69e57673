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
fn a_star_allows_pages_of_any_origin() {
    let volume = tempfile::tempdir().unwrap();
    let member = Member::start(volume.path(), &["--allowed-origins", "*"]);
    assert_eq!(
        asked_from(&member, "https://example.com", "GET").header(ALLOWED),
        Some("*")
    );
}
