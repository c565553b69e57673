//! How a holder draws a slot: 3.4.

use super::*;
use crate::lease::CommitRequest;
use crate::peer::message::{Given, KeepAnswer};
use crate::record::{ChainId, Reason};

const CHAIN: ChainId = Hex([7; 16]);

pub fn millis(after: Now, millis: u64) -> Now {
    Now {
        boot: after.boot + Duration::from_millis(millis),
        wall: Wall(after.wall.0 + i64::try_from(millis).unwrap() * 1_000),
    }
}

/// A conductor that holds the lease, with three voters: what it asked of each in its last step, and what else it did.
pub struct Draw {
    conductor: Conductor,
    rng: StdRng,
    head: Arc<Record>,
    pub asked: Vec<(u16, u64, Arc<KeepRequest>)>,
    pub other: Vec<Action>,
}

impl Draw {
    fn begun() -> Draw {
        Draw::begun_on(first(7, 3))
    }

    pub fn begun_on(head: Arc<Record>) -> Draw {
        Draw::begun_among(3, 3, head)
    }

    /// With so many voters, and so many members that are published.
    fn begun_among(voters: u16, members: u16, head: Arc<Record>) -> Draw {
        let mut draw = Draw {
            conductor: conductor(voters),
            rng: StdRng::seed_from_u64(0),
            head,
            asked: Vec::new(),
            other: Vec::new(),
        };
        draw.step(at(0), Event::Published((0..members).collect()));
        let lease = holding(5, Head::Valid(draw.head.clone()), at(0));
        draw.step(at(0), lease);
        assert_eq!(draw.asked.len(), usize::from(members));
        draw
    }

    pub fn step(&mut self, now: Now, event: Event) {
        (self.asked, self.other) = (Vec::new(), Vec::new());
        for action in self.conductor.step(now, event, &mut self.rng) {
            match action {
                Action::Keep { ask, ordinal, request } => self.asked.push((ordinal, ask, request)),
                other => self.other.push(other),
            }
        }
    }

    pub fn answer(
        &mut self,
        now: Now,
        (ordinal, ask, _): &(u16, u64, Arc<KeepRequest>),
        result: Result<KeepAnswer, AskError>,
    ) {
        self.step(
            now,
            Event::Kept {
                ask: *ask,
                ordinal: *ordinal,
                result,
            },
        );
    }

    pub fn good(&self, ordinal: u16) -> KeepAnswer {
        KeepAnswer {
            version: VERSION,
            set: "rg".to_owned(),
            member: format!("rg-{ordinal}"),
            ordinal,
            chain: CHAIN,
            round: self.head.round + 1,
            kept: Some(self.head.hash),
            contribution: Some(Given {
                reveal: None,
                next_commitment: Hex([1; 32]),
            }),
        }
    }

    pub fn commit(&self) -> Option<&CommitRequest> {
        self.other.iter().find_map(|action| match action {
            Action::Commit(request) => Some(request),
            _ => None,
        })
    }

    fn missing(&self) -> Vec<(u16, Reason)> {
        let record = &self.commit().expect("a commit").payload;
        record
            .missing
            .iter()
            .map(|missing| (missing.ordinal, missing.reason))
            .collect()
    }
}

#[test]
fn a_majority_waits_a_second_for_the_others_and_no_longer() {
    let mut draw = Draw::begun();
    let asked = draw.asked.clone();
    for member in &asked[..2] {
        draw.answer(millis(at(0), 10), member, Ok(draw.good(member.0)));
        assert_eq!(draw.commit(), None);
    }
    draw.step(millis(at(0), 999), Event::Tick);
    assert_eq!(draw.commit(), None);
    draw.step(at(1), Event::Tick);
    assert_eq!(draw.missing(), [(2, Reason::Timeout)]);

    let mut draw = Draw::begun();
    let asked = draw.asked.clone();
    for member in &asked {
        draw.answer(millis(at(0), 10), member, Ok(draw.good(member.0)));
    }
    assert_eq!(draw.missing(), [], "all have answered");
}

#[test]
fn an_answer_to_another_question_does_not_count() {
    let wrongs: [fn(&mut KeepAnswer); 8] = [
        |answer| answer.version += 1,
        |answer| answer.set = "web".to_owned(),
        |answer| answer.ordinal = 1,
        |answer| answer.chain = Hex([8; 16]),
        |answer| answer.round = 3,
        |answer| answer.kept = None,
        |answer| answer.contribution = None,
        |answer| answer.contribution.as_mut().unwrap().reveal = Some(Hex([2; 32])),
    ];
    for (number, wrong) in wrongs.into_iter().enumerate() {
        let mut draw = Draw::begun();
        let asked = draw.asked.clone();
        let mut answer = draw.good(2);
        wrong(&mut answer);
        draw.answer(at(0), &asked[2], Ok(answer));
        for member in &asked[..2] {
            draw.answer(at(0), member, Ok(draw.good(member.0)));
        }
        draw.step(at(1), Event::Tick);
        assert_eq!(draw.missing(), [(2, Reason::Invalid)], "{number}");
    }
}

#[test]
fn a_member_that_failed_is_asked_again_a_fifth_of_a_second_later() {
    let mut draw = Draw::begun();
    let asked = draw.asked.clone();
    draw.answer(at(0), &asked[1], Err(AskError::Unreachable));
    draw.step(millis(at(0), 199), Event::Tick);
    assert_eq!(draw.asked, []);
    draw.step(millis(at(0), 200), Event::Tick);
    let again: Vec<u16> = draw.asked.iter().map(|(ordinal, ..)| *ordinal).collect();
    assert_eq!(again, [1]);
    // The answer to the first request is late.
    draw.answer(millis(at(0), 210), &asked[1], Ok(draw.good(1)));
    draw.answer(millis(at(0), 210), &asked[0], Ok(draw.good(0)));
    draw.step(at(1), Event::Tick);
    assert_eq!(draw.commit(), None, "no majority");
}

#[test]
fn a_refusal_by_its_fence_asks_for_a_greater_one() {
    let mut draw = Draw::begun();
    let asked = draw.asked.clone();
    draw.answer(at(0), &asked[1], Err(AskError::Refused(Refusal::Fence { fence: 8 })));
    assert_eq!(draw.other, [Action::Floor(8)]);
}

#[test]
fn a_commit_that_did_not_happen_is_begun_again_and_one_that_did_ends_the_slot() {
    let committed = |outcome| {
        let mut draw = Draw::begun();
        for member in &draw.asked.clone() {
            draw.answer(at(0), member, Ok(draw.good(member.0)));
        }
        let ticket = draw.commit().unwrap().ticket;
        draw.step(at(0), Event::Committed { ticket, outcome });
        assert_eq!(draw.asked, []);
        draw
    };
    for outcome in [CommitOutcome::NotCommitted, CommitOutcome::Undecided] {
        let mut draw = committed(outcome);
        draw.step(millis(at(0), 199), Event::Tick);
        assert_eq!(draw.asked, []);
        draw.step(millis(at(0), 200), Event::Tick);
        assert_eq!(draw.asked.len(), 3, "{outcome:?}");
    }
    // What was seen of the Lease is from before the commit: nothing is begun until there is a newer view.
    let mut draw = committed(CommitOutcome::Committed);
    draw.step(at(1), Event::Tick);
    draw.step(at(10), Event::Tick);
    assert_eq!(draw.asked, []);
    let lease = holding(6, Head::Valid(draw.head.clone()), at(10));
    draw.step(at(10), lease);
    assert_eq!(draw.asked.len(), 3, "another fence is another view");
}

#[test]
fn a_slot_that_was_drawn_just_before_its_deadline_is_not_reported_as_missed() {
    let mut draw = Draw::begun();
    for member in &draw.asked.clone() {
        draw.answer(at(0), member, Ok(draw.good(member.0)));
    }
    let ticket = draw.commit().unwrap().ticket;
    let almost = millis(at(0), 4_999);
    let outcome = CommitOutcome::Committed;
    draw.step(almost, Event::Committed { ticket, outcome });
    // The view of the Lease is still that from before the commit.
    draw.step(millis(at(0), 5_001), Event::Tick);
    let missed = |action: &Action| matches!(action, Action::Report(Report::Missed { .. }));
    assert!(!draw.other.iter().any(missed), "{:?}", draw.other);
}

#[test]
fn after_every_two_slots_missed_in_a_row_it_stands_aside_for_longer_until_it_draws_again() {
    let lease = Duration::from_secs(15);
    let mut draw = Draw::begun();
    let miss = |draw: &mut Draw, slot: u64| {
        let seen = holding(5, Head::Valid(draw.head.clone()), at(10 * slot));
        draw.step(at(10 * slot), seen);
        draw.step(at(10 * slot + 5), Event::Tick);
        let missed = |action: &Action| matches!(action, Action::Report(Report::Missed { .. }));
        assert!(draw.other.iter().any(missed), "slot {slot}: {:?}", draw.other);
        draw.other.iter().find_map(|action| match action {
            Action::StayOut(time) => Some(*time),
            _ => None,
        })
    };
    let stands_aside = |draw: &mut Draw, first_slot: u64, longest: Duration| {
        assert_eq!(miss(draw, first_slot), None);
        let aside = miss(draw, first_slot + 1).expect("two slots were missed");
        assert!((longest / 2..longest).contains(&aside), "{aside:?} of {longest:?}");
    };
    for (turn, times) in [(0, 1), (1, 2), (2, 4), (3, 4)] {
        stands_aside(&mut draw, 2 * turn, lease * times);
    }
    let seen = holding(5, Head::Valid(draw.head.clone()), at(80));
    draw.step(at(80), seen);
    for member in &draw.asked.clone() {
        draw.answer(at(80), member, Ok(draw.good(member.0)));
    }
    let CommitRequest { ticket, payload, .. } = draw.commit().expect("a draw").clone();
    let outcome = CommitOutcome::Committed;
    draw.step(at(80), Event::Committed { ticket, outcome });
    draw.head = payload;
    stands_aside(&mut draw, 9, lease);
}

#[test]
fn a_slot_is_drawn_until_its_deadline_and_never_later() {
    for (millis_after, asked) in [(4_999, 3), (5_000, 0)] {
        let mut conductor = conductor(3);
        let mut rng = StdRng::seed_from_u64(0);
        let now = millis(at(0), millis_after);
        conductor.step(now, Event::Published(Arc::from([0, 1, 2])), &mut rng);
        let actions = conductor.step(now, holding(5, Head::Valid(first(7, 3)), now), &mut rng);
        assert_eq!(actions.len(), asked, "{millis_after} ms after the slot");
    }
}

#[test]
fn a_slot_that_the_lease_has_a_record_of_is_not_drawn_again() {
    let mut rng = StdRng::seed_from_u64(0);
    for (slot, asked) in [(1_799_999_990, 3), (1_800_000_000, 0), (1_800_000_010, 0)] {
        let head = Draft {
            slot: Slot(slot),
            schedule: "@every 10s".to_owned(),
            ..Draft::after(None, 3)
        };
        let mut conductor = conductor(3);
        conductor.step(at(0), Event::Published(Arc::from([0, 1, 2])), &mut rng);
        let lease = holding(5, Head::Valid(Arc::new(head.seal())), at(0));
        assert_eq!(conductor.step(at(0), lease, &mut rng).len(), asked, "{slot}");
    }
}

#[test]
fn work_under_another_fence_or_on_another_record_is_dropped() {
    // Another fence, then another record.
    for (fence, head) in [(6, first(7, 3)), (5, first(7, 4))] {
        let mut draw = Draw::begun();
        let asked = draw.asked.clone();
        draw.step(at(0), holding(fence, Head::Valid(head), at(0)));
        assert_eq!(draw.asked.len(), 3, "it begins again");
        for member in &asked {
            draw.answer(at(0), member, Ok(draw.good(member.0)));
        }
        assert_eq!(draw.commit(), None, "answers to a request that was dropped count");
    }
}

/// Only 32 contribute, so 32 voters can't be exchanged for 32 others at once: verifiers would refuse the record.
#[test]
fn voters_who_kept_the_head_without_contributing_are_no_majority() {
    let head = Record {
        voters: "32-63".parse().unwrap(),
        ..Record::clone(&first(7, 3))
    };
    let mut draw = Draw::begun_among(32, 64, Arc::new(head));
    for member in &draw.asked.clone() {
        let mut answer = draw.good(member.0);
        answer.contribution = answer.contribution.filter(|_| member.2.contribute);
        draw.answer(millis(at(0), 10), member, Ok(answer));
        assert_eq!(draw.commit(), None);
    }
    draw.step(at(5), Event::Tick);
    let missed = draw.other.iter().find_map(|action| match action {
        Action::Report(Report::Missed { obstacle, .. }) => Some(obstacle.clone()),
        _ => None,
    });
    let missing = (32..64).collect();
    assert_eq!(missed, Some(Obstacle::NoMajority { missing }));
}
