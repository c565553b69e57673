//! What arguments mean together.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::check::draw;
use super::{
    ANSWER_MEMORY_MIN, Access, Config, ConfigError, JOURNAL_MIN, LEDGER_MIN, LeaseStore, ServeArgs, Terminal,
    cluster_domain,
};
use crate::listen::ListenAddress;

#[derive(Parser)]
struct Only {
    #[command(flatten)]
    serve: ServeArgs,
}

fn config(args: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let only = Only::try_parse_from(std::iter::once("serve").chain(args.split_whitespace())).unwrap();
    let terminal = Terminal {
        colour: true,
        interactive: true,
        overwrites: true,
    };
    Config::build(only.serve, terminal, |name| {
        environment
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn refusal(args: &str) -> String {
    config(args, &[]).unwrap_err().to_string()
}

#[test]
fn no_arguments_are_a_useful_member() {
    let config = config("", &[]).unwrap();
    assert_eq!(config.identity.pod_name.to_string(), "rg-0");
    assert_eq!(config.identity.namespace, "default");
    assert_eq!(
        config.lease.store,
        LeaseStore::Directory(PathBuf::from("./random-generator-data/lease"))
    );
    assert_eq!(config.lease.renew_deadline, Duration::from_secs(10));
    assert_eq!(config.lease.retry, Duration::from_secs(2));
    assert_eq!(config.volume.ledger_max, 1_572_864);
    assert_eq!(config.listen.connection_limit, 16_384);
    assert_eq!(config.listen.public_listen, ListenAddress::All(8080));
    assert_eq!(config.listen.peer_listen, ListenAddress::All(8081));
    assert_eq!(config.listen.admin_listen, ListenAddress::Localhost(8082));
    assert_eq!(config.listen.metrics_listen, ListenAddress::All(9797));
    assert_eq!(config.draw.voters, 1.into());
    assert!(config.log.colour);
}

#[test]
fn the_pod_is_read_from_the_environment_unless_an_argument_says_otherwise() {
    let pod = [
        ("POD_NAME", "rg-2"),
        ("POD_NAMESPACE", "lab"),
        ("POD_UID", "0f0c-1"),
        ("POD_IP", "10.0.0.3"),
        ("NODE_NAME", "node-a.example"),
    ];
    let identity = config("", &pod).unwrap().identity;
    assert_eq!(identity.pod_name.ordinal, Some(2));
    assert_eq!(identity.namespace, "lab");
    assert_eq!(identity.pod_uid.as_deref(), Some("0f0c-1"));
    assert_eq!(identity.pod_ip, Some(IpAddr::from([10, 0, 0, 3])));
    assert_eq!(identity.node_name.as_deref(), Some("node-a.example"));
    let identity = config("--pod-name rg-1", &pod).unwrap().identity;
    assert_eq!(identity.pod_name.ordinal, Some(1));
    assert_eq!(
        config("", &[("POD_NAME", "")]).unwrap().identity.pod_name.to_string(),
        "rg-0"
    );
    let error = config("", &[("POD_NAME", "RG")]).unwrap_err().to_string();
    assert!(
        error.contains("POD_NAME") && error.contains("--pod-name") && error.contains("(rg-0)"),
        "{error}"
    );
}

#[test]
fn lease_times_are_checked_as_client_go_checks_them() {
    let error = refusal("--lease-duration 10s --lease-renew-deadline 10s");
    assert!(
        error.contains("--lease-duration 10s") && error.contains("--lease-renew-deadline 10s"),
        "{error}"
    );
    let error = refusal("--lease-renew-deadline 6s --lease-retry 5s");
    assert!(
        error.contains("--lease-renew-deadline 6s") && error.contains("--lease-retry 5s"),
        "{error}"
    );
    assert!(config("--lease-renew-deadline 6.1s --lease-retry 5s", &[]).is_ok());
    let error = refusal("--lease-duration 2s --lease-renew-deadline 1s");
    assert!(error.contains("greater than 1s"), "{error}");
    assert!(refusal("--lease-duration 1s").contains("from 2s to 3600s"));
    assert!(refusal("--lease-duration 2.5s").contains("whole seconds"));
    let quick = config("--lease-duration 2s", &[]).unwrap().lease;
    assert!(quick.renew_deadline > Duration::from_millis(1333) && quick.retry > Duration::from_millis(266));
}

#[test]
fn the_api_server_is_the_pods_own_unless_a_kubeconfig_names_another() {
    let store = |args: &str, environment: &[(&str, &str)]| {
        let args = format!("--lease-store kubernetes {args}");
        config(&args, environment).map(|config| config.lease.store)
    };
    for (host, server) in [
        ("10.96.0.1", "https://10.96.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        ("::1", "https://[::1]:443"),
        ("[::1]", "https://[::1]:443"),
    ] {
        let pod = [("KUBERNETES_SERVICE_HOST", host), ("KUBERNETES_SERVICE_PORT", "443")];
        let expected = LeaseStore::Kubernetes {
            name: "rg".to_owned(),
            access: Access::InCluster {
                server: server.to_owned(),
                credentials: PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
            },
        };
        assert_eq!(store("", &pod), Ok(expected));
    }
    let elsewhere = LeaseStore::Kubernetes {
        name: "mine".to_owned(),
        access: Access::Kubeconfig(PathBuf::from("k")),
    };
    assert_eq!(store("--kubeconfig k --lease-name mine", &[]), Ok(elsewhere));
    let error = store("", &[("KUBERNETES_SERVICE_HOST", "10.96.0.1")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("--lease-store kubernetes")
            && error.contains("KUBERNETES_SERVICE_PORT")
            && error.contains("--kubeconfig"),
        "{error}"
    );
}

#[test]
fn arguments_of_another_lease_store_are_refused_by_name() {
    for (args, named) in [
        (
            "--lease-store kubernetes --lease-directory f --kubeconfig k",
            ["--lease-directory", "--lease-store kubernetes"],
        ),
        ("--kubeconfig k", ["--kubeconfig", "--lease-store directory"]),
        ("--lease-name n", ["--lease-name", "--lease-store directory"]),
    ] {
        let error = refusal(args);
        assert!(named.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn several_voters_need_a_way_to_find_each_other() {
    let error = refusal("--voters 3");
    assert!(
        error.contains("--voters 3") && error.contains("--discovery-name"),
        "{error}"
    );
    let config = config("--voters 3 --discovery-name rg.default.svc.cluster.local.", &[]).unwrap();
    assert_eq!(
        config.discovery.discovery_name.as_deref(),
        Some("rg.default.svc.cluster.local")
    );
}

#[test]
fn each_set_has_a_lease_of_its_own_name_unless_told_otherwise() {
    let named = |args: &str, pod: &str| {
        let args = format!("--lease-store kubernetes --kubeconfig k {args}");
        match config(&args, &[("POD_NAME", pod)]).unwrap().lease.store {
            LeaseStore::Kubernetes { name, .. } => name,
            LeaseStore::Directory(path) => panic!("{path:?}"),
        }
    };
    assert_eq!(named("", "web-rg-0"), "web-rg");
    assert_eq!(named("", "rg-7"), "rg");
    assert_eq!(named("--lease-name random-generator", "rg-7"), "random-generator");
}

#[test]
fn the_short_name_of_a_service_becomes_a_name_of_its_cluster() {
    let in_pod = "nameserver 10.96.0.10\nsearch lab.svc.example.org svc.example.org example.org\noptions ndots:5\n";
    assert_eq!(cluster_domain(in_pod), "example.org");
    for elsewhere in ["", "search example.org\n", "# search svc.example.org\nsearchsvc.x\n"] {
        assert_eq!(cluster_domain(elsewhere), "cluster.local", "{elsewhere:?}");
    }
    let name = |args: &str| {
        config(args, &[("POD_NAMESPACE", "lab")])
            .unwrap()
            .discovery
            .discovery_name
            .unwrap()
    };
    assert!(name("--voters 3 --governing-service web").starts_with("web.lab.svc."));
    assert_eq!(name("--governing-service web --discovery-name a.b.c"), "a.b.c");
}

#[test]
fn a_member_without_governing_service_is_its_own_voter_whatever_its_ordinal() {
    let voters = |args: &str, pod: &str| config(args, &[("POD_NAME", pod)]).unwrap().draw.voters.to_string();
    for args in ["", "--voters 1", "--voters 7-7"] {
        assert_eq!(voters(args, "rg-5"), "5-5", "{args}");
        assert_eq!(voters(args, "rg-0"), "1", "{args}");
    }
    let named = "--discovery-name rg.default.svc.cluster.local";
    assert_eq!(voters(named, "rg-5"), "1");
    assert_eq!(voters(&format!("{named} --voters 5-7"), "rg-5"), "5-7");
    assert!(refusal("--voters 5-7").contains("--voters 5-7 needs --discovery-name"));
}

#[test]
fn two_listeners_on_one_address_are_refused_by_name() {
    let error = refusal("--peer-listen 127.0.0.1:8080");
    assert!(
        error.contains("--public-listen") && error.contains("--peer-listen"),
        "{error}"
    );
    assert!(config("--public-listen 127.0.0.1:0 --peer-listen 127.0.0.1:0", &[]).is_ok());
    assert!(config("--public-listen 127.0.0.1:9000 --peer-listen 127.0.0.2:9000", &[]).is_ok());
}

#[test]
fn sizes_and_times_out_of_bounds_are_refused_with_the_bounds() {
    for (args, bounds) in [
        ("--journal-max 1KiB", "from 2MiB to 1024GiB"),
        ("--journal-max 2047KiB", "from 2MiB to 1024GiB"),
        ("--ledger-max 511KiB", "from 512KiB to 64GiB"),
        ("--ledger-max 65GiB", "from 512KiB to 64GiB"),
        ("--answer-memory 1023KiB", "from 1MiB to 1024GiB"),
        ("--answer-memory 2048GiB", "from 1MiB to 1024GiB"),
        ("--shutdown-delay 601s", "from 0s to 600s"),
        ("--drain-limit 1h", "from 0s to 600s"),
        ("--draw-deadline 1ms", "from 100ms to 3600s"),
        ("--discovery-interval 0s", "from 100ms to 3600s"),
    ] {
        let error = refusal(args);
        assert!(
            error.contains(bounds) && args.contains(error.split(' ').next().unwrap()),
            "{error}"
        );
        let name = args.split(' ').next().unwrap().trim_start_matches("--");
        let serve = Only::command();
        let argument = serve.get_arguments().find(|argument| argument.get_long() == Some(name));
        let help = argument.unwrap().get_help().unwrap().to_string();
        assert!(help.contains(bounds.trim_start_matches("from ")), "--{name}: {help}");
    }
}

#[test]
fn the_smallest_sizes_are_taken() {
    assert_eq!(config("", &[]).unwrap().volume.ledger_keep, None);
    let kept = config("--ledger-keep 90d", &[]).unwrap().volume.ledger_keep;
    assert_eq!(kept, Some(Duration::from_secs(90 * 86_400)));
    let smallest = config("--journal-max 2MiB --ledger-max 512KiB --answer-memory 1MiB", &[]).unwrap();
    assert_eq!(smallest.listen.answer_memory, Some(ANSWER_MEMORY_MIN));
    assert_eq!(smallest.volume.journal_max, Some(JOURNAL_MIN));
    assert_eq!(smallest.volume.ledger_max, LEDGER_MIN);
}

#[test]
fn a_schedule_is_checked_at_the_door_and_against_its_deadline() {
    let with = |schedule: &str, deadline: &str| {
        let args = ["serve", "--draw-schedule", schedule, "--draw-deadline", deadline];
        let error = |args: ServeArgs| {
            draw(&args, Some(0))
                .map(|draw| draw.schedule.to_string())
                .map_err(|e| e.to_string())
        };
        error(Only::try_parse_from(args).unwrap().serve)
    };
    assert_eq!(with("@every  10s", "10s"), Ok("@every 10s".into()));
    assert_eq!(with("0 9 * * 1-5", "1h"), Ok("0 9 * * 1-5".into()));
    let error = with("@every 10s", "11s").unwrap_err();
    assert!(
        error.contains("--draw-deadline 11s") && error.contains("--draw-schedule '@every 10s'"),
        "{error}"
    );
    assert_eq!(with("@hourly", "10s"), Ok("0 * * * *".into()));
    assert_eq!(with("5/15 9 ? JAN MON-FRI", "10s"), Ok("5-50/15 9 * 1 1-5".into()));
    let error = with("CRON_TZ=Europe/Berlin 0 9 * * *", "10s").unwrap_err();
    assert!(
        error.starts_with("--draw-schedule:") && error.contains("`@every Ns`"),
        "{error}"
    );
}

#[test]
fn nameservers_may_be_repeated() {
    let config = config(
        "--discovery-nameserver 10.0.0.1:53 --discovery-nameserver [::1]:5353,10.0.0.2:53",
        &[],
    )
    .unwrap();
    assert_eq!(config.discovery.discovery_nameserver.len(), 3);
}

#[test]
fn a_word_that_is_no_level_is_no_log_filter() {
    assert!(refusal("--log-filter inof").contains("--log-filter 'inof'"));
    assert!(config("--log-filter warn,random_generator::draw=debug", &[]).is_ok());
}
