//! Single Pods: probes, hooks, memory, sidecars, configuration, and what they may be kept from.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{answer, apply, delete, exec, json, object, printed, until_met, until_ready, whole_lines};
use crate::cluster::until;
use crate::set::Set;

fn restarts(pod: &Value) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"]
        .as_u64()
        .unwrap_or(0)
}

pub async fn a_pod_is_ready_by_its_file_and_started_again_when_it_says_down(set: Set) {
    apply(&set, "pods.yaml").await;
    until_ready(&set, "probed").await;
    let id = json(&set, "probed", "/").await["id"].clone();
    assert_eq!(
        answer(&set, "probed", "/toggle-ready").await.unwrap(),
        (StatusCode::OK, String::new())
    );
    until_met(&set, "pod/probed", "condition=Ready=false").await;
    answer(&set, "probed", "/toggle-ready").await.unwrap();
    until_ready(&set, "probed").await;
    answer(&set, "probed", "/toggle-live").await.unwrap();
    until("another process", async || {
        match restarts(&object(&set, "pods/probed").await) {
            0 => Err("not started again"),
            _ => Ok(()),
        }
    })
    .await;
    until_ready(&set, "probed").await;
    assert_ne!(json(&set, "probed", "/").await["id"], id);
}

pub async fn hooks_are_waited_for_and_none_fails(set: Set) {
    let log = printed_by_a_new(&set, "hooked", "pods.yaml").await;
    assert!(log.contains("woken up"), "{log}");
    delete(&set, "pod/hooked").await;
    let events = set
        .kubectl(&["get", "events", "--field-selector", "involvedObject.name=hooked"])
        .await
        .expect_ok();
    assert!(
        !events.out.contains("FailedPreStopHook") && !events.out.contains("FailedPostStartHook"),
        "{}",
        events.out
    );
}

pub async fn a_pod_that_eats_its_memory_is_killed_by_the_kernel(set: Set) {
    apply(&set, "pods.yaml").await;
    until_ready(&set, "eater").await;
    assert_eq!(json(&set, "eater", "/info").await["memory.max"], 96);
    // It ends before it can answer.
    let _ = answer(&set, "eater", "/memory-eater?mb=1000000").await;
    until("OOMKilled", async || {
        let pod = object(&set, "pods/eater").await;
        match pod.pointer("/status/containerStatuses/0/state/terminated/reason") {
            Some(reason) if reason == "OOMKilled" => Ok(()),
            _ => Err(pod["status"].to_string()),
        }
    })
    .await;
}

pub async fn sidecars_read_each_line_and_receive_each_number(set: Set) {
    apply(&set, "pods.yaml").await;
    until_ready(&set, "logged").await;
    // The sink is another container, and may begin later: what it misses is counted.
    until("the sink", async || {
        let said = exec(
            &set,
            "logged",
            "sink",
            &["wget", "-q", "-O-", "http://localhost:9009/actuator/health/ping"],
        )
        .await;
        if said.ok { Ok(()) } else { Err(said.err) }
    })
    .await;
    let reader = set.output("logged", "reader").await;
    for _ in 0..20 {
        json(&set, "logged", "/").await;
    }
    let lines = exec(&set, "logged", "random-generator", &["cat", "/tmp/logs/random.log"])
        .await
        .expect_ok()
        .out;
    assert_eq!(whole_lines(&lines), 20);
    let last = lines.lines().last().unwrap().to_owned();
    until("the reader", async || match reader.text() {
        text if text.contains(&last) => Ok(()),
        text => Err(text),
    })
    .await;
    until("the sink's 20 numbers", async || {
        let posts = exec(&set, "logged", "sink", &["cat", "/tmp/posts"]).await;
        match whole_lines(&posts.out) {
            20 => Ok(()),
            count => Err(format!("{count}: {}", posts.err)),
        }
    })
    .await;
    assert_eq!(json(&set, "logged", "/info").await.get("logUrl.lost"), None);
}

pub async fn configuration_arrives_by_every_way(set: Set) {
    let secret = ["create", "secret", "generic", "seed", "--from-literal", "seed=42"];
    set.kubectl(&secret).await.expect_ok();
    apply(&set, "configured.yaml").await;
    until_ready(&set, "configured").await;
    let number = json(&set, "configured", "/").await;
    assert_eq!(number["random"], -1170105035);
    assert_eq!(
        (&number["version"], &number["pattern"]),
        (&json!("7.7"), &json!("Configuration Resource"))
    );
    let (info, pod) = (
        json(&set, "configured", "/info").await,
        object(&set, "pods/configured").await,
    );
    assert_eq!(info["POD_IP"], pod["status"]["podIP"]);
    assert_eq!(info["NODE_NAME"], pod["spec"]["nodeName"]);
    assert_eq!(info["env"]["RANDOM_PATTERN"], "Configuration Resource");
    assert_eq!(info["logFile"], "/tmp/from-properties.log");
    let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    assert!(text("labels").contains("app=\"configured\""), "{info}");
    assert!(text("annotations").contains("told=\"by the downward API\""), "{info}");
    let names = info["env"].as_object().unwrap();
    assert!(
        !names
            .keys()
            .any(|name| name.starts_with("RANDOM_GENERATOR_") || name.contains("SERVICE")),
        "{info}"
    );
}

pub async fn confined_pods_run(set: Set) {
    apply(&set, "confined.yaml").await;
    for (pod, user) in [("read-only", "65532"), ("other-user", "4711"), ("root", "0")] {
        until_ready(&set, pod).await;
        json(&set, pod, "/").await;
        let status = exec(&set, pod, "random-generator", &["cat", "/proc/1/status"])
            .await
            .expect_ok()
            .out;
        let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(user), "{pod}");
    }
    let log = printed_by_a_new(&set, "read-only", "confined.yaml").await;
    assert!(log.contains("the file of readiness can't be written"), "{log}");
}

/// What a Pod of a file prints until it is ready. It is made anew until its log is still there to be read.
async fn printed_by_a_new(set: &Set, pod: &str, file: &str) -> String {
    until(&format!("the log of {pod}"), async || {
        apply(set, file).await;
        until_ready(set, pod).await;
        let log = printed(set, pod).await;
        if log.is_err() {
            delete(set, &format!("pod/{pod}")).await;
        }
        log
    })
    .await
}
