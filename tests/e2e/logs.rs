//! What members log. Nodes may drop a container's log at any time (nodes that share a machine drop each other's, once a minute), so
//! whoever wants it begins again with other Pods when it is gone.

use serde_json::Value;

use crate::set::Set;

/// (How often a part was told to be degraded, how often to be well again.)
pub type Told = (usize, usize);

impl Set {
    /// What a member logged since its container started; None if its node dropped some of it.
    async fn log(&self, ordinal: u16) -> Option<String> {
        let said = self
            .kubectl(&["logs", &format!("rg-{ordinal}"), "--container", "member"])
            .await;
        // The first line that a member writes.
        (said.ok && said.out.contains("\"starting\"")).then_some(said.out)
    }

    /// How often each member told of a part since its container started; None if a log was dropped.
    pub async fn told_of(&self, source: &str) -> Option<Vec<Told>> {
        let mut all = Vec::new();
        for ordinal in 0..3 {
            let log = self.log(ordinal).await?;
            let of = |message: &str| {
                let told = |line: &&str| {
                    let line: Value = serde_json::from_str(line).unwrap_or_default();
                    line["source"] == source && line["message"] == message
                };
                log.lines().filter(told).count()
            };
            all.push((of("degraded"), of("no longer degraded")));
        }
        Some(all)
    }

    /// Three members whose whole logs are there.
    pub async fn with_new_logs(&self) {
        for ordinal in 0..3 {
            self.delete_pod(ordinal).await;
        }
        self.until_ready(3).await;
    }
}

/// A reason may change as what is missing comes and goes; a line a second would be many more.
pub fn each_change_is_told_once(before: &[Told], after: &[Told]) {
    for (before, after) in before.iter().zip(after) {
        let (told, healed) = (after.0 - before.0, after.1 - before.1);
        assert!(
            (1..=4).contains(&told) && (1..=2).contains(&healed),
            "{told} lines, {healed} that it is well again"
        );
    }
}
