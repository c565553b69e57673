//! What a set costs the API server, counted there.

use std::time::Duration;

use axum::http::Request;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::{every, until};
use crate::group::{Group, Start};
use crate::plan::Plan;
use crate::set::Set;
use crate::steps;

pub fn group() -> Group {
    Group {
        name: "traffic",
        // With the manifests' own lease times and schedule.
        plan: Plan::of("base"),
        start: Start::Drawing(3),
        steps: steps![a_set_of_n_makes_under_1_plus_a_tenth_of_n_minus_1_requests_a_second_as_the_api_server_counts],
    }
}

const MEMBERS: f64 = 3.0;
const MEASURED: Duration = Duration::from_secs(75);

/// Requests that the API server dispatched for a FlowSchema since it started.
async fn dispatched(set: &Set) -> Result<f64, String> {
    let (status, text) = set.asked(Request::get("/metrics").body(Vec::new()).unwrap()).await?;
    if !status.is_success() {
        return Err(format!("/metrics of the API server: {status}"));
    }
    let label = format!("flow_schema=\"{}\"", set.namespace);
    let counts = text
        .lines()
        .filter(|line| line.starts_with("apiserver_flowcontrol_dispatched_requests_total{") && line.contains(&label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum())
}

async fn a_set_of_n_makes_under_1_plus_a_tenth_of_n_minus_1_requests_a_second_as_the_api_server_counts(set: Set) {
    let schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let undo = set.mend_later(&[
        &set.cluster.given.kubectl,
        "delete",
        "flowschema",
        &set.namespace,
        "--ignore-not-found",
    ]);
    let anything =
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": set.namespace},
        "spec": {
            "priorityLevelConfiguration": {"name": "workload-low"},
            "matchingPrecedence": 500,
            "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": "random-generator", "namespace": set.namespace}}],
                "resourceRules": [anything],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }],
        },
    });
    set.cluster.create(schemas, &schema).await.unwrap();
    set.holder().await;
    let counts = async || {
        match dispatched(&set).await? {
            0.0 => Err("none is counted"),
            _ => Ok(()),
        }
        .map_err(str::to_owned)
    };
    until("a request that is counted", counts).await;

    let before = dispatched(&set).await.unwrap();
    let began = Instant::now();
    let over = async || (began.elapsed() >= MEASURED).then_some(()).ok_or("not yet");
    every(Duration::from_secs(1), MEASURED * 2, "the end of the measurement", over).await;
    let after = dispatched(&set).await.unwrap();
    let rate = (after - before) / began.elapsed().as_secs_f64();
    let bound = 1.0 + 0.1 * (MEMBERS - 1.0);
    println!(
        "        three members with default times: {rate:.2} requests a second in {:.0?}, of {bound:.1}",
        began.elapsed()
    );
    // The holder renews every 2 s: fewer than that, and they were not counted.
    assert!(rate > 0.4 && rate < bound, "{rate}");
    set.cluster.mend(undo).await;
}
