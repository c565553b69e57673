//! Rules D1 to D3, event by event.

use super::*;
use crate::draw::ledger::MAX_ASIDE;
use crate::record::{Contribution, Draft, Hex};

fn after(previous: Option<&Arc<Record>>, fence: u64) -> Arc<Record> {
    Arc::new(Draft::after(previous.map(|record| &**record), fence).seal())
}

fn nothing() -> Stored {
    Stored {
        seed: Seed([0; 32]),
        records: Vec::new(),
        runs: Vec::new(),
        head: None,
        promise: None,
        aside: Vec::new(),
    }
}

fn ledger() -> Ledger {
    Ledger::new(nothing())
}

fn see(ledger: &mut Ledger, record: &Arc<Record>) {
    ledger.seen(record).iter().for_each(|write| ledger.apply(write));
}

fn rounds(ledger: &Ledger) -> Vec<(u64, u64)> {
    let snapshot = ledger.snapshot(Condition::Writable);
    snapshot
        .recent
        .iter()
        .map(|record| (record.round, record.fence))
        .collect()
}

#[test]
fn a_head_that_does_not_link_starts_a_chain_of_its_own_until_the_gap_is_filled() {
    let mut ledger = ledger();
    let first = after(None, 1);
    let lost = after(Some(&first), 1);
    let second = after(Some(&first), 2);
    let third = after(Some(&second), 2);
    see(&mut ledger, &first);
    see(&mut ledger, &lost);
    see(&mut ledger, &third);
    assert_eq!(
        rounds(&ledger),
        [(3, 2)],
        "its round follows the head's, and it doesn't"
    );
    assert_eq!(ledger.snapshot(Condition::Writable).wanted, Some(second.hash));
    assert!(
        ledger.snapshot(Condition::Writable).aside.is_empty(),
        "the gap may hide that it joins"
    );

    // What peers give is checked as well; these records have no contributions, so they are put in as they stand.
    ledger.apply(&Write::Record(second.clone()));
    let writes = ledger.recall(vec![second.clone()]);
    writes.iter().for_each(|write| ledger.apply(write));
    assert_eq!(rounds(&ledger), [(1, 1), (2, 2), (3, 2)]);
    let aside = ledger.snapshot(Condition::Writable).aside;
    assert_eq!(aside.len(), 1);
    assert_eq!(
        (aside[0].head, aside[0].from_round, aside[0].to_round),
        (lost.hash, 2, 2)
    );
}

#[test]
fn a_lease_that_was_set_back_takes_nothing_from_the_chain() {
    let mut ledger = ledger();
    let first = after(None, 1);
    let second = after(Some(&first), 1);
    see(&mut ledger, &first);
    see(&mut ledger, &second);
    assert!(ledger.seen(&first).is_empty());
    assert!(ledger.seen(&after(None, 1)).is_empty());
    assert_eq!(rounds(&ledger), [(1, 1), (2, 1)]);
}

#[test]
fn a_record_that_was_not_asked_for_is_not_taken() {
    let mut ledger = ledger();
    let complete = |draft: Draft| {
        let contribution = Contribution {
            member: "rg-0".to_owned(),
            next_commitment: Hex([9; 32]),
            ordinal: 0,
            reveal: None,
        };
        let draft = Draft {
            contributions: vec![contribution],
            ..draft
        };
        Arc::new(draft.seal())
    };
    let first = complete(Draft::after(None, 1));
    let asked = complete(Draft::after(Some(&first), 1));
    let other = complete(Draft::after(None, 2));
    see(&mut ledger, &complete(Draft::after(Some(&asked), 1)));
    let stored = |records: &[&Arc<Record>]| {
        let records: Vec<_> = records.iter().map(|record| Arc::clone(record)).collect();
        let writes = ledger.fill(asked.hash, &records);
        writes.iter().filter(|write| matches!(write, Write::Record(_))).count()
    };
    assert_eq!(stored(&[&asked, &first]), 2);
    assert_eq!(stored(&[&other]), 0);
    assert_eq!(stored(&[&first]), 0, "an ancestor was not asked for");
    assert_eq!(
        stored(&[&asked, &other, &first]),
        1,
        "not what came before the one before it"
    );
    assert!(ledger.fill(first.hash, &[first]).is_empty(), "that is not wanted");
    // Without contributions it breaks a rule, though its hash is right.
    let hollow = after(None, 3);
    see(&mut ledger, &complete(Draft::after(Some(&hollow), 4)));
    assert_eq!(ledger.wanted(), Some(hollow.hash));
    assert!(ledger.fill(hollow.hash, std::slice::from_ref(&hollow)).is_empty());
}

#[test]
fn pruning_takes_the_oldest_and_never_the_head() {
    let mut ledger = ledger();
    let mut stored: Vec<Old> = Vec::new();
    let mut last: Option<Arc<Record>> = None;
    let old = |record: &Record, linked| Old {
        hash: record.hash,
        round: record.round,
        slot: record.slot,
        linked,
    };
    for _ in 0..10 {
        let next = after(last.as_ref(), 1);
        see(&mut ledger, &next);
        stored.push(old(&next, true));
        last = Some(next);
    }
    let prune = |ledger: &mut Ledger, oldest: &[Old]| {
        ledger.prune(oldest).iter().for_each(|write| ledger.apply(write));
    };
    prune(&mut ledger, &stored[..6]);
    assert_eq!(rounds(&ledger).first(), Some(&(7, 1)));
    assert_eq!(ledger.wanted(), Some(stored[5].hash));
    prune(&mut ledger, &stored[6..]);
    assert_eq!(rounds(&ledger), [(9, 1), (10, 1)]);

    // One that was stored for a holder, and isn't in the Lease yet, or was there for a moment.
    let newest = after(None, 2);
    ledger.apply(&Write::Record(newest.clone()));
    assert!(ledger.prune(&[old(&newest, false)]).is_empty());
    assert_eq!(ledger.newest().map(|record| record.hash), Some(newest.hash));
}

#[test]
fn a_record_that_is_newer_than_the_head_may_be_final_and_is_not_set_aside() {
    let mut ledger = ledger();
    let first = after(None, 1);
    let second = after(Some(&first), 1);
    let stored = after(Some(&first), 2);
    see(&mut ledger, &first);
    see(&mut ledger, &second);
    ledger.apply(&Write::Record(stored.clone()));
    assert!(ledger.left_behind().is_empty());
    let aside = |ledger: &Ledger| ledger.snapshot(Condition::Writable).aside.len();
    assert_eq!(aside(&ledger), 0);
    see(&mut ledger, &stored);
    assert_eq!(rounds(&ledger), [(1, 1), (2, 2)]);
    assert_eq!(aside(&ledger), 1, "the one that it replaced");
}

/// Records of rounds 1 to `count`.
fn linked(count: u64) -> Vec<Arc<Record>> {
    let mut records: Vec<Arc<Record>> = Vec::new();
    for _ in 0..count {
        records.push(after(records.last(), 1));
    }
    records
}

#[test]
fn only_the_newest_records_are_in_memory_and_the_chain_is_as_long_as_it_is() {
    let mut ledger = Ledger::with_window(nothing(), 4);
    let all = linked(20);
    all[..9].iter().for_each(|record| see(&mut ledger, record));
    let shape = |ledger: &Ledger| {
        let snapshot = ledger.snapshot(Condition::Writable);
        (
            snapshot.oldest(),
            snapshot.recent.len(),
            snapshot.rounds(),
            snapshot.wanted,
        )
    };
    assert_eq!(shape(&ledger), (Some(1), 4, 9, None));
    // A gap: what lies below it joins at once when it is filled, though it isn't read.
    see(&mut ledger, &all[14]);
    see(&mut ledger, &all[15]);
    assert_eq!(shape(&ledger), (Some(15), 2, 2, Some(all[13].hash)));
    let back = |range: std::ops::Range<usize>| all[range].iter().rev().cloned().collect();
    let fill = |ledger: &mut Ledger, records| {
        ledger.recall(records).iter().for_each(|write| ledger.apply(write));
    };
    fill(&mut ledger, back(11..14));
    assert_eq!(shape(&ledger), (Some(12), 4, 5, Some(all[10].hash)));
    fill(&mut ledger, back(9..11));
    assert_eq!(shape(&ledger), (Some(1), 4, 16, None));
    assert!(ledger.snapshot(Condition::Writable).aside.is_empty());
    // It is pruned below what is in memory.
    let old = |at: usize| Old {
        hash: all[at].hash,
        round: at as u64 + 1,
        slot: all[at].slot,
        linked: true,
    };
    let writes = ledger.prune(&[old(0), old(1)]);
    writes.iter().for_each(|write| ledger.apply(write));
    assert_eq!(shape(&ledger), (Some(3), 4, 14, Some(all[1].hash)));
}

#[test]
fn a_chain_that_leaves_another_within_a_gap_joins_it_where_both_are_one() {
    let mut ledger = ledger();
    let all = linked(6);
    all.iter().for_each(|record| see(&mut ledger, record));
    let fourth = after(Some(&all[2]), 2);
    let fifth = after(Some(&fourth), 2);
    let sixth = after(Some(&fifth), 2);
    let seventh = after(Some(&sixth), 2);
    see(&mut ledger, &after(Some(&seventh), 2));
    for record in [&seventh, &sixth, &fifth, &fourth] {
        let writes = ledger.recall(vec![record.clone()]);
        writes.iter().for_each(|write| ledger.apply(write));
    }
    let rounds = rounds(&ledger);
    assert_eq!(rounds[..4], [(1, 1), (2, 1), (3, 1), (4, 2)]);
    assert_eq!(rounds.len(), 8);
    let aside = ledger.snapshot(Condition::Writable).aside;
    assert_eq!(aside.len(), 1);
    assert_eq!((aside[0].head, aside[0].to_round), (all[5].hash, 6));
}

#[test]
fn of_more_tails_than_are_listed_the_oldest_are_forgotten_once_and_for_all() {
    let mut ledger = ledger();
    let first = after(None, 1);
    see(&mut ledger, &first);
    // Each takes the place of the one before.
    let seconds: Vec<_> = (1..=MAX_ASIDE as u64 + 10)
        .map(|fence| after(Some(&first), fence))
        .collect();
    seconds.iter().for_each(|second| see(&mut ledger, second));
    let left = &seconds[..seconds.len() - 1];
    let listed = |ledger: &Ledger| {
        let aside = ledger.snapshot(Condition::Writable).aside;
        aside.iter().map(|aside| aside.head).collect::<Vec<_>>()
    };
    let newest: Vec<Hash> = left[left.len() - MAX_ASIDE..].iter().map(|left| left.hash).collect();
    assert_eq!(listed(&ledger), newest);
    assert_eq!(
        (ledger.take_forgotten(), ledger.take_forgotten()),
        (left.len() as u64 - 64, 0)
    );
    let lists_nothing = |ledger: &Ledger| {
        let writes = ledger.seen(&after(seconds.last(), 100));
        !writes.iter().any(|write| matches!(write, Write::Aside(_)))
    };
    assert!(lists_nothing(&ledger), "what was forgotten is not listed again");
    let again = Ledger::new(Stored {
        seed: Seed([0; 32]),
        records: [&[first], &seconds[..]].concat(),
        runs: ledger.runs.clone(),
        head: ledger.head().map(|head| head.hash),
        promise: None,
        aside: ledger.aside.clone(),
    });
    assert!(lists_nothing(&again), "nor when it is opened again");
}

#[test]
fn a_chain_longer_than_the_window_is_set_aside_from_its_oldest_round_on() {
    let mut ledger = Ledger::with_window(nothing(), 4);
    let all = linked(20);
    all[2..9].iter().for_each(|record| see(&mut ledger, record));
    // A gap.
    all[11..].iter().for_each(|record| see(&mut ledger, record));
    let draft = Draft {
        chain: Hex([8; 16]),
        ..Draft::after(None, 2)
    };
    see(&mut ledger, &Arc::new(draft.seal()));
    let aside = ledger.snapshot(Condition::Writable).aside;
    let tails: Vec<_> = aside.iter().map(|tail| (tail.from_round, tail.to_round)).collect();
    assert_eq!(tails, [(3, 9), (12, 20)], "below and above the gap");
}

#[test]
fn pruning_all_below_a_gap_and_the_round_above_it_at_once_moves_the_oldest_of_the_chain() {
    let mut ledger = ledger();
    let first = after(None, 1);
    let left = after(Some(&first), 1);
    let mut other = vec![after(Some(&first), 2)];
    for _ in 3..8 {
        other.push(after(other.last(), 2));
    }
    see(&mut ledger, &left);
    see(&mut ledger, &other[5]);
    let fetched: Vec<_> = other[1..5].iter().rev().cloned().collect();
    ledger.recall(fetched).iter().for_each(|write| ledger.apply(write));
    assert_eq!(
        rounds(&ledger)[0],
        (3, 2),
        "round 2 is of a tail, and another is missing"
    );
    let old = |record: &Arc<Record>| Old {
        hash: record.hash,
        round: record.round,
        slot: record.slot,
        linked: true,
    };
    let writes = ledger.prune(&[old(&left), old(&other[1])]);
    writes.iter().for_each(|write| ledger.apply(write));
    assert_eq!(rounds(&ledger)[0], (4, 2));
    assert_eq!(ledger.snapshot(Condition::Writable).oldest(), Some(4));
}

#[test]
fn a_chain_that_goes_below_the_end_of_another_within_a_gap_has_its_rounds_to_itself() {
    let mut ledger = ledger();
    let all = linked(7);
    let mut other = vec![after(Some(&all[0]), 2)];
    for _ in 3..=9 {
        other.push(after(other.last(), 2));
    }
    let recall = |ledger: &mut Ledger, records: &[Arc<Record>]| {
        let newest_first = records.iter().rev().cloned().collect();
        ledger.recall(newest_first).iter().for_each(|write| ledger.apply(write));
    };
    see(&mut ledger, &all[6]);
    recall(&mut ledger, &all[5..6]);
    see(&mut ledger, &other[7]);
    recall(&mut ledger, &other[5..7]);
    assert_eq!(rounds(&ledger), [(7, 2), (8, 2), (9, 2)]);
    let ends: Vec<_> = ledger.runs.iter().map(|run| (run.low, run.high, run.tip)).collect();
    assert_eq!(ends, [(6, 6, all[5].hash), (7, 9, other[7].hash)]);
}
