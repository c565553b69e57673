//! What members log, followed from their start on: nodes that share a machine drop each other's logs once a minute, and one that is
//! read already goes on.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::cluster::within;
use crate::set::{Pod, Set};

/// Dropped, it ends.
pub struct Logs(Vec<(PathBuf, Child)>);

impl Logs {
    pub async fn follow(set: &Set) -> Logs {
        let mut all = Vec::new();
        for pod in set.pods().await.unwrap() {
            all.push(follow(set, pod).await);
        }
        Logs(all)
    }

    /// How often a member told that a part is degraded, and that it is no more.
    pub fn told(&self, ordinal: u16, source: &str) -> (usize, usize) {
        let text = fs::read_to_string(&self.0[usize::from(ordinal)].0).unwrap();
        let of = |message: &str| {
            let told = |line: &&str| {
                let line: Value = serde_json::from_str(line).unwrap_or_default();
                let says = |value: &Value| value["source"] == source && value["message"] == message;
                says(&line) || says(&line["fields"])
            };
            text.lines().filter(told).count()
        };
        (of("degraded"), of("no longer degraded"))
    }
}

async fn follow(set: &Set, mut pod: Pod) -> (PathBuf, Child) {
    let path = set.folder.join(format!("{}.log", pod.name));
    loop {
        let child = Command::new(&set.cluster.given.kubectl)
            .args(["--namespace", &set.namespace, "logs", "--follow", &pod.name, "--container", "member"])
            .stdin(Stdio::null())
            .stdout(File::create(&path).unwrap())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let began = Instant::now();
        // The first line that a member writes.
        let first = async || match fs::read_to_string(&path).unwrap() {
            text if text.contains("starting") => Ok(true),
            _ if began.elapsed() > Duration::from_secs(5) => Ok(false),
            text => Err(text),
        };
        if within(Duration::from_secs(10), "the start of its log", first).await {
            return (path, child);
        }
        // It is lost already, so from the start of another.
        set.delete_pod(pod.ordinal).await;
        pod = set.until_replaced(&pod).await;
    }
}
