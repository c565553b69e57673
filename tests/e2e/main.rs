//! The set on a real cluster, end to end: `make e2e`, and with a command that breaks the cluster `make e2e-faults`.
//!
//! Each test is a sentence, and takes a set that is whole and leaves it so; those that can share a set stand in a group, which
//! has a namespace of its own. When one fails, the next begins with a new set. Whatever way it ends, the cluster is left as it
//! was found. It is no `#[test]`, because those can't share and clear away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(clippy::print_stdout, clippy::print_stderr)] // what `#[test]` would print
#![allow(clippy::disallowed_methods)] // the environment says which cluster

mod access;
mod chain;
mod chart;
mod client;
mod cluster;
mod describe;
mod discovery;
mod faults;
mod group;
mod handover;
#[allow(dead_code)] // a program of its own, which `client` builds; named here so that it is formatted and linted
mod keep_alive;
mod logs;
mod members;
mod missing;
mod ordinals;
mod peer_secret;
mod plan;
mod pod;
mod reference;
mod scaling;
mod second;
mod set;
mod singleton;
mod traffic;
mod updates;

use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use crate::cluster::{Cluster, Given};
use crate::group::{Group, Run};

const USAGE: &str = "usage: e2e set|faults|reference [PART-OF-A-NAME]; KUBECONFIG, IMAGE, CLIENT_IMAGE and for faults FAULT are in the environment; `make e2e`, `make e2e-faults` and `make e2e-reference` call it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (which, part) = match &arguments[..] {
        [which] => (which.as_str(), ""),
        [which, part] => (which.as_str(), part.as_str()),
        _ => ("", ""),
    };
    let mut phases = match which {
        "set" => vec![set_groups()],
        "faults" => faults::phases(),
        "reference" => vec![reference::groups()],
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    for groups in &mut phases {
        for group in groups.iter_mut() {
            group.steps.retain(|step| step.name.contains(part));
        }
        groups.retain(|group| !group.steps.is_empty());
    }
    match given(which == "faults") {
        Err(missing) => {
            eprintln!("{missing}");
            ExitCode::from(64)
        }
        Ok(_) if phases.iter().all(Vec::is_empty) => {
            eprintln!("no test has {part:?} in its name");
            ExitCode::from(64)
        }
        Ok(given) => {
            // On one thread: they wait, and closures that await aren't known to be `Send`.
            std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, run(given, phases))
        }
    }
}

fn given(faults: bool) -> Result<Given, String> {
    let asked = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let needed = |name: &str, what: &str| asked(name).ok_or_else(|| format!("{name} is not set: it names {what}"));
    needed("KUBECONFIG", "the cluster to test on")?;
    Ok(Given {
        image: needed("IMAGE", "the member's image, as the cluster's nodes know it")?,
        client_image: asked("CLIENT_IMAGE").unwrap_or_else(|| "busybox:1.37".to_owned()),
        kubectl: asked("KUBECTL").unwrap_or_else(|| "kubectl".to_owned()),
        fault: match faults {
            true => Some(needed(
                "FAULT",
                "a command that breaks the cluster, as CONTRIBUTING.md describes",
            )?),
            false => None,
        },
    })
}

/// What needs nothing but an API server; what takes longest first.
fn set_groups() -> Vec<Group> {
    let mut groups = vec![updates::group(), members::group()];
    groups.extend(chart::group());
    groups.extend([
        second::group(),
        ordinals::group(),
        traffic::group(),
        singleton::group(),
        missing::group(),
        discovery::group(),
        peer_secret::group(),
        missing::token_group(),
    ]);
    groups
}

/// More groups than these at once would wait for processors rather than for conditions.
const AT_ONCE: usize = 7;

/// One phase after the other; the groups of a phase side by side.
async fn run(given: Given, phases: Vec<Vec<Group>>) -> ExitCode {
    let began = Instant::now();
    let cluster = Arc::new(Cluster::connect(given).await);
    let run = Run::new(cluster.clone());
    let mut interrupted = signal(SignalKind::interrupt()).unwrap();
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let tested = async {
        for groups in phases {
            let mut running = JoinSet::new();
            for group in groups {
                if running.len() == AT_ONCE {
                    running.join_next().await.unwrap().unwrap();
                }
                let run = run.clone();
                running.spawn_local(async move { run.group(group).await });
            }
            while let Some(done) = running.join_next().await {
                done.unwrap();
            }
        }
    };
    let whole = tokio::select! {
        biased;
        _ = interrupted.recv() => false,
        _ = terminated.recv() => false,
        () = tested => true,
    };
    let cleared = run.clear().await;
    let (passed, failed) = run.verdict();
    println!("\n{passed} passed, {} failed, in {:.0?}", failed.len(), began.elapsed());
    for name in &failed {
        println!("failed: {name}");
    }
    if let Err(left) = &cleared {
        println!("the cluster is not as it was found: {left}");
    }
    match whole && failed.is_empty() && cleared.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
