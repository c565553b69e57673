//! What is logged changes while a member runs, through its admin listener.

use crate::harness::{Member, Reply, ask, until, volume};

fn put(member: &Member, filter: &str) -> Reply {
    ask(member.base + 2, "PUT", "/log-level", &[], filter.as_bytes()).unwrap()
}

fn shown(member: &Member) -> String {
    ask(member.base + 2, "GET", "/log-level", &[], b"")
        .unwrap()
        .text()
        .trim_end()
        .to_owned()
}

/// Asks for a number by this id, and says whether the member logged it: a line that is always logged comes after it.
fn is_logged(member: &Member, id: &str, filter: &str) -> bool {
    let reply = ask(member.base, "GET", "/", &[("x-request-id", id)], b"").unwrap();
    assert_eq!((reply.status, reply.header("x-request-id")), (200, Some(id)));
    let set = || member.log().matches("log level set").count();
    let before = set();
    assert_eq!(put(member, filter).status, 200);
    until("the line after it", || (set() > before).then_some(()));
    member.log().contains(&format!("\"request_id\":\"{id}\""))
}

#[test]
fn the_filter_changes_while_a_member_runs_and_changes_back() {
    let (_directory, volume) = volume();
    let member = Member::start(&volume, &[]);
    assert_eq!(shown(&member), "info");
    assert!(!is_logged(&member, "before", "info"));
    let verbose = "info,random_generator::server=debug";
    assert_eq!(put(&member, verbose).status, 200);
    assert!(is_logged(&member, "between", verbose));
    let told = shown(&member);
    assert!(
        told.contains("random_generator::server=debug") && told.contains("info"),
        "{told}"
    );
    // What is told can be given back.
    assert!(is_logged(&member, "as-told", &told));

    for wrong in [
        "",
        "verbose",
        "info,",
        "random_generator=loud",
        "[span]=info",
        "info\nerror",
    ] {
        let reply = put(&member, wrong);
        assert_eq!(reply.status, 400, "{wrong:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("off, error, warn, info, debug, trace"), "{detail}");
        assert_eq!(shown(&member), told, "{wrong:?} changed it");
    }
    assert_eq!(put(&member, "info").status, 200);
    assert_eq!(shown(&member), "info");
    assert!(!is_logged(&member, "after", "info"));
}
