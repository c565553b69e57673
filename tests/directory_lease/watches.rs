//! What a watch sees, and what it costs.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use lease_election::{LeaseStore, WatchEvent};
use random_generator::clock::Clock;
use random_generator::record::Record;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::lease_writes::{change, written};
use crate::waiting::PATIENCE;
use crate::{Opened, child, child_argument};

async fn next(events: &mut mpsc::Receiver<WatchEvent<Record>>) -> WatchEvent<Record> {
    timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("an open watch")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_reports_each_change_of_another_within_a_tenth_of_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let (writer, watcher) = (Opened::at(&path).await, Opened::at(&path).await);
    let (sender, mut events) = mpsc::channel(4);
    let store = watcher.store.clone();
    let mut watches = JoinSet::new();
    watches.spawn(async move { store.watch(sender).await });
    let mut object = writer.read().await;
    assert_eq!(next(&mut events).await, WatchEvent::Seen(object.clone()));
    let clock = Clock::system();
    let mut delays = Vec::new();
    for fence in 1..=20 {
        object = written(writer.store.write(&object, &change("a", fence)).await);
        let since = clock.boot();
        assert_eq!(next(&mut events).await, WatchEvent::Seen(object.clone()));
        delays.push(clock.boot().since(since));
    }
    delays.sort();
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(next(&mut events).await, WatchEvent::Gone);
    assert_eq!(writer.store.read().await, Ok(None), "which creates another one");
    match next(&mut events).await {
        WatchEvent::Seen(new) => assert_ne!(new.uid, object.uid),
        WatchEvent::Gone => panic!("told twice"),
    }
    writer.close().await;
    watcher.close().await;
    timeout(PATIENCE, watches.join_next())
        .await
        .expect("a watch ends with its store")
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_with_a_full_queue_gets_the_last_state_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease")).await;
    let (sender, mut events) = mpsc::channel(1);
    let store = opened.store.clone();
    let mut watches = JoinSet::new();
    watches.spawn(async move { store.watch(sender).await });
    let mut object = opened.read().await;
    for fence in 1..=10 {
        object = written(opened.store.write(&object, &change("a", fence)).await);
    }
    let last = WatchEvent::Seen(object);
    while next(&mut events).await != last {}
    drop(events);
    timeout(PATIENCE, watches.join_next())
        .await
        .expect("a watch ends with its receiver")
        .unwrap()
        .unwrap();
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_watch_closes_its_channel() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease")).await;
    let (sender, mut events) = mpsc::channel(4);
    tokio::select! {
        biased;
        () = opened.store.watch(sender) => panic!("a watch ended by itself"),
        event = next(&mut events) => assert!(matches!(event, WatchEvent::Seen(_))),
    }
    assert_eq!(timeout(PATIENCE, events.recv()).await.unwrap(), None);
    opened.close().await;
}

/// Not a test of its own: the process that the next test measures.
#[tokio::test(flavor = "multi_thread")]
async fn child_watches() {
    let Some(path) = child_argument() else { return };
    let opened = Opened::at(&path).await;
    let (sender, mut events) = mpsc::channel(4);
    tokio::select! {
        biased;
        () = opened.store.watch(sender) => {}
        () = async {
            while let Some(event) = events.recv().await {
                println!("seen {event:?}");
            }
        } => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_watch_costs_less_than_half_a_hundredth_of_a_core() {
    if child_argument().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut watching = child(&dir.path().join("lease"), "watches::child_watches");
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("seen")));
    let clock = Clock::system();
    let (since, before) = (clock.boot(), cpu_time(watching.id()));
    tokio::time::sleep(Duration::from_secs(2)).await; // what is measured is a span of time
    let share = (cpu_time(watching.id()) - before).as_secs_f64() / clock.boot().since(since).as_secs_f64();
    watching.kill().unwrap();
    watching.wait().unwrap();
    eprintln!("idle share of a core: {:.3} %", share * 100.0);
    assert!(share > 0.0 && share < 0.005, "{share}");
}

/// Of all threads of a process.
fn cpu_time(process: u32) -> Duration {
    let spent = |task: PathBuf| {
        let text = std::fs::read_to_string(task.join("schedstat")).unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    Duration::from_nanos(tasks.map(|task| spent(task.unwrap().path())).sum())
}
