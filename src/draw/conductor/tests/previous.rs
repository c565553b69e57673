//! A holder that lacks the record before the newest: 3.4, 3.

use super::slots::{Draw, millis};
use super::*;
use crate::draw::ledger::{Condition, LedgerSnapshot};
use crate::record::secrets::commitment;
use crate::record::{Hex, Voters};

fn secret(ordinal: u16) -> Hex<32> {
    Hex([ordinal.to_be_bytes()[1]; 32])
}

/// A record with the given voters, and its successor, whose three voters all contributed.
fn second(voters_before: &str) -> (Arc<Record>, Arc<Record>) {
    let before = Record {
        voters: voters_before.parse().unwrap(),
        ..Record::clone(&first(7, 3))
    };
    let contributions = (0..3).map(|ordinal| Contribution {
        member: format!("rg-{ordinal}"),
        next_commitment: commitment(ordinal, &secret(ordinal)),
        ordinal,
        reveal: None,
    });
    let draft = Draft {
        contributions: contributions.collect(),
        slot: Slot(1_700_000_010),
        voters: Voters::from(3),
        ..Draft::after(Some(&before), 3)
    };
    (Arc::new(before), Arc::new(draft.seal()))
}

/// These members answer, each with a reveal or without. The second in which others could answer passes.
fn answered_by(members: &[(u16, bool)]) -> Draw {
    let (_, head) = second("3-5");
    let mut draw = Draw::begun_on(head);
    let asked = draw.asked.clone();
    for (ordinal, reveals) in members {
        let mut answer = draw.good(*ordinal);
        answer.contribution.as_mut().unwrap().reveal = reveals.then(|| secret(*ordinal));
        draw.answer(millis(at(0), 10), &asked[usize::from(*ordinal)], Ok(answer));
    }
    if draw.commit().is_none() {
        draw.step(at(1), Event::Tick);
    }
    draw
}

fn obstacle(draw: &Draw) -> Option<Obstacle> {
    draw.other.iter().find_map(|action| match action {
        Action::Report(Report::Missed { obstacle, .. }) => Some(obstacle.clone()),
        _ => None,
    })
}

#[test]
fn without_the_record_before_the_newest_all_who_contributed_to_the_newest_have_to_answer() {
    let mut draw = answered_by(&[(0, false), (1, true)]);
    assert_eq!(draw.commit(), None);
    draw.step(at(5), Event::Tick);
    assert_eq!(obstacle(&draw), Some(Obstacle::NoPrevious { missing: vec![2] }));

    let draw = answered_by(&[(0, false), (1, true), (2, true)]);
    assert!(draw.commit().is_some());
}

#[test]
fn the_record_before_the_newest_says_whose_majority_is_needed() {
    for (voters, missing) in [("3-5", Some(vec![3, 4, 5])), ("2", None)] {
        let (before, head) = second(voters);
        let mut draw = Draw::begun_on(head.clone());
        let asked = draw.asked.clone();
        for member in &asked[..2] {
            let answer = draw.good(member.0);
            draw.answer(millis(at(0), 10), member, Ok(answer));
        }
        let snapshot = LedgerSnapshot {
            recent: Arc::from([before, head.clone()]),
            below: 0,
            newest: Some(head),
            wanted: None,
            aside: Arc::new([]),
            condition: Condition::Writable,
            promised_fence: 5,
        };
        draw.step(at(1), Event::Ledger(Arc::new(snapshot)));
        assert_eq!(draw.commit().is_some(), missing.is_none(), "{voters}");
        draw.step(at(5), Event::Tick);
        assert_eq!(
            obstacle(&draw),
            missing.map(|missing| Obstacle::NoMajority { missing }),
            "{voters}"
        );
    }
}

#[test]
fn a_record_that_a_majority_of_the_voters_lost_with_their_volumes_is_not_waited_for() {
    assert!(answered_by(&[(0, false), (1, false)]).commit().is_some());
}
