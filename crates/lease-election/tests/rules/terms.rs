//! When leadership begins and ends: L6 and L7.

use std::sync::Arc;
use std::time::Duration;

use lease_election::elector::Event;
use lease_election::{Leadership, Stored, WatchEvent, WriteOutcome};

use crate::bench::{Bench, Count, Object, RENEW_DEADLINE, SECOND, object, valid};

#[test]
fn a_term_lasts_until_the_renew_deadline_after_its_write_was_sent() {
    let mut bench = Bench::that_saw(object(10, None));
    assert!(!bench.leads(), "the write has no answer");
    bench.wait(3 * SECOND);
    bench.writes();
    assert_eq!(bench.fence(), Some(7));
    bench.wait(RENEW_DEADLINE - 3 * SECOND - SECOND / 100);
    assert!(bench.leads());
    bench.wait(SECOND / 100);
    assert!(!bench.leads());
}

#[test]
fn a_write_that_comes_back_after_its_deadline_begins_no_term() {
    let mut bench = Bench::that_saw(object(10, None));
    bench.wait(RENEW_DEADLINE);
    bench.writes();
    let leadership = bench.snapshot.map(|snapshot| snapshot.leadership);
    assert!(
        matches!(leadership, Some(Leadership::Follower { .. })),
        "{leadership:?}"
    );
}

#[test]
fn an_acquisition_whose_fence_a_floor_has_overtaken_begins_no_term() {
    let mut bench = Bench::that_saw(object(10, None));
    bench.give(Event::RequireFenceAbove(7));
    bench.writes();
    assert!(!bench.leads());
    bench.until_it_writes(60 * SECOND).expect("it acquires again");
    assert_eq!(bench.change().fence, 8);
}

#[test]
fn an_acquisition_that_a_later_view_contradicts_begins_no_term() {
    for version in [10, 99] {
        let mut bench = Bench::that_saw(object(version, None));
        bench.sees(Object {
            fence: 8,
            ..object(version + 2, Some("other"))
        });
        bench.writes();
        assert!(!bench.leads(), "{version}");
    }
}

#[test]
fn a_view_that_it_did_not_write_ends_the_term() {
    let mine = || {
        let bench = Bench::leading();
        Object {
            version: 12,
            ..bench.view().cloned().unwrap()
        }
    };
    type Change = fn(&mut Object);
    let others: [(&str, Change); 3] = [
        ("holder", |object| object.spec.holder = Some("other".to_owned())),
        ("fence", |object| object.fence = 9),
        ("payload", |object| object.payload = valid(5, 5)),
    ];
    for (what, change) in others {
        let mut bench = Bench::leading();
        let mut found = mine();
        change(&mut found);
        bench.sees(found);
        assert!(!bench.leads(), "another {what}");
    }
    let mut bench = Bench::leading();
    bench.looks(Some(Object {
        uid: "another".to_owned(),
        ..mine()
    }));
    assert!(!bench.leads(), "another uid");
    let mut bench = Bench::leading();
    bench.sees(mine());
    assert!(bench.leads(), "a label ends no term");
}

#[test]
fn a_payload_of_its_own_on_its_way_ends_no_term() {
    let mut bench = Bench::leading();
    bench.commit(Count(1, 7), Stored::Absent);
    bench.sees(bench.written());
    assert!(bench.leads());
    bench.answers(WriteOutcome::Unknown("no answer".to_owned()));
    assert!(bench.leads());
}

#[test]
fn absence_a_floor_and_no_longer_standing_end_the_term() {
    let ends: [fn(&mut Bench); 5] = [
        |bench| {
            bench.looks(None);
        },
        |bench| bench.give(Event::RequireFenceAbove(7)),
        |bench| bench.give(Event::Stand(false)),
        |bench| bench.give(Event::Watched(WatchEvent::Gone)),
        |bench| {
            bench.give(Event::Watched(WatchEvent::Seen(Arc::new(Object {
                uid: "another".to_owned(),
                ..object(12, None)
            }))));
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut bench = Bench::leading();
        bench.give(Event::RequireFenceAbove(6));
        assert!(bench.leads());
        end(&mut bench);
        assert!(!bench.leads(), "{number}");
    }
}

#[test]
fn after_a_term_ended_nothing_is_renewed_under_its_fence() {
    let mut bench = Bench::leading();
    bench.wait(SECOND);
    let before = bench.view().cloned().unwrap();
    bench.give(Event::Watched(WatchEvent::Gone));
    bench.wait(Duration::from_millis(1));
    bench.reads(Some(before));
    bench.until_it_writes(60 * SECOND).unwrap();
    assert_eq!(bench.change().fence, 8);
}
