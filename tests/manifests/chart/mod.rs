//! k8s/chart, as helm 3 and helm 4 render it: `make chart-check`.
//!
//! `tests/manifests/get-helm` builds both. Without them this says so, and fails where CI=true.

mod equal;
mod names;
mod notes;
mod refused;
mod tested;
mod values;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{Manifests, parsed, root};

pub struct Helm(PathBuf);

/// helm 3 and helm 4, or none of them.
#[allow(clippy::disallowed_methods)] // where programs are, and whether nobody may skip this
fn helms() -> Vec<Helm> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    let programs = ["helm3", "helm4"].map(|name| target.join("tools").join(name));
    if let Some(absent) = programs.iter().find(|program| !program.is_file()) {
        println!(
            "{}: not run (it is not here; tests/manifests/get-helm builds it)",
            absent.display()
        );
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{} is not here",
            absent.display()
        );
        return Vec::new();
    }
    programs.map(Helm).into()
}

impl Helm {
    /// Runs it without a cluster, a configuration or a cache of its own.
    fn run(&self, arguments: &[&str]) -> Output {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(&self.0);
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, home.path());
        }
        command
            .env("KUBECONFIG", "/dev/null")
            .args(arguments)
            .current_dir(root())
            .output()
            .unwrap()
    }

    fn template(&self, release: &str, arguments: &[&str]) -> Output {
        let command = ["template", release, "k8s/chart", "--skip-tests"];
        self.run(&[&command, arguments].concat())
    }

    /// What the release consists of, without the Pod of `helm test`.
    #[track_caller]
    fn rendered(&self, release: &str, arguments: &[&str]) -> Manifests {
        let output = self.template(release, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "{} {release} {arguments:?}: {errors}",
            self.0.display()
        );
        Manifests::of(std::str::from_utf8(&output.stdout).unwrap())
    }

    /// With values as JSON, which is YAML too.
    #[track_caller]
    fn with(&self, values: &Value) -> Manifests {
        let (_folder, file) = file_of(values);
        self.rendered("random-generator", &["--values", file.to_str().unwrap()])
    }

    /// What it says when it refuses these values.
    #[track_caller]
    fn refusal(&self, values: &Value) -> String {
        let (_folder, file) = file_of(values);
        let output = self.template("random-generator", &["--values", file.to_str().unwrap()]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{} takes {values}", self.0.display());
        errors
    }
}

fn file_of(values: &Value) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values.to_string()).unwrap();
    (folder, file)
}

/// One value of YAML.
fn one(yaml: &str) -> Value {
    parsed(&format!("value: {yaml}")).remove(0)["value"].take()
}

/// `{"a": {"b": value}}` of `a.b`.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, name| json!({name: inner}))
}

/// The ci/*-values.yaml.
fn cases() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("k8s/chart/ci"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.strip_suffix("-values.yaml").unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn values_file(case: &str) -> PathBuf {
    Path::new("k8s/chart/ci").join(format!("{case}-values.yaml"))
}
