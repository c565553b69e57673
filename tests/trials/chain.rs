//! What the members of a set show of their draws, held against each other and against both verifiers.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use tokio::time::sleep;

use crate::harness::{Http, Set, eventually};

/// Every record that was ever seen, at any member: one hash for a round, one for a slot, one chain.
#[derive(Debug, Default)]
pub struct Seen {
    pub by_round: BTreeMap<u64, Value>,
    by_slot: HashMap<String, String>,
}

pub fn text(record: &Value, name: &str) -> String {
    record[name].as_str().unwrap().to_owned()
}

pub fn number(record: &Value, name: &str) -> u64 {
    record[name].as_u64().unwrap()
}

impl Seen {
    pub fn take(&mut self, records: Vec<Value>) {
        for record in records {
            let (round, slot, hash) = (number(&record, "round"), text(&record, "slot"), text(&record, "hash"));
            let of_slot = self.by_slot.entry(slot.clone()).or_insert_with(|| hash.clone());
            assert_eq!(*of_slot, hash, "a second record for the slot {slot}");
            let of_round = self.by_round.entry(round).or_insert_with(|| record.clone());
            assert_eq!(text(of_round, "hash"), hash, "a second record for round {round}");
        }
    }

    /// Looks at what each member has from the newest rounds known on; those that don't answer are left out.
    pub async fn look(&mut self, set: &Set) {
        let newest = self.by_round.keys().next_back().copied().unwrap_or(1);
        for n in 0..set.size() {
            if let Some(records) = set.draws(n, newest.saturating_sub(10).max(1)).await {
                self.take(records);
            }
        }
    }

    /// Looks again and again; to be cancelled.
    pub async fn watch(&mut self, set: &Set) {
        loop {
            self.look(set).await;
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Each member has the whole chain, every record that was ever shown is in it, and nobody has another.
    pub async fn check_all(&mut self, set: &Set) {
        let newest = set.newest().await;
        set.all_have(newest).await;
        for n in 0..set.size() {
            let whole = async || {
                let records = set.draws(n, 1).await?;
                (records.first()?["round"] == 1).then_some(records)
            };
            let records = eventually("the whole chain", whole).await;
            let rounds: Vec<u64> = records.iter().map(|record| number(record, "round")).collect();
            assert_eq!(rounds, (1..=rounds.len() as u64).collect::<Vec<_>>());
            assert!(rounds.len() as u64 >= newest);
            self.take(records);
        }
        let rounds: Vec<u64> = self.by_round.keys().copied().collect();
        assert_eq!(rounds, (1..=rounds.len() as u64).collect::<Vec<_>>());
        let chain = text(&self.by_round[&1], "chain");
        assert!(self.by_round.values().all(|record| record["chain"] == chain.as_str()));
    }
}

fn verifiers() -> [Command; 2] {
    let mut rust = Command::new(env!("CARGO_BIN_EXE_random-generator"));
    rust.arg("verify");
    let mut python = Command::new("python3");
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("verify_draws.py"));
    [rust, python]
}

fn of_lines(mut command: Command, lines: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(lines);
    child.wait_with_output().unwrap()
}

/// Both verifiers accept the chain of a member: from its URL, and from its lines with the hash of the last; and they notice
/// when the last line is cut off.
pub async fn check_verified(http: &Http, url: &str) {
    let lines = http.get(&format!("{url}/draws?format=jsonl"), None).await;
    let (status, lines) = lines.expect("an answer");
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&lines));
    let ends: Vec<usize> = (0..lines.len()).filter(|at| lines[*at] == b'\n').collect();
    let cut = ends[ends.len() - 2] + 1;
    let last: Value = serde_json::from_slice(&lines[cut..]).unwrap();
    let head = text(&last, "hash");
    for mut command in verifiers() {
        let output = command.arg(url).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
    for mut command in verifiers() {
        command.args(["-", "--head", &head]);
        let output = of_lines(command, &lines);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&head));
    }
    for mut command in verifiers() {
        command.args(["-", "--head", &head]);
        let output = of_lines(command, &lines[..cut]);
        assert_eq!(output.status.code(), Some(65), "a cut tail goes unseen: {output:?}");
    }
}

/// With the hash of the newest record, from the URL. A draw may come in between: then the newest is another.
pub async fn check_verified_at_the_head(set: &Set, n: usize) {
    for which in 0..2 {
        let verified = async || {
            let head = text(&set.latest(n).await?, "hash");
            let mut command = verifiers().into_iter().nth(which)?;
            let output = command.args([set.url(n).as_str(), "--head", &head]).output().unwrap();
            match output.status.code() {
                Some(0) => Some(()),
                _ => {
                    let overtaken = text(&set.latest(n).await?, "hash") != head;
                    assert!(overtaken, "{output:?}");
                    None
                }
            }
        };
        eventually("a verdict on the newest record", verified).await;
    }
}
