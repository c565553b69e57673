//! What a member on Kubernetes needs is missing, one thing after another: it serves numbers, says what to do, and heals.

use std::fs;
use std::path::Path;
use std::time::Duration;

use random_generator::clock::Clock;

use crate::api_server::{Fault, Server};
use crate::harness::{Member, until, volume};

const VERBS: [&str; 3] = ["GET", "PUT", "WATCH"];

pub fn kubeconfig(server: &str) -> String {
    kubeconfig_of(server, "token: secret")
}

fn kubeconfig_of(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    )
}

fn trouble(member: &Member, reason: &str) -> bool {
    member.metric(&format!("random_generator_lease_trouble{{reason=\"{reason}\"}}")) > 0.0
}

fn told(member: &Member, part: &str, reason: &str) -> String {
    let text = member.until_degraded("lease", part);
    until(reason, || trouble(member, reason).then_some(()));
    assert_eq!(member.readyz().status, 200);
    assert_eq!(member.get("/integers?count=2").unwrap().status, 200);
    text
}

pub fn until_leading(member: &Member) {
    until("leadership", || (member.json("/leader")["self"] == true).then_some(()));
    until("no trouble", || member.degraded("lease").is_none().then_some(()));
    assert!(
        !["absent", "refused", "unreachable"]
            .iter()
            .any(|reason| trouble(member, reason))
    );
}

#[test]
fn a_fence_that_cannot_grow_is_reported_until_a_holder_replaces_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let (directory, volume) = volume();
    let path = directory.path().join("kubeconfig");
    fs::write(&path, kubeconfig(&format!("http://{}", server.address))).unwrap();
    server.create("uid-1");
    // Another holder, who will not write for the next hour.
    server.edit(|lease| {
        lease["spec"] = serde_json::json!({"holderIdentity": "other", "leaseDurationSeconds": 3600});
        lease["metadata"]["annotations"]["random-generator/fence"] = "9007199254740991".into();
    });
    let arguments = ["--lease-store", "kubernetes", "--kubeconfig", path.to_str().unwrap()];
    let more = [
        "--lease-name",
        "random-generator",
        "--pod-namespace",
        "lab",
        "--draw-schedule",
        "@every 1s",
    ];
    let member = Member::start(&volume, &[&arguments[..], &more].concat());
    let told = member.until_degraded("lease", "not a whole number from 0 to 9007199254740990");
    assert!(
        told.contains("random-generator/fence") && told.contains("\"9007199254740991\""),
        "{told}"
    );
    server.edit(|lease| lease["spec"]["holderIdentity"] = "".into());
    until_leading(&member);
    member.until_round(2);
    assert_eq!(member.json("/leader")["fence"], 1);
}

#[test]
fn whatever_is_missing_of_kubernetes_is_reported_and_heals_without_a_restart() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let (directory, volume) = volume();
    let path = directory.path().join("kubeconfig");
    let at = path.to_str().unwrap().to_owned();
    let member = Member::start(
        &volume,
        &[
            "--lease-store",
            "kubernetes",
            "--lease-name",
            "random-generator",
            "--kubeconfig",
            &at,
            "--pod-namespace",
            "lab",
            "--lease-duration",
            "3s",
            "--draw-schedule",
            "@every 1s",
        ],
    );
    told(&member, &at, "refused");

    let closed = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    fs::write(&path, kubeconfig(&format!("http://{closed}"))).unwrap();
    told(&member, "Connection refused", "unreachable");

    fs::write(&path, kubeconfig(&format!("http://{}", server.address))).unwrap();
    let text = told(&member, "there is no Lease", "absent");
    assert!(
        text.contains("random-generator in namespace lab") && text.contains("kubectl apply"),
        "{text}"
    );

    server.create("uid-1");
    until_leading(&member);
    member.until_round(2);

    let forbidden = "leases.coordination.k8s.io \"random-generator\" is forbidden";
    for verb in VERBS {
        server.always(verb, Some(Fault::Status(403, forbidden)));
    }
    server.close_connections();
    told(&member, forbidden, "refused");
    until("the watch's own", || member.degraded("lease-watch"));
    let lines = member.log().lines().filter(|line| line.contains("degraded")).count();
    assert!(lines < 24, "one line on each change, not one a second: {lines}");
    assert!(
        !member.log().contains("failed with"),
        "the client's own errors: {}",
        member.log()
    );
    for verb in VERBS {
        server.always(verb, None);
    }
    until_leading(&member);
    until("the watch's own", || {
        member.degraded("lease-watch").is_none().then_some(())
    });
    let round = member.round();
    member.until_round(round + 2);

    server.delete();
    told(&member, "kubectl apply", "absent");
    server.create("uid-2");
    until_leading(&member);
    let round = member.round();
    member.until_round(round + 2);
    member.stop();
    let lease = server.lease().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "", "released");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 1);
}

/// A kubeconfig whose exec plugin adds a line to the file `runs`, and then does what `script` says.
fn with_plugin(server: &str, runs: &Path, script: &str) -> String {
    let script = format!("echo $$ >>{}; {script}", runs.to_str().unwrap());
    let user = format!("exec: {{interactiveMode: Never, command: /bin/sh, args: ['-c', {script:?}]}}");
    kubeconfig_of(server, &user)
}

fn on_kubernetes(volume: &Path, kubeconfig: &Path) -> Member {
    let at = kubeconfig.to_str().unwrap();
    let arguments = [
        "--lease-store",
        "kubernetes",
        "--lease-name",
        "random-generator",
        "--kubeconfig",
        at,
        "--pod-namespace",
        "lab",
    ];
    Member::start(volume, &arguments)
}

#[test]
fn a_kubeconfigs_plugin_that_hangs_stops_neither_the_numbers_nor_the_end() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    server.create("uid-1");
    let (directory, volume) = volume();
    let (path, runs) = (directory.path().join("kubeconfig"), directory.path().join("runs"));
    fs::write(
        &path,
        with_plugin(&format!("http://{}", server.address), &runs, "sleep 60"),
    )
    .unwrap();
    let member = on_kubernetes(&volume, &path);
    told(&member, "exec plugin", "unreachable");
    let clock = Clock::system();
    for _ in 0..50 {
        let began = clock.boot();
        assert_eq!(member.get("/integers?count=2").unwrap().status, 200);
        let took = clock.boot().since(began);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let plugin = fs::read_to_string(&runs).unwrap();
    assert_eq!(plugin.lines().count(), 1, "one at a time");
    let began = clock.boot();
    member.stop();
    let took = clock.boot().since(began);
    assert!(took < Duration::from_secs(10), "{took:?}");
    until("the end of the plugin", || {
        let line = fs::read(format!("/proc/{}/cmdline", plugin.trim()));
        line.map_or(true, |line| line.is_empty()).then_some(())
    });
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_member_whose_plugin_takes_two_seconds_leads_and_runs_it_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    server.create("uid-1");
    let (directory, volume) = volume();
    let (path, runs) = (directory.path().join("kubeconfig"), directory.path().join("runs"));
    let script = "sleep 2; echo '{\"status\": {\"token\": \"slow\"}}'";
    fs::write(&path, with_plugin(&format!("http://{}", server.address), &runs, script)).unwrap();
    let member = on_kubernetes(&volume, &path);
    until_leading(&member);
    let renewals = server.seen("PUT").len();
    until("two renewals", || {
        (server.seen("PUT").len() > renewals + 1).then_some(())
    });
    until("a watch", || (!server.seen("WATCH").is_empty()).then_some(()));
    for verb in VERBS {
        let all = server.seen(verb).into_iter();
        assert!(
            all.clone()
                .all(|seen| seen.authorization.as_deref() == Some("Bearer slow"))
        );
    }
    assert_eq!(fs::read_to_string(&runs).unwrap().lines().count(), 1);
    member.stop();
}
