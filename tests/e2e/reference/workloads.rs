//! What serves: a Deployment, a ReplicaSet, a StatefulSet; and an update under load.

use std::collections::BTreeSet;

use super::{apply, delete, exec, json, object, pods_of, printed, until_met, whole_lines};
use crate::client::Client;
use crate::cluster::until;
use crate::set::Set;

pub async fn each_kind_that_serves_becomes_ready(set: Set) {
    apply(&set, "workloads.yaml").await;
    until_rolled_out(&set, "deployment/random-generator").await;
    until_met(&set, "replicaset/replicas", "jsonpath={.status.readyReplicas}=2").await;
    until_rolled_out(&set, "statefulset/stateful").await;
    for (app, replicas) in [("random-generator", 3), ("replicas", 2), ("stateful", 2)] {
        until(&format!("{replicas} Pods of {app}, with their logs"), async || {
            let mut ids = BTreeSet::new();
            for pod in pods_of(&set, app).await {
                ids.insert(json(&set, &pod, "/").await["id"].to_string());
                let Ok(log) = printed(&set, &pod).await else {
                    // The one in its place will have its log.
                    delete(&set, &format!("pod/{pod}")).await;
                    return Err(format!("{pod} has lost its log"));
                };
                assert!(!log.contains("\"ERROR\"") && !log.contains("\"WARN\""), "{pod}: {log}");
            }
            match ids.len() == replicas {
                true => Ok(()),
                false => Err(format!("{ids:?}")),
            }
        })
        .await;
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
    delete(&set, "pod/stateful-0").await;
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
    let updated = pods_of(&set, "random-generator").await;
    for pod in &updated {
        assert_eq!(json(&set, pod, "/").await["version"], "2.0", "{pod}");
    }
    assert_eq!(updated.len(), 3);
}

async fn until_rolled_out(set: &Set, workload: &str) {
    set.kubectl(&["rollout", "status", workload, "--timeout=110s"])
        .await
        .expect_ok();
}
