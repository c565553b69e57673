//! What is a batch: Jobs, a CronJob, a DaemonSet, an init container.

use serde_json::Value;

use super::{apply, exec, json, object, pods_of, until_met, until_ready, whole_lines};
use crate::client::shell_pod;
use crate::cluster::until;
use crate::set::Set;

pub async fn each_kind_that_is_a_batch_writes_whole_lines(set: Set) {
    apply(&set, "batches.yaml").await;
    for job in ["shared", "numbers"] {
        until_met(&set, &format!("job/{job}"), "condition=Complete").await;
    }
    assert_eq!(shared_lines(&set).await, 30_000);

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

    until("a second round on each node", async || {
        let pods = pods_of(&set, "refresher").await;
        for pod in &pods {
            let log = set.kubectl(&["logs", pod]).await.out;
            if log.matches("Finished after").count() < 2 {
                return Err(format!("{pod}: {log}"));
            }
        }
        if pods.is_empty() {
            Err("no Pods".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    let daemons = object(&set, "pods?labelSelector=app=refresher").await;
    let restarted = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] != 0;
    assert!(!daemons["items"].as_array().unwrap().iter().any(restarted));

    periodic(&set).await;
}

/// The Job that a CronJob makes, without waiting for its minute.
async fn periodic(set: &Set) {
    set.kubectl(&["create", "job", "periodic-now", "--from=cronjob/periodic"])
        .await
        .expect_ok();
    until_met(set, "job/periodic-now", "condition=Complete").await;
    let log = set.kubectl(&["logs", "job/periodic-now"]).await.expect_ok().out;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "Starting to create 5 random numbers");
    assert!(lines[6].starts_with("Finished after "), "{log}");
    assert_eq!(whole_lines(&lines[1..6].join("\n")), 5);
    assert!(lines[1].ends_with(",-1170105035"), "{log}");
}

/// Of the claim that the three processes shared, as another Pod finds it.
async fn shared_lines(set: &Set) -> usize {
    let mut pod = shell_pod(set, "looker", "cat /logs/random.log");
    pod["spec"]["volumes"] = serde_json::json!([{"name": "logs", "persistentVolumeClaim": {"claimName": "shared"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = serde_json::json!([{"name": "logs", "mountPath": "/logs"}]);
    set.cluster.create(&set.path("pods"), &pod).await.unwrap();
    until_met(set, "pod/looker", "jsonpath={.status.phase}=Succeeded").await;
    let log = set.kubectl(&["logs", "looker"]).await.expect_ok().out;
    whole_lines(&log)
}
