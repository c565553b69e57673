//! The holder is asked to go.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::median_and_worst;
use crate::set::Set;

pub async fn a_holder_that_is_deleted_hands_over_within_a_second_at_the_median_of_ten(set: Set) {
    let mut times = Vec::new();
    for _ in 0..10 {
        let pods = set.until_ready(3).await;
        let holder = set.holder().await;
        let old = &pods[usize::from(holder.ordinal)];
        let began = Instant::now();
        set.delete_pod(holder.ordinal).await;
        let (next, seen) = set.takeover(&holder).await;
        assert_ne!(next.identity, holder.identity);
        times.push(seen - began);
        set.until_replaced(old).await;
    }
    let (median, worst) = median_and_worst(&times);
    println!(
        "        from the deletion of the holder's Pod until another leads: median {median:.2?}, worst {worst:.2?} of ten"
    );
    assert!(median < Duration::from_secs(1), "{times:?}");
    set.check_chain(&[0, 1, 2]).await;
}
