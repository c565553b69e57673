//! Members and client-go's LeaderElector on one Lease of a real API server: `make e2e`. KUBECONFIG says which, and Go builds
//! the elector. Schedules are compared with those of CronJobs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(clippy::disallowed_methods)] // KUBECONFIG, and times as both sides report them
#![allow(clippy::print_stderr)] // what was measured, for --nocapture

mod contest;
mod elector;
#[allow(dead_code)] // what only its own tests ask of a member
#[path = "../member/harness.rs"]
mod harness;
mod history;
mod party;
mod schedules;
#[allow(dead_code)] // only its DNS server
#[path = "../member/set.rs"]
mod set;
mod spans;
#[path = "../waiting/mod.rs"]
mod waiting;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::contest::{Contest, ELECTORS, SLACK, duration, look};
use crate::harness::until;
use crate::party::Process;
use crate::spans::Side;

/// What happens to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Release,
    Kill,
    /// SIGSTOP, until another leads.
    Stop,
}

/// To whom: to the leader alone, so that all others contend, or also to the others of its side, so that it passes to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Struck {
    Leader,
    Side,
}

const BLOWS: [(Blow, Struck); 6] = [
    (Blow::Release, Struck::Side),
    (Blow::Release, Struck::Leader),
    (Blow::Kill, Struck::Leader),
    (Blow::Kill, Struck::Side),
    (Blow::Stop, Struck::Leader),
    (Blow::Stop, Struck::Side),
];
/// More than all blows on both sides, since a leader may give up by itself in the moment of its blow.
const MOST_ROUNDS: usize = 24;

#[test]
fn members_and_electors_of_client_go_never_lead_at_once_whatever_ends_a_leadership() {
    let mut contest = Contest::of(3);
    for ordinal in 0..3 {
        contest.start_member(ordinal);
    }
    contest.member(0).until_round(2);
    contest.start_elector(0, ELECTORS, true);
    contest.start_elector(1, ELECTORS, true);
    let mut blows = [Vec::from(BLOWS), Vec::from(BLOWS)];
    let of = |side: Side| usize::from(side == Side::Electors);
    let mut rounds = 0;
    while !blows.iter().all(Vec::is_empty) {
        rounds += 1;
        assert!(rounds <= MOST_ROUNDS, "still to come: {blows:?}");
        let side = contest.parties[contest.until_led()].side();
        if side == Side::Members {
            let round = contest.member(0).round();
            contest.member(0).until_round(round + 1);
        }
        // Nothing left to do to this side: the other's turn.
        let due = blows[of(side)]
            .first()
            .copied()
            .unwrap_or((Blow::Release, Struck::Side));
        if strike(&mut contest, side, due) {
            blows[of(side)].retain(|blow| *blow != due);
        }
    }
    let leader = contest.until_led();
    if contest.parties[leader].side() == Side::Electors {
        strike(&mut contest, Side::Electors, (Blow::Release, Struck::Side));
    }
    let round = contest.member(0).round();
    contest.member(0).until_round(round + 1);
    contest.until_agreed();
    contest.verify();
    contest.check();
}

/// Strikes the leader, which is of `side`, measures how long it takes until another leads, and mends all. False when the
/// leader had given up before, so that nothing was shown.
fn strike(contest: &mut Contest, side: Side, (blow, struck): (Blow, Struck)) -> bool {
    let leader = contest.parties[contest.until_led()].identity.clone();
    let mut victims: Vec<String> = contest.parties.iter().map(|party| party.identity.clone()).collect();
    victims.retain(|identity| match struck {
        Struck::Leader => *identity == leader,
        Struck::Side => Side::of(identity) == Some(side),
    });
    // The leader last: else one of its side would follow it before its own turn.
    victims.sort_by_key(|identity| *identity == leader);
    let numbers: Vec<u16> = victims
        .iter()
        .map(|victim| contest.parties[at(contest, victim)].number)
        .collect();
    let began = Timestamp::now();
    for victim in &victims {
        let position = at(contest, victim);
        match blow {
            Blow::Release => contest.end(position),
            Blow::Kill => contest.kill(position),
            Blow::Stop => contest.parties[position].freeze(),
        }
    }
    let (successor, from) = contest.successor(&leader, began);
    let last = contest.history.last_renewal(&leader, Timestamp::now()).unwrap();
    let stood = blow == Blow::Release || !contest.history.released(&leader);
    if struck == Struck::Side {
        assert_ne!(successor, side);
    }
    let (since, least, most) = match blow {
        Blow::Release => (contest.reported_end(&leader), Duration::ZERO, look(successor)),
        // Who doesn't watch sees the last renewal late, and late that its time is over.
        Blow::Kill | Blow::Stop => (last, duration(side), duration(side) + 2 * look(successor)),
    };
    let took = from.duration_since(since);
    eprintln!(
        "{blow:?} of {struck:?}, {side:?}: {successor:?} lead after {:.3} s, of {:?}",
        took.as_secs_f64(),
        most + SLACK
    );
    if stood {
        check_time(took, least, most);
    }
    for (victim, number) in victims.iter().zip(numbers) {
        match (blow, side) {
            (Blow::Stop, _) => wake(contest, victim),
            (_, Side::Members) => contest.start_member(number),
            (_, Side::Electors) => contest.start_elector(number, ELECTORS, true),
        }
    }
    stood
}

fn check_time(took: SignedDuration, least: Duration, most: Duration) {
    let took: Duration = took.try_into().expect("what comes after, later");
    assert!(took >= least, "{took:?} is less than {least:?}: too soon");
    assert!(
        took <= most + SLACK,
        "{took:?} is more than {most:?} and {SLACK:?}: too late"
    );
}

fn at(contest: &Contest, identity: &str) -> usize {
    let found = contest.parties.iter().position(|party| party.identity == identity);
    found.expect("a running party")
}

/// Goes on with a process that was stopped until another led.
fn wake(contest: &Contest, identity: &str) {
    let party = &contest.parties[at(contest, identity)];
    let led = contest.history.newest().holder;
    let woken = Timestamp::now();
    party.thaw();
    if let Process::Member(member) = &party.process
        && led != identity
    {
        assert_eq!(
            member.json("/leader")["self"],
            false,
            "its time was over while it stood still"
        );
    }
    until("its word that it leads no more", || (!party.leads()).then_some(()));
    let told = party.terms().last().and_then(|term| term.to);
    if let Some(told) = told.filter(|told| *told > woken) {
        let took = told.duration_since(woken).as_secs_f64();
        eprintln!("  {identity} told the end of its term {took:.3} s after it went on");
    }
}

#[test]
fn an_elector_that_ends_without_releasing_is_waited_for_as_long_as_its_own_record_says() {
    let mut contest = Contest::of(1);
    contest.start_elector(0, ELECTORS, false);
    let leader = contest.until_led();
    let identity = contest.parties[leader].identity.clone();
    contest.start_member(0);
    contest.end(leader);
    let (_, from) = contest.successor(&identity, contest.reported_end(&identity));
    let last = contest.history.last_renewal(&identity, Timestamp::now()).unwrap();
    let took = from.duration_since(last);
    eprintln!(
        "an end without a release: a member leads after {:.3} s",
        took.as_secs_f64()
    );
    check_time(took, duration(Side::Electors), duration(Side::Electors));
    contest.member(0).until_round(2);
    contest.verify();
    contest.check();
}

#[test]
fn an_elector_that_releases_what_a_member_holds_ends_that_term_and_takes_nothing_else() {
    let mut contest = Contest::of(1);
    contest.start_member(0);
    contest.member(0).until_round(2);
    // What follows a look at the Lease takes a part of the time until its next.
    let unhurried = [20, 15, 8].map(Duration::from_secs);
    contest.start_elector(0, unhurried, true);
    contest.end(0);
    let leader = contest.until_led();
    contest.start_member(0);
    let member = contest.parties[1].identity.clone();
    let renewed = contest.history.newest();
    until("a renewal", || (contest.history.newest() != renewed).then_some(()));

    contest.history.empty();
    until("the member's term", || contest.parties[1].leads().then_some(()));
    // Its next write is a second away then, and not between the elector's two requests.
    contest.member(0).until_round(contest.member(0).round() + 1);
    // client-go reads what stands in the Lease, and empties it without a look at who holds it.
    contest.end(leader);
    until("a second term", || {
        let terms = contest.parties[0].terms();
        (terms.len() == 2 && terms[0].to.is_some()).then_some(())
    });
    // What the members log may be here before the watch tells of it.
    let released = until("a release of what the member held", || {
        let versions = contest.history.versions();
        let mut spans = versions.windows(3);
        let released = spans.find(|span| {
            let holders: Vec<&str> = span.iter().map(|version| version.holder.as_str()).collect();
            holders == [member.as_str(), "", member.as_str()]
        });
        released.map(<[_]>::to_vec)
    });
    let [held, emptied, again] = &released[..] else {
        unreachable!()
    };
    assert_eq!((&emptied.fence, &emptied.record), (&held.fence, &held.record));
    assert_ne!(again.fence, held.fence);
    let round = contest.member(0).round();
    contest.member(0).until_round(round + 1);
    contest.verify();
    history::check(&contest.history.versions());
}
