//! What is written, and when: L4, L5, and L8 to L11.

use std::time::Duration;

use lease_election::clock::Wall;
use lease_election::elector::Event;
use lease_election::{CommitOutcome, LeaseChange, LeaseSpec, StoreError, Stored, WriteOutcome};

use crate::bench::{Bench, Count, ME, Object, RETRY, SECOND, object, valid};

// L4

#[test]
fn an_acquisition_says_who_since_when_and_for_how_long() {
    let mut found = object(10, Some(""));
    found.spec.duration_seconds = Some(1);
    found.payload = valid(3, 2);
    let bench = Bench::that_saw(found.clone());
    let now = Some(Wall(100_000_000).timestamp());
    let spec = LeaseSpec {
        holder: Some(ME.to_owned()),
        duration_seconds: Some(15),
        acquire_time: now,
        renew_time: now,
        transitions: 5,
    };
    assert_eq!(
        bench.change(),
        &LeaseChange {
            spec,
            fence: 7,
            payload: found.payload
        }
    );
}

#[test]
fn a_transition_is_counted_only_from_another_holder() {
    assert_eq!(Bench::that_saw(object(10, Some(ME))).change().spec.transitions, 4);
}

#[test]
fn a_fence_is_greater_than_every_one_that_was_known() {
    let mut of_the_payload = object(10, None);
    of_the_payload.payload = valid(1, 20);
    assert_eq!(Bench::that_saw(of_the_payload).change().fence, 21);

    let mut bench = Bench::new();
    bench.give(Event::RequireFenceAbove(30));
    bench.reads(Some(object(10, None)));
    assert_eq!(bench.change().fence, 31);

    // Created again, without a fence.
    let mut earlier = object(10, Some("other"));
    earlier.fence = 40;
    let mut bench = Bench::that_saw(earlier);
    bench.looks(Some(Object {
        uid: "another".to_owned(),
        fence: 0,
        ..object(12, None)
    }));
    bench.until_it_writes(60 * SECOND).expect("it acquires");
    assert_eq!(bench.change().fence, 41);
}

// L5

#[test]
fn a_renewal_changes_its_time_alone_and_comes_every_retry() {
    let mut bench = Bench::leading();
    for _ in 0..20 {
        let before = bench.view().cloned().unwrap();
        let waited = bench.until_it_writes(60 * SECOND).unwrap();
        assert!(
            (RETRY.mul_f64(0.79)..RETRY.mul_f64(1.22)).contains(&waited),
            "{waited:?}"
        );
        let spec = LeaseSpec {
            renew_time: Some(Wall(i64::try_from(bench.now.as_micros()).unwrap()).timestamp()),
            ..before.spec.clone()
        };
        assert_eq!(
            bench.change().spec.renew_time.unwrap().as_second(),
            spec.renew_time.unwrap().as_second()
        );
        let change = LeaseChange {
            spec: LeaseSpec {
                renew_time: None,
                ..bench.change().spec.clone()
            },
            ..bench.change().clone()
        };
        assert_eq!(
            change,
            LeaseChange {
                spec: LeaseSpec {
                    renew_time: None,
                    ..before.spec
                },
                fence: before.fence,
                payload: before.payload
            }
        );
        bench.writes();
    }
}

#[test]
fn renewals_are_a_second_apart_however_short_the_retry() {
    // client-go compares times in whole seconds.
    let mut bench = Bench::with([3, 2].map(Duration::from_secs), SECOND / 10);
    bench.reads(Some(object(10, None)));
    bench.writes();
    for _ in 0..5 {
        assert!(bench.until_it_writes(60 * SECOND).unwrap() >= SECOND);
        bench.writes();
    }
}

#[test]
fn a_commit_is_sent_at_once_and_renews() {
    let mut bench = Bench::leading();
    bench.wait(SECOND);
    bench.commit(Count(1, 7), Stored::Absent);
    assert_eq!(bench.change().payload, valid(1, 7));
    assert_eq!(bench.change().spec.renew_time, Some(Wall(101_000_000).timestamp()));
    bench.writes();
    assert_eq!(bench.commits, [(1, CommitOutcome::Committed)]);
    assert!(bench.until_it_writes(60 * SECOND).unwrap() >= RETRY.mul_f64(0.79));
    // The acquisition of 100 s would last until 110 s.
    bench.wait(Duration::from_millis(110_500) - bench.now);
    assert!(bench.leads(), "the commit didn't renew");
}

// L8

#[test]
fn whoever_holds_the_lease_releases_it_at_once_when_it_stops() {
    let mut leading = Bench::leading();
    leading.wait(SECOND);
    leading.give(Event::Resign);
    let mut acquiring = Bench::that_saw(object(10, None));
    acquiring.give(Event::Resign);
    assert!(!acquiring.resigned);
    acquiring.writes();
    for bench in [&mut leading, &mut acquiring] {
        assert!(!bench.leads(), "the term ends first");
        let spec = &bench.change().spec;
        let now = spec.renew_time.unwrap();
        let released = LeaseSpec {
            holder: Some(String::new()),
            duration_seconds: Some(1),
            acquire_time: Some(now),
            renew_time: Some(now),
            transitions: 5,
        };
        assert_eq!(*spec, released);
        assert_eq!(bench.change().fence, 7);
        assert!(!bench.resigned);
        bench.writes();
        assert!(bench.resigned);
        bench.wait(60 * SECOND);
        assert_eq!(bench.write, None, "it stands again");
    }
}

#[test]
fn a_member_that_does_not_hold_the_lease_stops_without_a_read() {
    let mut bench = Bench::that_saw(object(10, Some("other")));
    bench.give(Event::Resign);
    assert!(bench.resigned);
    assert_eq!((bench.read, &bench.write), (None, &None));

    let mut looking = Bench::that_saw(object(10, Some("other")));
    looking.give(Event::Refresh);
    looking.give(Event::Resign);
    assert!(looking.resigned);
}

#[test]
fn a_member_whose_acquisition_is_in_doubt_looks_before_it_stops() {
    let mut bench = Bench::that_saw(object(10, None));
    let written = bench.written();
    bench.wait(Duration::from_millis(1));
    bench.answers(lost());
    bench.give(Event::Resign);
    assert!(!bench.resigned);
    bench.reads(Some(written));
    assert_eq!(bench.change().spec.holder.as_deref(), Some(""));
}

#[test]
fn a_member_that_stands_aside_releases_and_then_acquires_with_a_greater_fence() {
    let mut bench = Bench::leading();
    bench.give(Event::StayOut(5 * SECOND));
    assert_eq!(bench.change().spec.holder.as_deref(), Some(""));
    bench.writes();
    assert!(bench.until_it_writes(60 * SECOND).unwrap() >= 4 * SECOND);
    assert_eq!(bench.change().fence, 8);
}

// L9

#[test]
fn nothing_is_written_while_the_lease_is_absent() {
    let mut bench = Bench::leading();
    bench.looks(None);
    for _ in 0..20 {
        bench.wait(RETRY);
        assert_eq!(bench.write, None);
        bench.reads(None);
    }
}

// L10

fn lost() -> WriteOutcome<Count> {
    WriteOutcome::Unknown("no answer".to_owned())
}

/// One whose commit has no answer, and what the store has if it happened.
fn in_doubt() -> (Bench, Object) {
    let mut bench = Bench::leading();
    bench.wait(SECOND);
    bench.commit(Count(1, 7), Stored::Absent);
    let written = bench.written();
    bench.answers(lost());
    (bench, written)
}

#[test]
fn nothing_is_written_before_a_write_in_doubt_is_decided() {
    let (mut bench, _) = in_doubt();
    assert!(bench.read.is_some(), "it looks");
    bench.wait(20 * SECOND);
    assert_eq!((&bench.write, &bench.commits), (&None, &vec![]));
}

#[test]
fn a_view_that_shows_the_commit_or_its_successor_decides_that_it_happened() {
    let (mut bench, written) = in_doubt();
    bench.sees(written);
    assert_eq!(bench.commits, [(1, CommitOutcome::Committed)]);
    assert!(bench.leads());

    let (mut bench, written) = in_doubt();
    bench.reads(Some(Object {
        version: 13,
        payload: valid(2, 8),
        ..object(13, Some("other"))
    }));
    assert_eq!(bench.commits, [(1, CommitOutcome::Committed)], "{written:?}");
}

#[test]
fn a_later_version_with_another_in_its_place_or_none_shows_that_it_did_not_happen() {
    for (payload, version) in [(valid(1, 8), 12), (Stored::Absent, 12), (Stored::Absent, 100)] {
        let (mut bench, _) = in_doubt();
        bench.reads(Some(Object {
            payload,
            ..object(version, Some("other"))
        }));
        assert_eq!(bench.commits, [(1, CommitOutcome::NotCommitted)], "{version}");
    }
}

#[test]
fn an_older_version_as_from_a_backup_shows_nothing_of_a_write() {
    for payload in [valid(1, 8), Stored::Absent] {
        let (mut bench, _) = in_doubt();
        bench.reads(Some(Object {
            payload,
            ..object(9, Some("other"))
        }));
        assert_eq!(bench.commits, [(1, CommitOutcome::Undecided)]);
    }
}

#[test]
fn another_lease_shows_nothing_of_a_write_to_the_first() {
    for payload in [valid(1, 7), valid(1, 8), Stored::Absent] {
        let (mut bench, _) = in_doubt();
        bench.reads(Some(Object {
            uid: "another".to_owned(),
            payload,
            ..object(12, Some("other"))
        }));
        assert_eq!(bench.commits, [(1, CommitOutcome::Undecided)]);
    }
}

#[test]
fn a_read_sent_after_the_answer_was_given_up_that_shows_the_same_version_leaves_it_undecided() {
    let (mut bench, _) = in_doubt();
    let unchanged = bench.view().cloned();
    bench.reads(unchanged);
    assert_eq!(bench.commits, [(1, CommitOutcome::Undecided)]);
    assert!(bench.until_it_writes(60 * SECOND).is_some(), "the next write decides");
}

#[test]
fn a_read_from_before_the_answer_was_given_up_leaves_it_in_doubt() {
    let mut bench = Bench::leading();
    while bench.read.is_none() {
        bench.wait(Duration::from_millis(10));
        if bench.write.is_some() {
            bench.writes();
        }
    }
    let unchanged = bench.view().cloned();
    bench.wait(Duration::from_millis(10));
    bench.commit(Count(1, 7), Stored::Absent);
    bench.wait(Duration::from_millis(10));
    bench.answers(lost());
    bench.reads(unchanged);
    assert_eq!(bench.commits, []);
    assert!(bench.read.is_some(), "it looks again");
    assert_eq!(bench.write, None);
}

// L11

#[test]
fn after_a_conflict_it_looks_and_after_a_refusal_it_waits() {
    let mut bench = Bench::that_saw(object(10, None));
    bench.wait(Duration::from_millis(1));
    bench.answers(WriteOutcome::Conflict);
    assert_eq!(bench.write, None);
    bench.reads(Some(object(11, Some("other"))));
    assert_eq!(bench.write, None);

    let refused = || WriteOutcome::Failed(StoreError::Refused("403".to_owned()));
    let within = RETRY.mul_f64(0.79)..RETRY.mul_f64(1.22);
    let mut bench = Bench::that_saw(object(10, None));
    bench.answers(refused());
    assert!(within.contains(&bench.until_it_writes(60 * SECOND).unwrap()));
    bench.writes();
    bench.give(Event::Resign);
    bench.answers(refused());
    assert!(!bench.resigned);
    assert!(within.contains(&bench.until_it_writes(60 * SECOND).unwrap()));

    // A commit doesn't wait: the slot would be over.
    let mut bench = Bench::leading();
    bench.until_it_writes(60 * SECOND).unwrap();
    bench.answers(refused());
    bench.commit(Count(1, 7), Stored::Absent);
    assert_eq!(bench.commits, [(1, CommitOutcome::NotCommitted)]);
}

#[test]
fn a_commit_for_another_record_or_fence_is_not_sent() {
    for (count, base) in [(Count(2, 7), valid(1, 6)), (Count(1, 6), Stored::Absent)] {
        let mut bench = Bench::leading();
        bench.commit(count, base);
        assert_eq!(bench.write, None);
        assert_eq!(bench.commits, [(1, CommitOutcome::NotCommitted)]);
    }
    let mut found = object(10, None);
    found.payload = valid(3, 2);
    let mut bench = Bench::that_saw(found);
    bench.writes();
    bench.commit(Count(3, 7), valid(3, 2));
    assert_eq!(
        bench.commits,
        [(1, CommitOutcome::NotCommitted)],
        "it doesn't supersede"
    );
}
