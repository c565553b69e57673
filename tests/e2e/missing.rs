//! What the set needs of Kubernetes is missing, one thing after another: told in `/readyz` as degraded, in one log line on each
//! change and in a metric, with how to mend it; numbers go on; and it heals without a restart.

use serde_json::json;

use crate::client::Client;
use crate::cluster::until;
use crate::group::{Group, Start};
use crate::logs::each_change_is_reported_once;
use crate::plan::Plan;
use crate::set::Set;
use crate::steps;

pub fn group() -> Group {
    Group {
        name: "missing",
        plan: Plan::quick("overlays/parallel").with("SHUTDOWN_DELAY", "1s"),
        start: Start::Drawing(3),
        steps: steps![
            no_lease_is_reported_and_heals_without_a_restart,
            no_permission_is_reported_and_heals_without_a_restart,
            no_peer_port_on_the_service_is_reported_and_heals_without_a_restart,
            a_wrong_service_name_is_reported_and_heals_without_a_restart,
        ],
    }
}

/// Members whose credentials can be taken away and given: a Secret in the place of the token that the kubelet makes.
pub fn token_group() -> Group {
    let mut plan = Plan::quick("overlays/parallel").with("SHUTDOWN_DELAY", "1s");
    plan.pod = Some(json!({
        "automountServiceAccountToken": false,
        "containers": [{"name": "member", "volumeMounts": [
            {"name": "credentials", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
        ]}],
        "volumes": [{"name": "credentials", "secret": {"secretName": "credentials", "optional": true, "defaultMode": 0o440}}],
    }));
    Group {
        name: "token",
        plan,
        start: Start::Ready(3),
        steps: steps![a_token_that_is_missing_or_unreadable_is_reported_and_heals_without_a_restart],
    }
}

/// What must be told of a thing that is missing.
struct Missing<'a> {
    /// The part of `/readyz`.
    source: &'a str,
    /// All of these stand in the reason: what is wrong, and how to mend it.
    words: &'a [&'a str],
    metric: &'a str,
    /// Of the metric, while it is missing.
    value: f64,
}

/// Takes something away, sees that all members tell it, and that all is well once it is back.
async fn missing(set: &Set, what: Missing<'_>, take: impl AsyncFn(), give: impl AsyncFn()) {
    let logs = set.logs().await;
    let before = logs.told_of(what.source);
    taken_and_given(set, &what, &take, &give).await;
    each_change_is_reported_once(&before, &logs.told_until_well(what.source).await);
    set.check_chain(&[0, 1, 2]).await;
}

async fn taken_and_given(set: &Set, what: &Missing<'_>, take: &impl AsyncFn(), give: &impl AsyncFn()) {
    set.until_draws_go_on(&[0, 1, 2], 1).await;
    let restarts = set.restarts().await;
    let load = Client::load(set, "load", &set.member_urls().await).await;
    take().await;
    for ordinal in 0..3 {
        let told = async || match set.degraded(ordinal, what.source).await? {
            Some(reason) if what.words.iter().all(|word| reason.contains(word)) => Ok(reason),
            other => Err(format!("{other:?}")),
        };
        let reason = until(&format!("{} of rg-{ordinal}: {:?}", what.source, what.words), told).await;
        if ordinal == 0 {
            println!("        {}: {reason}", what.source);
        }
        until_metric(set, ordinal, what.metric, |value| value == what.value).await;
        assert_eq!(set.json(ordinal, "/readyz").await.unwrap()["ready"], true);
    }
    // Requests that were begun and answered while it was missing.
    let (_, failed) = load.counted().await;
    assert!(failed.is_empty(), "{failed:?}");
    for ordinal in 0..3 {
        assert!(set.degraded(ordinal, what.source).await.unwrap().is_some());
    }
    give().await;
    set.until_undegraded(&[0, 1, 2]).await;
    for ordinal in 0..3 {
        until_metric(set, ordinal, what.metric, |value| value != what.value).await;
    }
    set.until_draws_go_on(&[0, 1, 2], 2).await;
    load.stop_without_failure().await;
    assert_eq!(set.restarts().await, restarts, "a member was started again");
}

async fn until_metric(set: &Set, ordinal: u16, name: &str, right: impl Fn(f64) -> bool) {
    let measured = async || {
        let value = set.metric(ordinal, name).await?;
        right(value).then_some(()).ok_or_else(|| value.to_string())
    };
    until(&format!("{name} at rg-{ordinal}"), measured).await;
}

async fn no_lease_is_reported_and_heals_without_a_restart(set: Set) {
    set.holder().await;
    let what = Missing {
        source: "lease",
        words: &["there is no Lease", "kubectl apply", &set.namespace],
        metric: "lease_trouble{reason=\"absent\"}",
        value: 1.0,
    };
    let take = async || set.cluster.delete(&set.path("leases/random-generator")).await.unwrap();
    let give = async || {
        set.apply(&set.plan).await;
    };
    missing(&set, what, take, give).await;
}

async fn no_permission_is_reported_and_heals_without_a_restart(set: Set) {
    set.holder().await;
    let what = Missing {
        source: "lease",
        words: &["no permission", "403", "Role", "RoleBinding"],
        metric: "lease_trouble{reason=\"refused\"}",
        value: 1.0,
    };
    let take = async || {
        set.cluster
            .delete(&set.path("rolebindings/random-generator"))
            .await
            .unwrap()
    };
    let give = async || {
        set.apply(&set.plan).await;
    };
    missing(&set, what, take, give).await;
}

async fn no_peer_port_on_the_service_is_reported_and_heals_without_a_restart(set: Set) {
    let what = Missing {
        source: "peers",
        words: &["DNS publishes 0 of 3 voters", "governing Service"],
        metric: "discovery_peers",
        value: 0.0,
    };
    let path = set.path("services/random-generator");
    let ports = set.cluster.get(&path).await.unwrap()["spec"]["ports"].clone();
    let without: Vec<_> = ports
        .as_array()
        .unwrap()
        .iter()
        .filter(|port| port["name"] != "peer")
        .collect();
    let take = async || {
        set.cluster
            .patch(&path, &json!({"spec": {"ports": without}}))
            .await
            .unwrap();
    };
    let give = async || {
        set.cluster
            .patch(&path, &json!({"spec": {"ports": ports}}))
            .await
            .unwrap();
    };
    missing(&set, what, take, give).await;
}

async fn a_wrong_service_name_is_reported_and_heals_without_a_restart(set: Set) {
    let right = set.cluster.get(&set.path("services/random-generator")).await.unwrap();
    let named = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "labels": right["metadata"]["labels"]},
            "spec": {
                "clusterIP": "None", "publishNotReadyAddresses": true,
                "selector": right["spec"]["selector"], "ports": right["spec"]["ports"],
            },
        })
    };
    let what = Missing {
        source: "peers",
        words: &["DNS publishes 0 of 3 voters", "governing Service", "--discovery-name"],
        metric: "discovery_peers",
        value: 0.0,
    };
    let rename = async |from: &str, to: &str| {
        set.cluster
            .delete(&set.path(&format!("services/{from}")))
            .await
            .unwrap();
        set.cluster.create(&set.path("services"), &named(to)).await.unwrap();
    };
    let take = async || rename("random-generator", "misnamed").await;
    let give = async || rename("misnamed", "random-generator").await;
    missing(&set, what, take, give).await;
}

/// Makes the kubelet look at the Pods' volumes at once, which it else does once a minute.
async fn nudge(set: &Set) {
    let stamp = format!("{:x}", rand::random::<u32>());
    for ordinal in 0..3 {
        let change = json!({"metadata": {"annotations": {"nudged": stamp}}});
        set.cluster
            .patch(&set.path(&format!("pods/rg-{ordinal}")), &change)
            .await
            .unwrap();
    }
}

/// Waits until each member tells of its credentials in this way; meanwhile numbers go on.
async fn tell_of_the_token(set: &Set, word: &str) {
    for ordinal in 0..3 {
        let told = async || match set.degraded(ordinal, "lease").await? {
            Some(reason) if reason.contains(word) => Ok(reason),
            other => Err(format!("{other:?}")),
        };
        let reason = until(&format!("{word} at rg-{ordinal}"), told).await;
        if ordinal == 0 {
            println!("        lease: {reason}");
        }
        until_metric(set, ordinal, "lease_trouble{reason=\"refused\"}", |value| value == 1.0).await;
        assert!(set.text(ordinal, "/integers?count=3").await.is_ok());
    }
}

async fn a_token_that_is_missing_or_unreadable_is_reported_and_heals_without_a_restart(set: Set) {
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let made = set
        .cluster
        .create(&set.path("serviceaccounts/random-generator/token"), &request)
        .await
        .unwrap();
    let authority = set.cluster.get(&set.path("configmaps/kube-root-ca.crt")).await.unwrap()["data"]["ca.crt"].clone();
    let secret = |token: &str| {
        let data = json!({"token": token, "ca.crt": authority, "namespace": set.namespace});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"}, "stringData": data})
    };
    let path = set.path("secrets/credentials");
    // The first reason was told when the members started: what comes after it is seen here.
    let logs = set.logs().await;
    let restarts = set.restarts().await;
    // There is none at first.
    tell_of_the_token(&set, "/var/run/secrets/kubernetes.io/serviceaccount/token").await;
    let load = Client::load(&set, "load", &set.member_urls().await).await;

    // One that nobody knows.
    set.cluster
        .create(&set.path("secrets"), &secret("not-a-token"))
        .await
        .unwrap();
    nudge(&set).await;
    tell_of_the_token(&set, "401").await;

    set.cluster
        .patch(&path, &secret(made["status"]["token"].as_str().unwrap()))
        .await
        .unwrap();
    nudge(&set).await;
    set.until_undegraded(&[0, 1, 2]).await;
    set.until_draws_go_on(&[0, 1, 2], 2).await;
    load.stop_without_failure().await;
    assert_eq!(set.restarts().await, restarts, "a member was started again");
    each_change_is_reported_once(&[const { Vec::new() }; 3], &logs.told_until_well("lease").await);
    set.check_chain(&[0, 1, 2]).await;
}
