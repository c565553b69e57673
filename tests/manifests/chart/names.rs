//! What depends on the release's name, and what an upgrade must not change.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Helm, cases, helms, values_file};
use crate::base::collect;
use crate::{Manifests, at, configuration, schema, variables};

/// All that selects Pods, and everything of a StatefulSet that can't be changed.
fn fixed(manifests: &Manifests) -> Value {
    let set = manifests.workload();
    let mut selectors: Vec<&Value> = Vec::new();
    manifests.0.values().for_each(|object| collect(object, &mut selectors));
    let label = at(set, "/spec/selector/matchLabels");
    assert!(selectors.iter().all(|selector| *selector == label), "{selectors:#?}");
    json!([
        label,
        at(set, "/metadata/name"),
        at(set, "/spec/serviceName"),
        at(set, "/spec/volumeClaimTemplates")
    ])
}

#[test]
fn what_a_set_can_not_change_depends_on_the_release_and_on_the_volumes_alone() {
    let changes = json!({
        "image": {"tag": "0.2.0"}, "replicas": 5, "voters": {"start": 1}, "update": {"partition": 1},
        "draw": {"schedule": "@hourly"}, "labels": {"team": "a"}, "annotations": {"a": "b"}, "resources": {"limits": {"memory": "1Gi"}},
        "pod": {"labels": {"team": "b"}, "annotations": {"a": "b"}}, "peerSecret": {"name": "secret"}, "ipFamilies": ["IPv6"],
        "service": {"port": 8080}, "serviceAccount": {"name": "mine"}, "disruption": {"maxUnavailable": 2},
        "monitoring": {"podMonitor": {"enabled": true, "labels": {"release": "a"}}, "dashboard": {"enabled": true}},
    });
    for helm in helms() {
        let (before, after) = (helm.with(&json!({})), helm.with(&changes));
        assert_eq!(fixed(&before), fixed(&after));
        let policy = |manifests: &Manifests| at(manifests.workload(), "/spec/podManagementPolicy").clone();
        assert_eq!(policy(&before), policy(&after));
        for case in cases().iter().filter(|case| *case != "once") {
            let file = values_file(case);
            let other = helm.rendered("random-generator", &["--values", file.to_str().unwrap()]);
            assert_eq!(fixed(&before), fixed(&other), "{case}");
        }
    }
}

fn release(helm: &Helm, name: &str) -> Manifests {
    let monitoring = values_file("monitoring");
    let manifests = helm.rendered(name, &["--values", monitoring.to_str().unwrap()]);
    schema::check(&manifests);
    manifests
}

#[test]
fn releases_in_one_namespace_share_nothing_whatever_their_names() {
    let long = "a".repeat(53);
    let as_long = format!("{}b", "a".repeat(52));
    let names = [
        "random-generator",
        "web",
        "web-random-generator",
        "random",
        "rg",
        "1st",
        "a.b",
        "a-b",
        &long,
        &as_long,
    ];
    for helm in helms() {
        let mut taken = BTreeSet::new();
        let mut labels = BTreeSet::new();
        for name in names {
            let manifests = release(&helm, name);
            for object in manifests.0.keys() {
                assert!(taken.insert(object.clone()), "{object:?} of {name} is another's too");
            }
            assert!(
                labels.insert(fixed(&manifests)[0].to_string()),
                "{name} selects another's Pods"
            );
            let variables = variables(manifests.workload());
            manifests.get("Lease", &variables["RANDOM_GENERATOR_LEASE_NAME"]);
            manifests.get("Service", &variables["RANDOM_GENERATOR_GOVERNING_SERVICE"]);
        }
    }
}

#[test]
fn names_stay_within_the_limits_of_kubernetes_and_of_the_member_however_long_the_releases() {
    for helm in helms() {
        for name in [39, 40, 52, 53].map(|length| "long-".repeat(11)[..length].trim_end_matches('-').to_owned()) {
            let manifests = release(&helm, &name);
            let set = manifests.workload();
            configuration(set);
            let member = format!("{}-1023", at(set, "/metadata/name").as_str().unwrap());
            let parsed: random_generator::identity::MemberName = member.parse().unwrap();
            assert_eq!(parsed.ordinal, Some(1023), "{member}");
            for (kind, name) in manifests.0.keys() {
                let most = if kind == "ConfigMap" { 253 } else { 63 };
                let first = name.starts_with(|c: char| c.is_ascii_lowercase());
                assert!(name.len() <= most && first && !name.contains("--"), "{kind} {name}");
            }
            for value in fixed(&manifests)[0].as_object().unwrap().values() {
                assert!(value.as_str().unwrap().len() <= 63, "{value}");
            }
        }
    }
}

#[test]
fn a_chart_that_includes_it_twice_has_two_sets() {
    for helm in helms() {
        let folder = tempfile::tempdir().unwrap();
        let charts = folder.path().join("charts");
        let packed = helm.run(&["package", "k8s/chart", "--destination", charts.to_str().unwrap()]);
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let of =
            |alias: &str| json!({"name": "random-generator", "version": env!("CARGO_PKG_VERSION"), "alias": alias});
        let chart = json!({"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [of("dice"), of("Cards_2")]});
        std::fs::write(folder.path().join("Chart.yaml"), chart.to_string()).unwrap();
        let values = json!({"dice": {"replicas": 5}, "global": {"of": "all"}});
        std::fs::write(folder.path().join("values.yaml"), values.to_string()).unwrap();
        let output = helm.run(&["template", "web", folder.path().to_str().unwrap(), "--skip-tests"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let manifests = Manifests::of(&text);
        let count = text.matches("\nkind: ").count();
        assert_eq!(manifests.0.len(), count, "two objects of one name");
        assert_eq!(
            at(manifests.get("StatefulSet", "web-dice-rg"), "/spec/replicas"),
            &json!(5)
        );
        schema::check(&manifests);
    }
}

#[test]
fn monitors_in_another_namespace_find_the_set_and_meet_no_other_sets() {
    let part = json!({"enabled": true, "namespace": "monitoring", "labels": {"release": "prometheus"}});
    let monitoring = json!({"podMonitor": part, "rules": part, "dashboard": part});
    // As for all objects, which the monitors' own come before.
    let values = json!({"monitoring": monitoring, "labels": {"release": "other"}});
    for helm in helms() {
        let (_folder, file) = super::file_of(&values);
        let mut taken = BTreeSet::new();
        for namespace in ["a", "123", "monitoring"] {
            let arguments = ["--values", file.to_str().unwrap(), "--namespace", namespace];
            let manifests = helm.rendered("random-generator", &arguments);
            let elsewhere = namespace != "monitoring";
            let prefix = if elsewhere {
                format!("{namespace}-")
            } else {
                String::new()
            };
            for (kind, name) in [
                ("PodMonitor", "random-generator"),
                ("PrometheusRule", "random-generator"),
                ("ConfigMap", "random-generator-dashboard"),
            ] {
                let object = manifests.get(kind, &format!("{prefix}{name}"));
                let there = object.pointer("/metadata/namespace");
                assert_eq!(there, elsewhere.then_some(&json!("monitoring")));
                assert_eq!(at(object, "/metadata/labels/release"), "prometheus");
                assert!(taken.insert(format!("{kind} {prefix}{name}")), "{kind} of {namespace}");
            }
            let monitor = manifests.get("PodMonitor", &format!("{prefix}random-generator"));
            let names = json!([namespace]);
            let selected = monitor.pointer("/spec/namespaceSelector/matchNames");
            assert_eq!(selected, elsewhere.then_some(&names));
            assert_eq!(at(manifests.workload(), "/metadata/labels/release"), "other");
        }
    }
}
