//! New revisions of the set: all, one, a bad one; and what a drained node is refused while one member is away.

use std::time::Duration;

use serde_json::json;

use crate::chain::longest_gap;
use crate::client::{Client, shell_pod};
use crate::cluster::{every, until};
use crate::group::{Group, Start};
use crate::plan::{LEASE, Plan};
use crate::set::Set;
use crate::steps;

pub fn group() -> Group {
    Group {
        name: "updates",
        // With the manifests' own delay after SIGTERM: it is what keeps requests from failing.
        plan: Plan::quick("overlays/kind"),
        start: Start::Drawing(3),
        steps: steps![
            srv_lists_every_pod_ready_or_not_and_all_members_agree_on_peers,
            a_rolling_update_under_load_loses_no_request_new_connection_or_kept_and_misses_no_slot_beyond_a_lease_time,
            a_canary_under_load_through_the_client_service_fails_no_request_and_misses_no_slot_beyond_a_lease_time,
            a_bad_image_stops_at_its_first_member_and_is_taken_back_and_meanwhile_the_pdb_refuses_a_drain,
        ],
    }
}

/// The members that DNS lists.
async fn srv(set: &Set, name: &str) -> Result<Vec<String>, String> {
    let name = format!("{name}.random-generator.{}.svc.cluster.local.", set.namespace);
    let said = set
        .kubectl(&["exec", "dns", "--", "nslookup", "-type=srv", &name])
        .await;
    // rg-0.random-generator.NAMESPACE.svc.cluster.local
    let targets = said.out.lines().filter(|line| line.contains("service = "));
    let mut members: Vec<String> = targets
        .filter_map(|line| line.rsplit(' ').next()?.split('.').next().map(str::to_owned))
        .collect();
    members.sort();
    match members.is_empty() {
        true => Err(format!("{}{}", said.out, said.err)),
        false => Ok(members),
    }
}

async fn srv_lists_every_pod_ready_or_not_and_all_members_agree_on_peers(set: Set) {
    let dns = shell_pod(&set, "dns", "while :; do sleep 60; done");
    set.cluster.create(&set.path("pods"), &dns).await.unwrap();
    let all = ["rg-0", "rg-1", "rg-2"];
    let listed = async |name: &str| {
        until(&format!("{name} of three members"), async || {
            match srv(&set, name).await? {
                members if members == all => Ok(()),
                members => Err(format!("{members:?}")),
            }
        })
        .await;
    };
    listed("_peer._tcp").await;
    listed("_http._tcp").await;

    // One that runs, and is never ready.
    let old = set.pod(2).await.unwrap();
    let mut never = set.plan.clone().revision("never ready");
    never.partition = Some(2);
    never.pod = Some(
        json!({"containers": [{"name": "member", "readinessProbe": {"httpGet": {"path": "/never", "port": "http"}}}]}),
    );
    set.apply(&never).await;
    let runs = async || match set.pod(2).await? {
        pod if pod.uid != old.uid && !pod.ip.is_empty() => set.text(2, "/livez").await.map(|_| pod),
        pod => Err(format!("{pod:?}")),
    };
    let pod = until("the new rg-2", runs).await;
    assert!(!pod.ready, "{pod:?}");
    listed("_peer._tcp").await;
    listed("_http._tcp").await;
    for ordinal in 0..3 {
        let agrees = async || {
            let says = set.json(ordinal, "/peers").await?;
            let peers = says["peers"].as_array().ok_or("no peers")?;
            let names: Vec<&str> = peers.iter().filter_map(|peer| peer["name"].as_str()).collect();
            (names == all && says["stale"] == false)
                .then_some(())
                .ok_or_else(|| says.to_string())
        };
        until(&format!("three peers at rg-{ordinal}"), agrees).await;
    }
    // It counts in a draw as well, and clients are kept off it.
    let counts = async || match set.json(0, "/draws/latest").await? {
        record if record["contributions"].as_array().is_some_and(|given| given.len() == 3) => Ok(()),
        record => Err(record.to_string()),
    };
    until("a draw to which it contributes", counts).await;
    let slices = set.path("endpointslices?labelSelector=kubernetes.io/service-name=random-generator-client");
    let slices = set.cluster.get(&slices).await.unwrap();
    let endpoints = slices["items"][0]["endpoints"].as_array().unwrap();
    let ready = |endpoint: &&serde_json::Value| endpoint["conditions"]["ready"] == true;
    let ready: Vec<_> = endpoints
        .iter()
        .filter(ready)
        .map(|endpoint| &endpoint["targetRef"]["name"])
        .collect();
    assert!(!ready.contains(&&json!("rg-2")) && !ready.is_empty(), "{ready:?}");
    assert!(!set.pod(2).await.unwrap().ready);

    set.apply(&set.plan).await;
    set.until_observed().await;
    set.delete_pod(2).await;
    set.until_ready(3).await;
    set.cluster.delete(&set.path("pods/dns")).await.unwrap();
    set.check_chain(&[0, 1, 2]).await;
}

/// Under load through the client Service, while `change` is made: no failed request, and never longer without a draw than a lease
/// lasts beyond the period of draws.
async fn under_load(set: &Set, what: &str, change: impl AsyncFnOnce()) {
    let from = set.until_draws_go_on(&[0], 1).await;
    let load = Client::load(set, "load", &[set.service_url().await]).await;
    change().await;
    let total = load.stop_without_failure().await;
    let chain = set.check_chain(&[0, 1, 2]).await;
    let gap = longest_gap(&chain, from);
    println!(
        "        {what}: {total} requests, none failed; at most {gap} s between two draws of which one is due each second"
    );
    assert!(total > 200, "{total} requests are no load");
    assert!(gap <= LEASE.as_secs() + 1, "{gap} s without a draw");
}

async fn a_rolling_update_under_load_loses_no_request_new_connection_or_kept_and_misses_no_slot_beyond_a_lease_time(
    set: Set,
) {
    let before = set.until_ready(3).await;
    let service = set.service_url().await.replace("http://", "").replace('/', ":80");
    let keep_alive = Client::keep_alive(&set, "keep-alive", &service, &before).await;
    under_load(&set, "rolling update", async || {
        set.apply(&set.plan.clone().revision("two")).await;
        for old in before.iter().rev() {
            keep_alive.announce(&set.until_replaced(old).await).await;
        }
        let after = set.until_ready(3).await;
        assert!(
            before
                .iter()
                .zip(&after)
                .all(|(before, after)| before.uid != after.uid && before.revision != after.revision)
        );
    })
    .await;
    let mut ended = Vec::new();
    for pod in &before {
        ended.push(keep_alive.ended(pod).await);
    }
    let total = keep_alive.stop_without_failure().await;
    assert_eq!(ended, [1; 3], "a Pod's client had more than one connection to it");
    println!("        {total} requests over connections that were kept, none lost");
    assert!(total > 5000, "{total} requests are no load");
}

async fn a_canary_under_load_through_the_client_service_fails_no_request_and_misses_no_slot_beyond_a_lease_time(
    set: Set,
) {
    // What the test before it left, or the plan's own.
    let before = set.until_ready(3).await;
    let canary = Plan {
        overlay: "overlays/canary",
        ..set.plan.clone().revision("three")
    };
    under_load(&set, "canary", async || {
        set.apply(&canary).await;
        let after = set.until_ready(3).await;
        let changed = |ordinal: usize| before[ordinal].uid != after[ordinal].uid;
        assert_eq!([changed(0), changed(1), changed(2)], [false, false, true]);
        assert_ne!(after[2].revision, after[0].revision);
        // The update stops there, and the rest follows with the overlay that has no partition.
        set.apply(&set.plan.clone().revision("three")).await;
        let all = set.until_ready(3).await;
        assert!(all.iter().all(|pod| pod.revision == after[2].revision));
        assert_eq!(all[2].uid, after[2].uid);
    })
    .await;
}

async fn a_bad_image_stops_at_its_first_member_and_is_taken_back_and_meanwhile_the_pdb_refuses_a_drain(set: Set) {
    let before = set.until_ready(3).await;
    let load = Client::load(&set, "load", &[set.service_url().await]).await;
    let mut bad = set.plan.clone();
    bad.image = Some(format!("{}-that-is-nowhere", set.cluster.given.image));
    set.apply(&bad).await;
    let waits = async || match set.pod(2).await? {
        pod if pod.waits_for == "ErrImagePull" || pod.waits_for == "ImagePullBackOff" => Ok(pod),
        pod => Err(format!("{pod:?}")),
    };
    until("a member that waits for its image", waits).await;
    let waiting = set.pods().await.unwrap();
    assert_eq!(
        (&waiting[0].uid, &waiting[1].uid),
        (&before[0].uid, &before[1].uid),
        "it went on to the others"
    );
    set.until_draws_go_on(&[0, 1], 3).await;

    // One member is away, so none may be taken: the drain goes on asking until its time is over.
    let node = &waiting[0].node;
    let selector = format!("random-generator-e2e={}", set.namespace);
    label(&set, &waiting[0].name, &selector).await;
    let uncordon = set.mend_later(&[&set.cluster.given.kubectl, "uncordon", node]);
    let arguments = [
        "drain",
        node,
        "--pod-selector",
        &selector,
        "--ignore-daemonsets",
        "--timeout",
        "3s",
    ];
    let drain = set.cluster.kubectl(&arguments).await;
    assert!(
        !drain.ok && drain.err.contains("would violate the pod's disruption budget"),
        "{}{}",
        drain.out,
        drain.err
    );
    set.cluster.mend(uncordon).await;
    let after = set.pod(0).await.unwrap();
    assert!(
        after.uid == before[0].uid && after.ready && !after.terminating,
        "{after:?}"
    );

    // A StatefulSet waits for the Pod that can't start, also when the template is as before: a person deletes it.
    set.apply(&set.plan).await;
    set.until_observed().await;
    set.delete_pod(2).await;
    let ready = async || match set.pod(2).await? {
        pod if pod.ready => Ok(()),
        pod => Err(format!("{pod:?}")),
    };
    every(
        Duration::from_millis(200),
        Duration::from_secs(60),
        "rg-2, ready again",
        ready,
    )
    .await;
    set.until_ready(3).await;
    load.stop_without_failure().await;
    set.check_chain(&[0, 1, 2]).await;
}

/// So that a drain takes no other Pod of the node.
async fn label(set: &Set, pod: &str, selector: &str) {
    set.kubectl(&["label", "pod", pod, selector]).await.expect_ok();
}
