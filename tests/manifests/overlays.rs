//! Each overlay as `kubectl kustomize` renders it. Without a kubectl, that its files are there and can be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use random_generator::config::LeaseStore;
use serde_json::{Value, json};

use super::base::collect;
use super::{Manifests, at, configuration, kubectl, parsed, pod, root, schema, strings, text};

pub const OVERLAYS: [&str; 10] = [
    "canary",
    "kind",
    "monitoring",
    "once",
    "parallel",
    "second",
    "secured",
    "singleton",
    "singleton-deployment",
    "stateless",
];

/// None, and a line that says so, where there is no kubectl.
pub fn renderer() -> Option<PathBuf> {
    let found = kubectl();
    if found.is_none() {
        println!("no kubectl (on the PATH, or as KUBECTL): the overlays are read and not rendered");
    }
    found
}

fn rendered(kubectl: &Path, overlay: &str) -> Manifests {
    render(kubectl, &root().join("k8s/overlays").join(overlay))
}

pub fn render(kubectl: &Path, folder: &Path) -> Manifests {
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{}: {errors}",
        folder.display()
    );
    Manifests::of(std::str::from_utf8(&output.stdout).unwrap())
}

#[test]
fn every_overlay_is_whole() {
    let mut there: Vec<_> = fs::read_dir(root().join("k8s/overlays"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, OVERLAYS);
    for overlay in OVERLAYS {
        let folder = Path::new("k8s/overlays").join(overlay);
        let kustomization = &parsed(&text(folder.join("kustomization.yaml")))[0];
        for resource in strings(kustomization, "/resources") {
            let path = root().join(&folder).join(&resource);
            assert!(
                path.is_file() || path.join("kustomization.yaml").is_file(),
                "{overlay}: {resource}"
            );
        }
        for patch in kustomization["patches"].as_array().unwrap_or(&Vec::new()) {
            parsed(at(patch, "/patch").as_str().unwrap());
        }
    }
}

#[test]
fn every_overlay_renders_to_what_the_api_and_the_member_know() {
    let Some(kubectl) = renderer() else { return };
    for overlay in OVERLAYS {
        let manifests = rendered(&kubectl, overlay);
        schema::check(&manifests);
        configuration(manifests.workload());
        let namespaced = manifests
            .0
            .values()
            .find(|object| object.pointer("/metadata/namespace").is_some());
        assert!(
            namespaced.is_none(),
            "{overlay} goes to the namespace that it is applied to: {namespaced:?}"
        );
        let image = at(manifests.workload(), "/spec/template/spec/containers/0/image");
        assert_eq!(image, "random-generator:dev", "{overlay}");
    }
}

#[test]
fn every_workload_of_the_workshop_has_the_image_that_its_readers_build() {
    let Some(kubectl) = renderer() else { return };
    for exercise in ["set", "parallel", "stateless", "singleton", "one"] {
        let manifests = render(&kubectl, &root().join("workshop").join(exercise));
        schema::check(&manifests);
        let images = manifests
            .0
            .values()
            .filter_map(|object| object.pointer("/spec/template/spec/containers/0/image"));
        let images: Vec<_> = images.collect();
        assert!(!images.is_empty(), "{exercise}");
        assert!(
            images.iter().all(|image| *image == "random-generator:workshop"),
            "{exercise}: {images:?}"
        );
    }
}

#[test]
fn the_operator_scrapes_the_members_of_this_set_and_grafana_finds_the_dashboard() {
    let Some(kubectl) = renderer() else { return };
    let plain = rendered(&kubectl, "monitoring");
    let folder = tempfile::tempdir().unwrap();
    let overlay = root().join("k8s/overlays/monitoring");
    // kustomize refers to folders from where a kustomization is.
    let relative = format!(
        "{}{}",
        "../".repeat(folder.path().components().count() - 1),
        &overlay.to_str().unwrap()[1..]
    );
    let kustomization = format!("resources: ['{relative}']\nnamePrefix: web-\n");
    fs::write(folder.path().join("kustomization.yaml"), kustomization).unwrap();
    for (manifests, prefix) in [(plain, ""), (render(&kubectl, folder.path()), "web-")] {
        let name = format!("{prefix}random-generator");
        let monitor = manifests.get("PodMonitor", &name);
        let pods = at(manifests.workload(), "/spec/template");
        let labels = at(pods, "/metadata/labels").as_object().unwrap();
        let selected = at(monitor, "/spec/selector/matchLabels").as_object().unwrap();
        assert!(
            selected.iter().all(|(label, value)| labels.get(label) == Some(value)),
            "{monitor:#}"
        );
        let port = at(monitor, "/spec/podMetricsEndpoints/0/port");
        let ports = at(pods, "/spec/containers/0/ports").as_array().unwrap();
        assert!(ports.iter().any(|of| of["name"] == *port), "{port}");
        let rules = manifests.get("PrometheusRule", &name);
        assert!(at(rules, "/spec/groups/0/rules").as_array().unwrap().len() >= 5);
        let dashboard = manifests.get("ConfigMap", &format!("{name}-dashboard"));
        assert_eq!(at(dashboard, "/metadata/labels/grafana_dashboard"), "1");
        let content = at(dashboard, "/data/random-generator.json").as_str().unwrap();
        assert!(serde_json::from_str::<Value>(content).unwrap()["panels"].is_array());
    }
}

/// An overlay in a folder of its own that adds these lines to the base.
fn rendered_with(kubectl: &Path, lines: &str) -> Manifests {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    fs::create_dir(&base).unwrap();
    for file in fs::read_dir(root().join("k8s/base")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), base.join(file.file_name())).unwrap();
    }
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    let kustomization = format!("resources: [../base]\n{lines}\n");
    fs::write(overlay.join("kustomization.yaml"), kustomization).unwrap();
    render(kubectl, &overlay)
}

#[test]
fn a_name_prefix_or_suffix_alone_makes_a_second_set_that_shares_nothing_with_the_first() {
    let Some(kubectl) = renderer() else { return };
    let first = rendered_with(&kubectl, "");
    for (lines, set, name) in [
        ("namePrefix: web-", "web-rg", "web-random-generator"),
        ("nameSuffix: -b", "rg-b", "random-generator-b"),
    ] {
        let second = rendered_with(&kubectl, lines);
        schema::check(&second);
        assert!(second.0.keys().all(|object| !first.0.contains_key(object)), "{lines}");
        second.get("Lease", name);
        let workload = second.get("StatefulSet", set);
        let config = configuration(workload);
        let LeaseStore::Kubernetes { name: lease, .. } = &config.lease.store else {
            panic!("{:?}", config.lease.store);
        };
        assert_eq!(lease, name);
        assert_eq!(at(second.get("Role", name), "/rules/0/resourceNames"), &json!([name]));
        assert_eq!(at(workload, "/spec/serviceName"), name);
        assert!(
            config
                .discovery
                .discovery_name
                .unwrap()
                .starts_with(&format!("{name}.default.svc."))
        );
        // Whatever selects Pods in one set selects none of the other's.
        for manifests in [&first, &second] {
            let label = at(manifests.workload(), "/spec/template/metadata/labels");
            for object in manifests.0.values() {
                let mut selectors = Vec::new();
                collect(object, &mut selectors);
                assert!(
                    selectors.iter().all(|selector| *selector == label),
                    "{lines}: {object:#}"
                );
            }
        }
        let labels = |manifests: &Manifests| at(manifests.workload(), "/spec/template/metadata/labels").clone();
        assert_ne!(labels(&first), labels(&second));
    }
}

#[test]
fn the_lease_stays_bare_in_every_overlay() {
    let Some(kubectl) = renderer() else { return };
    for overlay in OVERLAYS {
        for (_, lease) in rendered(&kubectl, overlay)
            .0
            .iter()
            .filter(|((kind, _), _)| kind == "Lease")
        {
            let bare = lease.get("spec").is_none() && lease.pointer("/metadata/annotations").is_none();
            assert!(bare, "{overlay}: {lease:#}");
        }
    }
}

#[test]
fn each_overlay_changes_what_its_name_says() {
    let Some(kubectl) = renderer() else { return };
    let set = |overlay| rendered(&kubectl, overlay).get("StatefulSet", "rg").clone();
    let kind = set("kind");
    assert_eq!(configuration(&kind).draw.schedule.to_string(), "@every 10s");
    for (overlay, pointer, before, after) in [
        (
            "parallel",
            "/spec/podManagementPolicy",
            json!("OrderedReady"),
            json!("Parallel"),
        ),
        (
            "canary",
            "/spec/updateStrategy/rollingUpdate/partition",
            json!(0),
            json!(2),
        ),
        (
            "once",
            "/spec/volumeClaimTemplates/0/spec/accessModes",
            json!(["ReadWriteOnce"]),
            json!(["ReadWriteOncePod"]),
        ),
        ("singleton", "/spec/replicas", json!(3), json!(1)),
    ] {
        assert_eq!(at(&kind, pointer), &before, "{overlay}");
        assert_eq!(at(&set(overlay), pointer), &after, "{overlay}");
    }
    // And nothing else.
    let mut parallel = set("parallel");
    parallel["spec"]["podManagementPolicy"] = json!("OrderedReady");
    assert_eq!(parallel, kind);
}

#[test]
fn the_second_set_is_the_first_one_under_names_of_its_own() {
    let Some(kubectl) = renderer() else { return };
    let (first, second) = (rendered(&kubectl, "kind"), rendered(&kubectl, "second"));
    assert!(second.0.keys().all(|object| !first.0.contains_key(object)));
    assert_eq!(first.0.len(), second.0.len());
    assert_eq!(
        configuration(second.get("StatefulSet", "web-rg"))
            .draw
            .schedule
            .to_string(),
        "@every 10s"
    );
}

#[test]
fn a_secured_member_reads_its_secret_from_the_secret_that_make_makes() {
    let Some(kubectl) = renderer() else { return };
    let manifests = rendered(&kubectl, "secured");
    let set = manifests.get("StatefulSet", "rg");
    let path = configuration(set).discovery.peer_secret_file.expect("a peer secret");
    let mounts = at(set, "/spec/template/spec/containers/0/volumeMounts")
        .as_array()
        .unwrap();
    let mount = mounts
        .iter()
        .find(|mount| mount["name"] == "peer-secret")
        .expect("its mount");
    assert_eq!(mount["mountPath"].as_str(), path.parent().unwrap().to_str());
    assert_eq!(path.file_name().unwrap(), "secret");
    let volume = at(pod(set), "/volumes").as_array().unwrap();
    assert_eq!(volume.len(), 1);
    assert_eq!(
        volume[0],
        json!({"name": "peer-secret", "secret": {"secretName": "random-generator-peer-secret", "defaultMode": 0o440}})
    );
}

#[test]
fn a_singleton_is_alone_and_nobody_drains_it_unasked() {
    let Some(kubectl) = renderer() else { return };
    let manifests = rendered(&kubectl, "singleton");
    assert_eq!(configuration(manifests.get("StatefulSet", "rg")).draw.voters, 1.into());
    let budget = manifests.get("PodDisruptionBudget", "random-generator");
    assert_eq!(at(budget, "/spec/maxUnavailable"), &json!(0));

    let deployment = Manifests::of(&text("k8s/overlays/singleton-deployment/singleton.yaml"));
    let workload = deployment.get("Deployment", "singleton");
    assert_eq!(at(workload, "/spec/replicas"), &json!(1));
    assert_eq!(at(workload, "/spec/strategy"), &json!({"type": "Recreate"}));
    assert_eq!(configuration(workload).draw.voters, 1.into());
    let budget = deployment.get("PodDisruptionBudget", "singleton");
    assert_eq!(at(budget, "/spec/maxUnavailable"), &json!(0));
}

#[test]
fn a_stateless_member_has_neither_identity_nor_volume() {
    let manifests = Manifests::of(&text("k8s/overlays/stateless/stateless.yaml"));
    let set = manifests.get("ReplicaSet", "stateless");
    assert_eq!(configuration(set).identity.pod_name.ordinal, None);
    let volumes = at(pod(set), "/volumes").as_array().unwrap();
    assert!(
        volumes.iter().all(|volume| volume.get("emptyDir").is_some()),
        "{volumes:?}"
    );
    assert_eq!(at(pod(set), "/automountServiceAccountToken"), &json!(false));
}

#[test]
fn no_secret_is_in_the_repository() {
    fn walk(folder: &Path, each: &mut impl FnMut(&Value)) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("chart/templates") {
                continue; // no YAML yet: below
            } else if path.is_dir() {
                walk(&path, each);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "json")
            {
                parsed(&fs::read_to_string(&path).unwrap()).iter().for_each(&mut *each);
            }
        }
    }
    let mut seen = 0;
    walk(&root().join("k8s"), &mut |object| {
        seen += 1;
        assert_ne!(object["kind"], "Secret", "{object:#}");
        assert!(object.get("secretGenerator").is_none(), "{object:#}");
    });
    assert!(seen > 15, "{seen} documents");
    for template in fs::read_dir(root().join("k8s/chart/templates")).unwrap() {
        let path = template.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.contains("kind: Secret"), "{}", path.display());
    }
}
