//! Which views are accepted, and what they say about the lease: L1 to L3.

use std::sync::Arc;
use std::time::Duration;

use lease_election::WatchEvent;
use lease_election::clock::Wall;
use lease_election::elector::Event;

use crate::bench::{Bench, DURATION, ME, Object, SECOND, object};

// L1

#[test]
fn a_watch_that_lags_changes_nothing() {
    let mut bench = Bench::leading();
    bench.sees(object(9, Some("other")));
    assert!(bench.leads());
    assert_eq!(bench.view().unwrap().version, 11);
    assert_eq!(bench.read, None);
}

#[test]
fn an_answer_from_before_the_view_is_read_again() {
    let mut bench = Bench::that_saw(object(10, Some("other")));
    for older in [Some(object(9, Some("third"))), None] {
        bench.give(Event::Refresh);
        bench.wait(Duration::from_millis(1));
        let newer = bench.view().unwrap().version + 1;
        bench.sees(object(newer, Some("other")));
        bench.reads(older);
        assert_eq!(bench.view().unwrap().version, newer);
        assert!(bench.read.is_some(), "it doesn't look again");
        bench.wait(Duration::from_millis(1));
        bench.reads(Some(object(newer, Some("other"))));
    }
}

#[test]
fn a_read_that_was_sent_later_is_believed_whatever_it_shows() {
    let another = Object {
        uid: "another".to_owned(),
        ..object(3, Some("other"))
    };
    for found in [Some(object(5, Some("other"))), Some(another), None] {
        let mut bench = Bench::leading();
        bench.looks(found.clone());
        assert_eq!(bench.view(), found.as_ref());
        assert!(!bench.leads());
    }
}

#[test]
fn a_deletion_or_another_uid_from_a_watch_ends_the_term_and_is_looked_at() {
    let another = Object {
        uid: "another".to_owned(),
        ..object(30, None)
    };
    for event in [WatchEvent::Gone, WatchEvent::Seen(Arc::new(another))] {
        let mut bench = Bench::leading();
        bench.wait(Duration::from_millis(1));
        bench.give(Event::Watched(event));
        assert!(!bench.leads());
        assert_eq!(bench.view().unwrap().version, 11, "a watch alone decides");
        assert!(bench.read.is_some());
        assert_eq!(bench.write, None);
    }
}

// L2

#[test]
fn a_lease_is_free_without_a_holder_and_when_it_is_mine_without_a_term() {
    for holder in [None, Some(""), Some(ME)] {
        let bench = Bench::that_saw(object(10, holder));
        assert!(bench.write.is_some(), "{holder:?}");
    }
}

#[test]
fn a_lease_expires_when_its_spec_has_not_changed_for_its_own_duration() {
    for (says, expires) in [
        (Some(30), 30 * SECOND),
        (Some(4), 4 * SECOND),
        (None, DURATION),
        (Some(0), DURATION),
    ] {
        let mut bench = Bench::new();
        let mut found = object(10, Some("other"));
        found.spec.duration_seconds = says;
        // Neither long ago nor far ahead matters.
        found.spec.renew_time = Some(Wall(4_000_000_000_000_000).timestamp());
        bench.reads(Some(found.clone()));
        bench.wait(expires / 2);
        // A label is no renewal.
        found.version = 11;
        bench.sees(found);
        let left = bench.until_it_writes(60 * SECOND).expect("it expires");
        assert!(
            (expires / 2..expires / 2 + SECOND / 10).contains(&left),
            "{says:?}: {left:?}"
        );
    }
}

#[test]
fn a_renewal_begins_the_duration_again() {
    let mut bench = Bench::that_saw(object(10, Some("other")));
    bench.wait(14 * SECOND);
    let mut renewed = object(11, Some("other"));
    renewed.spec.renew_time = Some(Wall(1).timestamp());
    bench.sees(renewed);
    assert!(bench.until_it_writes(60 * SECOND).expect("it expires") >= DURATION);
}

// L3

#[test]
fn a_lease_of_another_uid_is_free_only_after_a_whole_duration() {
    let mut bench = Bench::that_saw(object(10, Some("other")));
    bench.looks(Some(Object {
        uid: "another".to_owned(),
        ..object(12, None)
    }));
    assert!(bench.until_it_writes(60 * SECOND).expect("it gets free") >= DURATION);
}
