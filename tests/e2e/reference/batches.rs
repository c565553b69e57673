//! What is a batch: Jobs, a CronJob, a DaemonSet, an init container.

use serde_json::Value;

use super::{apply, delete, exec, json, object, pods_of, printed, until_met, until_ready, whole_lines};
use crate::client::shell_pod;
use crate::cluster::until;
use crate::set::Set;

pub async fn each_kind_that_is_a_batch_writes_whole_lines(set: Set) {
    apply(&set, "batches.yaml").await;
    for job in ["shared", "numbers", "on-the-node"] {
        until_met(&set, &format!("job/{job}"), "condition=Complete").await;
    }
    assert_eq!(shared_lines(&set).await, 30_000);
    assert!(lines_on_the_node(&set).await >= 10_000);

    until_ready(&set, "prepared").await;
    json(&set, "prepared", "/").await;
    let said = exec(
        &set,
        "prepared",
        "random-generator",
        &["wget", "-q", "-O-", "http://localhost:8080/logs"],
    )
    .await;
    // Those of the init container, and at least one of the service's own.
    assert!(whole_lines(&said.expect_ok().out) > 50);

    let pods = until("a Pod on a node", async || match pods_of(&set, "refresher").await {
        pods if pods.is_empty() => Err("none"),
        pods => Ok(pods),
    })
    .await;
    for pod in &pods {
        until_ready(&set, pod).await;
        let output = set.output(pod, "random-generator").await;
        until(&format!("two rounds of {pod}"), async || match output.text() {
            text if text.matches("Finished after").count() >= 2 => Ok(()),
            text => Err(text),
        })
        .await;
    }
    let daemons = object(&set, "pods?labelSelector=app=refresher").await;
    let restarted = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] != 0;
    assert!(!daemons["items"].as_array().unwrap().iter().any(restarted));

    periodic(&set).await;
}

/// The Job that a CronJob makes, without waiting for its minute. It is made anew until its log is still there to be read.
async fn periodic(set: &Set) {
    let log = until("the log of a periodic Job", async || {
        set.kubectl(&["create", "job", "periodic-now", "--from=cronjob/periodic"])
            .await
            .expect_ok();
        until_met(set, "job/periodic-now", "condition=Complete").await;
        let log = printed(set, "job/periodic-now").await;
        delete(set, "job/periodic-now").await;
        log
    })
    .await;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "Starting to create 5 random numbers");
    assert!(lines[6].starts_with("Finished after "), "{log}");
    assert_eq!(whole_lines(&lines[1..6].join("\n")), 5);
    assert!(lines[1].ends_with(",-1170105035"), "{log}");
}

/// Of the directory that only root may write, and leaves none of them behind.
async fn lines_on_the_node(set: &Set) -> usize {
    let pods = object(set, "pods?labelSelector=app=on-the-node").await;
    let mut pod = shell_pod(set, "node-looker", "sleep 600");
    pod["spec"]["securityContext"] = serde_json::json!({"runAsUser": 0});
    pod["spec"]["nodeName"] = pods["items"][0]["spec"]["nodeName"].clone();
    pod["spec"]["volumes"] = serde_json::json!([{"name": "logs", "hostPath": {"path": "/tmp/random-generator-logs"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = serde_json::json!([{"name": "logs", "mountPath": "/logs"}]);
    set.cluster.create(&set.path("pods"), &pod).await.unwrap();
    until_ready(set, "node-looker").await;
    let lines = exec(
        set,
        "node-looker",
        "client",
        &["sh", "-c", "cat /logs/random.log && rm /logs/random.log"],
    )
    .await;
    whole_lines(&lines.expect_ok().out)
}

/// Of the claim that the three processes shared, as another Pod finds it.
async fn shared_lines(set: &Set) -> usize {
    let mut pod = shell_pod(set, "looker", "sleep 600");
    pod["spec"]["volumes"] = serde_json::json!([{"name": "logs", "persistentVolumeClaim": {"claimName": "shared"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = serde_json::json!([{"name": "logs", "mountPath": "/logs"}]);
    set.cluster.create(&set.path("pods"), &pod).await.unwrap();
    until_ready(set, "looker").await;
    let lines = exec(set, "looker", "client", &["cat", "/logs/random.log"]).await;
    whole_lines(&lines.expect_ok().out)
}
