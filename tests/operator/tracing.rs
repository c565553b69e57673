//! One draw, followed through every member's log by its trace; and a request's trace, taken from its headers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Member, ask, until, volume};
use crate::set::Set;

fn lines(member: &Member) -> Vec<Value> {
    let log = member.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn one_draw_is_followed_through_the_logs_of_three_members_by_its_trace() {
    let set = Set::start(3, &[]);
    // Of a draw to which all three contributed.
    let (holder, drawn) = until("a draw of all", || {
        (0..3).find_map(|ordinal| {
            let lines = lines(set.member(ordinal));
            let whole = |line: &&Value| line["message"] == "drawn" && line["missing"] == 0;
            Some((ordinal, lines.iter().rev().find(whole)?.clone()))
        })
    });
    let trace = drawn["trace_id"].as_str().unwrap();
    assert_eq!(trace.len(), 32, "{drawn}");
    let mut spans = BTreeSet::from([drawn["span_id"].as_str().unwrap().to_owned()]);
    for ordinal in (0..3).filter(|ordinal| *ordinal != holder) {
        let kept = until("its part of the draw", || {
            let lines = lines(set.member(ordinal));
            lines
                .into_iter()
                .find(|line| line["trace_id"] == trace && line["round"] == drawn["round"])
        });
        assert_eq!(kept["message"], "kept the head for the next draw");
        assert_eq!((&kept["contributed"], &kept["slot"]), (&true.into(), &drawn["slot"]));
        assert_eq!(kept["holder"], format!("rg-{holder}"));
        assert!(kept["request_id"].is_string(), "{kept}");
        spans.insert(kept["span_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(spans.len(), 3, "each member's part is a span of its own");
    // Another draw is another trace.
    let round = drawn["round"].as_u64().unwrap();
    let next = until("the next draw", || {
        let all = (0..3).flat_map(|ordinal| lines(set.member(ordinal)));
        all.into_iter()
            .find(|line| line["message"] == "drawn" && line["round"].as_u64() > Some(round))
    });
    assert_ne!(next["trace_id"], trace);
}

#[test]
fn a_request_says_which_trace_it_is_a_part_of_and_a_broken_one_begins_again() {
    let (_directory, volume) = volume();
    let member = Member::start(&volume, &["--log-filter", "debug"]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let logged = |id: &str, parent: &str| {
        let headers = [("x-request-id", id), ("traceparent", parent), ("tracestate", "a=1")];
        let reply = ask(member.base, "GET", "/integers?count=2", &headers, b"").unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("traceparent"),
            None,
            "the recommendation has it in requests only"
        );
        until("its line", || {
            lines(&member).into_iter().find(|line| line["request_id"] == id)
        })
    };
    let line = logged("right", &parent);
    assert_eq!(
        (&line["trace_id"], &line["message"]),
        (&trace.into(), &"answered".into())
    );
    assert_eq!((&line["route"], &line["status"]), (&"/integers".into(), &200.into()));
    assert_ne!(line["span_id"], "00f067aa0ba902b7", "its own part of the trace");
    for (id, wrong) in [
        ("capitals", parent.to_uppercase()),
        ("short", parent[..54].to_owned()),
        ("ff", parent.replacen("00", "ff", 1)),
    ] {
        let line = logged(id, &wrong);
        assert!(line["trace_id"].is_string() && line["trace_id"] != trace, "{line}");
    }
}
