//! The holder is killed, stopped, ended: another leads in time, and nothing of what was promised is lost or comes twice.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::chain::{Seen, check_verified, number, text};
use crate::harness::{Set, asked, directory, eventually, median_and_worst, turn};
use crate::load::Load;

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_under_load_is_followed_in_time_and_nothing_is_lost_or_comes_twice() {
    let _turn = turn().await;
    let dir = directory();
    let kills = asked("RANDOM_GENERATOR_TRIAL_KILLS", 8);
    let lease = Duration::from_secs(asked("RANDOM_GENERATOR_TRIAL_LEASE_SECONDS", 2));
    let set = Set::start(dir.path(), 3, lease).await;
    set.all_have(1).await;
    let mut seen = Seen::default();
    let load = Load::start(&set.urls(), 1);
    let mut times = Vec::new();
    let killing = async {
        let (mut holder, mut fence) = set.holder().await;
        for kill in 0..kills {
            // At another moment of its renewals and draws each time.
            sleep(Duration::from_millis(kill * 137 % 1_500)).await;
            let killed = Instant::now();
            set.signal(holder, Signal::KILL).await;
            let next = set.takeover(fence).await;
            // Nobody led at the last look before, so it is late if that look already was.
            let provably = next.after.saturating_duration_since(killed);
            assert!(
                provably <= set.takeover_limit(),
                "kill {kill}: {provably:?} of {:?}",
                set.takeover_limit()
            );
            times.push(next.before - killed);
            (holder, fence) = (next.ordinal, next.fence);
        }
    };
    tokio::select! {
        biased;
        () = seen.watch(&set) => unreachable!("it watches until it is cancelled"),
        () = killing => {}
    }
    let (median, worst) = median_and_worst(&times);
    eprintln!(
        "{kills} kills: the next leads after {median:?} at the median, {worst:?} at worst, of {:?}",
        set.takeover_limit()
    );

    let acknowledged = load.stop().await;
    let newest = set.newest().await;
    set.all_have(newest + 2).await;
    seen.check_all(&set).await;
    for n in 0..set.size() {
        check_verified(&set.http, &set.url(n)).await;
    }
    acknowledged.check_journals(&set.journals());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_stopped_past_its_lease_conducts_nothing_on_it_afterwards() {
    let _turn = turn().await;
    let dir = directory();
    let set = Set::start(dir.path(), 3, Duration::from_secs(2)).await;
    set.all_have(2).await;
    let mut seen = Seen::default();
    for _ in 0..2 {
        let (stopped, old) = set.holder().await;
        let before = set.newest().await;
        set.signal(stopped, Signal::STOP).await;
        let next = set.takeover(old).await;
        assert_ne!(next.ordinal, stopped);
        let goes_on = async || (set.newest().await >= before + 3).then_some(());
        eventually("draws without the stopped one", goes_on).await;

        set.signal(stopped, Signal::CONT).await;
        let knows = async || {
            let leader = set.leader(stopped).await?;
            assert!(
                !leader.own || leader.fence > old,
                "it still thinks that it leads: {leader:?}"
            );
            (leader.fence > old).then_some(())
        };
        eventually("it sees the new holder", knows).await;
        let now = set.newest().await;
        set.all_have(now + 3).await;
        seen.check_all(&set).await;
        let first_of_next = seen.by_round.values().find(|record| number(record, "fence") > old);
        let first_of_next = number(first_of_next.expect("the next one drew"), "round");
        for (round, record) in &seen.by_round {
            assert_eq!(number(record, "fence") > old, *round >= first_of_next, "{record}");
            let conducted_by_it = text(record, "holder").starts_with(&format!("{}_", set.place(stopped).name));
            assert!(
                *round < first_of_next || !conducted_by_it || number(record, "fence") > old,
                "{record}"
            );
        }
    }
    check_verified(&set.http, &set.url(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_ends_in_order_is_followed_within_200_ms() {
    let _turn = turn().await;
    let dir = directory();
    let set = Set::start(dir.path(), 3, Duration::from_secs(8)).await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let (holder, fence) = set.holder().await;
        let ended = set.pid(holder);
        let began = Instant::now();
        set.signal(holder, Signal::TERM).await;
        let next = set.takeover(fence).await;
        times.push(next.before - began);
        let back = async || (set.pid(holder) != ended && set.all_ready().await).then_some(());
        eventually("the member is back", back).await;
        // Who lost the race for the lease tries again after a retry, at most 1.3 s here.
        let round = set.newest().await;
        set.all_have(round + 2).await;
    }
    let (median, worst) = median_and_worst(&times);
    eprintln!("graceful stop: the next leads after {median:?} at the median, {worst:?} at worst");
    assert!(median < Duration::from_millis(200), "{times:?}");
    Seen::default().check_all(&set).await;
}
