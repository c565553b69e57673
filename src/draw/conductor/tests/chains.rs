//! Which chain a holder goes on with: 3.4, 1, and 3.5.

use super::*;
use crate::peer::message::{Given, KeepAnswer};

#[test]
fn a_record_that_only_members_without_a_vote_have_is_brought_back_when_the_voters_have_none() {
    let (mut rng, forgotten) = (StdRng::seed_from_u64(0), first(7, 3));
    let mut conductor = conductor(1);
    conductor.step(at(0), Event::Published(Arc::from([0, 1])), &mut rng);
    let actions = conductor.step(at(0), holding(5, Head::Absent, at(0)), &mut rng);
    let actions = conductor.step(at(0), answered(&actions, None), &mut rng);
    let (ask, _) = asked_of_the_other(&actions);
    let actions = conductor.step(at(1), refused_by_the_other(ask, &forgotten), &mut rng);
    assert_eq!(actions, [Action::Look], "it may stand in the Lease by now");
    // The lease was lost and taken again meanwhile: work under the old fence is abandoned.
    let actions = conductor.step(at(2), holding(6, Head::Absent, at(2)), &mut rng);
    let actions = conductor.step(at(2), answered(&actions, None), &mut rng);
    let [Action::Commit(request)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(request.payload, forgotten);
}

#[test]
fn a_new_chain_waits_for_every_member_that_may_know_a_record_but_not_for_ever() {
    let commits = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Commit(_)));
    let (mut rng, mut conductor) = (StdRng::seed_from_u64(0), conductor(1));
    conductor.step(at(0), Event::Published(Arc::from([0, 1])), &mut rng);
    let actions = conductor.step(at(0), holding(5, Head::Absent, at(0)), &mut rng);
    let actions = conductor.step(at(0), answered(&actions, None), &mut rng);
    let (_, request) = asked_of_the_other(&actions);
    // Its own answer is the majority of one voter.
    let itself = actions.iter().find_map(|action| match action {
        Action::Keep { ask, ordinal: 0, .. } => Some(*ask),
        _ => None,
    });
    let answer = KeepAnswer {
        version: VERSION,
        set: "rg".to_owned(),
        member: "rg-0".to_owned(),
        ordinal: 0,
        chain: request.chain,
        round: 1,
        kept: None,
        contribution: Some(Given {
            reveal: None,
            next_commitment: Hex([1; 32]),
        }),
    };
    let event = Event::Kept {
        ask: itself.expect("it asks itself"),
        ordinal: 0,
        result: Ok(answer),
    };
    assert!(!commits(&conductor.step(at(0), event, &mut rng)));
    // The draw deadline is five seconds.
    let almost = slots::millis(at(0), 2_499);
    assert!(!commits(&conductor.step(almost, Event::Tick, &mut rng)));
    let half = slots::millis(at(0), 2_500);
    assert!(commits(&conductor.step(half, Event::Tick, &mut rng)));
}

#[test]
fn a_member_with_another_chain_that_no_voter_has_is_asked_to_pass_over_it() {
    let (mut rng, forgotten, standing) = (StdRng::seed_from_u64(0), first(7, 3), first(8, 1));
    let mut conductor = conductor(1);
    let lease = |fence, now| holding(fence, Head::Valid(standing.clone()), now);
    conductor.step(at(0), Event::Published(Arc::from([0, 1])), &mut rng);
    let actions = conductor.step(at(0), lease(5, at(0)), &mut rng);
    let (ask, request) = asked_of_the_other(&actions);
    assert_eq!(request.passed_over, []);
    conductor.step(at(1), refused_by_the_other(ask, &forgotten), &mut rng);
    // The current draw continues; the next one considers it.
    let actions = conductor.step(at(2), lease(6, at(2)), &mut rng);
    let actions = conductor.step(at(2), answered(&actions, Some(standing.clone())), &mut rng);
    let (ask, request) = asked_of_the_other(&actions);
    assert_eq!(
        (&request.head, &request.passed_over[..]),
        (&Some(standing.clone()), &[forgotten.hash][..])
    );
    // A second report of the same record changes nothing.
    let actions = conductor.step(at(2), refused_by_the_other(ask, &forgotten), &mut rng);
    assert_eq!(actions, []);
}

#[test]
fn a_record_that_a_member_is_ahead_with_counts_only_once_the_lease_was_seen_again() {
    let (mut rng, standing, newer) = (StdRng::seed_from_u64(0), first(7, 1), first(7, 3));
    let mut conductor = conductor(1);
    let lease = |now| holding(5, Head::Valid(standing.clone()), now);
    conductor.step(at(0), Event::Published(Arc::from([0, 1])), &mut rng);
    let actions = conductor.step(at(0), lease(at(0)), &mut rng);
    let (ask, _) = asked_of_the_other(&actions);
    let actions = conductor.step(at(1), refused_by_the_other(ask, &newer), &mut rng);
    assert_eq!(actions, [Action::Look]);
    // The slot passes without a draw. What was seen of the Lease is from before the refusal.
    let asks_for_heads = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Heads { .. }));
    let actions = conductor.step(at(10), lease(at(1)), &mut rng);
    assert!(!asks_for_heads(&actions), "{actions:?}");
    conductor.step(at(15), Event::Tick, &mut rng);
    let actions = conductor.step(at(20), lease(at(20)), &mut rng);
    assert!(asks_for_heads(&actions), "{actions:?}");
}

#[test]
fn what_is_no_record_of_this_set_makes_nobody_ahead() {
    let (mut rng, standing) = (StdRng::seed_from_u64(0), first(7, 1));
    let mut of_another_set = Record {
        set: "web".to_owned(),
        ..Record::clone(&first(7, 3))
    };
    of_another_set.contributions[0].member = "web-0".to_owned();
    of_another_set.hash = of_another_set.computed_hash();
    assert_eq!(of_another_set.check(), Ok(()));
    let altered = Record {
        fence: 9,
        ..Record::clone(&first(7, 3))
    };
    for record in [of_another_set, altered] {
        let mut conductor = conductor(1);
        conductor.step(at(0), Event::Published(Arc::from([0, 1])), &mut rng);
        let actions = conductor.step(at(0), holding(5, Head::Valid(standing.clone()), at(0)), &mut rng);
        let (ask, _) = asked_of_the_other(&actions);
        let actions = conductor.step(at(1), refused_by_the_other(ask, &Arc::new(record)), &mut rng);
        assert_eq!(actions, []);
    }
}

#[test]
fn a_member_is_not_ahead_with_what_is_no_newer_than_the_leases_record() {
    let (mut rng, standing) = (StdRng::seed_from_u64(0), first(8, 4));
    for no_newer in [first(7, 4), first(7, 3)] {
        let mut conductor = conductor(1);
        let lease = |fence, now| holding(fence, Head::Valid(standing.clone()), now);
        conductor.step(at(0), Event::Published(Arc::from([0, 1])), &mut rng);
        let actions = conductor.step(at(0), lease(5, at(0)), &mut rng);
        let (ask, _) = asked_of_the_other(&actions);
        conductor.step(at(1), refused_by_the_other(ask, &no_newer), &mut rng);
        let actions = conductor.step(at(2), lease(6, at(2)), &mut rng);
        asked_of_the_other(&actions);
    }
}

#[test]
fn a_recovery_under_another_fence_or_on_another_record_is_dropped() {
    let asks = |actions: &[Action]| -> Vec<u64> {
        let fence = |action: &Action| match action {
            Action::Heads { request, .. } => Some(request.fence),
            _ => None,
        };
        actions.iter().filter_map(fence).collect()
    };
    let mut rng = StdRng::seed_from_u64(0);
    let mut conductor = conductor(1);
    conductor.step(at(0), Event::Published(Arc::from([0])), &mut rng);
    let first_asks = conductor.step(at(0), holding(5, Head::Absent, at(0)), &mut rng);
    assert_eq!(asks(&first_asks), [5]);
    let actions = conductor.step(at(1), holding(6, Head::Absent, at(1)), &mut rng);
    assert_eq!(asks(&actions), [6]);
    let actions = conductor.step(at(1), answered(&first_asks, None), &mut rng);
    assert_eq!(actions, [], "an answer to a request that was dropped counts");
    let damaged = Head::Invalid(Arc::from("{}"));
    let actions = conductor.step(at(2), holding(6, damaged, at(2)), &mut rng);
    assert_eq!(asks(&actions), [6]);
}

#[test]
fn a_restart_waits_for_a_fence_beyond_every_promise_and_ends_when_another_takes_the_lease() {
    let (mut rng, standing) = (StdRng::seed_from_u64(0), first(7, 3));
    let beyond = 5 + (1 << 20);
    let lease = |fence, now| holding(fence, Head::Valid(standing.clone()), now);
    let restarted = |rng: &mut StdRng| {
        let mut conductor = conductor(1);
        conductor.step(at(0), Event::Published(Arc::from([0, 1])), rng);
        conductor.step(at(0), lease(5, at(0)), rng);
        assert_eq!(conductor.step(at(1), Event::Restart, rng), [Action::Floor(beyond)]);
        conductor
    };
    let mut conductor = restarted(&mut rng);
    let actions = conductor.step(at(2), lease(beyond, at(2)), &mut rng);
    assert!(!asked_of_the_other(&actions).1.restart, "the fence isn't above it");
    let actions = conductor.step(at(3), lease(beyond + 1, at(3)), &mut rng);
    let (_, request) = asked_of_the_other(&actions);
    assert!(request.restart);
    assert_eq!((&request.head, request.round), (&None, 1));
    assert_ne!(request.chain, standing.chain);

    let mut conductor = restarted(&mut rng);
    let Event::Lease(snapshot) = lease(6, at(2)) else {
        unreachable!()
    };
    let mut object = LeaseObject::clone(snapshot.object.as_ref().unwrap());
    object.spec.holder = Some("rg-1_u-n".to_owned());
    let snapshot = LeaseSnapshot {
        leadership: Leadership::Follower { holder: None },
        object: Some(Arc::new(object)),
        ..LeaseSnapshot::clone(&snapshot)
    };
    conductor.step(at(2), Event::Lease(Arc::new(snapshot)), &mut rng);
    let actions = conductor.step(at(3), lease(beyond + 1, at(3)), &mut rng);
    assert!(!asked_of_the_other(&actions).1.restart);
}
