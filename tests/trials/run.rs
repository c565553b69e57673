//! `make run`: three members find each other, one leads, and they draw together.

use std::time::Duration;

use crate::chain::{Seen, check_verified, check_verified_at_the_head, number};
use crate::harness::{Set, directory, median_and_worst, turn, until};

const SHORT: Duration = Duration::from_secs(2);
/// Draws in a row in which no slot may be missing.
const SLOTS: u64 = 10;

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
        let peers = until("three peers", names).await;
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
        assert_eq!(until("the same holder everywhere", agrees).await.own, n == holder);
    }

    set.all_have(1).await;
    let first = set.newest().await;
    set.all_have(first + SLOTS).await;
    let mut seen = Seen::default();
    seen.check_all(&set).await;
    for (round, record) in &seen.by_round {
        if *round > first {
            assert_eq!(number(record, "missed"), 0, "before round {round}");
        }
        let contributions = record["contributions"].as_array().unwrap().len();
        assert!(*round <= first || contributions == 3, "{record}");
    }
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
