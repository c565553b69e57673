//! How a member learns its name and its peers' from what a manifest says.

use serde_json::{Value, json};

use crate::cluster::until;
use crate::group::{Group, Start};
use crate::plan::Plan;
use crate::set::Set;
use crate::steps;

pub fn group() -> Group {
    Group {
        name: "discovery",
        plan: Plan {
            spec: Some(json!({"replicas": 1})),
            ..Plan::quick("overlays/parallel")
                .with("SHUTDOWN_DELAY", "1s")
                .with("VOTERS", "1")
        },
        start: Start::Drawing(1),
        steps: steps![
            a_pod_of_a_deployment_with_the_same_variables_says_at_its_start_that_it_neither_leads_nor_draws_and_why,
            a_discovery_name_patched_into_the_manifest_works_and_one_with_a_variable_is_refused_with_what_to_write,
        ],
    }
}

/// What the only container of a Pod printed, by its newest Pod with these labels. Another Pod is started where a node has dropped it.
async fn printed(set: &Set, labels: &str, word: &str) -> String {
    let look = async || {
        let pods = set
            .cluster
            .get(&set.path(&format!("pods?labelSelector={labels}")))
            .await?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let pod = pods.last().ok_or("no Pod")?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let said = set.kubectl(&["logs", name]).await;
        if said.out.contains(word) {
            return Ok(said.out);
        }
        let began =
            pod.pointer("/status/containerStatuses/0/state/waiting/reason") != Some(&json!("ContainerCreating"));
        if began && (said.out.is_empty() || said.out.starts_with("unable to retrieve container logs")) {
            set.cluster.delete(&set.path(&format!("pods/{name}"))).await?;
        }
        Err(said.out + &said.err)
    };
    until(&format!("{word:?} in what {labels} printed"), look).await
}

async fn a_pod_of_a_deployment_with_the_same_variables_says_at_its_start_that_it_neither_leads_nor_draws_and_why(
    set: Set,
) {
    let labels = json!({"app": "deployed"});
    let mut template = set.object().await.unwrap()["spec"]["template"].clone();
    template["metadata"] = json!({"labels": labels});
    template["spec"]["volumes"] = json!([{"name": "logs", "emptyDir": {}}]);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "deployed"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    });
    set.cluster.create(&set.path("deployments"), &deployment).await.unwrap();
    let log = printed(&set, "app=deployed", "neither leads nor draws").await;
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: Vec<_> = lines
        .iter()
        .filter_map(|line| line["message"].as_str())
        .filter(|said| said.contains("draws"))
        .collect();
    println!("        {told:?}");
    assert!(told.len() == 1 && told[0].contains("its name has no ordinal"), "{log}");
    set.cluster.delete(&set.path("deployments/deployed")).await.unwrap();
}

async fn a_discovery_name_patched_into_the_manifest_works_and_one_with_a_variable_is_refused_with_what_to_write(
    set: Set,
) {
    let name = |namespace: &str| format!("random-generator.{namespace}.svc.cluster.local");
    set.apply(&set.plan.clone().with("DISCOVERY_NAME", &name(&set.namespace)))
        .await;
    set.until_ready(1).await;
    let found = async || match set.json(0, "/peers").await? {
        says if says["peers"].as_array().map(Vec::len) == Some(1) && says["stale"] == false => Ok(()),
        says => Err(says.to_string()),
    };
    until("its own name among the peers", found).await;

    set.apply(&set.plan.clone().with("DISCOVERY_NAME", &name("$(POD_NAMESPACE)")))
        .await;
    let labels = "app.kubernetes.io/component=member";
    let log = printed(&set, labels, "$(POD_NAMESPACE)").await;
    println!("        {}", log.trim());
    let words = [
        "RANDOM_GENERATOR_DISCOVERY_NAME",
        "a name without $(",
        "--governing-service",
    ];
    assert!(words.iter().all(|word| log.contains(word)), "{log}");

    set.apply(&set.plan).await;
    set.until_observed().await;
    set.delete_pod(0).await;
    set.until_ready(1).await;
    set.check_chain(&[0]).await;
}
