//! A running journal, for the tests of it.
#![allow(dead_code)] // not every test file that includes this wants all of it

use std::collections::HashSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus_client::registry::Registry;
use random_generator::clock::{Clock, Wall};
use random_generator::journal::{
    self, Durability, Entry, Journal, JournalConfig, JournalFailure, JournalHandle, JournalMetrics, JournalState, Row,
};
use random_generator::shutdown::{self, Trigger};
use tokio::task::JoinSet;

/// Longer than anything here should take, on a busy machine too.
pub const BOUND: Duration = Duration::from_secs(20);

pub struct Running {
    pub handle: JournalHandle,
    pub path: PathBuf,
    registry: Registry,
    tasks: JoinSet<Result<(), JournalFailure>>,
    stop: Trigger,
}

impl Running {
    pub fn start(dir: &Path, durability: Durability, max_bytes: u64) -> Running {
        let path = dir.join("journal.db");
        let config = JournalConfig {
            path: path.clone(),
            durability,
            max_bytes,
        };
        let mut registry = Registry::default();
        let metrics = JournalMetrics::register(&mut registry);
        let (handle, journal) = Journal::start(config, Clock::system(), metrics).unwrap();
        let (stop, stopping) = shutdown::stage();
        let mut tasks = JoinSet::new();
        tasks.spawn(journal.run(stopping));
        Running {
            handle,
            path,
            registry,
            tasks,
            stop,
        }
    }

    pub async fn stop(mut self) {
        self.stop.pull();
        within(self.tasks.join_next()).await.unwrap().unwrap().unwrap();
    }

    pub async fn wait_for(&self, wanted: impl Fn(&JournalState) -> bool) -> JournalState {
        let mut state = self.handle.state();
        within(state.wait_for(|state| wanted(state))).await.unwrap().clone()
    }

    pub async fn working(&self) {
        self.wait_for(|state| *state == JournalState::Working).await;
    }

    /// The value of a metric, by its name and labels as they are written.
    pub fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or_else(|| panic!("no metric {name} in:\n{text}"))
    }

    /// Records entries of these values from several tasks at once; returns those that were acknowledged.
    pub async fn record_all(&self, values: impl IntoIterator<Item = i64>) -> HashSet<i64> {
        let values: Vec<i64> = values.into_iter().collect();
        let mut tasks = JoinSet::new();
        for part in values.chunks(values.len().div_ceil(64).max(1)) {
            let (handle, part) = (self.handle.clone(), part.to_vec());
            tasks.spawn(async move {
                let mut acknowledged = Vec::new();
                for value in part {
                    if handle.record(entry(value)).await.is_ok() {
                        acknowledged.push(value);
                    }
                }
                acknowledged
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }
}

pub fn entry(value: i64) -> Entry {
    Entry {
        time: Wall(1_790_000_000_000_000 + value),
        request: format!("{value:032x}"),
        duration: Duration::from_micros(120),
        method: "/".into(),
        parameters: String::new(),
        count: 1,
        value: Some(value),
    }
}

/// All rows that there are.
pub fn rows(path: &Path) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let page = journal::read(path, rows.last().map_or(0, |row| row.id + 1), 10_000).unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

pub fn values(path: &Path) -> HashSet<i64> {
    rows(path).iter().filter_map(|row| row.value).collect()
}

/// Bytes of the journal and what belongs to it, without those moved aside.
pub fn bytes(path: &Path) -> u64 {
    ["", "-wal", "-shm", ".ballast"]
        .iter()
        .filter_map(|suffix| std::fs::metadata(format!("{}{suffix}", path.display())).ok())
        .map(|metadata| metadata.len())
        .sum()
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.expect("it took too long")
}
