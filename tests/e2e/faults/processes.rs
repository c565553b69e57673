//! The holder's process is killed, or stopped and continued.

use tokio::time::Instant;

use crate::cluster::{median_and_worst, run, until};
use crate::plan::LEASE;
use crate::set::Set;

async fn processes(set: &Set, ordinal: u16) -> Vec<String> {
    let found = set
        .cluster
        .fault(&["pids", &format!("rg-{ordinal}"), &set.namespace])
        .await;
    let pids: Vec<String> = found.split_whitespace().map(str::to_owned).collect();
    assert!(!pids.is_empty(), "rg-{ordinal} has no process");
    pids
}

async fn signal(signal: &str, pids: &[String]) {
    let mut arguments = vec![signal];
    arguments.extend(pids.iter().map(String::as_str));
    run("kill", &arguments).await.expect_ok();
}

pub async fn a_holder_that_is_killed_is_followed_within_the_bound_ten_times(set: Set) {
    // Its lease runs out, and whoever waits looks again within a retry.
    let retry = LEASE.mul_f64(2.0 / 15.0);
    let bound = LEASE + retry.mul_f64(2.2);
    let mut times = Vec::new();
    for _ in 0..10 {
        let pods = set.until_ready(3).await;
        let holder = set.holder().await;
        let old = &pods[usize::from(holder.ordinal)];
        let pids = processes(&set, holder.ordinal).await;
        let began = Instant::now();
        signal("-KILL", &pids).await;
        let (_, seen) = set.takeover(&holder).await;
        times.push(seen - began);
        // Another Pod, so that the kubelet doesn't make its container wait longer each time.
        set.delete_pod(holder.ordinal).await;
        set.until_replaced(old).await;
    }
    let (median, worst) = median_and_worst(&times);
    println!(
        "        from SIGKILL until another leads: median {median:.2?}, worst {worst:.2?} of ten, bound {bound:.2?}"
    );
    assert!(worst <= bound, "{times:?}");
    set.check_chain(&[0, 1, 2]).await;
}

pub async fn a_holder_stopped_past_its_lease_and_continued_conducts_nothing_on_it(set: Set) {
    let restarts = set.restarts().await;
    let old = set.holder().await;
    let pids = processes(&set, old.ordinal).await;
    let mut words = vec!["kill", "-CONT"];
    words.extend(pids.iter().map(String::as_str));
    let undo = set.mend_later(&words);
    signal("-STOP", &pids).await;
    let (next, _) = set.takeover(&old).await;
    assert_ne!(next.ordinal, old.ordinal);
    let others: Vec<u16> = (0..3).filter(|ordinal| *ordinal != old.ordinal).collect();
    set.until_draws_go_on(&others, 2).await;
    set.cluster.mend(undo).await;

    let knows = async || {
        let says = set.json(old.ordinal, "/leader").await?;
        let fence = says["fence"].as_u64().unwrap_or(0);
        assert!(
            says["self"] == false || fence > old.fence,
            "it still thinks that it leads: {says}"
        );
        (fence > old.fence).then_some(()).ok_or_else(|| says.to_string())
    };
    until("it sees the new holder", knows).await;
    set.until_draws_go_on(&[0, 1, 2], 2).await;
    let chain = set.check_chain(&[0, 1, 2]).await;
    // Fences never go back, so nothing of the old term comes after the new one's first record.
    let first = chain
        .iter()
        .position(|record| record.fence > old.fence)
        .expect("the next one drew");
    assert!(
        chain[first..]
            .iter()
            .all(|record| record.fence > old.fence && record.holder != old.identity)
    );
    assert_eq!(set.restarts().await, restarts, "it was started again");
}
