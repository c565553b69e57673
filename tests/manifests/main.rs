//! The manifests of k8s/, the make targets that use them, and the Dockerfile: that they agree with the member, with each other,
//! and with what the API knows. No cluster is needed; `kubectl kustomize`, where there is a kubectl, renders the overlays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by panicking, and says when kubectl is absent

mod base;
mod chart;
mod end_to_end;
mod image;
mod overlays;
mod schema;
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, FromArgMatches};
use random_generator::config::{Config, ServeArgs};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of one YAML text.
fn parsed(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// Objects by kind and name. Those of a folder are the files that its kustomization names.
struct Manifests(BTreeMap<(String, String), Value>);

impl Manifests {
    fn of(yaml: &str) -> Manifests {
        let named = |object: Value| {
            let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
            ((text("/kind"), text("/metadata/name")), object)
        };
        Manifests(parsed(yaml).into_iter().map(named).collect())
    }

    fn base() -> Manifests {
        let files = strings(&parsed(&text("k8s/base/kustomization.yaml"))[0], "/resources");
        let all: Vec<_> = files
            .iter()
            .map(|file| text(Path::new("k8s/base").join(file)))
            .collect();
        Manifests::of(&all.join("\n---\n"))
    }

    fn get(&self, kind: &str, name: &str) -> &Value {
        let key = (kind.to_owned(), name.to_owned());
        let there = || self.0.keys().collect::<Vec<_>>();
        self.0
            .get(&key)
            .unwrap_or_else(|| panic!("no {kind} {name} in {:?}", there()))
    }

    /// What runs Pods: its only one.
    fn workload(&self) -> &Value {
        let mut all = self
            .0
            .values()
            .filter(|object| object.pointer("/spec/template").is_some());
        let one = all.next().expect("a workload");
        assert!(all.next().is_none(), "one workload");
        one
    }
}

/// What is at the pointer; its absence fails the test.
#[track_caller]
fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object
        .pointer(pointer)
        .unwrap_or_else(|| panic!("no {pointer} in {object:#}"))
}

#[track_caller]
fn strings(object: &Value, pointer: &str) -> Vec<String> {
    let list = at(object, pointer).as_array().expect("a list");
    list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn seconds(object: &Value, pointer: &str) -> u64 {
    at(object, pointer).as_u64().expect("a number of seconds")
}

fn pod(workload: &Value) -> &Value {
    at(workload, "/spec/template/spec")
}

fn container(workload: &Value) -> &Value {
    at(pod(workload), "/containers/0")
}

/// Variable → value, of those that have a value in the manifest.
fn variables(workload: &Value) -> BTreeMap<String, String> {
    let list = at(container(workload), "/env").as_array().unwrap();
    list.iter()
        .filter_map(|entry| Some((entry["name"].as_str()?.to_owned(), entry["value"].as_str()?.to_owned())))
        .collect()
}

/// Port's name → number, as the container declares them.
fn ports(workload: &Value) -> BTreeMap<String, u64> {
    let list = at(container(workload), "/ports").as_array().unwrap();
    list.iter()
        .map(|port| {
            (
                port["name"].as_str().unwrap().to_owned(),
                port["containerPort"].as_u64().unwrap(),
            )
        })
        .collect()
}

/// What the member makes of its variables: each has to be an argument of `serve`, with a value that it takes.
fn configuration(workload: &Value) -> Config {
    try_configuration(workload).unwrap_or_else(|error| panic!("{error}"))
}

fn try_configuration(workload: &Value) -> Result<Config, String> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let mut arguments = vec![String::from("serve")];
    for (name, value) in variables(workload) {
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_env().is_some_and(|env| env.to_str() == Some(&name)))
            .unwrap_or_else(|| panic!("{name} is no argument of serve"));
        arguments.push(format!("--{}={value}", argument.get_long().unwrap()));
    }
    // Every Pod has the address of the API server as a variable; here it comes from elsewhere.
    if arguments.contains(&String::from("--lease-store=kubernetes")) {
        arguments.push(String::from("--kubeconfig=of-the-cluster"));
    }
    let matches = command
        .try_get_matches_from(&arguments)
        .map_err(|error| error.to_string())?;
    let args = ServeArgs::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    Config::try_from(args).map_err(|error| error.to_string())
}

/// `KUBECTL`, or the kubectl on the PATH.
fn kubectl() -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods)] // The tests' own setting, as the Makefile's.
    let named = std::env::var_os("KUBECTL").map(PathBuf::from);
    let candidate = named.unwrap_or_else(|| PathBuf::from("kubectl"));
    let runs = std::process::Command::new(&candidate)
        .args(["version", "--client"])
        .output();
    runs.is_ok_and(|output| output.status.success()).then_some(candidate)
}
