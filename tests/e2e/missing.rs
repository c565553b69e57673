//! What the set needs of Kubernetes is missing, one thing after another: told in `/readyz` as degraded, in one log line on each
//! change and in a metric, with how to mend it; numbers go on; and it heals without a restart.

use serde_json::json;

use crate::client::Client;
use crate::cluster::until;
use crate::group::Group;
use crate::logs::Logs;
use crate::plan::Plan;
use crate::set::Set;
use crate::steps;

pub fn group() -> Group {
    Group {
        name: "missing",
        plan: Plan::quick("overlays/parallel").with("SHUTDOWN_DELAY", "1s"),
        members: 3,
        steps: steps![
            no_lease_is_told_and_heals_without_a_restart,
            no_permission_is_told_and_heals_without_a_restart,
            no_peer_port_on_the_service_is_told_and_heals_without_a_restart,
            a_wrong_service_name_is_told_and_heals_without_a_restart,
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
        members: 3,
        steps: steps![a_token_that_is_missing_or_unreadable_is_told_and_heals_without_a_restart],
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
async fn missing(set: &Set, what: Missing<'_>, take: impl AsyncFnOnce(), give: impl AsyncFnOnce()) {
    let logs = Logs::follow(set).await;
    set.until_ready(3).await;
    set.until_draws_go_on(&[0, 1, 2], 1).await;
    let restarts = set.restarts().await;
    let before: Vec<_> = (0..3).map(|ordinal| logs.told(ordinal, what.source)).collect();
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
        let measured = async || match set.metric(ordinal, what.metric).await? {
            value if value == what.value => Ok(()),
            value => Err(value),
        }
        .map_err(|value: f64| value.to_string());
        until(what.metric, measured).await;
        assert_eq!(set.json(ordinal, "/readyz").await.unwrap()["ready"], true);
    }
    // Requests that were begun and answered while it was missing.
    let (_, failed) = load.counted().await;
    assert!(failed.is_empty(), "{failed:?}");
    for ordinal in 0..3 {
        assert!(set.degraded(ordinal, what.source).await.unwrap().is_some());
    }
    give().await;
    for ordinal in 0..3 {
        let well = async || match set.json(ordinal, "/readyz").await? {
            says if says["degraded"] == json!([]) => Ok(()),
            says => Err(says.to_string()),
        };
        until(&format!("rg-{ordinal}, not degraded"), well).await;
        assert_ne!(set.metric(ordinal, what.metric).await, Ok(what.value));
    }
    set.until_draws_go_on(&[0, 1, 2], 2).await;
    load.stop_without_failure().await;
    for (ordinal, before) in (0..).zip(before) {
        tells_each_change_once(&logs, ordinal, what.source, before).await;
    }
    assert_eq!(set.restarts().await, restarts, "a member was started again");
    set.check_chain(&[0, 1, 2]).await;
}

/// A reason may change as what is missing comes and goes; a line a second would be many more.
async fn tells_each_change_once(logs: &Logs, ordinal: u16, source: &str, before: (usize, usize)) {
    let healed = async || match logs.told(ordinal, source) {
        (told, healed) if healed > before.1 => Ok((told - before.0, healed - before.1)),
        lines => Err(format!("{lines:?} after {before:?}")),
    };
    let (told, healed) = until(&format!("a line of rg-{ordinal} that {source} is well again"), healed).await;
    assert!((1..=4).contains(&told) && healed <= 2, "rg-{ordinal}: {told} lines, {healed} that it is well");
}

async fn no_lease_is_told_and_heals_without_a_restart(set: Set) {
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

async fn no_permission_is_told_and_heals_without_a_restart(set: Set) {
    set.holder().await;
    let what = Missing {
        source: "lease",
        words: &["no permission", "403", "Role", "RoleBinding"],
        metric: "lease_trouble{reason=\"refused\"}",
        value: 1.0,
    };
    let take = async || set.cluster.delete(&set.path("rolebindings/random-generator")).await.unwrap();
    let give = async || {
        set.apply(&set.plan).await;
    };
    missing(&set, what, take, give).await;
}

async fn no_peer_port_on_the_service_is_told_and_heals_without_a_restart(set: Set) {
    let what = Missing {
        source: "peers",
        words: &["DNS publishes 0 of 3 voters", "governing Service"],
        metric: "discovery_peers",
        value: 0.0,
    };
    let path = set.path("services/random-generator");
    let ports = set.cluster.get(&path).await.unwrap()["spec"]["ports"].clone();
    let without: Vec<_> = ports.as_array().unwrap().iter().filter(|port| port["name"] != "peer").collect();
    let take = async || {
        set.cluster.patch(&path, &json!({"spec": {"ports": without}})).await.unwrap();
    };
    let give = async || {
        set.cluster.patch(&path, &json!({"spec": {"ports": ports}})).await.unwrap();
    };
    missing(&set, what, take, give).await;
}

async fn a_wrong_service_name_is_told_and_heals_without_a_restart(set: Set) {
    // The Pods are made anew for the name, with the Service of that name there; then it is taken away.
    let name = format!("misnamed.{}.svc.cluster.local", set.namespace);
    let mut service = set.cluster.get(&set.path("services/random-generator")).await.unwrap();
    service["metadata"] = json!({"name": "misnamed", "namespace": set.namespace});
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        service["spec"].as_object_mut().unwrap().remove(field);
    }
    service.as_object_mut().unwrap().remove("status");
    set.cluster.create(&set.path("services"), &service).await.unwrap();
    set.apply(&set.plan.clone().with("DISCOVERY_NAME", &name)).await;
    set.until_ready(3).await;
    set.until_draws_go_on(&[0, 1, 2], 2).await;

    let what = Missing {
        source: "peers",
        words: &["DNS publishes 0 of 3 voters", "--discovery-name"],
        metric: "discovery_peers",
        value: 0.0,
    };
    let take = async || set.cluster.delete(&set.path("services/misnamed")).await.unwrap();
    let give = async || {
        set.cluster.create(&set.path("services"), &service).await.unwrap();
    };
    missing(&set, what, take, give).await;
    set.apply(&set.plan).await;
    set.until_ready(3).await;
}

/// Makes the kubelet look at the Pods' volumes at once, which it else does once a minute.
async fn nudge(set: &Set) {
    let stamp = format!("{:x}", rand::random::<u32>());
    for ordinal in 0..3 {
        let change = json!({"metadata": {"annotations": {"nudged": stamp}}});
        set.cluster.patch(&set.path(&format!("pods/rg-{ordinal}")), &change).await.unwrap();
    }
}

async fn a_token_that_is_missing_or_unreadable_is_told_and_heals_without_a_restart(set: Set) {
    let logs = Logs::follow(&set).await;
    set.until_ready(3).await;
    let restarts = set.restarts().await;
    let told = async |word: &str| {
        for ordinal in 0..3 {
            let told = async || match set.degraded(ordinal, "lease").await? {
                Some(reason) if reason.contains(word) => Ok(reason),
                other => Err(format!("{other:?}")),
            };
            let reason = until(&format!("{word} at rg-{ordinal}"), told).await;
            if ordinal == 0 {
                println!("        lease: {reason}");
            }
            assert_eq!(set.metric(ordinal, "lease_trouble{reason=\"refused\"}").await, Ok(1.0));
            assert!(set.text(ordinal, "/integers?count=3").await.is_ok());
        }
    };
    // There is none at first.
    told("/var/run/secrets/kubernetes.io/serviceaccount/token").await;
    let load = Client::load(&set, "load", &set.member_urls().await).await;

    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let made = set.cluster.create(&set.path("serviceaccounts/random-generator/token"), &request).await.unwrap();
    let token = made["status"]["token"].as_str().unwrap();
    let authority = set.cluster.get(&set.path("configmaps/kube-root-ca.crt")).await.unwrap()["data"]["ca.crt"].clone();
    let data = json!({"token": token, "ca.crt": authority, "namespace": set.namespace});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"}, "stringData": data});

    // One that nobody knows.
    let mut wrong = secret.clone();
    wrong["stringData"]["token"] = json!("not-a-token");
    set.cluster.create(&set.path("secrets"), &wrong).await.unwrap();
    nudge(&set).await;
    told("401").await;

    let path = set.path("secrets/credentials");
    set.cluster.patch(&path, &json!({"stringData": data})).await.unwrap();
    nudge(&set).await;
    set.until_draws_go_on(&[0, 1, 2], 2).await;
    for ordinal in 0..3 {
        let well = async || match set.degraded(ordinal, "lease").await? {
            None => Ok(()),
            other => Err(format!("{other:?}")),
        };
        until(&format!("rg-{ordinal}, not degraded"), well).await;
        tells_each_change_once(&logs, ordinal, "lease", (0, 0)).await;
    }
    load.stop_without_failure().await;
    assert_eq!(set.restarts().await, restarts, "a member was started again");
    set.check_chain(&[0, 1, 2]).await;
}
