//! Sets side by side in one namespace, each with a Lease of its own; and one that is pointed at another's.

use serde_json::{Value, json};

use crate::cluster::until;
use crate::group::{Group, Start};
use crate::plan::Plan;
use crate::set::Set;
use crate::steps;

const MEMBERS: [u16; 3] = [0, 1, 2];

pub fn group() -> Group {
    Group {
        name: "second",
        plan: quick("overlays/kind"),
        start: Start::Drawing(3),
        steps: steps![
            a_name_prefix_or_suffix_alone_makes_a_set_that_shares_nothing_with_the_first,
            a_set_pointed_at_the_lease_of_another_is_refused_and_says_so_and_heals,
        ],
    }
}

fn quick(overlay: &'static str) -> Plan {
    Plan::quick(overlay).with("SHUTDOWN_DELAY", "1s")
}

async fn until_drawing(set: &Set) {
    set.until_ready(3).await;
    for ordinal in MEMBERS {
        set.until_round(ordinal, 1).await;
    }
}

async fn may_update(set: &Set, lease: &str) -> bool {
    let account = set.plan.named("random-generator");
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": format!("system:serviceaccount:{}:{account}", set.namespace),
        "resourceAttributes": {
            "group": "coordination.k8s.io", "resource": "leases", "verb": "update", "namespace": set.namespace, "name": lease,
        },
    }});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    set.cluster.create(path, &review).await.unwrap()["status"]["allowed"] == true
}

async fn a_name_prefix_or_suffix_alone_makes_a_set_that_shares_nothing_with_the_first(first: Set) {
    let plans = [
        quick("overlays/second"),
        Plan {
            prefix: "b-",
            ..quick("overlays/kind")
        },
        Plan {
            suffix: "-c",
            ..quick("overlays/kind")
        },
    ];
    let mut sets = vec![first.clone()];
    for plan in plans {
        sets.push(first.beside(plan).await);
    }
    for set in &sets {
        until_drawing(set).await;
    }
    let leases: Vec<String> = sets.iter().map(|set| set.plan.named("random-generator")).collect();
    assert_eq!(
        leases,
        [
            "random-generator",
            "web-random-generator",
            "b-random-generator",
            "random-generator-c"
        ]
    );
    let mut chains = Vec::new();
    for set in &sets {
        let (name, lease) = (set.plan.named("rg"), set.plan.named("random-generator"));
        set.until_undegraded(&MEMBERS).await;
        let holder = set.holder().await;
        assert!(holder.identity.starts_with(&set.member(holder.ordinal)), "{holder:?}");
        let chain = set.check_chain(&MEMBERS).await;
        assert!(chain.iter().all(|record| record.set == name));
        chains.push(chain[0].chain);
        let role = set.cluster.get(&set.path(&format!("roles/{lease}"))).await.unwrap();
        assert_eq!(role["rules"][0]["resourceNames"], json!([lease]));
        for other in &leases {
            assert_eq!(may_update(set, other).await, *other == lease, "{name}, of {other}");
        }
        let says = set.json(0, "/peers").await.unwrap();
        let peers: Vec<_> = says["peers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|peer| peer["name"].clone())
            .collect();
        assert_eq!(peers, MEMBERS.map(|ordinal| Value::from(set.member(ordinal))));
    }
    chains.sort();
    chains.dedup();
    assert_eq!(chains.len(), 4, "a chain of two sets");
    for set in &sets[2..] {
        set.delete().await;
    }
}

/// What of a Lease only an acquisition changes.
async fn kept(set: &Set) -> [Value; 3] {
    let lease = set.lease().await.unwrap();
    let at = |pointer| lease.pointer(pointer).cloned().unwrap_or_default();
    [
        at("/metadata/annotations/random-generator~1fence"),
        at("/metadata/annotations/random-generator~1record"),
        at("/spec/holderIdentity"),
    ]
}

async fn a_set_pointed_at_the_lease_of_another_is_refused_and_says_so_and_heals(first: Set) {
    let web = first.beside(quick("overlays/second")).await;
    until_drawing(&web).await;
    let chain = web.check_chain(&MEMBERS).await[0].chain;

    // By hand: in a kustomization, names.yaml makes the set's own name of it.
    let names = ["web-random-generator", "random-generator"];
    let role = json!({"rules": [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": names, "verbs": ["get", "update", "watch"]},
    ]});
    let path = web.path("roles/web-random-generator");
    web.cluster.patch(&path, &role).await.unwrap();
    let foreign = "RANDOM_GENERATOR_LEASE_NAME=random-generator";
    web.kubectl(&["set", "env", "statefulset/web-rg", foreign])
        .await
        .expect_ok();
    web.until_ready(3).await;
    for ordinal in MEMBERS {
        let words = ["Lease random-generator", "set rg,", "set web-rg:", "--lease-name"];
        let told = async || match web.degraded(ordinal, "lease").await? {
            Some(reason) if words.iter().all(|word| reason.contains(word)) => Ok(reason),
            other => Err(format!("{other:?}")),
        };
        let reason = until(&format!("{}, refused", web.member(ordinal)), told).await;
        if ordinal == 0 {
            println!("        lease: {reason}");
        }
    }
    // The last one to be updated drew until then.
    let stopped = web.verified(0).await.len();
    first.until_draws_go_on(&MEMBERS, 3).await;
    assert!(first.holder().await.identity.starts_with("rg-"));

    // Also when nobody holds it.
    first
        .kubectl(&["delete", "statefulset/rg", "--cascade=foreground"])
        .await
        .expect_ok();
    let before = kept(&first).await;
    assert_eq!(before[2], "", "it was released");
    for ordinal in MEMBERS {
        let reads = async || web.metric(ordinal, "lease_reads_total").await;
        let from = until("reads of the Lease", reads).await;
        let more = async || match reads().await? {
            now if now >= from + 5.0 => Ok(()),
            now => Err(format!("{now} after {from}")),
        };
        until("more reads of the Lease", more).await;
        assert_eq!(web.metric(ordinal, "lease_writes_total").await, Ok(0.0));
        assert_eq!(web.json(ordinal, "/leader").await.unwrap()["self"], false);
        let records = web.verified(ordinal).await;
        assert!(
            records.iter().all(|record| record.chain == chain),
            "a record of another set"
        );
        assert!(records.len() <= stopped, "{} drew", web.member(ordinal));
    }
    assert_eq!(kept(&first).await, before);

    web.apply(&web.plan).await;
    web.until_ready(3).await;
    web.until_undegraded(&MEMBERS).await;
    assert_eq!(web.check_chain(&MEMBERS).await[0].chain, chain);
}
