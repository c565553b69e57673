//! The conductor, event by event.

mod chains;
mod previous;
mod slots;

use std::sync::Arc;

use lease_election::{Leadership, LeaseSpec};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::clock::{Boot, Wall};
use crate::lease::{LeaseObject, LeaseSnapshot};
use crate::peer::message::{HeadsAnswer, KeepRequest, VERSION};
use crate::record::{Contribution, Draft, Slot};

const IDENTITY: &str = "rg-0_u-n";
const SECOND: u64 = 1_000_000_000;

/// So many seconds after a slot's time.
fn at(seconds: u64) -> Now {
    Now {
        boot: Boot(seconds * SECOND),
        wall: Wall(1_800_000_000_000_000 + i64::try_from(seconds).unwrap() * 1_000_000),
    }
}

/// A lease that this member holds, seen at `now`.
fn holding(fence: u64, head: Head, now: Now) -> Event {
    let object = LeaseObject {
        uid: "uid".to_owned(),
        version: fence,
        spec: LeaseSpec {
            holder: Some(IDENTITY.to_owned()),
            ..LeaseSpec::default()
        },
        fence,
        payload: head,
        carried: Arc::default(),
    };
    Event::Lease(Arc::new(LeaseSnapshot {
        leadership: Leadership::Leader {
            fence,
            renew_deadline: Boot(u64::MAX),
        },
        object: Some(Arc::new(object)),
        confirmed_at: Some(now.boot),
        expires_at: None,
        trouble: None,
    }))
}

/// A chain's first record.
fn first(chain: u8, fence: u64) -> Arc<Record> {
    let draft = Draft {
        chain: Hex([chain; 16]),
        contributions: vec![Contribution {
            member: "rg-0".to_owned(),
            next_commitment: Hex([9; 32]),
            ordinal: 0,
            reveal: None,
        }],
        slot: Slot(1_700_000_000),
        schedule: "@every 10s".to_owned(),
        ..Draft::after(None, fence)
    };
    Arc::new(draft.seal())
}

/// Answers the request for heads among these actions.
fn answered(actions: &[Action], head: Option<Arc<Record>>) -> Event {
    let asked = |action: &Action| match action {
        Action::Heads { ask, ordinal: 0, .. } => Some(*ask),
        _ => None,
    };
    let answer = HeadsAnswer {
        version: VERSION,
        set: "rg".to_owned(),
        member: "rg-0".to_owned(),
        ordinal: 0,
        head,
        fence: 0,
    };
    Event::Heads {
        ask: actions.iter().find_map(asked).expect("a question for heads"),
        ordinal: 0,
        result: Ok(answer),
    }
}

/// The request to the member without a vote.
fn asked_of_the_other(actions: &[Action]) -> (u64, Arc<KeepRequest>) {
    let kept = |action: &Action| match action {
        Action::Keep {
            ask,
            ordinal: 1,
            request,
        } => Some((*ask, request.clone())),
        _ => None,
    };
    actions
        .iter()
        .find_map(kept)
        .expect("a member without a vote is asked as well")
}

fn refused_by_the_other(ask: u64, head: &Arc<Record>) -> Event {
    Event::Kept {
        ask,
        ordinal: 1,
        result: Err(AskError::Refused(Refusal::Ahead { head: head.clone() })),
    }
}

/// A holder of so many voters.
fn conductor(voters: u16) -> Conductor {
    Conductor::new(ConductorConfig {
        set: "rg".to_owned(),
        ordinal: 0,
        identity: IDENTITY.to_owned(),
        voters: voters.into(),
        schedule: "@every 10s".parse().unwrap(),
        deadline: None,
        lease_duration: Duration::from_secs(15),
    })
}
