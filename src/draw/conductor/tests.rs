use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::clock::{Boot, Wall};
use crate::draw::message::HeadsAnswer;
use crate::draw::record::{Contribution, Draft, Slot};
use crate::lease::{Leadership, LeaseObject, LeaseSnapshot, LeaseSpec};

const IDENTITY: &str = "rg-0_u-n";
const SECOND: u64 = 1_000_000_000;

/// At a slot's instant, after so many seconds.
fn at(seconds: u64) -> Now {
    Now {
        boot: Boot(seconds * SECOND),
        wall: Wall(1_800_000_000_000_000 + i64::try_from(seconds).unwrap() * 1_000_000),
    }
}

/// A lease that this member holds, with no record in it, as it was seen at `now`.
fn holding(fence: u64, now: Now) -> Event {
    let object = LeaseObject {
        uid: "uid".to_owned(),
        version: fence,
        spec: LeaseSpec {
            holder: Some(IDENTITY.to_owned()),
            ..LeaseSpec::default()
        },
        fence,
        head: Head::Absent,
        carried: Arc::default(),
    };
    Event::Lease(Arc::new(LeaseSnapshot {
        leadership: Leadership::Leader {
            fence,
            until: Boot(u64::MAX),
        },
        object: Some(Arc::new(object)),
        confirmed_at: Some(now.boot),
        expires_at: None,
        trouble: None,
    }))
}

/// A chain's first record, by a member that isn't among this set's voters any more.
fn forgotten() -> Arc<Record> {
    let draft = Draft {
        set: "rg".to_owned(),
        chain: Hex([7; 16]),
        round: 1,
        schedule: "@every 10s".to_owned(),
        slot: Slot(1_700_000_000),
        missed: 0,
        holder: "rg-0_u-o".to_owned(),
        fence: 3,
        voters: 1,
        previous: None,
        contributions: vec![Contribution {
            member: "rg-0".to_owned(),
            next_commitment: Hex([9; 32]),
            ordinal: 0,
            reveal: None,
        }],
        missing: vec![],
    };
    Arc::new(draft.seal())
}

/// The question for heads among these, answered by a voter that has nothing.
fn empty(actions: &[Action]) -> Event {
    let asked = |action: &Action| match action {
        Action::Heads { ask, ordinal: 0, .. } => Some(*ask),
        _ => None,
    };
    let answer = HeadsAnswer {
        version: VERSION,
        set: "rg".to_owned(),
        member: "rg-0".to_owned(),
        ordinal: 0,
        head: None,
        fence: 0,
    };
    Event::Heads {
        ask: actions.iter().find_map(asked).expect("a question for heads"),
        ordinal: 0,
        result: Ok(answer),
    }
}

fn keeps(actions: &[Action]) -> Vec<(u64, u16)> {
    let kept = |action: &Action| match action {
        Action::Keep { ask, ordinal, .. } => Some((*ask, *ordinal)),
        _ => None,
    };
    actions.iter().filter_map(kept).collect()
}

#[test]
fn a_record_that_only_members_without_a_vote_have_is_brought_back_when_the_voters_have_none() {
    let mut rng = StdRng::seed_from_u64(0);
    let mut conductor = Conductor::new(ConductorConfig {
        set: "rg".to_owned(),
        ordinal: 0,
        identity: IDENTITY.to_owned(),
        voters: 1,
        schedule: "@every 10s".parse().unwrap(),
        deadline: None,
        lease_duration: Duration::from_secs(15),
    });
    conductor.step(at(0), Event::Published(Arc::from([0, 1])), &mut rng);
    let actions = conductor.step(at(0), holding(5, at(0)), &mut rng);
    let actions = conductor.step(at(0), empty(&actions), &mut rng);
    let (ask, ordinal) = *keeps(&actions).last().unwrap();
    assert_eq!(ordinal, 1, "a member without a vote is asked as well");

    let ahead = Refusal::Ahead { head: forgotten() };
    let result = Err(AskError::Refused(ahead));
    let actions = conductor.step(at(1), Event::Kept { ask, ordinal, result }, &mut rng);
    assert_eq!(actions, [Action::Look], "it may stand in the Lease by now");
    // The lease was lost and taken again meanwhile: what was begun under the old fence is given up.
    let actions = conductor.step(at(2), holding(6, at(2)), &mut rng);
    let actions = conductor.step(at(2), empty(&actions), &mut rng);
    let [Action::Commit(request)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(request.record, forgotten());
}
