use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::clock::Clock;

fn set() -> SetAnswer {
    let report = |ready: bool| {
        json!({
            "node": "worker-2", "version": "0.2.0", "started_at": "2027-01-15T07:00:00.311408Z",
            "readiness": {"ready": ready, "stopping": false, "degraded": [],
                "latches": {"listeners": true, "volume": true, "entropy": true, "journal": ready}},
            "volume": {"bytes": 1_u64 << 30, "used_bytes": 1_u64 << 28},
            "journal": {"bytes": 1_u64 << 20, "max_bytes": 1_u64 << 26, "fill": 0.07, "lag_ms": 2},
            "ledger": {"rounds": 360, "oldest": 1, "newest": 360},
            "lease": {"holder": "rg-1_u-9f31c2d0", "member": "rg-1", "self": true, "fence": 3,
                "acquired_at": "2027-01-15T07:59:58.250114Z", "remaining_ms": 13_870, "view_age_ms": 1_130},
            "draws": {"head": {"round": 360, "slot": "2027-01-15T08:00:00Z", "missed": 1,
                "missing": [{"ordinal": 2, "reason": "timeout"}]}, "next_slot": "2027-01-15T08:00:10Z"},
        })
    };
    let why = "no answer\u{1b}[2J within 1 s";
    let set = json!({"self": "rg-1", "at": "2027-01-15T08:00:00.750114Z", "age_ms": 12, "members": [
        {"name": "rg-0", "ordinal": 0, "self": false, "published": true, "silent": null, "report": report(false),
            "report_age_ms": 12},
        {"name": "rg-1", "ordinal": 1, "self": true, "published": true, "silent": null, "report": report(true),
            "report_age_ms": 12},
        {"name": "rg-2", "ordinal": 2, "self": false, "published": true, "report": report(true), "report_age_ms": 19_999,
            "silent": {"since": "2027-01-15T07:59:41.101377Z", "why": why}},
        {"name": "rg-3", "ordinal": 3, "self": false, "published": false, "report": null, "report_age_ms": null,
            "silent": {"since": "2027-01-15T07:59:41.101377Z", "why": "DNS doesn't list it"}},
    ]});
    serde_json::from_value(set).unwrap()
}

fn shown(set: &SetAnswer) -> String {
    let mut out = Vec::new();
    let console = Console {
        out: &mut out,
        progress: None,
        colour: false,
        overwrites: false,
        clock: Clock::system(),
    };
    screen(&console, set)
}

#[test]
fn the_screen_says_who_leads_what_was_drawn_and_how_each_member_is() {
    let expected = "\
rg-1 sees 4 members at 2027-01-15T08:00:00Z
rg-1 leads, fence 3, 13.8 s left
round 360 of 2027-01-15T08:00:00Z, 1 missed before, missing: 2 timeout; next slot 2027-01-15T08:00:10Z
MEMBER  NODE      VERSION  SINCE                 READY  VOLUME           JOURNAL          LAG   ROUNDS    NOTES
rg-0    worker-2  0.2.0    2027-01-15T07:00:00Z  no     25 % of 1.0 GiB  1 % of 64.0 MiB  2 ms  1 to 360  waits for journal
rg-1    worker-2  0.2.0    2027-01-15T07:00:00Z  yes    25 % of 1.0 GiB  1 % of 64.0 MiB  2 ms  1 to 360
rg-2    worker-2  0.2.0    2027-01-15T07:00:00Z  no     25 % of 1.0 GiB  1 % of 64.0 MiB  2 ms  1 to 360  \
silent since 2027-01-15T07:59:41Z: no answer [2J within 1 s; this was 19 s ago
rg-3                                             no                                                       \
silent since 2027-01-15T07:59:41Z: DNS doesn't list it
";
    assert_eq!(shown(&set()), expected);
}

#[test]
fn a_set_that_has_drawn_nothing_and_a_member_without_ordinal_have_no_round() {
    let mut set = set();
    set.members.truncate(2);
    let own = Arc::make_mut(set.members[1].report.as_mut().unwrap());
    own.lease.member = None;
    own.draws.as_mut().unwrap().head = None;
    own.ledger.as_mut().unwrap().newest = None;
    let text = shown(&set);
    assert!(
        text.contains("no member holds the lease (fence 3)\nnothing is drawn yet; next slot"),
        "{text}"
    );
    assert!(text.contains("2 ms  none"), "{text}");
    let own = Arc::make_mut(set.members[1].report.as_mut().unwrap());
    (own.draws, own.ledger) = (None, None);
    let text = shown(&set);
    assert!(!text.contains("drawn") && !text.contains("none"), "{text}");
}
