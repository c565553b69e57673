//! Random chains verify; a random record changed and sealed again is refused, by both verifiers alike.

use proptest::prelude::*;
use random_generator::record::{Contribution, Hex, Missing, Reason, Record, Slot, Voters};

use crate::both::{Case, python, rust};
use crate::builder::{Builder, Round, lines, reseal};

const SCHEDULES: [&str; 6] = [
    "@every 1s",
    "@every 10s",
    "@every 7m",
    "*/5 * * * *",
    "17 3 */2 * 1-5",
    "0 0 29 2 *",
];

#[derive(Clone, Debug)]
struct Step {
    answering: u16,
    lost: u16,
    voters: Voters,
    schedule: usize,
    skip: u64,
    new_term: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let skip = prop_oneof![4 => Just(0), 2 => 1..5u64, 1 => 0..500u64];
    (
        any::<u16>(),
        any::<u16>(),
        any::<u16>(),
        (0..4u16, 1..8u16),
        0..SCHEDULES.len(),
        skip,
        any::<bool>(),
    )
        .prop_map(
            |(answering, rare, lost, (first, count), schedule, skip, new_term)| Step {
                answering,
                lost: rare & lost,
                voters: Voters { first, count },
                schedule,
                skip,
                new_term,
            },
        )
}

/// Members as they happen to answer, and as many more as both majorities need.
fn chain(steps: &[Step]) -> Vec<Record> {
    let mut builder = Builder::new();
    let (mut fence, mut voters_before) = (1, 1.into());
    for step in steps {
        fence += u64::from(step.new_term);
        let needed = |voters: Voters, n| voters.contains(n) && n <= voters.first + voters.count / 2;
        let contributors: Vec<u16> = (0..10)
            .filter(|n| needed(voters_before, *n) || needed(step.voters, *n) || step.answering & (1 << n) != 0)
            .collect();
        let absent = (0..12).filter(|n| !contributors.contains(n));
        let reasons = [
            Reason::Unpublished,
            Reason::Unreachable,
            Reason::Timeout,
            Reason::Refused,
            Reason::Invalid,
            Reason::Ledger,
        ];
        builder.draw(Round {
            missing: absent.map(|n| (n, reasons[usize::from(n) % 6])).collect(),
            contributors,
            lost: (0..10).filter(|n| step.lost & (1 << n) != 0).collect(),
            voters: step.voters,
            schedule: SCHEDULES[step.schedule].into(),
            // Many leap years would take the naive counting in Python long.
            skip: if step.schedule == 5 { step.skip % 3 } else { step.skip },
            holder: (fence % 3) as u16,
            fence,
        });
        voters_before = step.voters;
    }
    builder.records
}

/// Each breaks a rule whatever the record is. `before` is the record before it.
const BREACHES: [fn(&mut Record, &Record); 14] = [
    |r, _| r.round += 1,
    |r, _| r.previous = Some(Hex([1; 32])),
    |r, before| r.slot = before.slot,
    |r, _| r.missed = if r.missed == 0 { 1 } else { r.missed - 1 },
    |r, before| r.fence = before.fence - 1,
    |r, before| (r.fence, r.holder) = (before.fence, "another".into()),
    |r, _| r.chain = Hex([1; 16]),
    |r, _| r.contributions.clear(),
    |r, _| r.contributions.push(r.contributions[0].clone()),
    |r, _| {
        r.missing.push(Missing {
            ordinal: r.contributions[0].ordinal,
            reason: Reason::Timeout,
        })
    },
    |r, _| r.contributions[0].reveal = Some(Hex([1; 32])),
    |r, _| r.voters = 32.into(),
    |r, _| r.slot = Slot(r.slot.0 * 2 + 253_370_764_799),
    |r, _| {
        let (ordinal, member) = (1000, "rg-1000".to_owned());
        r.contributions.push(Contribution {
            ordinal,
            member,
            reveal: Some(Hex([1; 32])),
            next_commitment: Hex([1; 32]),
        });
    },
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn a_chain_of_any_members_voters_and_schedules_verifies_and_no_breach_of_it_does(
        steps in prop::collection::vec(step(), 2..8),
        at in any::<prop::sample::Index>(),
    ) {
        let records = chain(&steps);
        let mut cases = vec![Case { list: lines(&records), head: Some(records.last().unwrap().hash.to_string()) }];
        let index = 1 + at.index(records.len() - 1);
        for breach in BREACHES {
            let mut broken = records[..=index].to_vec();
            breach(&mut broken[index], &records[index - 1]);
            broken[index] = reseal(broken[index].clone());
            cases.push(Case { list: lines(&broken), head: None });
        }
        let verdicts = python(&cases);
        for (number, (case, python)) in cases.iter().zip(verdicts).enumerate() {
            let rust = rust(case);
            prop_assert_eq!(&rust, &python, "breach {} of {}", number, String::from_utf8_lossy(&case.list));
            prop_assert_eq!(rust.rule == "verified", number == 0, "breach {}", number);
        }
    }
}
