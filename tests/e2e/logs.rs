//! What members log. It is taken from the containers' output itself (`kubectl attach`), as nodes may drop a container's log at any
//! time: nodes that share a machine drop each other's, once a minute.

use std::fs;

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::Child;

use crate::cluster::until;
use crate::set::Set;

/// What a member's lines said of one part, in their order: why it is degraded, or None when it is well again.
pub type Told = Vec<Option<String>>;

/// What a container prints from a moment on, as it is written.
pub struct Output {
    file: NamedTempFile,
    /// Ended when this is dropped.
    _attached: Child,
}

/// Of three members.
pub struct Logs(Vec<Output>);

impl Set {
    /// Follows what a container prints from now on.
    pub async fn output(&self, pod: &str, container: &str) -> Output {
        let file = NamedTempFile::new().unwrap();
        let arguments = [
            "attach",
            "--v=6",
            "--namespace",
            &self.namespace,
            pod,
            "--container",
            container,
        ];
        let child = self.cluster.kubectl_into(file.as_file(), &arguments);
        let output = Output { file, _attached: child };
        let attached = async || match output.text() {
            // What HTTP answers once the connection is the container's output.
            said if said.contains("101 Switching Protocols") => Ok(()),
            said => Err(said),
        };
        until(&format!("the output of {pod}"), attached).await;
        output
    }

    /// Follows what the three members log from now on.
    pub async fn logs(&self) -> Logs {
        let mut logs = Vec::new();
        for ordinal in 0..3 {
            logs.push(self.output(&format!("rg-{ordinal}"), "member").await);
        }
        Logs(logs)
    }
}

impl Output {
    /// With kubectl's own words before it.
    pub fn text(&self) -> String {
        fs::read_to_string(self.file.path()).unwrap()
    }
}

impl Logs {
    /// What each member told of a part so far.
    pub fn told_of(&self, source: &str) -> Vec<Told> {
        self.0.iter().map(|log| told_of(&log.text(), source)).collect()
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
pub fn each_change_is_reported_once(before: &[Told], after: &[Told]) {
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
