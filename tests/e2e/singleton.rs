//! The example of crates/lease-election, as three processes on this machine with a Lease of the cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::cluster::{BUILD, run_within, until};
use crate::group::{Group, Start};
use crate::plan::Plan;
use crate::set::Set;
use crate::steps;

/// The example's lease duration.
const LEASE: Duration = Duration::from_secs(15);

pub fn group() -> Group {
    Group {
        name: "singleton",
        plan: Plan::nothing(),
        start: Start::Empty,
        steps: steps![no_two_jobs_run_at_once_by_the_fence_that_their_target_accepted_whatever_ends_a_holder],
    }
}

/// A write that the target accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Accepted {
    fence: u64,
    count: u64,
    holder: String,
}

type History = Arc<Mutex<Vec<Accepted>>>;

/// Every version of the ConfigMap, in order: a watch leaves none out.
async fn follow(target: Api<ConfigMap>, mut version: String, history: History) {
    let params = WatchParams::default().fields("metadata.name=singleton-job");
    loop {
        let mut changes = target.watch(&params, &version).await.unwrap().boxed();
        while let Some(Ok(change)) = changes.next().await {
            match change {
                WatchEvent::Added(map) | WatchEvent::Modified(map) => {
                    version = map.metadata.resource_version.unwrap();
                    let data = map.data.unwrap_or_default();
                    if data.contains_key("count") {
                        let number = |key: &str| data[key].parse().unwrap();
                        history.lock().unwrap().push(Accepted {
                            fence: number("fence"),
                            count: number("count"),
                            holder: data["holder"].clone(),
                        });
                    }
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Three processes, by name; dropped, they are killed.
struct Jobs {
    program: PathBuf,
    /// Their kubeconfig, which names the namespace, and their logs.
    folder: TempDir,
    running: Vec<(String, Child)>,
}

impl Jobs {
    async fn build(set: &Set) -> Jobs {
        // Without what cargo says of this test's package: ring's build script depends on it, and all above ring would be built again.
        let of_package = |name: &String| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        let names: Vec<String> = std::env::vars().map(|(name, _)| name).filter(of_package).collect();
        let without = names.iter().flat_map(|name| ["--unset", name.as_str()]);
        let build = [env!("CARGO"), "build", "--workspace", "--example", "singleton_job"];
        let build: Vec<&str> = without.chain(build).collect();
        run_within(BUILD, "env", &build).await.expect_ok();
        // This test is in the folder deps beside it.
        let this = std::env::current_exe().unwrap();
        let program = this.ancestors().nth(2).unwrap().join("examples/singleton_job");
        let folder = tempfile::tempdir().unwrap();
        let view = ["config", "view", "--raw", "--flatten", "--minify", "--output", "json"];
        let view = set.cluster.kubectl(&view).await.expect_ok();
        let mut config: serde_json::Value = serde_json::from_str(&view.out).unwrap();
        config["contexts"][0]["context"]["namespace"] = set.namespace.clone().into();
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        Jobs {
            program,
            folder,
            running: Vec::new(),
        }
    }

    fn start(&mut self, name: &str) {
        let log = File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
        let child = Command::new(&self.program)
            .arg(name)
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.running.push((name.to_owned(), child));
    }

    fn signal(&self, name: &str, signal: Signal) {
        let (_, child) = self.running.iter().find(|(running, _)| running == name).unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    async fn end(&mut self, name: &str, signal: Signal) {
        self.signal(name, signal);
        let at = self.running.iter().position(|(running, _)| running == name).unwrap();
        let (_, mut child) = self.running.remove(at);
        tokio::time::timeout(LEASE, child.wait())
            .await
            .expect("it ends")
            .unwrap();
    }
}

/// The holder of a write after the first `seen`, by another than `not`.
async fn next_holder(history: &History, seen: usize, not: &str) -> String {
    until("a job of another process", async || {
        let written = history.lock().unwrap();
        let other = written.iter().skip(seen).find(|accepted| accepted.holder != not);
        other
            .map(|accepted| accepted.holder.clone())
            .ok_or(format!("{:?}", written.last()))
    })
    .await
}

async fn no_two_jobs_run_at_once_by_the_fence_that_their_target_accepted_whatever_ends_a_holder(set: Set) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/lease-election/examples/singleton_job.yaml");
    let manifest = manifest.to_str().unwrap();
    let apply = ["apply", "--namespace", &set.namespace, "--filename", manifest];
    set.cluster.kubectl(&apply).await.expect_ok();
    let target = Api::<ConfigMap>::namespaced(set.cluster.client.clone(), &set.namespace);
    let version = target
        .get("singleton-job")
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let history = History::default();
    let mut watch = JoinSet::new();
    watch.spawn_local(follow(target, version, history.clone()));

    let mut jobs = Jobs::build(&set).await;
    for name in ["one", "two", "three"] {
        jobs.start(name);
    }
    let count = || history.lock().unwrap().len();
    let mut holder = next_holder(&history, 0, "").await;
    for (round, signal) in [Signal::KILL, Signal::STOP, Signal::TERM, Signal::STOP]
        .into_iter()
        .enumerate()
    {
        let (before, seen) = (holder, count());
        match signal {
            Signal::STOP => jobs.signal(&before, signal),
            _ => jobs.end(&before, signal).await,
        }
        holder = next_holder(&history, seen, &before).await;
        if signal == Signal::STOP {
            // It may believe for a moment that it still leads.
            jobs.signal(&before, Signal::CONT);
            let seen = count();
            until("more runs of the job", async || match count() - seen {
                5.. => Ok(()),
                runs => Err(format!("{runs} runs")),
            })
            .await;
        } else {
            jobs.start(&format!("{before}-{round}"));
        }
    }
    let written = history.lock().unwrap().clone();
    for pair in written.windows(2) {
        let [before, after] = pair else { unreachable!() };
        let same_term = after.fence == before.fence && after.holder == before.holder;
        assert!(same_term || after.fence > before.fence, "{before:?} then {after:?}");
        assert_eq!(after.count, before.count + 1, "{before:?} then {after:?}");
    }
    let terms = written.windows(2).filter(|pair| pair[0].fence != pair[1].fence).count() + 1;
    assert!(terms >= 5, "{terms} terms");
    println!("        the job ran {} times, in {terms} terms", written.len());
}
