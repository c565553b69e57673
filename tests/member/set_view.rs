//! `/set`: what a member says of all members, while some of them are killed, paused, or have another secret.

use std::fs;

use random_generator::clock::Clock;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Ended, Member, run, until, volume};
use crate::set::Set;

fn member_of(set: &Value, ordinal: usize) -> Value {
    set["members"][ordinal].clone()
}

/// What `asked` says of a member, once `is_so`.
fn until_seen(asked: &Member, ordinal: usize, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        Some(member_of(&asked.json("/set"), ordinal)).filter(|seen| is_so(seen))
    })
}

/// And its parts have measured what they publish.
fn answers_and_has_drawn(member: &Value) -> bool {
    let report = &member["report"];
    let measured = report["volume"]["bytes"].is_u64() && report["journal"]["bytes"] != 0;
    member["silent"].is_null() && measured && report["draws"]["head"].is_object()
}

fn status(member: &Member) -> Ended {
    run(&["status", &format!("http://127.0.0.1:{}", member.base)])
}

#[test]
fn every_member_says_how_all_are_and_since_when_and_why_one_is_silent() {
    let mut set = Set::start(3, &["--node-name", "worker-1"]);
    for ordinal in 0..3 {
        let seen = until("everyone answers", || {
            let seen = set.member(ordinal).json("/set");
            let members = seen["members"].as_array().unwrap().clone();
            members.iter().all(answers_and_has_drawn).then_some(seen)
        });
        assert_eq!(seen["self"], format!("rg-{ordinal}"));
        for at in 0..3_u16 {
            let member = member_of(&seen, usize::from(at));
            assert_eq!(member["name"], format!("rg-{at}"));
            assert_eq!(
                (&member["published"], &member["self"]),
                (&json!(true), &json!(at == ordinal))
            );
            let report = &member["report"];
            assert_eq!(
                (&report["node"], &report["version"]),
                (&json!("worker-1"), &json!(env!("CARGO_PKG_VERSION")))
            );
            assert!(
                report["started_at"]
                    .as_str()
                    .unwrap()
                    .parse::<jiff::Timestamp>()
                    .is_ok()
            );
            assert!(report["draws"]["head"]["round"].as_u64().unwrap() >= 1, "{report}");
            assert!(report["draws"]["next_slot"].is_string(), "{report}");
            assert!(report["ledger"]["rounds"].as_u64().unwrap() >= 1, "{report}");
            assert!(report["lease"]["fence"].as_u64().unwrap() >= 1, "{report}");
            assert_eq!(report["readiness"]["ready"], true);
            let volume = &report["volume"];
            assert!(
                volume["bytes"].as_u64().unwrap() > volume["used_bytes"].as_u64().unwrap(),
                "{report}"
            );
            assert!(report["journal"]["bytes"].as_u64().unwrap() > 0, "{report}");
        }
    }

    // On a busy machine a member may take longer than a second to answer.
    let all = until("everyone is ready", || {
        Some(status(set.member(1))).filter(|all| all.code == Some(0))
    });
    assert!(
        all.stdout.contains("rg-1 sees 3 members at ") && all.stdout.contains(" leads, fence "),
        "{all:?}"
    );
    assert_eq!(
        all.stdout.lines().filter(|line| line.contains("worker-1")).count(),
        3,
        "{all:?}"
    );

    // Paused, it still takes connections.
    set.member(1).signal(Signal::STOP);
    let seen = until_seen(set.member(0), 1, "rg-1 is silent", |seen| !seen["silent"].is_null());
    assert_eq!(seen["silent"]["why"], "no answer within 1 s", "{seen}");
    assert!(
        seen["report"].is_object() && seen["report_age_ms"].is_u64(),
        "its last report stays"
    );
    let clock = Clock::system();
    let began = clock.boot();
    let others = set.member(0).json("/set");
    // Five times what it may take, for a machine that is busy; a request that isn't bounded would take 10 s.
    assert!(clock.boot().since(began).as_millis() < 7_500);
    until_seen(set.member(0), 2, "rg-2 answers", |seen| seen["silent"].is_null());
    let since = &seen["silent"]["since"];
    let later = until("a later round", || {
        Some(set.member(0).json("/set")).filter(|later| later["at"] != others["at"])
    });
    assert_eq!(&member_of(&later, 1)["silent"]["since"], since);
    set.member(1).signal(Signal::CONT);
    until_seen(set.member(0), 1, "rg-1 is back", |seen| seen["silent"].is_null());

    set.take(2).kill();
    let killed = until_seen(set.member(0), 2, "rg-2 is silent", |seen| !seen["silent"].is_null());
    let why = killed["silent"]["why"].as_str().unwrap();
    assert!(why.starts_with("unreachable: ") && why.contains("refused"), "{why}");
    let two = until("only one is not ready", || {
        Some(status(set.member(0))).filter(|two| two.line() == "random-generator: not ready: rg-2")
    });
    assert_eq!(two.code, Some(75), "{two:?}");
    assert!(
        two.stdout.contains("silent since ") && two.stdout.contains("refused"),
        "{two:?}"
    );
    set.start_member(2, &[]);
    let back = until_seen(set.member(0), 2, "rg-2 is back", |seen| seen["silent"].is_null());
    assert!(back["report"]["started_at"].as_str() > killed["report"]["started_at"].as_str());
}

#[test]
fn a_member_with_another_secret_and_one_that_is_not_listed_are_shown_with_the_reason() {
    let secrets = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = secrets.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, other) = (
        file("ours", "the secret of the set"),
        file("other", "a secret of another set"),
    );
    let mut set = Set::prepared(3, &[]);
    set.start_member(0, &["--peer-secret-file", &ours]);
    set.start_member(1, &["--peer-secret-file", &other]);
    // Nobody knows rg-2 but from `--voters`.
    let base = |ordinal| set.member(ordinal).base;
    set.dns.publish(&[(0, base(0)), (1, base(1))]);
    until("DNS lists two", || {
        let peers = set.member(0).json("/peers");
        (peers["peers"].as_array().unwrap().len() == 2).then_some(())
    });
    let seen = until_seen(set.member(0), 1, "rg-1 refuses", |seen| {
        seen["silent"]["why"].as_str().is_some_and(|why| why.contains("401"))
    });
    let why = seen["silent"]["why"].as_str().unwrap();
    assert!(why.contains("its peer secret or its clock differs"), "{seen}");
    assert_eq!(seen["report"], Value::Null);
    let unlisted = member_of(&set.member(0).json("/set"), 2);
    assert_eq!(
        (&unlisted["name"], &unlisted["published"]),
        (&json!("rg-2"), &json!(false))
    );
    assert_eq!(unlisted["silent"]["why"], "DNS doesn't list it");
}

#[test]
fn a_lone_member_and_one_without_ordinal_are_a_set_of_one() {
    let (_dir, path) = volume();
    for (name, ordinal) in [("rg-5", json!(5)), ("rg-7d4b9c5f6-24568", Value::Null)] {
        let member = Member::start(&path.join(name), &["--pod-name", name, "--draw-schedule", "0 0 1 1 *"]);
        let set = member.json("/set");
        assert_eq!(set["members"].as_array().unwrap().len(), 1, "{set}");
        let own = &set["members"][0];
        assert_eq!(
            (&own["name"], &own["ordinal"], &own["self"]),
            (&json!(name), &ordinal, &json!(true))
        );
        assert_eq!(own["report"]["draws"].is_null(), ordinal.is_null(), "{own}");
        assert_eq!(own["report"]["ledger"].is_null(), ordinal.is_null(), "{own}");
        assert_eq!(own["silent"], Value::Null);
        member.stop();
    }
}

#[test]
fn members_are_asked_at_most_once_a_second_however_many_want_to_know() {
    let (_dir, path) = volume();
    let member = Member::start(&path, &["--draw-schedule", "0 0 1 1 *"]);
    let rounds = || member.metric("random_generator_set_rounds_total");
    assert_eq!(rounds(), 0.0, "nobody wanted to know");
    let clock = Clock::system();
    let began = clock.boot();
    until("some rounds", || {
        for _ in 0..20 {
            member.json("/set");
        }
        (rounds() >= 3.0).then_some(())
    });
    let most = clock.boot().since(began).as_secs() + 1;
    assert!(rounds() <= most as f64, "{} rounds within {most} s", rounds());
    member.stop();
}
