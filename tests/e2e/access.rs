//! What the API server lets the members do, what it warns of, and what applying the manifests again changes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::shell_pod;
use crate::cluster::until;
use crate::set::Set;

pub async fn no_pod_security_warning_comes_where_restricted_is_warned_of_and_a_privileged_control_gets_one(set: Set) {
    assert!(
        !set.applied.err.to_lowercase().contains("warning"),
        "{}",
        set.applied.err
    );
    let again = set.apply(&set.plan).await;
    assert!(!again.err.to_lowercase().contains("warning"), "{}", again.err);

    let mut control = shell_pod(&set, "control", "true");
    control["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let file = set.folder.join("control.json");
    std::fs::write(&file, control.to_string()).unwrap();
    let warned = set
        .kubectl(&["apply", "--dry-run=server", "--filename", file.to_str().unwrap()])
        .await
        .expect_ok();
    assert!(
        warned.err.contains("would violate PodSecurity") && warned.err.contains("privileged"),
        "{}",
        warned.err
    );
}

pub async fn applying_twice_leaves_the_leases_record_untouched(set: Set) {
    let stands = async || {
        let lease = set.lease().await?;
        let record = lease
            .pointer("/metadata/annotations/random-generator~1record")
            .and_then(Value::as_str);
        let record: Value = serde_json::from_str(record.ok_or("no record")?).map_err(|error| error.to_string())?;
        Ok::<_, String>((lease, record))
    };
    let (before, record) = until("a record in the Lease", stands).await;
    let said = set.apply(&set.plan).await;
    assert!(
        said.out
            .contains("lease.coordination.k8s.io/random-generator unchanged"),
        "{}",
        said.out
    );
    let (after, next) = until("a record in the Lease", stands).await;
    for kept in [
        "/metadata/uid",
        "/metadata/annotations/random-generator~1fence",
        "/spec/holderIdentity",
        "/spec/acquireTime",
    ] {
        assert_eq!(before.pointer(kept), after.pointer(kept), "{kept}");
    }
    assert_eq!(record["chain"], next["chain"]);
    assert!(
        next["round"].as_u64() >= record["round"].as_u64(),
        "{} after {}",
        next["round"],
        record["round"]
    );
    set.check_chain(&[0, 1, 2]).await;
}

/// What each of these may be asked for, as `kubectl auth can-i` does it.
const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// Group and plural of everything in the cluster's API.
async fn resources(set: &Set) -> BTreeSet<(String, String)> {
    let said = set
        .kubectl(&["api-resources", "--no-headers", "--output", "name"])
        .await
        .expect_ok();
    let names = said
        .out
        .lines()
        .map(|line| line.trim().split_once('.').unwrap_or((line.trim(), "")));
    let mut found: BTreeSet<_> = names
        .map(|(plural, group)| (group.to_owned(), plural.to_owned()))
        .collect();
    for part in [
        "pods/exec",
        "pods/log",
        "pods/proxy",
        "serviceaccounts/token",
        "pods/eviction",
        "nodes/proxy",
    ] {
        found.insert((String::new(), part.to_owned()));
    }
    found
}

/// What an account may do, as `group/plural verb name`.
async fn allowed(set: &Set, account: &str, all: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let user = format!("system:serviceaccount:{}:{account}", set.namespace);
    let groups = json!([
        "system:serviceaccounts",
        format!("system:serviceaccounts:{}", set.namespace),
        "system:authenticated"
    ]);
    for (group, plural) in all {
        let (resource, part) = plural.split_once('/').unwrap_or((plural, ""));
        for verb in VERBS {
            for (namespace, name) in [
                (&*set.namespace, "random-generator"),
                (&*set.namespace, "other"),
                (&*set.namespace, ""),
                ("default", "random-generator"),
                ("", ""),
            ] {
                let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
                    "user": user, "groups": groups,
                    "resourceAttributes": {
                        "group": group, "resource": resource, "subresource": part, "verb": verb, "namespace": namespace, "name": name,
                    },
                }});
                let answer = set
                    .cluster
                    .create("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review)
                    .await
                    .unwrap();
                if answer["status"]["allowed"] == true {
                    found.insert(format!("{verb} {group}/{plural} {namespace}/{name}"));
                }
            }
        }
    }
    found
}

pub async fn auth_can_i_denies_all_but_the_one_lease(set: Set) {
    let all = resources(&set).await;
    assert!(all.len() > 40, "{all:?}");
    // An account without a role, which every account's rights are those of.
    let anyone = allowed(&set, "default", &all).await;
    let member = allowed(&set, "random-generator", &all).await;
    let more: BTreeSet<&String> = member.difference(&anyone).collect();
    let lease = format!("coordination.k8s.io/leases {}/random-generator", set.namespace);
    let expected: BTreeSet<String> = ["get", "update", "watch"]
        .iter()
        .map(|verb| format!("{verb} {lease}"))
        .collect();
    assert_eq!(more, expected.iter().collect());

    // And in the words of kubectl.
    let account = format!("--as=system:serviceaccount:{}:random-generator", set.namespace);
    for (verb, resource, may) in [
        ("get", "leases/random-generator", true),
        ("update", "leases/random-generator", true),
        ("watch", "leases/random-generator", true),
        ("patch", "leases/random-generator", false),
        ("delete", "leases/random-generator", false),
        ("list", "leases", false),
        ("create", "leases", false),
        ("get", "leases/other", false),
        ("get", "secrets", false),
        ("list", "pods", false),
    ] {
        let said = set.kubectl(&["auth", "can-i", verb, resource, &account]).await;
        assert_eq!(
            said.out.trim(),
            if may { "yes" } else { "no" },
            "{verb} {resource}: {}",
            said.err
        );
    }
}
