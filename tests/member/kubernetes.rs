//! What a member on Kubernetes needs is missing, one thing after another: it serves numbers, says what to do, and heals.

use std::fs;

use crate::api_server::{Fault, Server};
use crate::harness::{Member, until, volume};

const VERBS: [&str; 3] = ["GET", "PUT", "WATCH"];

fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{token: secret}}}}]\n\
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

fn until_leading(member: &Member) {
    until("leadership", || (member.json("/leader")["self"] == true).then_some(()));
    until("no trouble", || member.degraded("lease").is_none().then_some(()));
    assert!(
        !["absent", "refused", "unreachable"]
            .iter()
            .any(|reason| trouble(member, reason))
    );
}

#[test]
fn whatever_is_missing_of_kubernetes_is_told_and_heals_without_a_restart() {
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
