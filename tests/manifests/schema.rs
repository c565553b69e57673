//! Manifests against the API's own types: a field that is misspelt or in the wrong place is lost when it is read.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Manifests, text};

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error} in {object:#}"));
    serde_json::to_value(typed).unwrap()
}

/// The object, read as its kind and written again.
fn known(object: &Value) -> Value {
    match object["kind"].as_str().unwrap() {
        "ConfigMap" => through::<ConfigMap>(object),
        "Deployment" => through::<Deployment>(object),
        "Lease" => through::<Lease>(object),
        "NetworkPolicy" => through::<NetworkPolicy>(object),
        "PersistentVolumeClaim" => through::<PersistentVolumeClaim>(object),
        "Pod" => through::<Pod>(object),
        "PodDisruptionBudget" => through::<PodDisruptionBudget>(object),
        "ReplicaSet" => through::<ReplicaSet>(object),
        "Role" => through::<Role>(object),
        "RoleBinding" => through::<RoleBinding>(object),
        "Service" => through::<Service>(object),
        "ServiceAccount" => through::<ServiceAccount>(object),
        "StatefulSet" => through::<StatefulSet>(object),
        // The Prometheus Operator's. No crate has their types; tests/operator has promtool read the rules.
        "PodMonitor" | "PrometheusRule" => object.clone(),
        kind => panic!("{kind} is not a kind that these manifests should need"),
    }
}

/// Where the two differ.
pub fn differences(known: &Value, written: &Value, at: &str) -> Vec<String> {
    match (known, written) {
        (Value::Object(left), Value::Object(right)) => {
            let names: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            let null = Value::Null;
            let pair = |name: &String| (left.get(name).unwrap_or(&null), right.get(name).unwrap_or(&null));
            let all = names.into_iter().map(|name| (pair(name), format!("{at}/{name}")));
            all.flat_map(|((left, right), at)| differences(left, right, &at))
                .collect()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let all = left.iter().zip(right).enumerate();
            all.flat_map(|(n, (left, right))| differences(left, right, &format!("{at}/{n}")))
                .collect()
        }
        _ if known == written => Vec::new(),
        _ => vec![format!(
            "{at}: {written} is written, and {known} is what the API makes of it"
        )],
    }
}

pub fn check(manifests: &Manifests) {
    for ((kind, name), object) in &manifests.0 {
        assert_eq!(
            differences(&known(object), object, ""),
            Vec::<String>::new(),
            "{kind} {name}"
        );
    }
}

#[test]
fn the_api_knows_every_field_that_is_written() {
    check(&Manifests::base());
    for file in [
        "k8s/overlays/stateless/stateless.yaml",
        "k8s/overlays/singleton-deployment/singleton.yaml",
    ] {
        check(&Manifests::of(&text(file)));
    }
}
