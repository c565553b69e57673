//! `make run`: three members find each other, one leads, and they draw together.

use std::time::Duration;

use serde_json::Value;

use crate::chain::{Seen, check_verified, check_verified_at_the_head, number};
use crate::harness::{Set, directory, eventually, median_and_worst, turn};

const SHORT: Duration = Duration::from_secs(2);
/// Draws in a row in which no slot may be missing.
const SLOTS: usize = 10;

fn contributions(record: &Value) -> usize {
    record["contributions"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_find_each_other_and_draw_in_every_slot() {
    let _turn = turn().await;
    let dir = directory();
    let set = Set::start(dir.path(), 3, SHORT).await;
    for n in 0..3 {
        let names = async || {
            let says = set.json(n, "/peers").await?;
            let peers = says["peers"].as_array().unwrap().clone();
            (peers.len() == 3 && says["stale"] == false).then_some(peers)
        };
        let peers = eventually("three peers", names).await;
        for (ordinal, peer) in peers.iter().enumerate() {
            assert_eq!(peer["name"], format!("rg-{ordinal}"));
            assert_eq!(peer["self"], ordinal == n);
        }
    }
    let (holder, fence) = set.holder().await;
    for n in 0..3 {
        let agrees = async || {
            let leader = set.leader(n).await?;
            (leader.member.as_deref() == Some(&set.place(holder).name) && leader.fence == fence).then_some(leader)
        };
        assert_eq!(eventually("the same holder everywhere", agrees).await.own, n == holder);
    }

    // A busy machine may cost a slot now and then; not one of every ten.
    let mut seen = Seen::default();
    eventually("as many slots in a row that were drawn", async || {
        seen.look(&set).await;
        let last = seen.by_round.values().rev().take(SLOTS);
        (last.filter(|record| number(record, "missed") == 0).count() == SLOTS).then_some(())
    })
    .await;
    assert!(seen.by_round.values().any(|record| contributions(record) == 3));
    seen.check_all(&set).await;
    let missed: u64 = seen.by_round.values().map(|record| number(record, "missed")).sum();
    eprintln!("{} draws, {missed} slots missed", seen.by_round.len());
    for n in 0..3 {
        check_verified(&set.http, &set.url(n)).await;
        check_verified_at_the_head(&set, n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_set_within_a_second_and_leaves_no_process() {
    let _turn = turn().await;
    let dir = directory();
    let mut times = Vec::new();
    for _ in 0..5 {
        let set = Set::start(dir.path(), 3, Duration::from_secs(15)).await;
        set.holder().await;
        times.push(set.interrupt().await);
    }
    let (median, worst) = median_and_worst(&times);
    eprintln!("^C: median {median:?}, worst {worst:?}");
    assert!(median < Duration::from_secs(1), "{times:?}");
}
