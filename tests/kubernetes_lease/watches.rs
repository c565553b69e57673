//! The watch: what it tells, where it resumes, and how its silence is noticed.

use std::sync::Arc;
use std::time::Duration;

use lease_election::{LeaseStore, StoreError, WatchEvent};
use random_generator::clock::Clock;
use random_generator::lease::LeaseObject;
use random_generator::record::Record;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::lease_writes::{change, written};
use crate::server::Fault;
use crate::waiting::{PATIENCE, eventually};
use crate::{ANSWER, Bench};

struct Watching {
    events: mpsc::Receiver<WatchEvent<Record>>,
    task: JoinSet<()>,
}

fn watch(bench: &Bench) -> Watching {
    let (sender, events) = mpsc::channel(64);
    let store = Arc::clone(&bench.store);
    let mut task = JoinSet::new();
    task.spawn(async move { store.watch(sender).await });
    Watching { events, task }
}

impl Watching {
    async fn next(&mut self) -> WatchEvent<Record> {
        timeout(PATIENCE, self.events.recv()).await.expect("an event").unwrap()
    }

    async fn object(&mut self) -> Arc<LeaseObject> {
        match self.next().await {
            WatchEvent::Seen(object) => object,
            WatchEvent::Gone => panic!("gone"),
        }
    }

    /// The first event that shows this version or a later one.
    async fn until(&mut self, version: u64) {
        while self.object().await.version < version {}
    }
}

/// The versions that watches were begun from.
fn begun(bench: &Bench) -> Vec<String> {
    let watches = bench.server.seen("WATCH").into_iter();
    watches
        .map(|seen| seen.target.rsplit_once("resourceVersion=").unwrap().1.to_owned())
        .collect()
}

fn touch(bench: &Bench) -> u64 {
    bench
        .server
        .edit(|lease| lease["metadata"]["labels"]["touched"] = json!("yes"));
    bench.server.version()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_state_is_reported_first_and_then_each_change_at_once() {
    let bench = Bench::new(ANSWER).await;
    let mut watching = watch(&bench);
    assert_eq!(watching.object().await.version, 1);
    eventually("a watch", async || (begun(&bench) == ["1"]).then_some(())).await;
    let clock = Clock::system();
    let mut took = Vec::new();
    for _ in 0..9 {
        let began = clock.boot();
        let version = touch(&bench);
        assert_eq!(watching.object().await.version, version);
        took.push(clock.boot().since(began));
    }
    took.sort();
    assert!(took[4] < Duration::from_millis(250), "{took:?}");
    let target = &bench.server.seen("WATCH")[0].target;
    let limit = target
        .split("timeoutSeconds=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    assert!((300..=600).contains(&limit.parse().unwrap()), "{target}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_reported_and_so_is_the_lease_that_is_created_again() {
    let bench = Bench::new(ANSWER).await;
    let mut watching = watch(&bench);
    watching.object().await;
    bench.server.delete();
    assert_eq!(watching.next().await, WatchEvent::Gone);
    bench.server.create("uid-2");
    assert_eq!(watching.object().await.uid, "uid-2");
    assert_eq!(begun(&bench).len(), 1, "one watch tells it all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_absent_at_first_is_seen_when_it_is_made() {
    let bench = Bench::new(ANSWER).await;
    bench.server.delete();
    let mut watching = watch(&bench);
    assert_eq!(watching.next().await, WatchEvent::Gone);
    bench.server.create("uid-2");
    assert_eq!(watching.object().await.uid, "uid-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_ends_resumes_from_the_last_version_reported_bookmarks_included() {
    let bench = Bench::new(ANSWER).await;
    let mut watching = watch(&bench);
    watching.object().await;
    eventually("a watch", async || (begun(&bench).len() == 1).then_some(())).await;
    for attempt in 1.. {
        // Something happens to another Lease of the namespace; the bookmark may be cut off on its way, so it may take a few.
        assert!(attempt <= 6, "it resumes from {:?}", begun(&bench));
        let marked = bench.server.bookmark();
        eventually("the bookmark", async || bench.server.has_marked(marked).then_some(())).await;
        let before = begun(&bench).len();
        bench.server.close_connections();
        eventually("another watch", async || (begun(&bench).len() > before).then_some(())).await;
        if begun(&bench).last() == Some(&marked.to_string()) {
            break;
        }
    }
    assert_eq!(bench.server.seen("GET").len(), 1, "none of it needed another read");
    watching.until(touch(&bench)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_forgotten_begins_with_a_read_again() {
    for fault in [Fault::Expired, Fault::Status(410, "too old resource version")] {
        let bench = Bench::new(ANSWER).await;
        bench.server.once("WATCH", fault);
        let mut watching = watch(&bench);
        watching.object().await;
        eventually("another watch", async || (begun(&bench).len() == 2).then_some(())).await;
        assert_eq!(bench.server.seen("GET").len(), 2);
        watching.until(touch(&bench)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_falls_silent_is_begun_again_once_a_read_or_a_write_shows_more() {
    tokio::join!(
        is_begun_again_once_shown_more(false),
        is_begun_again_once_shown_more(true)
    );
}

async fn is_begun_again_once_shown_more(by_a_write: bool) {
    let bench = Bench::new(ANSWER).await;
    // The next version has another digit: it is greater as a number only.
    while bench.server.version() < 9 {
        touch(&bench);
    }
    let base = bench.read().await;
    let mut watching = watch(&bench);
    watching.object().await;
    eventually("a watch", async || (begun(&bench) == ["9"]).then_some(())).await;
    bench.server.mute(true);
    let clock = Clock::system();
    let began = clock.boot();
    let shown = match by_a_write {
        true => written(bench.store.write(&base, &change("a", 1)).await),
        false => {
            touch(&bench);
            bench.read().await
        }
    };
    assert_eq!(shown.version, 10);
    eventually("another watch", async || (begun(&bench).len() == 2).then_some(())).await;
    assert!(
        clock.boot().since(began) >= Duration::from_secs(4),
        "a watch may lag a little"
    );
    bench.server.mute(false);
    watching.until(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_not_allowed_is_reported_until_it_is() {
    let bench = Bench::new(ANSWER).await;
    let forbidden = "leases.coordination.k8s.io is forbidden: User \"rg\" cannot watch resource \"leases\"";
    bench.server.always("WATCH", Some(Fault::Status(403, forbidden)));
    let mut trouble = bench.store.watch_trouble();
    let mut watching = watch(&bench);
    watching.object().await;
    let told = timeout(PATIENCE, trouble.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap()
        .clone();
    let Some(StoreError::Refused(reason)) = told else {
        panic!("{told:?}");
    };
    assert!(
        reason.contains("no permission to watch") && reason.contains(forbidden),
        "{reason}"
    );
    bench.server.always("WATCH", None);
    timeout(PATIENCE, trouble.wait_for(Option::is_none))
        .await
        .unwrap()
        .unwrap();
    watching.until(touch(&bench)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_fails_comes_back_less_and_less_often() {
    let bench = Bench::new(ANSWER).await;
    bench.server.always("WATCH", Some(Fault::Status(500, "internal error")));
    let mut watching = watch(&bench);
    watching.object().await;
    let clock = Clock::system();
    let began = clock.boot();
    eventually("four tries", async || (begun(&bench).len() >= 4).then_some(())).await;
    // 0.5 s, 1 s and 2 s, 20 % less at most.
    assert!(clock.boot().since(began) > Duration::from_millis(2_700));
    bench.server.always("WATCH", None);
    watching.until(touch(&bench)).await;
    assert_eq!(
        *bench.store.watch_trouble().borrow(),
        None,
        "a failure is told by reads"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end_costs_a_watch_a_few_mebibytes_and_it_begins_again_later() {
    for code in [200, 403] {
        let bench = Bench::new(ANSWER).await;
        bench.server.once("WATCH", Fault::Endless(code));
        bench.server.once("WATCH", Fault::Endless(code));
        let mut watching = watch(&bench);
        watching.object().await;
        let clock = Clock::system();
        let began = clock.boot();
        eventually("a watch that is usable", async || {
            (begun(&bench).len() == 3).then_some(())
        })
        .await;
        // 0.5 s and 1 s, 20 % less at most.
        assert!(clock.boot().since(began) > Duration::from_millis(1_200));
        eventually("the end of both lines", async || {
            (bench.server.flooded().len() == 2).then_some(())
        })
        .await;
        // 4 MiB, and what the sockets of both sides hold.
        let taken = bench.server.flooded();
        assert!(taken.iter().all(|bytes| *bytes < 24 << 20), "{taken:?} bytes");
        watching.until(touch(&bench)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_nobody_listens() {
    let bench = Bench::new(ANSWER).await;
    let Watching { mut events, mut task } = watch(&bench);
    timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    drop(events);
    timeout(PATIENCE, task.join_next())
        .await
        .expect("it ends")
        .unwrap()
        .unwrap();
}
