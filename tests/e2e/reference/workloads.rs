//! What serves: a Deployment, a ReplicaSet, a StatefulSet; and an update under load.

use std::collections::BTreeSet;

use super::{apply, exec, json, object, pods_of, until_met, whole_lines};
use crate::client::Client;
use crate::set::Set;

pub async fn each_kind_that_serves_becomes_ready(set: Set) {
    apply(&set, "workloads.yaml").await;
    until_rolled_out(&set, "deployment/random-generator").await;
    until_met(&set, "replicaset/replicas", "jsonpath={.status.readyReplicas}=2").await;
    until_rolled_out(&set, "statefulset/stateful").await;
    for (app, replicas) in [("random-generator", 3), ("replicas", 2), ("stateful", 2)] {
        let mut ids = BTreeSet::new();
        for pod in pods_of(&set, app).await {
            ids.insert(json(&set, &pod, "/").await["id"].to_string());
            let log = set.kubectl(&["logs", &pod]).await.expect_ok().out;
            assert!(!log.contains("\"ERROR\"") && !log.contains("\"WARN\""), "{pod}: {log}");
        }
        assert_eq!(ids.len(), replicas, "{app}");
    }
    // The log is the ordinal's, and stays when its Pod goes.
    let lines = async || {
        let said = exec(&set, "stateful-0", "random-generator", &["cat", "/logs/random.log"])
            .await
            .expect_ok();
        whole_lines(&said.out)
    };
    let before = lines().await;
    assert!(before > 0);
    set.kubectl(&["delete", "pod", "stateful-0"]).await.expect_ok();
    until_rolled_out(&set, "statefulset/stateful").await;
    json(&set, "stateful-0", "/").await;
    // At least: a question may be asked again when its answer is lost.
    assert!(lines().await > before);
}

pub async fn an_update_from_one_version_to_the_next_fails_no_request(set: Set) {
    apply(&set, "workloads.yaml").await;
    until_rolled_out(&set, "deployment/random-generator").await;
    let service = object(&set, "services/random-generator").await;
    let url = format!("http://{}:8080/", service["spec"]["clusterIP"].as_str().unwrap());
    let load = Client::load(&set, "load", &[url]).await;
    let image = "random-generator=k8spatterns/random-generator:2.0";
    set.kubectl(&["set", "image", "deployment/random-generator", image])
        .await
        .expect_ok();
    until_rolled_out(&set, "deployment/random-generator").await;
    let requests = load.stop_without_failure().await;
    println!("        {requests} requests during the update");
    let mut updated = 0;
    for pod in pods_of(&set, "random-generator").await {
        let spec = object(&set, &format!("pods/{pod}")).await;
        // One of the old ones may still be going.
        if spec.pointer("/metadata/deletionTimestamp").is_none() {
            assert_eq!(json(&set, &pod, "/").await["version"], "2.0", "{pod}");
            updated += 1;
        }
    }
    assert_eq!(updated, 3);
}

async fn until_rolled_out(set: &Set, workload: &str) {
    set.kubectl(&["rollout", "status", workload, "--timeout=110s"])
        .await
        .expect_ok();
}
