//! Processes that are killed or stopped at any moment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use lease_election::metrics::LeaseMetrics;
use lease_election::{ElectorConfig, LeaseStore, WriteOutcome, task};
use rand::RngExt;
use random_generator::clock::Clock;
use random_generator::shutdown;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncBufReadExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::lease_writes::change;
use crate::waiting::{PATIENCE, eventually};
use crate::{Head, Opened, child, child_argument, child_command, record};

/// Not a test of its own: the process that the tests below kill and stop.
#[tokio::test(flavor = "multi_thread")]
async fn child_writes_until_killed() {
    let Some(path) = child_argument() else { return };
    println!(); // ends the line that the test harness began
    let opened = Opened::at(&path).await;
    loop {
        let Ok(Some(base)) = opened.store.read().await else {
            continue;
        };
        let mut change = change("child", base.fence + 1);
        change.payload = Head::Valid(Arc::new(record()));
        if let WriteOutcome::Written(object) = opened.store.write(&base, &change).await {
            // The parent reads what was acknowledged.
            println!("acknowledged {} {}", object.version, object.fence);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_killed_at_any_moment_leave_a_lease_with_all_that_was_acknowledged() {
    if child_argument().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    let uid = opened.read().await.uid.clone();
    for turn in 0..10u64 {
        let before = opened.read().await.fence;
        let mut children = [
            child(&path, "processes::child_writes_until_killed"),
            child(&path, "processes::child_writes_until_killed"),
        ];
        eventually("children write", async || {
            // Each turn at another moment of theirs.
            (opened.read().await.fence > before + 4 + turn).then_some(())
        })
        .await;
        let mut acknowledged = 0;
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in children {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            // The last line may be cut.
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                if let Some(rest) = line.trim().strip_prefix("acknowledged ") {
                    acknowledged = acknowledged.max(rest.split(' ').nth(1).unwrap().parse::<u64>().unwrap());
                }
            }
        }
        let object = opened.read().await;
        assert_eq!(object.uid, uid);
        assert!(
            object.fence >= acknowledged && acknowledged > 0,
            "{} < {acknowledged}",
            object.fence
        );
        assert!(matches!(object.payload, Head::Valid(_)));
    }
    let object = opened.read().await;
    assert_eq!(object.version, object.fence + 1, "each version was written once");
    opened.close().await;
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Writes once, whoever else writes, and returns the version.
async fn write(opened: &Opened) -> u64 {
    loop {
        let base = opened.read().await;
        match opened.store.write(&base, &change("parent", base.fence + 1)).await {
            WriteOutcome::Written(object) => return object.version,
            WriteOutcome::Conflict => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_stopped_at_any_moment_of_its_write_keeps_nobody_from_writing_and_wins_nothing_afterwards() {
    if child_argument().is_some() {
        return;
    }
    const STOPS: u32 = 200;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    // It writes without a pause, so that it is stopped within a write.
    let mut writer = child(&path, "processes::child_writes_until_killed");
    let output = BufReader::new(writer.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        let versions = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.split(' ').next()?.parse().ok());
        versions.collect::<Vec<u64>>()
    });
    eventually("the child writes", async || {
        (opened.read().await.fence > 3).then_some(())
    })
    .await;
    let mut won = Vec::new();
    let mut worst = Duration::ZERO;
    for _ in 0..STOPS {
        signal(&writer, Signal::STOP);
        let began = Instant::now();
        // The first may still conflict with what the child did before it was stopped.
        won.push(timeout(PATIENCE, write(&opened)).await.expect("nobody is in the way"));
        won.push(write(&opened).await);
        worst = worst.max(began.elapsed());
        signal(&writer, Signal::CONT);
        let fence = opened.read().await.fence;
        let moment = rand::rng().random_range(0..8_000);
        eventually("the child writes again", async || {
            (opened.read().await.fence > fence).then_some(())
        })
        .await;
        sleep(Duration::from_micros(moment)).await; // a random moment is what is tried
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    let acknowledged = reader.join().unwrap();
    eprintln!("{STOPS} stops: two writes took {worst:?} at worst");
    assert!(worst < Duration::from_secs(5), "{worst:?}");
    let all: BTreeSet<u64> = won.iter().chain(&acknowledged).copied().collect();
    assert_eq!(all.len(), won.len() + acknowledged.len(), "two writers won one version");
    let object = opened.read().await;
    assert_eq!(
        object.version,
        object.fence + 1,
        "each version was based on the one before"
    );
    opened.close().await;
}

const LEASE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(260);
/// Electors that share a directory.
const ELECTORS: usize = 3;

/// Not a test of its own: an elector that says with which fence it leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn child_stands_for_election() {
    let Some(path) = child_argument() else { return };
    println!(); // ends the line that the test harness began
    let opened = Opened::at(&path).await;
    let identity = format!("process-{}", std::process::id());
    let config = ElectorConfig::new(identity, LEASE, LEASE * 2 / 3, RETRY).unwrap();
    let clock = Clock::system();
    let store = opened.store.clone();
    let (task, handle, _outcomes) = task::new(config, store, clock.clone(), LeaseMetrics::default());
    let (_stop, mut stopped) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(async move { stopped.requested().await }));
    handle.stand(true).await;
    let mut snapshots = handle.snapshots();
    let mut led = 0;
    while snapshots.changed().await.is_ok() {
        if let Some(fence) = snapshots.borrow_and_update().leads(clock.boot())
            && fence != led
        {
            led = fence;
            println!("leads {fence}");
        }
    }
}

/// A set of electors of which the holder is stopped `stops` times. Returns how long it took until another led.
async fn stop_holders(stops: usize) -> Vec<Duration> {
    let dir = tempfile::tempdir().unwrap();
    let (sender, mut leaders) = tokio::sync::mpsc::channel(64);
    let mut readers = JoinSet::new();
    let mut electors = Vec::new();
    for n in 0..ELECTORS {
        let command = child_command(&dir.path().join("lease"), "processes::child_stands_for_election");
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
        electors.push(child);
        let sender = sender.clone();
        readers.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(fence) = line.strip_prefix("leads ") {
                    let _ = sender.send((n, fence.parse::<u64>().unwrap(), Instant::now())).await;
                }
            }
        });
    }
    let mut fences = BTreeSet::new();
    let mut next = async || {
        let leader = timeout(PATIENCE, leaders.recv()).await.expect("another leads");
        let (n, fence, at) = leader.unwrap();
        assert!(fences.insert(fence), "two led with fence {fence}");
        (n, fence, at)
    };
    let signal = |n: usize, signal| {
        let pid = Pid::from_raw(electors[n].id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    };
    let mut times = Vec::new();
    let (mut holder, mut fence, _) = next().await;
    while times.len() < stops {
        // A renewal comes about once a second.
        let moment = rand::rng().random_range(0..1_200);
        sleep(Duration::from_millis(moment)).await; // a random moment is what is tried
        signal(holder, Signal::STOP);
        let stopped = Instant::now();
        let mut leader = next().await;
        // On a busy machine a holder may miss its deadline before it is stopped, and lead again by itself.
        while leader.0 == holder {
            leader = next().await;
        }
        let (other, higher, at) = leader;
        if at > stopped {
            assert!(
                higher > fence,
                "{other} leads with {higher} after {holder} with {fence}"
            );
            times.push(at.duration_since(stopped));
        }
        signal(holder, Signal::CONT);
        (holder, fence) = (other, higher);
    }
    times
}

/// 60 stops, or as many as the trials ask for, in several sets at once.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods)] // how long a trial is
async fn a_holder_stopped_at_any_moment_is_followed_by_another_in_time() {
    if child_argument().is_some() {
        return;
    }
    let asked = std::env::var("RANDOM_GENERATOR_TRIAL_STOPS").ok();
    let stops: usize = asked.map_or(60, |text| text.parse().unwrap());
    let sets = (stops / 5).clamp(1, 20);
    let mut running = JoinSet::new();
    for _ in 0..sets {
        running.spawn(stop_holders(stops.div_ceil(sets)));
    }
    let mut times: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!(
        "{} stops in {sets} sets: the next leads after {median:?} at the median, {worst:?} at worst",
        times.len()
    );
    // The lease runs out, and a follower looks again; the rest is a busy machine's.
    assert!(worst < LEASE + RETRY.mul_f64(2.2) + Duration::from_secs(2), "{worst:?}");
}
