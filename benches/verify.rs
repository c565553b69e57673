//! What `random-generator verify` costs for a long chain: `cargo bench --bench verify`, or with other numbers of records after `--`.
//! Prints a JSON line for each, and fails if memory grows with the chain, or records take longer than they may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // it ends by panicking
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // its own times and arguments; its lines
#![allow(dead_code)] // the builder makes more than this needs

#[path = "../tests/verify/builder.rs"]
mod builder;

use std::fs;
use std::io::{BufWriter, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

/// The first is short enough to be proportional to nothing, and longer than what is in memory at once.
const RECORDS: [u64; 2] = [10_000, 1_000_000];
const LEAST_A_SECOND: f64 = 150_000.0;
/// Of the shortest chain's memory.
const MOST_MEMORY: f64 = 1.3;
/// What proc(5) counts processor time in; the same on every Linux that Rust knows.
const TICK: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut records: Vec<u64> = given.map(|argument| argument.parse().unwrap()).collect();
    if records.is_empty() {
        records.extend(RECORDS);
    }
    records.sort_unstable();
    let seen: Vec<Seen> = records.into_iter().map(verify).collect();
    let (Some(shortest), Some(longest)) = (seen.first(), seen.last()) else {
        return ExitCode::SUCCESS;
    };
    let good = longest.peak_rss <= shortest.peak_rss * MOST_MEMORY && longest.rate() >= LEAST_A_SECOND;
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Seen {
    records: u64,
    took: Duration,
    /// Of all processors.
    spent: Duration,
    /// In MiB.
    peak_rss: f64,
}

impl Seen {
    fn rate(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64()
    }
}

fn verify(records: u64) -> Seen {
    let list = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut file = BufWriter::new(list.as_file());
    let head = builder::write_chain(&mut file, records).hash.to_string();
    file.flush().unwrap();
    // Else the disk writes while the command reads.
    list.as_file().sync_all().unwrap();
    let began = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_random-generator"))
        .args(["verify", "--head", &head])
        .arg(list.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let seen = watch(child, records, began);
    let line = json!({
        "records": records,
        "seconds": rounded(seen.took.as_secs_f64()),
        "records_per_second": seen.rate().round(),
        // How many it had: fewer than there are where other work runs.
        "processors": rounded(seen.spent.as_secs_f64() / seen.took.as_secs_f64()),
        "processor_us_per_record": rounded(seen.spent.as_secs_f64() * 1e6 / records as f64),
        "peak_rss_mib": rounded(seen.peak_rss),
    });
    println!("{line}");
    seen
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Until it has ended: proc(5), `/proc/pid/status` and `/proc/pid/stat`.
fn watch(mut child: Child, records: u64, began: Instant) -> Seen {
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let mut most_kib = 0.0;
    loop {
        let status = of("status");
        if let Some(most) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            most_kib = most.trim().trim_end_matches(" kB").parse().unwrap();
        }
        let stat = of("stat");
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        // It has ended, and what it used is known until it is waited for.
        if fields[0] == "Z" {
            let took = began.elapsed();
            assert!(child.wait().unwrap().success());
            let ticks: u32 = fields[11..13].iter().map(|ticks| ticks.parse::<u32>().unwrap()).sum();
            return Seen {
                records,
                took,
                spent: TICK * ticks,
                peak_rss: most_kib / 1024.0,
            };
        }
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(POLL);
    }
}
