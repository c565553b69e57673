//! What each value does, and that values, schema and the member's arguments agree.

use std::collections::BTreeSet;

use clap::{Args, Command};
use random_generator::config::ServeArgs;
use serde_json::{Value, json};

use super::{helms, nested, one};
use crate::{Manifests, at, configuration, parsed, schema, text, variables};

/// Each value that becomes a variable → what it becomes. All of them at once are a set that draws.
const SETTINGS: [(&str, &str, &str); 20] = [
    ("draw.schedule", "*/5 9-17 * * MON-FRI", "DRAW_SCHEDULE"),
    ("draw.deadline", "1.5s", "DRAW_DEADLINE"),
    ("lease.duration", "1m", "LEASE_DURATION"),
    ("lease.renewDeadline", "30s", "LEASE_RENEW_DEADLINE"),
    ("lease.retry", "500ms", "LEASE_RETRY"),
    ("journal.durability", "power", "DURABILITY"),
    ("journal.max", "2MiB", "JOURNAL_MAX"),
    ("ledger.max", "64GiB", "LEDGER_MAX"),
    ("ledger.keep", "90d", "LEDGER_KEEP"),
    ("http.answerMemory", "1024GiB", "ANSWER_MEMORY"),
    ("shutdown.delay", "0s", "SHUTDOWN_DELAY"),
    ("shutdown.drainLimit", "37s", "DRAIN_LIMIT"),
    ("discovery.interval", "100ms", "DISCOVERY_INTERVAL"),
    ("log.format", "text", "LOG_FORMAT"),
    ("log.filter", "info,lease_election=debug", "LOG_FILTER"),
    ("voters.count", "2", "VOTERS"),
    ("http.connectionLimit", "1000000", "CONNECTION_LIMIT"),
    (
        "http.allowedOrigins",
        "https://example.org,http://[fd00::1]:8080",
        "ALLOWED_ORIGINS",
    ),
    (
        "peerSecret.name",
        "/etc/random-generator/peer-secret/secret",
        "PEER_SECRET_FILE",
    ),
    ("", "/logs", "DATA_DIR"),
];

/// Arguments that are no values: what Kubernetes says of the Pod, what the chart's own objects decide, and what is for tests and
/// other surroundings.
const NO_VALUES: [&str; 17] = [
    "POD_NAME",
    "POD_NAMESPACE",
    "POD_UID",
    "POD_IP",
    "NODE_NAME",
    "PUBLIC_LISTEN",
    "PEER_LISTEN",
    "ADMIN_LISTEN",
    "METRICS_LISTEN",
    "LEASE_STORE",
    "LEASE_NAME",
    "LEASE_DIRECTORY",
    "KUBECONFIG",
    "GOVERNING_SERVICE",
    "DISCOVERY_NAME",
    "DISCOVERY_NAMESERVER",
    "STOP_WITH_PARENT",
];
/// Only of a build of one's own; `env` has it.
const OF_A_BUILD: &str = "OTLP_ENDPOINT";

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn all_settings() -> Value {
    let mut values = json!({"storage": {"size": "65Gi"}});
    for (path, value, _) in SETTINGS {
        let value = match path {
            "" => continue,
            "voters.count" | "http.connectionLimit" => json!(value.parse::<u32>().unwrap()),
            "http.allowedOrigins" => value.split(',').collect(),
            "peerSecret.name" => json!("some-secret"),
            _ => json!(value),
        };
        merge(&mut values, nested(path, value));
    }
    values
}

#[test]
fn every_argument_of_a_member_is_a_value_or_decided_by_the_chart() {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let arguments = command
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str());
    let arguments: BTreeSet<_> = arguments
        .map(|name| name.trim_start_matches("RANDOM_GENERATOR_"))
        .collect();
    let known = SETTINGS
        .iter()
        .map(|(_, _, name)| *name)
        .chain(NO_VALUES)
        .chain([OF_A_BUILD]);
    assert_eq!(arguments, known.collect());
    for helm in helms() {
        let set = helm.with(&all_settings());
        let set = set.get("StatefulSet", "rg");
        configuration(set);
        let variables = variables(set);
        for (path, value, name) in SETTINGS {
            assert_eq!(variables[&format!("RANDOM_GENERATOR_{name}")], value, "{path}");
        }
    }
}

/// Value | what it is set to | where that goes | as what.
const EFFECTS: &str = r#"image.repository | registry.example:5000/team/rg | member /image | registry.example:5000/team/rg:dev
image.tag | 0.1.0 | member /image | random-generator:0.1.0
image.digest | sha256:DIGEST | member /image | random-generator@sha256:DIGEST
image.pullPolicy | Always | member /imagePullPolicy | Always
image.pullSecrets | [one, two] | pod /imagePullSecrets | [{name: one}, {name: two}]
image.pullSecrets | ["1"] | pod /imagePullSecrets | [{name: "1"}]
replicas | 5 | set /replicas | 5
replicas | 0 | set /replicas | 0
ordinals.start | 1 | set /ordinals/start | 1
voters.start | 1 | member /env/12/value | 1-3
podManagementPolicy | Parallel | set /podManagementPolicy | Parallel
update.type | OnDelete | set /updateStrategy | {type: OnDelete}
update.partition | 2 | set /updateStrategy/rollingUpdate/partition | 2
storage.size | 1Gi | claim /resources/requests/storage | 1Gi
storage.className | fast | claim /storageClassName | fast
storage.className | "1" | claim /storageClassName | "1"
storage.accessMode | ReadWriteOncePod | claim /accessModes | [ReadWriteOncePod]
retention.whenScaled | Delete | set /persistentVolumeClaimRetentionPolicy/whenScaled | Delete
retention.whenDeleted | Delete | set /persistentVolumeClaimRetentionPolicy/whenDeleted | Delete
shutdown.gracePeriodSeconds | 90 | pod /terminationGracePeriodSeconds | 90
env | [{name: NO_COLOR, value: "1"}] | member /env/13 | {name: NO_COLOR, value: "1"}
resources.limits | {memory: 1Gi} | member /resources/limits | {memory: 1Gi}
resources.requests | {cpu: 500m} | member /resources/requests | {cpu: 500m, memory: 32Mi}
pod.labels | {team: a} | template /labels/team | a
pod.annotations | {a/b: c} | template /annotations/a~1b | c
pod.securityContext | {fsGroup: 1} | pod /securityContext/fsGroup | 1
pod.topologySpread.topologyKey | zone | pod /topologySpreadConstraints/0/topologyKey | zone
pod.topologySpread.topologyKey | "1" | pod /topologySpreadConstraints/0/topologyKey | "1"
pod.topologySpread.maxSkew | 2 | pod /topologySpreadConstraints/0/maxSkew | 2
pod.topologySpread.whenUnsatisfiable | DoNotSchedule | pod /topologySpreadConstraints/0/whenUnsatisfiable | DoNotSchedule
pod.nodeSelector | {disk: fast} | pod /nodeSelector | {disk: fast}
pod.affinity | {podAntiAffinity: {}} | pod /affinity | {podAntiAffinity: {}}
pod.tolerations | [{key: a, operator: Exists}] | pod /tolerations | [{key: a, operator: Exists}]
pod.priorityClassName | high | pod /priorityClassName | high
pod.priorityClassName | "true" | pod /priorityClassName | "true"
ipFamilyPolicy | RequireDualStack | Service random-generator /spec/ipFamilyPolicy | RequireDualStack
ipFamilyPolicy | SingleStack | Service random-generator-client /spec/ipFamilyPolicy | SingleStack
ipFamilies | [IPv6, IPv4] | Service random-generator /spec/ipFamilies | [IPv6, IPv4]
ipFamilies | [IPv6] | Service random-generator-client /spec/ipFamilies | [IPv6]
service.type | LoadBalancer | Service random-generator-client /spec/type | LoadBalancer
service.port | 8080 | Service random-generator-client /spec/ports/0/port | 8080
service.annotations | {a: b} | Service random-generator-client /metadata/annotations | {a: b}
networkPolicy.egress | [{ports: [{port: 4318}]}] | NetworkPolicy random-generator /spec/egress/3 | {ports: [{port: 4318}]}
disruption.maxUnavailable | 34% | PodDisruptionBudget random-generator /spec/maxUnavailable | 34%
disruption.maxUnavailable | 0 | PodDisruptionBudget random-generator /spec/maxUnavailable | 0
serviceAccount.name | mine | RoleBinding random-generator /subjects/0/name | mine
serviceAccount.name | mine | pod /serviceAccountName | mine
serviceAccount.name | "0x10" | RoleBinding random-generator /subjects/0/name | "0x10"
serviceAccount.name | "0x10" | pod /serviceAccountName | "0x10"
serviceAccount.name | "0x10" | ServiceAccount 0x10 /metadata/name | "0x10"
peerSecret.name | "null" | pod /volumes/0/secret/secretName | "null"
serviceAccount.annotations | {a: b} | ServiceAccount random-generator /metadata/annotations | {a: b}
labels | {team: a} | Lease random-generator /metadata/labels/team | a
annotations | {a: b} | StatefulSet rg /metadata/annotations | {a: b}
"#;

/// The object and pointer of `set /replicas`, or of `Service NAME /spec/…`.
fn place<'a>(manifests: &'a Manifests, words: &'a str) -> (&'a Value, String) {
    let (object, pointer) = words.split_at(words.find('/').unwrap());
    let set = "/spec";
    let pod = "/spec/template/spec";
    let begin = match object.trim() {
        "set" => set.to_owned(),
        "template" => "/spec/template/metadata".to_owned(),
        "pod" => pod.to_owned(),
        "member" => format!("{pod}/containers/0"),
        "claim" => format!("{set}/volumeClaimTemplates/0/spec"),
        named => {
            let (kind, name) = named.split_once(' ').unwrap();
            return (manifests.get(kind, name), pointer.to_owned());
        }
    };
    (manifests.get("StatefulSet", "rg"), begin + pointer)
}

#[test]
fn every_value_reaches_the_object_it_is_for() {
    let helms = helms();
    let table = EFFECTS.replace("DIGEST", &"0a".repeat(32));
    // The two take turns.
    for (row, helm) in table.lines().zip(helms.iter().cycle()) {
        let columns: Vec<_> = row.split(" | ").collect();
        let [path, value, words, expected] = columns[..] else {
            panic!("{row}")
        };
        let manifests = helm.with(&nested(path, one(value)));
        schema::check(&manifests);
        let (object, pointer) = place(&manifests, words);
        assert_eq!(at(object, &pointer), &one(expected), "{row}");
    }
}

#[test]
fn what_is_turned_off_is_absent() {
    for (path, kind) in [
        ("networkPolicy.enabled", "NetworkPolicy"),
        ("disruption.enabled", "PodDisruptionBudget"),
    ] {
        for helm in helms() {
            let found = |manifests: &Manifests| manifests.0.keys().any(|(of, _)| of == kind);
            assert!(found(&helm.with(&json!({}))), "{kind}");
            assert!(!found(&helm.with(&nested(path, json!(false)))), "{kind}");
        }
    }
    for helm in helms() {
        let manifests = helm.with(&json!({"serviceAccount": {"create": false, "name": "mine"}}));
        assert!(!manifests.0.keys().any(|(kind, _)| kind == "ServiceAccount"));
        let manifests = helm.with(&nested("pod.topologySpread.enabled", json!(false)));
        let set = manifests.get("StatefulSet", "rg");
        assert!(set.pointer("/spec/template/spec/topologySpreadConstraints").is_none());
        // As an OpenShift asks for it.
        let unset = json!({"runAsUser": null, "runAsGroup": null, "fsGroup": null});
        let manifests = helm.with(&nested("pod.securityContext", unset));
        let context = at(
            manifests.get("StatefulSet", "rg"),
            "/spec/template/spec/securityContext",
        )
        .clone();
        assert_eq!(context.as_object().unwrap().len(), 3, "{context}");
    }
}

/// Paths of the values that are no maps, with what the schema says of each map.
fn compare(values: &Value, schema: &Value, path: &str) {
    let Some(properties) = schema.get("properties") else {
        return;
    };
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut known = names(properties);
    known.remove("global");
    assert_eq!(schema["additionalProperties"], json!(false), "{path}");
    assert_eq!(names(values), known, "{path}");
    if path != ".resources" {
        let required = schema["required"].as_array().unwrap().iter();
        let required: BTreeSet<_> = required.map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(
            required, known,
            "{path}: without one of them, templates fail with no line that helps"
        );
    }
    for (name, value) in values.as_object().unwrap() {
        compare(value, &properties[name], &format!("{path}.{name}"));
    }
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    let schema: Value = serde_json::from_str(&text("k8s/chart/values.schema.json")).unwrap();
    compare(&parsed(&text("k8s/chart/values.yaml"))[0], &schema, "");
}

#[test]
fn every_value_has_a_comment_above_it() {
    let schema: Value = serde_json::from_str(&text("k8s/chart/values.schema.json")).unwrap();
    let values = text("k8s/chart/values.yaml");
    let mut path: Vec<&str> = Vec::new();
    let mut previous = "";
    let mut seen = 0;
    for line in values.lines() {
        let rest = line.trim_start();
        if !rest.starts_with('#') && !rest.is_empty() {
            path.truncate((line.len() - rest.len()) / 2);
            path.push(rest.split(':').next().unwrap());
            let known = path
                .iter()
                .try_fold(&schema, |schema, name| schema["properties"].get(name));
            // Below a map that Kubernetes knows, or sections, whose values follow.
            if known.is_some_and(|known| known.get("properties").is_none()) {
                // What a section is for says what this does.
                let above = if rest == "enabled: true" || rest == "enabled: false" {
                    ""
                } else {
                    previous
                };
                assert!(above.is_empty() || above.starts_with('#'), "no comment above {path:?}");
                seen += 1;
            }
        }
        previous = rest;
    }
    assert!(seen > 70, "{seen} values");
}

#[test]
fn the_charts_version_is_the_programs() {
    let chart = &parsed(&text("k8s/chart/Chart.yaml"))[0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&json!(version), &json!(version))
    );
}
