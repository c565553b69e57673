//! A kubeconfig's `exec` plugin, which may be slow, hang or fail: it holds up nothing but the requests that need it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lease_election::kubernetes::{Access, KubernetesConfig, KubernetesLeaseStore, KubernetesMetrics};
use lease_election::{LeaseStore, StoreError};
use random_generator::clock::{Boot, Clock, Now, Wall};
use random_generator::lease::annotations;
use random_generator::record::Record;
use tokio::time::timeout;

use crate::server::{Fault, Server};
use crate::waiting::{PATIENCE, eventually};
use crate::{ANSWER, SHORT, holds_up_no_other_task, kubeconfig_of, store};

/// A kubeconfig whose plugin is this shell script. `$RUNS` is a file for it.
fn plugin(directory: &Path, server: &Server, script: &str) -> Access {
    let runs = directory.join("runs");
    let user = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, \
         args: ['-c', {script:?}], env: [{{name: RUNS, value: {runs:?}}}]}}"
    );
    kubeconfig_of(directory, &format!("http://{}", server.address), &user)
}

fn lines(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("runs")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Whether a process runs: what is left of an ended one has no command line.
fn runs(process: &str) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Prints `token-N` at its Nth run, with `more` in the status.
fn printing(more: &str) -> String {
    format!(
        "echo run >>$RUNS; echo \"{{'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', \
         'status': {{'token': 'token-$(wc -l <$RUNS)'{more}}}}}\" | tr \"'\" '\"'"
    )
}

fn tokens(server: &Server) -> Vec<String> {
    let sent = server.seen("GET").into_iter().filter_map(|seen| seen.authorization);
    sent.map(|value| value.replace("Bearer token-", "")).collect()
}

async fn server() -> Server {
    let server = Server::start().await;
    server.create("uid-1");
    server
}

#[tokio::test]
async fn a_plugin_that_hangs_holds_up_no_other_task_and_ends_with_the_store() {
    let (server, directory) = (server().await, tempfile::tempdir().unwrap());
    let access = plugin(
        directory.path(),
        &server,
        "echo $$ >>$RUNS; sleep 600 & echo $! >>$RUNS; wait",
    );
    let store = store(access, SHORT);
    let clock = Clock::system();
    holds_up_no_other_task(async {
        for _ in 0..4 {
            let began = clock.boot();
            let error = store.read().await.unwrap_err();
            assert!(
                matches!(&error, StoreError::Unreachable(why) if why.contains("exec plugin")),
                "{error}"
            );
            assert!(clock.boot().since(began) < SHORT + Duration::from_secs(2));
        }
    })
    .await;
    let processes = lines(directory.path());
    assert_eq!(processes.len(), 2, "one plugin at a time: {processes:?}");
    assert!(processes.iter().all(|process| runs(process)));
    drop(store);
    eventually("the end of the plugin and what it started", async || {
        (!processes.iter().any(|process| runs(process))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_plugin_runs_once_for_each_credential_whatever_the_calls() {
    let (server, directory) = (server().await, tempfile::tempdir().unwrap());
    let access = plugin(directory.path(), &server, &format!("sleep 1; {}", printing("")));
    let store = store(access, SHORT);
    // Each call waits for less than the plugin takes.
    eventually("a credential", async || store.read().await.ok()).await;
    let mut base = store.read().await.unwrap().unwrap();
    for fence in 1..4 {
        base = crate::lease_writes::written(store.write(&base, &crate::lease_writes::change("a", fence)).await);
    }
    // A new connection needs no new credential, and a rejected credential does.
    server.once("GET", Fault::Close);
    store.read().await.unwrap_err();
    store.read().await.unwrap();
    assert_eq!(lines(directory.path()).len(), 1);
    server.once("GET", Fault::Status(401, "Unauthorized"));
    store.read().await.unwrap_err();
    eventually("another credential", async || store.read().await.ok()).await;
    assert_eq!(lines(directory.path()).len(), 2);
    assert_eq!(tokens(&server).last().unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_renewed_before_it_expires_and_never_used_after() {
    let (server, directory) = (server().await, tempfile::tempdir().unwrap());
    let begin = Now {
        boot: Boot(1_000_000_000_000),
        wall: Wall::from("2026-11-21T05:00:00Z".parse::<jiff::Timestamp>().unwrap()),
    };
    let clock = Clock::held(begin);
    let config = KubernetesConfig {
        namespace: "lab".to_owned(),
        name: "random-generator".to_owned(),
        annotations: annotations(),
        answer: ANSWER,
    };
    // Printed as YAML, which client-go accepts too.
    let script = format!(
        "{} | tr -d '{{}}\"' | sed 's/, /\\n/g; s/status: /status:\\n  /' | sed 's/^ *expir/  expir/'",
        printing(", 'expirationTimestamp': '2026-11-21T06:00:00Z'")
    );
    let access = plugin(directory.path(), &server, &script);
    let store = KubernetesLeaseStore::<Record>::new(access, config, clock.clone(), KubernetesMetrics::default());
    let at = |seconds: u64| {
        clock.set(Now {
            boot: begin.boot + Duration::from_secs(seconds),
            wall: Wall(begin.wall.0 + seconds as i64 * 1_000_000),
        });
    };
    store.read().await.unwrap();
    at(3_530);
    store.read().await.unwrap();
    at(3_545);
    eventually("a renewal", async || {
        store.read().await.unwrap();
        (tokens(&server).last().unwrap() == "2").then_some(())
    })
    .await;
    let before = tokens(&server);
    assert!(
        before.starts_with(&["1".to_owned(), "1".to_owned(), "1".to_owned()]),
        "used until it is replaced: {before:?}"
    );
    at(3_601);
    store.read().await.unwrap();
    assert_ne!(tokens(&server).last().unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_is_reported_in_its_own_words_and_heals() {
    let (server, directory) = (server().await, tempfile::tempdir().unwrap());
    let store = store(
        plugin(
            directory.path(),
            &server,
            "echo first >&2; echo 'log in again' >&2; exit 3",
        ),
        ANSWER,
    );
    for (script, parts) in [
        (
            "echo first >&2; echo 'log in again' >&2; exit 3",
            ["exec plugin sh failed", "log in again"],
        ),
        ("echo '{\"status\": {}}'", ["exec plugin sh", "no token"]),
        ("echo '[]'", ["exec plugin sh", "ExecCredential"]),
        ("yes", ["exec plugin sh was killed", "printed more than 1048576 bytes"]),
        (
            "yes | head -c 3000000 >&2; exit 3",
            ["exec plugin sh failed (exit status: 3)", "y"],
        ),
        (&printing(", 'expirationTimestamp': 'soon'"), ["exec plugin sh", "time"]),
    ] {
        plugin(directory.path(), &server, script);
        let error = store.read().await.unwrap_err();
        let StoreError::Refused(reason) = &error else {
            panic!("{error:?}")
        };
        assert!(
            parts.iter().all(|part| reason.contains(part)) && !reason.contains('\n'),
            "{reason}"
        );
    }
    for (user, part) in [
        ("exec: {command: /nowhere/plugin}", "can't be run"),
        ("exec: {command: sh, interactiveMode: Always}", "interactiveMode"),
        (
            "auth-provider: {name: gcp, config: {cmd-path: sh}}",
            "use an exec plugin",
        ),
    ] {
        kubeconfig_of(directory.path(), &format!("http://{}", server.address), user);
        let error = store.read().await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    plugin(directory.path(), &server, &printing(""));
    assert!(timeout(PATIENCE, store.read()).await.unwrap().unwrap().is_some());
}
