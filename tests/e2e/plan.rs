//! What is deployed: an overlay of k8s/, with the image under test and the settings that a test asks for, as a kustomization of
//! its own on top.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An overlay, and what differs from it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Below k8s/; `base` or `overlays/…`; empty where the tests apply manifests themselves.
    pub overlay: &'static str,
    /// What the names of all objects begin with beyond the overlay's own, and end with.
    pub prefix: &'static str,
    pub suffix: &'static str,
    /// Variables of the member, without their prefix.
    pub settings: Vec<(&'static str, String)>,
    /// Merge patches of the StatefulSet's spec and of its Pod template's, in JSON, besides.
    pub spec: Option<serde_json::Value>,
    pub pod: Option<serde_json::Value>,
    pub image: Option<String>,
    /// Changes the template, and so makes a new revision.
    pub revision: Option<&'static str>,
    /// Ordinals below keep the old revision.
    pub partition: Option<u16>,
}

/// Short, so that what waits for it is quick; not shorter, so that a busy machine doesn't lose it.
pub const LEASE: Duration = Duration::from_secs(3);

impl Plan {
    /// As the overlay has it.
    pub fn of(overlay: &'static str) -> Plan {
        Plan {
            overlay,
            prefix: "",
            suffix: "",
            settings: Vec::new(),
            spec: None,
            pod: None,
            image: None,
            revision: None,
            partition: None,
        }
    }

    /// A namespace without members.
    pub fn nothing() -> Plan {
        Plan::of("")
    }

    /// A draw each second, and a short lease.
    pub fn quick(overlay: &'static str) -> Plan {
        Plan::of(overlay)
            .with("DRAW_SCHEDULE", "@every 1s")
            .with("LEASE_DURATION", &format!("{}s", LEASE.as_secs()))
            .with("DISCOVERY_INTERVAL", "1s")
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Plan {
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.to_owned()));
        self
    }

    pub fn revision(mut self, revision: &'static str) -> Plan {
        self.revision = Some(revision);
        self
    }

    /// The name of an object, such as `rg`.
    pub fn named(&self, object: &str) -> String {
        let own = if self.overlay == "overlays/second" { "web-" } else { "" };
        format!("{}{own}{object}{}", self.prefix, self.suffix)
    }

    /// Writes the kustomization into `folder`, for `kubectl apply --kustomize`.
    pub fn write(&self, folder: &Path, image: &str) {
        fs::create_dir_all(folder).unwrap();
        let (name, tag) = split(self.image.as_deref().unwrap_or(image));
        let env: Vec<_> = self
            .settings
            .iter()
            .map(|(name, value)| serde_json::json!({"name": format!("RANDOM_GENERATOR_{name}"), "value": value}))
            .collect();
        let mut template = serde_json::json!({"spec": {"containers": [{"name": "member", "env": env}]}});
        if let Some(revision) = self.revision {
            template["metadata"] = serde_json::json!({"annotations": {"revision": revision}});
        }
        let mut spec = serde_json::json!({"template": template});
        if let Some(partition) = self.partition {
            spec["updateStrategy"] = serde_json::json!({"rollingUpdate": {"partition": partition}});
        }
        let patch = |spec: &serde_json::Value| {
            let object = serde_json::json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "rg"}, "spec": spec,
            });
            serde_json::json!({"patch": object.to_string()})
        };
        let mut patches = vec![patch(&spec)];
        if let Some(pod) = &self.pod {
            patches.push(patch(&serde_json::json!({"template": {"spec": pod}})));
        }
        patches.extend(self.spec.as_ref().map(patch));
        // JSON is YAML.
        let kustomization = serde_json::json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [relative(folder, &root().join("k8s").join(self.overlay))],
            "images": [{"name": "random-generator", "newName": name, "newTag": tag}],
            "patches": patches,
            "namePrefix": self.prefix,
            "nameSuffix": self.suffix,
        });
        fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An image's name and tag.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// kustomize takes relative paths only.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to) = (from.canonicalize().unwrap(), to.canonicalize().unwrap());
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(shared).map(|_| "..");
    up.collect::<PathBuf>()
        .join(to.components().skip(shared).collect::<PathBuf>())
}
