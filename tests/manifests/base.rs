//! k8s/base against the member and against itself.

use random_generator::listen::ListenAddress;
use serde_json::{Value, json};

use super::{Manifests, at, configuration, container, pod, ports, seconds, strings, text, variables};

/// Every kind of workload in the repository.
fn workloads() -> Vec<Value> {
    let mut all = vec![Manifests::base().workload().clone()];
    for file in [
        "k8s/overlays/stateless/stateless.yaml",
        "k8s/overlays/singleton-deployment/singleton.yaml",
    ] {
        all.push(Manifests::of(&text(file)).workload().clone());
    }
    all
}

#[test]
fn every_variable_is_an_argument_that_serve_takes() {
    for workload in workloads() {
        let config = configuration(&workload);
        assert_eq!(config.volume.data_dir.to_str(), Some("/logs"));
    }
}

#[test]
fn ports_are_those_that_the_member_listens_on() {
    for workload in workloads() {
        let listen = configuration(&workload).listen;
        for (name, port) in ports(&workload) {
            let address = match name.as_str() {
                "http" => listen.public_listen,
                "peer" => listen.peer_listen,
                "metrics" => listen.metrics_listen,
                _ => panic!("{name} is no listener"),
            };
            let all = ListenAddress::All(port.try_into().unwrap());
            assert_eq!(address, all, "{name} is for others, in either family");
        }
        assert!(
            listen.admin_listen.is_loopback(),
            "the admin listener asks for no password"
        );
    }
    let base = Manifests::base();
    let annotations = at(base.workload(), "/spec/template/metadata/annotations");
    assert_eq!(
        annotations["prometheus.io/port"],
        json!(ports(base.workload())["metrics"].to_string())
    );
}

#[test]
fn services_send_to_ports_that_the_pods_have() {
    let base = Manifests::base();
    let ports = ports(base.workload());
    let (governing, client) = (
        base.get("Service", "random-generator"),
        base.get("Service", "random-generator-client"),
    );
    for (service, wanted) in [
        (governing, vec![("http", 8080), ("peer", 8081)]),
        (client, vec![("http", 80)]),
    ] {
        let found: Vec<_> = at(service, "/spec/ports")
            .as_array()
            .unwrap()
            .iter()
            .map(|port| {
                assert!(ports.contains_key(port["targetPort"].as_str().unwrap()), "{port}");
                (port["name"].as_str().unwrap(), port["port"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(found, wanted);
    }
    assert_eq!(at(governing, "/spec/clusterIP"), "None");
    for service in [governing, client] {
        assert_eq!(at(service, "/spec/ipFamilyPolicy"), "PreferDualStack");
    }
    assert_eq!(at(governing, "/spec/publishNotReadyAddresses"), &json!(true));
    // An SRV record holds the port of the Service, which reaches a Pod with nothing between: it must be the Pod's own.
    for port in at(governing, "/spec/ports").as_array().unwrap() {
        assert_eq!(
            port["port"].as_u64(),
            ports.get(port["name"].as_str().unwrap()).copied()
        );
    }
}

#[test]
fn members_are_found_by_the_name_of_their_governing_service() {
    let base = Manifests::base();
    let set = base.get("StatefulSet", "rg");
    let governing = at(set, "/spec/serviceName").as_str().unwrap();
    base.get("Service", governing);
    let name = configuration(set).discovery.discovery_name.expect("a name to look up");
    assert!(name.starts_with(&format!("{governing}.default.svc.")), "{name}");
    assert_eq!(variables(set)["RANDOM_GENERATOR_GOVERNING_SERVICE"], governing);
}

#[test]
fn the_voters_are_the_members_of_the_set() {
    let base = Manifests::base();
    let set = base.get("StatefulSet", "rg");
    assert_eq!(
        u64::from(configuration(set).draw.voters.count),
        seconds(set, "/spec/replicas")
    );
}

#[test]
fn the_role_is_get_update_and_watch_on_the_one_lease() {
    let base = Manifests::base();
    let name = &variables(base.workload())["RANDOM_GENERATOR_LEASE_NAME"];
    base.get("Lease", name);
    assert_eq!(
        at(base.get("Role", "random-generator"), "/rules"),
        &json!([{
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [name],
            "verbs": ["get", "update", "watch"],
        }])
    );
    let binding = base.get("RoleBinding", "random-generator");
    assert_eq!(at(binding, "/roleRef/name"), "random-generator");
    let account = at(pod(base.workload()), "/serviceAccountName");
    assert_eq!(
        at(binding, "/subjects"),
        &json!([{"kind": "ServiceAccount", "name": account}])
    );
    let account = base.get("ServiceAccount", account.as_str().unwrap());
    assert_eq!(at(account, "/automountServiceAccountToken"), &json!(false));
    assert_eq!(at(pod(base.workload()), "/automountServiceAccountToken"), &json!(true));
}

#[test]
fn the_manifest_of_the_lease_leaves_to_members_what_they_write() {
    let base = Manifests::base();
    let lease = base.get("Lease", "random-generator");
    assert!(
        lease.get("spec").is_none() && lease.pointer("/metadata/annotations").is_none(),
        "{lease:#}"
    );
    // Annotations for all objects would be on the Lease too.
    for folder in ["base", "overlays/kind"] {
        let kustomization = text(format!("k8s/{folder}/kustomization.yaml"));
        assert!(!kustomization.contains("commonAnnotations"), "{folder}");
    }
}

/// The seconds of a `const NAME: Duration = Duration::from_secs(N);` of the sources.
fn constant(source: &str, name: &str) -> u64 {
    let after = source
        .split(&format!("const {name}: Duration = Duration::from_secs("))
        .nth(1);
    let number = after.unwrap_or_else(|| panic!("no {name}")).split(')').next().unwrap();
    number.parse().unwrap()
}

#[test]
fn the_grace_period_is_longer_than_every_stage_of_stopping() {
    let stages = text("src/member/stages.rs");
    for workload in workloads() {
        let shutdown = configuration(&workload).shutdown;
        assert!(shutdown.shutdown_delay.as_secs() >= 5, "endpoints need a moment to go");
        let most = constant(&stages, "LEADING_LIMIT")
            + shutdown.shutdown_delay.as_secs()
            + shutdown.drain_limit.as_secs()
            + constant(&stages, "LISTENERS_SLACK")
            + constant(&stages, "SUPPORT_LIMIT");
        let grace = seconds(pod(&workload), "/terminationGracePeriodSeconds");
        assert!(grace > most, "{grace} s, and stopping may take {most}");
    }
}

#[test]
fn probes_ask_only_for_what_a_restart_or_a_moment_mends() {
    let routes = text("src/http/public.rs");
    for workload in workloads() {
        for (probe, path) in [
            ("startupProbe", "/livez"),
            ("readinessProbe", "/readyz"),
            ("livenessProbe", "/livez"),
        ] {
            let get = at(container(&workload), &format!("/{probe}/httpGet"));
            assert_eq!(get, &json!({"path": path, "port": "http"}), "{probe}");
            assert!(routes.contains(&format!("{path:?}")), "{path} is served");
        }
    }
}

#[test]
fn pods_meet_the_restricted_standard() {
    for workload in workloads() {
        let (pod, container) = (pod(&workload), container(&workload));
        assert_eq!(at(pod, "/securityContext/runAsNonRoot"), &json!(true));
        assert_eq!(at(pod, "/securityContext/seccompProfile/type"), "RuntimeDefault");
        let security = at(container, "/securityContext");
        assert_eq!(
            security,
            &json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            })
        );
        for host in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod.get(host).is_none(), "{host}");
        }
        assert!(
            at(container, "/resources/limits").get("cpu").is_none(),
            "a throttled holder renews late"
        );
        assert_eq!(at(pod, "/enableServiceLinks"), &json!(false));
        assert_eq!(at(container, "/imagePullPolicy"), "IfNotPresent");
        assert_eq!(at(container, "/volumeMounts/0/mountPath"), "/logs");
    }
}

#[test]
fn every_selector_finds_the_pods_of_its_own_workload() {
    let files = [
        "k8s/overlays/stateless/stateless.yaml",
        "k8s/overlays/singleton-deployment/singleton.yaml",
    ];
    for manifests in std::iter::once(Manifests::base()).chain(files.map(|file| Manifests::of(&text(file)))) {
        let workload = manifests.workload();
        let labels = at(workload, "/spec/template/metadata/labels");
        let mut found = 0;
        for object in manifests.0.values() {
            let mut selectors = Vec::new();
            collect(object, &mut selectors);
            found += selectors.len();
            for selector in selectors {
                assert_eq!(selector, labels, "in {} {}", object["kind"], object["metadata"]["name"]);
            }
        }
        assert!(found >= 2, "{found} selectors");
    }
}

/// What selects Pods in an object: `selector` of a Service, and every `matchLabels`.
pub fn collect<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let plain = key == "selector" && value.get("matchLabels").is_none();
                if key == "matchLabels" || plain {
                    into.push(value);
                } else {
                    collect(value, into);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}

#[test]
fn what_the_network_lets_in_is_what_each_port_is_for() {
    let base = Manifests::base();
    let policy = base.get("NetworkPolicy", "random-generator");
    assert_eq!(strings(policy, "/spec/policyTypes"), ["Ingress", "Egress"]);
    let labels = at(base.workload(), "/spec/template/metadata/labels");
    let members = json!([{"podSelector": {"matchLabels": labels}}]);
    for rule in at(policy, "/spec/ingress").as_array().unwrap() {
        let from = rule.get("from");
        match at(rule, "/ports/0/port").as_str().unwrap() {
            "http" => assert_eq!(from, None, "from anywhere"),
            "peer" => assert_eq!(from, Some(&members), "from members alone"),
            "metrics" => assert_eq!(
                from,
                Some(&json!([{"namespaceSelector": {}}])),
                "from Pods of the cluster"
            ),
            port => panic!("{port}"),
        }
        assert_eq!(at(rule, "/ports").as_array().unwrap().len(), 1);
    }
    let out = at(policy, "/spec/egress").to_string();
    for needed in ["\"UDP\"", "\"TCP\"", "53", "443", "6443", "\"peer\""] {
        assert!(
            out.contains(needed),
            "{needed} is needed to reach DNS, the API server and peers"
        );
    }
}

#[test]
fn claims_are_small_and_outlive_the_set() {
    let base = Manifests::base();
    let set = base.get("StatefulSet", "rg");
    let claim = at(set, "/spec/volumeClaimTemplates/0");
    assert_eq!(at(claim, "/metadata/name"), "logs");
    assert_eq!(strings(claim, "/spec/accessModes"), ["ReadWriteOnce"]);
    assert_eq!(at(claim, "/spec/resources/requests/storage"), "10Mi");
    assert_eq!(
        at(set, "/spec/persistentVolumeClaimRetentionPolicy"),
        &json!({"whenScaled": "Retain", "whenDeleted": "Retain"})
    );
}
