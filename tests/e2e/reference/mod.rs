//! Reference mode under the names of the reference image: k8s/reference, each kind of workload, as manifests have it. The nodes need
//! `k8spatterns/random-generator:1.0` and `:2.0` (`make reference-images`).

mod batches;
mod pods;
mod workloads;

use axum::http::{Request, StatusCode};
use serde_json::Value;

use crate::cluster::{Said, until};
use crate::group::{Group, Start};
use crate::plan::{Plan, root};
use crate::set::Set;
use crate::steps;

/// Side by side, each in a namespace of its own.
pub fn groups() -> Vec<Group> {
    let group = |name, steps| Group {
        name,
        plan: Plan::nothing(),
        start: Start::Empty,
        steps,
    };
    vec![
        group(
            "ref-pods",
            steps![
                pods::a_pod_is_ready_by_its_file_and_started_again_when_it_says_down,
                pods::hooks_are_waited_for_and_none_fails,
                pods::a_pod_that_eats_its_memory_is_killed_by_the_kernel,
                pods::sidecars_read_each_line_and_receive_each_number,
                pods::configuration_arrives_by_every_way,
                pods::confined_pods_run,
            ],
        ),
        group(
            "ref-workloads",
            steps![
                workloads::each_kind_that_serves_becomes_ready,
                workloads::an_update_from_one_version_to_the_next_fails_no_request,
            ],
        ),
        group(
            "ref-batches",
            steps![batches::each_kind_that_is_a_batch_writes_whole_lines],
        ),
    ]
}

async fn apply(set: &Set, file: &str) {
    let path = root().join("k8s/reference").join(file);
    set.kubectl(&["apply", "--filename", path.to_str().unwrap()])
        .await
        .expect_ok();
}

/// Waits until an object, as kubectl names it, meets a condition.
async fn until_met(set: &Set, object: &str, condition: &str) {
    let flag = format!("--for={condition}");
    until(&format!("{condition} of {object}"), async || {
        let said = set.kubectl(&["wait", object, &flag, "--timeout=20s"]).await;
        if said.ok { Ok(()) } else { Err(said.err) }
    })
    .await;
}

async fn until_ready(set: &Set, pod: &str) {
    until_met(set, &format!("pod/{pod}"), "condition=Ready").await;
}

/// What a Pod answers on its port 8080, whatever the status.
async fn answer(set: &Set, pod: &str, path: &str) -> Result<(StatusCode, String), String> {
    let path = set.path(&format!("pods/{pod}:8080/proxy{path}"));
    set.asked(Request::get(path).body(Vec::new()).unwrap()).await
}

async fn json(set: &Set, pod: &str, path: &str) -> Value {
    until(&format!("{path} of {pod}"), async || {
        match answer(set, pod, path).await? {
            (StatusCode::OK, body) => serde_json::from_str(&body).map_err(|error| format!("{error}: {body}")),
            (status, body) => Err(format!("{status}: {body}")),
        }
    })
    .await
}

async fn exec(set: &Set, pod: &str, container: &str, command: &[&str]) -> Said {
    set.kubectl(&[&["exec", pod, "--container", container, "--"], command].concat())
        .await
}

/// What an object's container has printed, if the node still has it; see [`crate::logs`].
async fn printed(set: &Set, object: &str) -> Result<String, String> {
    let said = set.kubectl(&["logs", object]).await;
    // kubectl passes the kubelet's excuse on as if it were the log.
    match said.ok && !said.out.starts_with("unable to retrieve container logs") && !said.out.starts_with("failed to ") {
        true => Ok(said.out),
        false => Err(said.out + &said.err),
    }
}

async fn delete(set: &Set, object: &str) {
    set.kubectl(&["delete", object, "--wait=true"]).await.expect_ok();
}

async fn object(set: &Set, resource: &str) -> Value {
    set.cluster.get(&set.path(resource)).await.unwrap()
}

/// Names of the Pods with a label `app`, without those that are being deleted.
async fn pods_of(set: &Set, app: &str) -> Vec<String> {
    let list = object(set, &format!("pods?labelSelector=app={app}")).await;
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    let pods = list["items"].as_array().unwrap().iter();
    pods.filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none())
        .map(name)
        .collect()
}

/// How many lines there are; each must be whole.
#[track_caller]
fn whole_lines(text: &str) -> usize {
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let whole = fields.len() == 4
            && fields[0].len() == "00:00:00.000".len()
            && fields[1].len() == 36
            && fields[2].parse::<u64>().is_ok()
            && fields[3].parse::<i32>().is_ok();
        assert!(whole, "{line:?}");
    }
    text.lines().count()
}
