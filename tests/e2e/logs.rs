//! What members log. Nodes may drop a container's log at any time (nodes that share a machine drop each other's, once a minute), so
//! it is followed from early on: who follows a log keeps it. It begins again with other Pods when it is gone before that.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::Child;
use tokio::time::timeout;

use crate::cluster::until;
use crate::set::Set;

/// What a member's lines said of one part, in their order: why it is degraded, or None when it is well again.
pub type Told = Vec<Option<String>>;

/// The logs of three members since their containers started, as they are written.
pub struct Logs(Vec<(NamedTempFile, Child)>);

/// What a log's first line may take.
const BEGUN: Duration = Duration::from_secs(15);
/// How often a log is begun again because a node dropped it.
const ATTEMPTS: usize = 5;

impl Set {
    /// Follows the logs of the three members, with new Pods if a node has dropped one.
    pub async fn logs(&self) -> Logs {
        for _ in 0..ATTEMPTS {
            if let Some(logs) = self.follow().await {
                return logs;
            }
            for ordinal in 0..3 {
                self.delete_pod(ordinal).await;
            }
            self.until_ready(3).await;
        }
        panic!("the nodes dropped a log each time");
    }

    async fn follow(&self) -> Option<Logs> {
        let mut logs = Vec::new();
        for ordinal in 0..3 {
            let (file, pod) = (NamedTempFile::new().unwrap(), format!("rg-{ordinal}"));
            let arguments = [
                "logs",
                "--follow",
                "--namespace",
                &self.namespace,
                &pod,
                "--container",
                "member",
            ];
            let mut child = self.cluster.kubectl_into(file.as_file(), &arguments);
            let begun = async || {
                // The first line that a member writes.
                let whole = fs::read_to_string(file.path()).is_ok_and(|text| text.contains("\"starting\""));
                let ended = child.try_wait().unwrap().is_some();
                if whole || ended {
                    Ok(whole && !ended)
                } else {
                    Err("nothing yet")
                }
            };
            // One that was dropped may be waited for without an end.
            let begun = timeout(BEGUN, until(&format!("the log of {pod}"), begun)).await;
            if begun != Ok(true) {
                return None;
            }
            logs.push((file, child));
        }
        Some(Logs(logs))
    }
}

impl Logs {
    /// What each member told of a part so far.
    pub fn told_of(&self, source: &str) -> Vec<Told> {
        let read = |(file, _): &(NamedTempFile, Child)| fs::read_to_string(file.path()).unwrap();
        self.0.iter().map(|log| told_of(&read(log), source)).collect()
    }

    /// The same, once each has told that the part is well again.
    pub async fn told_until_well(&self, source: &str) -> Vec<Told> {
        let well = async || {
            let told = self.told_of(source);
            match told.iter().all(|told| matches!(told.last(), Some(None))) {
                true => Ok(told),
                false => Err(format!("{told:?}")),
            }
        };
        until(&format!("lines that {source} is well again"), well).await
    }
}

fn told_of(log: &str, source: &str) -> Told {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_this = lines.filter(|line| line["source"] == source);
    let told = of_this.filter_map(|line| match line["message"].as_str() {
        Some("degraded") => Some(line["reason"].as_str().map(str::to_owned)),
        Some("no longer degraded") => Some(None),
        _ => None,
    });
    told.collect()
}

/// A busy API server answers too late now and then. That is a change of its own, and may come between any two others.
const LATE: &str = "the lease store can't be reached";

/// What each member told after it had told `before`. A reason may change as what is missing comes and goes; a line a second would be
/// many more.
pub fn each_change_is_told_once(before: &[Told], after: &[Told]) {
    for (before, after) in before.iter().zip(after) {
        let told = &after[before.len()..];
        assert!(
            told.windows(2).all(|two| two[0] != two[1]),
            "a line without a change: {told:#?}"
        );
        let late = told.iter().flatten().filter(|reason| reason.contains(LATE)).count();
        let missing = told.iter().flatten().count() - late;
        let healed = told.iter().filter(|reason| reason.is_none()).count();
        assert!(
            (1..=4 + late).contains(&missing) && (1..=2 + late).contains(&healed),
            "{missing} lines, {healed} that it is well again: {told:#?}"
        );
    }
}
