//! The make targets for Kubernetes, with stand-ins for docker, kind and kubectl that write down how they are called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::{parsed, root, text};

struct Stubs {
    folder: tempfile::TempDir,
}

impl Stubs {
    fn new() -> Stubs {
        let stubs = Stubs {
            folder: tempfile::tempdir().unwrap(),
        };
        let calls = stubs.calls_file();
        let record = format!(
            "#!/bin/sh\nprintf '%s' \"${{0##*/}}\" >>{0:?}\nprintf ' %s' \"$@\" >>{0:?}\necho >>{0:?}\n",
            calls
        );
        stubs.write("docker", &record);
        stubs.write(
            "kind",
            &format!("{record}cat {:?} 2>/dev/null || :\n", stubs.path("clusters")),
        );
        // The reader of a pipe writes down its call when it has read all: after the writer, whichever started first.
        let kubectl = format!(
            "case \"$*\" in *apply*--filename*) cat >{applied:?} ;; esac\n\
             case \"$*\" in\n\
             kustomize*) printf 'image: random-generator:dev\\nimage: other:dev\\n' ;;\n\
             *get*secret*) test -f {secret:?} && echo secret/random-generator-peer-secret ;;\n\
             *create*secret*) cat >{secret:?} ;;\n\
             *current-context*) echo kind-random-generator ;;\n\
             esac\n",
            applied = stubs.path("applied"),
            secret = stubs.path("secret"),
        );
        let (first, rest) = kubectl.split_once('\n').unwrap();
        let (shell, written) = record.split_once('\n').unwrap();
        let kubectl = format!("{shell}\n{first}\n{written}{rest}");
        stubs.write("kubectl", &kubectl);
        stubs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn calls_file(&self) -> PathBuf {
        self.path("calls")
    }

    fn write(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What make printed, and the calls that it made.
    fn make(&self, arguments: &[&str]) -> (String, Vec<String>) {
        let _ = fs::remove_file(self.calls_file());
        let mut make = Command::new("make");
        make.current_dir(root()).args(arguments).env_remove("MAKEFLAGS");
        for (variable, name) in [("DOCKER", "docker"), ("KIND", "kind"), ("KUBECTL", "kubectl")] {
            make.env(variable, self.path(name));
        }
        for variable in ["IMAGE", "TARGET", "NAMESPACE", "OVERLAY", "KIND_CLUSTER"] {
            make.env_remove(variable);
        }
        let output = make.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        (told, self.read("calls").lines().map(str::to_owned).collect())
    }
}

/// That each expected call came, in that order, and nothing else; `*` stands for what differs from build to build.
#[track_caller]
fn called(calls: &[String], expected: &[&str]) {
    let matches = |call: &str, pattern: &str| match pattern.split_once('*') {
        Some((begin, end)) => call.starts_with(begin) && call.ends_with(end) && call.len() >= begin.len() + end.len(),
        None => call == pattern,
    };
    let all = calls.len() == expected.len() && calls.iter().zip(expected).all(|(call, pattern)| matches(call, pattern));
    assert!(all, "{calls:#?}\nand not\n{expected:#?}");
}

#[test]
fn one_command_makes_a_cluster_and_the_set_on_it() {
    let stubs = Stubs::new();
    let (told, calls) = stubs.make(&["kind-up", "kind-load", "deploy"]);
    called(
        &calls,
        &[
            "kind get clusters",
            "kind create cluster --name random-generator --config k8s/kind.yaml --wait 3m",
            "docker build --tag random-generator:dev --target member --build-arg VERSION=*.",
            "kind load docker-image random-generator:dev --name random-generator",
            "kubectl config current-context",
            "kubectl kustomize k8s/overlays/kind",
            "kubectl apply --filename -",
            "kubectl rollout status statefulset/rg --timeout 5m",
            "kubectl get pods --selector app.kubernetes.io/name=random-generator --output wide",
        ],
    );
    let next = told.lines().rev().find(|line| line.starts_with("next: ")).unwrap();
    assert!(
        next.contains("port-forward service/random-generator-client 8080:80"),
        "{told}"
    );
}

#[test]
fn a_cluster_that_is_there_is_used_again() {
    let stubs = Stubs::new();
    fs::write(stubs.path("clusters"), "another\nrandom-generator\n").unwrap();
    let (told, calls) = stubs.make(&["kind-up"]);
    called(
        &calls,
        &["kind get clusters", "kind export kubeconfig --name random-generator"],
    );
    assert!(told.contains("already exists"), "{told}");
}

#[test]
fn deploy_takes_an_image_an_overlay_and_a_namespace() {
    let stubs = Stubs::new();
    let (told, calls) = stubs.make(&[
        "deploy",
        "IMAGE=registry.example/rg:1",
        "OVERLAY=stateless",
        "NAMESPACE=demo",
    ]);
    assert_eq!(
        stubs.read("applied"),
        "image: registry.example/rg:1\nimage: other:dev\n"
    );
    called(
        &calls,
        &[
            "kubectl config current-context",
            "kubectl kustomize k8s/overlays/stateless",
            "kubectl --namespace demo apply --filename -",
            "kubectl --namespace demo wait replicaset/stateless --for jsonpath={.status.readyReplicas}=3 --timeout 5m",
            "kubectl --namespace demo get pods --selector app.kubernetes.io/name=random-generator --output wide",
        ],
    );
    assert!(told.contains("namespace demo"), "{told}");
    assert!(told.contains("port-forward service/stateless 8080:80"), "{told}");
}

#[test]
fn undeploy_waits_for_the_pods_and_says_how_to_delete_the_claims() {
    let stubs = Stubs::new();
    let (told, calls) = stubs.make(&["undeploy", "OVERLAY=secured"]);
    called(
        &calls,
        &["kubectl delete --kustomize k8s/overlays/secured --ignore-not-found --cascade=foreground --timeout 5m"],
    );
    assert!(
        told.contains("kubectl delete pvc") || told.contains("delete pvc --selector"),
        "{told}"
    );
}

#[test]
fn a_peer_secret_is_made_once_and_shown_nowhere() {
    let stubs = Stubs::new();
    let (told, calls) = stubs.make(&["peer-secret"]);
    called(
        &calls,
        &[
            "kubectl get secret random-generator-peer-secret --output name",
            "kubectl create secret generic random-generator-peer-secret --from-file secret=/dev/stdin",
        ],
    );
    let secret = stubs.read("secret");
    assert!(secret.trim().len() >= 32, "{} bytes", secret.len());
    assert!(!told.contains(secret.trim()));
    let (told, calls) = stubs.make(&["peer-secret"]);
    called(
        &calls,
        &["kubectl get secret random-generator-peer-secret --output name"],
    );
    assert_eq!(stubs.read("secret"), secret);
    assert!(told.contains("already exists"), "{told}");
}

#[test]
fn kind_down_deletes_the_cluster_that_kind_up_makes() {
    let (_, calls) = Stubs::new().make(&["kind-down"]);
    called(&calls, &["kind delete cluster --name random-generator"]);
    let cluster = &parsed(&text("k8s/kind.yaml"))[0];
    assert_eq!(cluster["name"], "random-generator");
    let workers = cluster["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| node["role"] == "worker");
    assert_eq!(workers.count(), 3);
}
