//! The API server is away: the set goes on serving numbers, nobody conducts without the Lease, and somebody does again after.

use std::time::Duration;

use tokio::time::Instant;

use super::{RENEW_DEADLINE, for_as_long_as, unix_time};
use crate::client::Client;
use crate::cluster::until;
use crate::set::Set;

/// Numbers from each member and through the Service, and what each says of the lease, while `away` takes the API server away and
/// gives it back. It returns the Unix times between which it was surely away.
async fn away(set: &Set, what: &str, away: impl AsyncFnOnce() -> (u64, u64)) {
    let restarts = set.restarts().await;
    let before = set.holder().await;
    let mut urls = set.member_urls().await;
    let leaders: Vec<String> = urls.iter().map(|url| format!("{url}leader")).collect();
    urls.push(set.service_url().await);
    let load = Client::load(set, "load", &urls).await;
    let node = set.pod(0).await.unwrap().node;
    let watch = Client::watch(set, "watch", &leaders, &node).await;
    let asked = load.counted().await.0;

    let (from, to) = away().await;
    let back = Instant::now();
    let holder = set.holder().await;
    let took = back.elapsed();
    set.until_draws_go_on(&[0, 1, 2], 2).await;

    // Its clock and this one's, each in whole seconds, and a request that was under way.
    let surely = from + RENEW_DEADLINE.as_secs() + 3..to;
    if !surely.is_empty() {
        assert!(holder.fence > before.fence, "nobody can have led through it");
    }
    let answers = watch.answers().await;
    let said: Vec<_> = answers.iter().filter(|(time, _, _)| surely.contains(time)).collect();
    assert!(surely.is_empty() || !said.is_empty());
    for (time, url, body) in &said {
        assert!(
            body.contains("\"self\":false"),
            "{url} at {time}, {} s into it: {body}",
            time - from
        );
    }
    watch.delete().await;
    let total = load.stop_without_failure().await;
    println!(
        "        {what}: {} requests, none failed; asked {} times, nobody led; somebody did {took:.1?} after it was back",
        total - asked,
        said.len(),
    );
    assert_eq!(set.restarts().await, restarts, "a member was started again");
    set.check_chain(&[0, 1, 2]).await;
}

async fn answers(set: &Set) {
    let asked = async || set.cluster.get("/version").await;
    until("the API server", asked).await;
}

pub async fn an_api_server_frozen_for_30_s_costs_no_number_and_no_restart_and_leadership_comes_back(set: Set) {
    away(&set, "frozen", async || {
        let fault = set.cluster.given.fault.clone().unwrap();
        let undo = set.mend_later(&[&fault, "thaw-api"]);
        set.cluster.fault(&["freeze-api"]).await;
        let from = unix_time();
        for_as_long_as(Duration::from_secs(30)).await;
        let to = unix_time();
        set.cluster.mend(undo).await;
        answers(&set).await;
        (from, to)
    })
    .await;
}

pub async fn an_api_server_that_refuses_costs_no_number_and_no_restart_and_leadership_comes_back(set: Set) {
    away(&set, "refusing", async || {
        set.cluster
            .delete(&set.path("rolebindings/random-generator"))
            .await
            .unwrap();
        let from = unix_time();
        let told = async || {
            let reason = set.degraded(0, "lease").await?.unwrap_or_default();
            reason.contains("403").then_some(()).ok_or(reason)
        };
        until("a member that is refused", told).await;
        for_as_long_as(Duration::from_secs(10)).await;
        let to = unix_time();
        set.apply(&set.plan).await;
        (from, to)
    })
    .await;
}

pub async fn an_api_server_that_is_restarted_costs_no_number_and_no_restart_and_somebody_leads_after(set: Set) {
    away(&set, "restarted", async || {
        let from = unix_time();
        set.cluster.fault(&["restart-api"]).await;
        answers(&set).await;
        // From here it isn't known how long it was away: a quick one is back before the holder's renewal is due, and it leads on.
        (from, from)
    })
    .await;
}
