//! NOTES.txt: what it says after an installation fits the values. Only helm 4 shows it without a cluster.

use serde_json::{Value, json};

use super::{Helm, file_of, helms};
use crate::{Manifests, at, ports};

struct Notes {
    text: String,
    manifests: Manifests,
}

fn notes(helm: &Helm, release: &str, namespace: &str, values: &Value) -> Notes {
    let (_folder, file) = file_of(values);
    let values = ["--values", file.to_str().unwrap()];
    let command = [
        "install",
        release,
        "k8s/chart",
        "--dry-run=client",
        "--namespace",
        namespace,
    ];
    let output = helm.run(&[&command[..], &values].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Notes {
        text: text.split_once("\nNOTES:\n").unwrap().1.to_owned(),
        manifests: helm.rendered(release, &values),
    }
}

impl Notes {
    /// The commands, each of which stands on a line of its own.
    fn commands(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("  ")).collect()
    }

    /// The words after `word`, of every command that has it.
    fn after(&self, word: &str) -> Vec<&str> {
        let commands = self.commands().into_iter();
        let rest = commands.filter_map(|line| Some(line.split_once(word)?.1));
        rest.map(|rest| rest.split_whitespace().next().unwrap()).collect()
    }
}

#[test]
fn the_notes_name_what_the_release_consists_of() {
    let Some(helm) = helms().pop() else { return };
    for (release, namespace, values) in [
        ("random-generator", "default", json!({})),
        (
            "web",
            "draws",
            json!({"service": {"port": 8081}, "ordinals": {"start": 5}, "voters": {"start": 5}, "replicas": 4}),
        ),
        (
            "a.b",
            "x",
            json!({"replicas": 1, "voters": {"count": 1}, "peerSecret": {"name": "mine", "key": "key"}}),
        ),
    ] {
        let notes = notes(&helm, release, namespace, &values);
        let set = notes.manifests.workload();
        let name = at(set, "/metadata/name").as_str().unwrap();
        assert_eq!(notes.after("statefulset/"), [name]);
        notes.manifests.get("Lease", notes.after("get lease ")[0]);
        let first = set
            .pointer("/spec/ordinals/start")
            .map_or(0, |start| start.as_u64().unwrap());
        assert_eq!(notes.after(" exec "), vec![format!("{name}-{first}"); 3]);
        let label = at(set, "/spec/template/metadata/labels/app.kubernetes.io~1name")
            .as_str()
            .unwrap();
        assert_eq!(
            notes.after("--selector "),
            vec![format!("app.kubernetes.io/name={label}"); 2]
        );
        let service = notes.manifests.get("Service", notes.after("service/")[0]);
        let port = at(service, "/spec/ports/0/port");
        assert!(notes.text.contains(&format!(" 8080:{port}\n")), "{}", notes.text);
        assert!(ports(set).contains_key(at(service, "/spec/ports/0/targetPort").as_str().unwrap()));
        let url = format!("http://{}.{namespace}", at(service, "/metadata/name").as_str().unwrap());
        let url = if port == 80 {
            format!("{url}/")
        } else {
            format!("{url}:{port}/")
        };
        assert!(notes.text.contains(&url), "{url}: {}", notes.text);
        for command in notes.commands() {
            let there = command.starts_with("curl ") || command.contains(&format!("--namespace {namespace}"));
            assert!(there, "{command}: in which namespace?");
        }
        let secret = "create secret generic mine --from-file key=/dev/stdin";
        assert_eq!(notes.text.contains(secret), release == "a.b");
        assert!(
            !notes.text.contains("WARNING") && !notes.text.contains("\n\n\n"),
            "{}",
            notes.text
        );
    }
}

#[test]
fn the_notes_warn_of_voters_that_do_not_run_and_say_what_an_uninstallation_leaves() {
    let Some(helm) = helms().pop() else { return };
    let text = |values: Value| notes(&helm, "random-generator", "default", &values).text;
    let usual = text(json!({}));
    assert!(
        usual.contains("The claims stay") && usual.contains("delete pvc"),
        "{usual}"
    );
    let warned = text(json!({"replicas": 2}));
    assert!(
        warned.contains("the voters are the ordinals 0 to 2, and the members 0 to 1"),
        "{warned}"
    );
    let gone = text(json!({"retention": {"whenDeleted": "Delete"}}));
    assert!(
        gone.contains("deletes the claims too") && !gone.contains("delete pvc"),
        "{gone}"
    );
    let none = text(json!({"replicas": 0}));
    assert!(none.contains("--set replicas=3") && !none.contains("exec"), "{none}");
}

#[test]
fn a_set_without_members_is_started_as_the_notes_say() {
    let Some(helm) = helms().pop() else { return };
    for (values, replicas) in [
        (json!({}), 3),
        (json!({"voters": {"start": 3}}), 6),
        (json!({"voters": {"start": 5}, "ordinals": {"start": 5}}), 3),
        (json!({"ordinals": {"start": 1}}), 2),
    ] {
        let mut values = values;
        values["replicas"] = json!(0);
        let notes = notes(&helm, "random-generator", "default", &values);
        assert_eq!(notes.after("--set replicas="), [replicas.to_string()], "{values}");
        values["replicas"] = json!(replicas);
        assert_eq!(at(helm.with(&values).workload(), "/spec/replicas"), replicas);
    }
    let values = json!({"replicas": 0, "ordinals": {"start": 2}});
    assert!(helm.refusal(&values).contains("a draw needs more than half"));
}
