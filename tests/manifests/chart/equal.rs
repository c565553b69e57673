//! The chart renders what the kustomizations do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{cases, helms, values_file};
use crate::overlays::{render, renderer};
use crate::{Manifests, root, schema};

/// Lists whose items have names become maps: there, Kubernetes doesn't care for the order.
fn order_free(value: &Value) -> Value {
    let map = |items: &[Value]| -> Option<BTreeMap<String, Value>> {
        let named = items
            .iter()
            .map(|item| Some((item.get("name")?.as_str()?.to_owned(), order_free(item))));
        let named: Vec<_> = named.collect::<Option<_>>()?;
        let count = named.len();
        let map: BTreeMap<_, _> = named.into_iter().collect();
        (count > 0 && map.len() == count).then_some(map)
    };
    match value {
        Value::Array(items) => match map(items) {
            Some(map) => map.into_iter().collect(),
            None => items.iter().map(order_free).collect(),
        },
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), order_free(value)))
            .collect(),
        other => other.clone(),
    }
}

#[track_caller]
fn assert_same(chart: &Manifests, kustomized: &Manifests, what: &str) {
    let names = |manifests: &Manifests| manifests.0.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(chart), names(kustomized), "{what}");
    for (key, object) in &chart.0 {
        let (left, right) = (order_free(object), order_free(&kustomized.0[key]));
        assert_eq!(
            schema::differences(&right, &left, ""),
            Vec::<String>::new(),
            "{what}: {key:?}"
        );
    }
}

#[test]
fn the_chart_with_its_own_values_is_the_base() {
    let Some(kubectl) = renderer() else { return };
    let base = render(&kubectl, &root().join("k8s/base"));
    for helm in helms() {
        let chart = helm.rendered("random-generator", &[]);
        schema::check(&chart);
        assert_same(&chart, &base, "base");
    }
}

#[test]
fn the_chart_with_the_values_of_each_overlay_is_that_overlay() {
    let Some(kubectl) = renderer() else { return };
    for case in cases() {
        let overlay = render(&kubectl, &root().join("k8s/overlays").join(&case));
        for helm in helms() {
            let file = values_file(&case);
            let chart = helm.rendered("random-generator", &["--values", file.to_str().unwrap()]);
            assert_same(&chart, &overlay, &case);
        }
    }
}

#[test]
fn a_release_of_another_name_is_a_set_of_its_own_as_with_a_name_prefix() {
    let Some(kubectl) = renderer() else { return };
    let second = render(&kubectl, &root().join("k8s/overlays/second"));
    for helm in helms() {
        let file = values_file("kind");
        let chart = helm.rendered("web", &["--values", file.to_str().unwrap()]);
        assert_same(&chart, &second, "second");
    }
}

#[test]
fn every_overlay_of_a_set_has_its_values_file() {
    // These are no set of members: comparisons with other kinds of workloads; and `second` is a release of another name.
    let others = ["second", "singleton-deployment", "stateless"];
    let mut overlays = crate::overlays::OVERLAYS.to_vec();
    overlays.retain(|overlay| !others.contains(overlay));
    assert_eq!(cases(), overlays);
}
