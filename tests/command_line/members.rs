//! Which members a command asks, and in what order.

use crate::harness::run;
use crate::listener::{Listener, closed};

#[test]
fn a_member_that_is_named_twice_is_asked_and_reported_once() {
    let member = Listener::saying(200, r#"{"ready":true}"#);
    let (url, other) = (member.url(), closed());
    let health = run(&["health", "--json", &url, &other, &format!("{url}/"), &other]);
    assert_eq!(health.code, Some(75), "{}", health.stderr);
    assert_eq!(health.stdout.lines().count(), 2, "{}", health.stdout);
    assert_eq!(member.paths(), ["/livez", "/readyz"]);
}
