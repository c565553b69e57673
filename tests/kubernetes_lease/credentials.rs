//! Token, CA certificate and kubeconfig: read again and again, told when they are missing, and healed with no restart.

use std::fs;
use std::path::Path;
use std::process::Command;

use lease_election::kubernetes::Access;
use lease_election::{LeaseStore, StoreError};

use crate::server::{Fault, Server};
use crate::tls;
use crate::waiting::eventually;
use crate::{ANSWER, Bench, SHORT, holds_up_no_other_task, kubeconfig, kubeconfig_of, store};

/// A self-signed certificate that nothing here uses: plain HTTP, but a Pod's CA certificate must be one.
const CERTIFICATE: &str = include_str!("ca.crt");

fn refused(error: StoreError, parts: &[&str]) {
    let StoreError::Refused(reason) = &error else {
        panic!("expected a refusal, got {error:?}");
    };
    for part in parts {
        assert!(reason.contains(part), "{part:?} is missing in: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_token_is_read_again_and_what_is_missing_is_reported_until_it_is_there() {
    let server = Server::start().await;
    server.create("uid-1");
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let access = Access::InCluster {
        server: format!("http://{}", server.address),
        credentials: directory.path().to_owned(),
    };
    let store = store(access, ANSWER);
    refused(
        store.read().await.unwrap_err(),
        &[
            at("token").to_str().unwrap(),
            "can't be read",
            "automountServiceAccountToken",
        ],
    );
    fs::write(at("token"), "first\n").unwrap();
    refused(
        store.read().await.unwrap_err(),
        &[at("ca.crt").to_str().unwrap(), "CA certificate"],
    );
    fs::write(at("ca.crt"), CERTIFICATE).unwrap();
    assert!(store.read().await.unwrap().is_some());
    fs::write(at("token"), "second").unwrap();
    assert!(store.read().await.unwrap().is_some());
    fs::write(at("token"), "").unwrap();
    refused(
        store.read().await.unwrap_err(),
        &[at("token").to_str().unwrap(), "empty"],
    );
    fs::remove_file(at("token")).unwrap();
    refused(store.read().await.unwrap_err(), &["can't be read"]);
    fs::write(at("token"), "third").unwrap();
    assert!(store.read().await.unwrap().is_some());
    let sent: Vec<String> = server
        .seen("GET")
        .into_iter()
        .filter_map(|seen| seen.authorization)
        .collect();
    assert_eq!(sent, ["Bearer first", "Bearer second", "Bearer third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_with_an_ipv6_address_is_reached_from_a_pod_and_by_a_kubeconfig() {
    let server = Server::start().await;
    server.create("uid-1");
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("token"), "secret").unwrap();
    fs::copy(tls::authority(), at("ca.crt")).unwrap();
    let url = format!("https://{}", tls::in_front_at("[::1]:0", server.address));
    assert!(url.starts_with("https://[::1]:"), "{url}");
    let in_cluster = Access::InCluster {
        server: url.clone(),
        credentials: directory.path().to_owned(),
    };
    assert!(store(in_cluster, ANSWER).read().await.unwrap().is_some());
    let access = kubeconfig(directory.path(), &url);
    let text = fs::read_to_string(at("kubeconfig")).unwrap();
    let trusting = format!("{url}', certificate-authority: '{}", at("ca.crt").display());
    fs::write(at("kubeconfig"), text.replace(&url, &trusting)).unwrap();
    assert!(store(access, ANSWER).read().await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_is_missing_or_damaged_is_reported_and_heals() {
    let server = Server::start().await;
    server.create("uid-1");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    let store = store(Access::Kubeconfig(path.clone()), ANSWER);
    refused(
        store.read().await.unwrap_err(),
        &["--kubeconfig", path.to_str().unwrap(), "can't be read"],
    );
    fs::write(&path, "clusters: {").unwrap();
    refused(store.read().await.unwrap_err(), &["--kubeconfig"]);
    fs::write(&path, "current-context: nowhere").unwrap();
    refused(store.read().await.unwrap_err(), &["nowhere"]);
    kubeconfig(directory.path(), &format!("http://{}", server.address));
    assert!(store.read().await.unwrap().is_some());
    assert_eq!(server.seen("GET")[0].authorization.as_deref(), Some("Bearer secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_moved_is_found_once_the_kubeconfig_says_so() {
    let bench = Bench::new(ANSWER).await;
    bench.read().await;
    let other = Server::start().await;
    other.create("uid-2");
    kubeconfig(
        bench.directory.path(),
        &format!("http://{}/behind/a/proxy", other.address),
    );
    other.once("GET", Fault::NoApi);
    assert!(bench.store.read().await.is_err());
    assert!(
        other.seen("GET")[0].target.starts_with("/behind/a/proxy/apis/"),
        "the server's own path stays"
    );
    kubeconfig(bench.directory.path(), &format!("http://{}", other.address));
    assert_eq!(bench.read().await.uid, "uid-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_may_end_in_a_newline_and_is_read_again() {
    let bench = Bench::new(ANSWER).await;
    let file = bench.directory.path().join("token");
    fs::write(&file, "first\n").unwrap();
    // A relative path is relative to the kubeconfig.
    kubeconfig_of(
        bench.directory.path(),
        &format!("http://{}", bench.server.address),
        "tokenFile: token",
    );
    bench.read().await;
    fs::write(&file, "second\n").unwrap();
    bench.read().await;
    fs::write(&file, "two words\n").unwrap();
    refused(
        bench.store.read().await.unwrap_err(),
        &[file.to_str().unwrap(), "not one word"],
    );
    let sent = bench.server.seen("GET").into_iter().map(|seen| seen.authorization);
    let sent: Vec<String> = sent.flatten().collect();
    assert_eq!(sent, ["Bearer first", "Bearer second"]);
}

/// As a file on a server that doesn't answer: whoever opens a pipe waits for its writer.
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_file_that_hangs_holds_up_no_other_task_and_only_one_thread() {
    for user in ["tokenFile: hung", "token: secret"] {
        let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
        server.create("uid-1");
        let hung = directory.path().join("hung");
        pipe(&hung);
        let access = kubeconfig_of(directory.path(), &format!("http://{}", server.address), user);
        if !user.contains("hung") {
            let path = directory.path().join("kubeconfig");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("{server:", "{certificate-authority: hung, server:")).unwrap();
        }
        let store = store(access, SHORT);
        holds_up_no_other_task(async {
            for _ in 0..4 {
                let error = store.read().await.unwrap_err();
                let named = matches!(&error, StoreError::Unreachable(why) if why.contains("credentials file"));
                assert!(named, "{error}");
            }
        })
        .await;
        // One thread reads it, however often it was asked for; and what it reads is used.
        let content = if user.contains("hung") { "first" } else { CERTIFICATE };
        fs::write(&hung, content).unwrap();
        fs::remove_file(&hung).unwrap();
        fs::write(&hung, content).unwrap();
        eventually("credentials", async || store.read().await.ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_someone_elses_making_is_used_as_it_is() {
    let server = Server::start().await;
    server.create("uid-1");
    let mut config = kube::Config::new(format!("http://{}", server.address).parse().unwrap());
    config.default_retry = false;
    let store = store(kube::Client::try_from(config).unwrap(), ANSWER);
    server.once("GET", Fault::Status(401, "Unauthorized"));
    refused(store.read().await.unwrap_err(), &["401"]);
    assert!(store.read().await.unwrap().is_some());
    assert_eq!(server.seen("GET")[0].authorization, None);
}
