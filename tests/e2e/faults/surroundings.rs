//! What the members live on: names and space.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, shell_pod};
use crate::cluster::until;
use crate::set::Set;

pub async fn with_coredns_scaled_to_zero_numbers_and_draws_go_on_and_its_return_heals(set: Set) {
    let restarts = set.restarts().await;
    let dns = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
    let replicas = set.cluster.get(dns).await.unwrap()["spec"]["replicas"]
        .as_u64()
        .unwrap();
    let scale = |replicas: u64| format!("--replicas={replicas}");
    let kubectl = &set.cluster.given.kubectl;
    let back = scale(replicas);
    let undo = set.mend_later(&[
        kubectl,
        "--namespace",
        "kube-system",
        "scale",
        "deployment/coredns",
        &back,
    ]);
    let load = Client::load(&set, "load", &set.member_urls().await).await;
    set.cluster
        .kubectl(&[
            "--namespace",
            "kube-system",
            "scale",
            "deployment/coredns",
            "--replicas=0",
        ])
        .await
        .expect_ok();
    for ordinal in 0..3 {
        let stale = async || match set.json(ordinal, "/peers").await? {
            says if says["stale"] == true => Ok(says),
            says => Err(says.to_string()),
        };
        let says = until(&format!("rg-{ordinal} says that its list is old"), stale).await;
        assert_eq!(says["peers"].as_array().map(Vec::len), Some(3), "{says}");
        let told = async || set.degraded(ordinal, "peers").await?.ok_or("not degraded".to_owned());
        let reason = until(&format!("rg-{ordinal}, degraded"), told).await;
        if ordinal == 0 {
            println!("        peers: {reason}");
        }
        assert_eq!(set.metric(ordinal, "discovery_stale").await, Ok(1.0));
    }
    let all = async || match set.json(0, "/draws/latest").await? {
        record if record["contributions"].as_array().map(Vec::len) == Some(3) => Ok(()),
        record => Err(record.to_string()),
    };
    set.until_draws_go_on(&[0, 1, 2], 3).await;
    until("a draw that all contribute to", all).await;
    set.cluster.mend(undo).await;
    for ordinal in 0..3 {
        let fresh = async || match (
            set.json(ordinal, "/peers").await?,
            set.degraded(ordinal, "peers").await?,
        ) {
            (says, None) if says["stale"] == false => Ok(()),
            other => Err(format!("{other:?}")),
        };
        until(&format!("a fresh list at rg-{ordinal}"), fresh).await;
    }
    let ready = async || {
        let ready = set.cluster.get(dns).await?["status"]["readyReplicas"]
            .as_u64()
            .unwrap_or(0);
        (ready == replicas)
            .then_some(())
            .ok_or_else(|| format!("{ready} of {replicas}"))
    };
    until("CoreDNS as it was", ready).await;
    load.stop_without_failure().await;
    assert_eq!(set.restarts().await, restarts, "a member was started again");
    set.check_chain(&[0, 1, 2]).await;
}

/// Takes every block of the volume that is free, and those that come free, until the file that says so is gone.
const FILL: &str = "while [ -e /volume/fill-it ]; do dd if=/dev/zero bs=4k 2>/dev/null >>/volume/filling; sleep 0.1; done; rm -f /volume/filling";

pub async fn a_disk_that_is_filled_and_freed_costs_journalling_and_never_draws_or_readiness(set: Set) {
    let restarts = set.restarts().await;
    let member = set.pod(1).await.unwrap();
    // The others' numbers don't depend on it.
    let others: Vec<String> = set
        .pods()
        .await
        .unwrap()
        .iter()
        .filter(|pod| pod.ordinal != 1)
        .map(|pod| format!("http://{}:8080/", pod.ip))
        .collect();
    let load = Client::load(&set, "load", &others).await;
    let mut filler = shell_pod(&set, "filler", &format!("touch /volume/fill-it; {FILL}"));
    filler["spec"]["nodeName"] = json!(member.node);
    filler["spec"]["securityContext"]["fsGroup"] = json!(65532);
    filler["spec"]["volumes"] = json!([{"name": "volume", "persistentVolumeClaim": {"claimName": member.claim}}]);
    filler["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "volume", "mountPath": "/volume"}]);
    set.cluster.create(&set.path("pods"), &filler).await.unwrap();
    let full = async || {
        let said = set.kubectl(&["exec", "filler", "--", "df", "-P", "/volume"]).await;
        let used = said.out.lines().last().and_then(|line| line.split_whitespace().nth(4));
        (used == Some("100%")).then_some(()).ok_or(said.out + &said.err)
    };
    until("a volume that is full", full).await;

    let told = async || {
        // Numbers are refused, with a word on when to come back, rather than given out unjournalled.
        for _ in 0..20 {
            let (status, body) = set.answer(1, "/").await?;
            assert!(
                matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE),
                "{status}: {body}"
            );
        }
        match set.degraded(1, "journal").await? {
            Some(reason) => Ok(reason),
            None => Err(match full().await {
                Ok(()) => "not degraded, on a full volume".to_owned(),
                Err(room) => room,
            }),
        }
    };
    let reason = until("a journal that is degraded", told).await;
    println!("        journal: {reason}");
    assert_eq!(set.metric(1, "journal_working").await, Ok(0.0));
    let all = async || match set.json(1, "/draws/latest").await? {
        record if record["contributions"].as_array().map(Vec::len) == Some(3) => Ok(()),
        record => Err(record.to_string()),
    };
    set.until_draws_go_on(&[0, 1, 2], 3).await;
    until("a draw that it contributes to, kept there", all).await;
    let says = set.json(1, "/readyz").await.unwrap();
    assert_eq!(says["ready"], true);
    assert!(set.pod(1).await.unwrap().ready);

    set.kubectl(&["exec", "filler", "--", "rm", "/volume/fill-it"])
        .await
        .expect_ok();
    let well = async || match set.json(1, "/readyz").await? {
        says if says["degraded"] == Value::Array(Vec::new()) => set.text(1, "/").await,
        says => Err(says.to_string()),
    };
    until("a member that wants for nothing", well).await;
    assert_eq!(set.metric(1, "journal_working").await, Ok(1.0));
    set.cluster.delete(&set.path("pods/filler")).await.unwrap();
    load.stop_without_failure().await;
    assert_eq!(set.restarts().await, restarts, "a member was started again");
    set.check_chain(&[0, 1, 2]).await;
}
