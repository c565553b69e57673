//! A Lease that belongs to another set, or is held by another program.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::api_server::Server;
use crate::harness::{Member, until, volume};
use crate::kubernetes::{kubeconfig, until_leading};

fn member(volume: &Path, kubeconfig: &Path, name: &str) -> Member {
    let arguments = [
        "--pod-name",
        name,
        "--lease-store",
        "kubernetes",
        "--lease-name",
        "random-generator",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "--pod-namespace",
        "lab",
        "--lease-duration",
        "3s",
        "--draw-schedule",
        "@every 1s",
    ];
    Member::start(volume, &arguments)
}

fn holder(lease: &Value) -> String {
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_lease_of_another_set_is_neither_taken_nor_stored_and_both_sets_are_named() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    server.create("uid-1");
    let (directory, first_volume) = volume();
    let config = directory.path().join("kubeconfig");
    fs::write(&config, kubeconfig(&format!("http://{}", server.address))).unwrap();
    let first = member(&first_volume, &config, "rg-0");
    until_leading(&first);

    // Its holder shows whose it is before its first record does.
    server.edit(|lease| {
        let annotations = lease["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove("random-generator/record");
    });
    let second = member(&directory.path().join("web-0"), &config, "web-0");
    let text = second.until_degraded("lease", "belongs to set rg");
    for part in ["Lease random-generator in namespace lab", "set web", "--lease-name"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    first.until_round(2);
    second.until_degraded("lease", "as its record says");

    // Free, it still is set rg's.
    first.stop();
    let writes = server.seen("PUT").len();
    let reads = server.seen("GET").len();
    until("more reads", || (server.seen("GET").len() > reads + 2).then_some(()));
    assert_eq!(server.seen("PUT").len(), writes, "nothing is written");
    assert_eq!(holder(&server.lease().unwrap()), "");
    assert_eq!(second.round(), 0, "and nothing reported");
    assert_eq!(second.readyz().status, 200);

    // Once the Lease is its own, it draws.
    server.delete();
    server.create("uid-2");
    until_leading(&second);
    second.until_round(2);
    // The other set takes it for its own no more than this one did.
    server.edit(|lease| lease["spec"]["holderIdentity"] = json!("rg-0_uid-01234567"));
    second.until_degraded("lease", "whose rg-0_uid-01234567 holds it");
    assert_eq!(second.json("/leader")["self"], false);
    second.stop();
}

#[test]
fn another_program_that_holds_the_lease_is_named() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    server.create("uid-1");
    let (directory, volume) = volume();
    let config = directory.path().join("kubeconfig");
    fs::write(&config, kubeconfig(&format!("http://{}", server.address))).unwrap();
    let foreign = "web-7d4b9c5f6-24568_6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    server.edit(|lease| {
        lease["spec"] = json!({"holderIdentity": foreign, "leaseDurationSeconds": 3600, "leaseTransitions": 1});
    });
    let member = member(&volume, &config, "rg-0");
    let text = member.until_degraded("lease", foreign);
    for part in ["another program", "no member of set rg", "--lease-name"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    server.edit(|lease| lease["spec"]["holderIdentity"] = json!(""));
    until_leading(&member);
    member.until_round(1);
    member.stop();
}
