//! What a ledger costs with a short and with a long history: to open it, to keep a record, to take a draw from the Lease, to read
//! a page of old records, and the memory of the process. One JSON line for each length.
//!
//! `cargo bench --bench ledger -- [RECORDS…]`; without, 1,000, 30,000 and 1,000,000. A million takes 3 GB of disk, under TMPDIR.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // it ends by panicking
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)] // its own times and arguments; its lines

#[path = "../tests/grown/mod.rs"]
mod grown;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lease_election::{Leadership, LeaseSpec};
use prometheus_client::registry::Registry;
use random_generator::clock::Clock;
use random_generator::draw::contributor::Contributor;
use random_generator::draw::ledger::Condition;
use random_generator::draw::ledger::storage::StorageConfig;
use random_generator::draw::ledger::task::{LedgerConfig, LedgerHandle, LedgerMetrics, start};
use random_generator::lease::{Head, LeaseObject, LeaseSnapshot};
use random_generator::peer::message::KeepRequest;
use random_generator::record::{Record, Slot};
use random_generator::shutdown;
use tokio::sync::watch;
use tokio::task::JoinSet;

const LENGTHS: [u64; 3] = [1_000, 30_000, 1_000_000];
const MEMBERS: u16 = 3;
/// Of each measurement; the median is printed.
const TIMES: usize = 101;
const OPENED: usize = 9;
/// Bytes of a page, as `/draws` reads them.
const PAGE: usize = 16 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.first().map(String::as_str) {
        Some("measure") => measure(Path::new(&arguments[1]), arguments[2].parse().unwrap()),
        None => LENGTHS.iter().for_each(|length| run(*length)),
        Some(_) => arguments.iter().for_each(|length| run(length.parse().unwrap())),
    }
}

/// More space than the records take: two of three members fit a page of 4 KiB.
fn space(records: u64) -> u64 {
    (records * 3_000).max(8 << 20)
}

/// In a process of its own: what it takes to make the ledger isn't measured.
fn run(records: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let begun = Instant::now();
    grown::grow(&path, records, MEMBERS, space(records));
    eprintln!("made {records} records in {:.1?}", begun.elapsed());
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["measure", path.to_str().unwrap(), &records.to_string()])
        .status();
    assert!(measured.unwrap().success());
}

struct Running {
    ledger: LedgerHandle,
    lease: watch::Sender<Arc<LeaseSnapshot>>,
    stop: shutdown::Trigger,
    tasks: JoinSet<()>,
}

impl Running {
    async fn open(path: &Path, records: u64) -> Running {
        let config = LedgerConfig {
            path: path.to_owned(),
            storage: StorageConfig {
                max_bytes: space(records),
            },
            keep: None,
            contributor: Contributor {
                set: "rg".into(),
                ordinal: 0,
            },
        };
        let metrics = LedgerMetrics::register(&mut Registry::default());
        let (task, ledger) = start(config, Clock::system(), metrics).unwrap();
        let (lease, views) = watch::channel(view(Head::Absent));
        let (stop, stopped) = shutdown::stage();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { task.run(views, stopped).await.unwrap() });
        let mut snapshots = ledger.snapshots();
        let open = snapshots.wait_for(|snapshot| snapshot.condition == Condition::Writable);
        open.await.unwrap();
        Running {
            ledger,
            lease,
            stop,
            tasks,
        }
    }

    async fn close(mut self) {
        self.stop.pull();
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

fn view(head: Head) -> Arc<LeaseSnapshot> {
    Arc::new(LeaseSnapshot {
        leadership: Leadership::Follower { holder: None },
        object: Some(Arc::new(LeaseObject {
            uid: "u".into(),
            version: 1,
            spec: LeaseSpec::default(),
            fence: 1,
            payload: head,
            carried: Arc::default(),
        })),
        confirmed_at: None,
        expires_at: None,
        trouble: None,
    })
}

fn keep(head: &Arc<Record>) -> Arc<KeepRequest> {
    Arc::new(KeepRequest {
        version: 1,
        set: "rg".into(),
        from: "rg-0".into(),
        holder: head.holder.clone(),
        fence: head.fence,
        voters: head.voters,
        chain: head.chain,
        round: head.round + 1,
        slot: Slot(head.slot.0 + 1),
        head: Some(head.clone()),
        contribute: true,
        restart: false,
        passed_over: Vec::new(),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn measure(path: &Path, records: u64) {
    let mut opened = Vec::new();
    for _ in 0..OPENED {
        let begun = Instant::now();
        let running = Running::open(path, records).await;
        opened.push(begun.elapsed());
        running.close().await;
    }
    let running = Running::open(path, records).await;
    let mut head = running.ledger.snapshots().borrow().head().unwrap().clone();
    let (mut kept, mut drawn, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TIMES as u64 {
        head = Arc::new(grown::following(Some(&head), MEMBERS));
        let begun = Instant::now();
        running.ledger.keep(keep(&head)).await.unwrap();
        kept.push(begun.elapsed());
        let begun = Instant::now();
        running.lease.send_replace(view(Head::Valid(head.clone())));
        let mut snapshots = running.ledger.snapshots();
        let seen = snapshots.wait_for(|snapshot| snapshot.head().is_some_and(|seen| seen.hash == head.hash));
        seen.await.unwrap();
        drawn.push(begun.elapsed());
        // Here and there in the history.
        let from = 1 + turn * 7_919 % (records / 2);
        let begun = Instant::now();
        let page = running.ledger.history().page(from, PAGE).await.unwrap();
        read.push(begun.elapsed());
        assert_eq!(page[0].round, from);
    }
    let line = serde_json::json!({
        "records": records,
        "open_ms": median(opened),
        "keep_ms": median(kept),
        "draw_ms": median(drawn),
        "page_ms": median(read),
        "resident_mib": resident_mib(),
    });
    println!("{line}");
    running.close().await;
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    (times[times.len() / 2].as_secs_f64() * 1e6).round() / 1e3
}

/// proc_pid_status(5), VmRSS.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    (kib / 102.4).round() / 10.0
}
