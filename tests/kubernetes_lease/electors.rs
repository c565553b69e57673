//! The elector's task over this store: hand-over, lost answers, and how much the API server is asked.

use std::sync::Arc;
use std::time::Duration;

use lease_election::metrics::LeaseMetrics;
use lease_election::{CommitOutcome, ElectorConfig, LeaseTrouble, task};
use random_generator::clock::Clock;
use random_generator::lease::{CommitRequest, Head, LeaseHandle};
use random_generator::record::{Contribution, Draft, Hex, Slot};
use random_generator::shutdown::{self, Trigger};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::server::{Fault, Server};
use crate::standing::Standing;
use crate::waiting::{PATIENCE, eventually};
use crate::{kubeconfig, store};

struct Elector {
    handle: LeaseHandle,
    stop: Trigger,
    outcomes: mpsc::Receiver<(u64, CommitOutcome)>,
    task: JoinSet<()>,
    _directory: tempfile::TempDir,
}

/// Over a store of its own, as a member has it.
async fn elector(server: &Server, name: &str, duration: Duration) -> Elector {
    let directory = tempfile::tempdir().unwrap();
    let access = kubeconfig(directory.path(), &format!("http://{}", server.address));
    let (renew_deadline, retry) = (duration * 2 / 3, duration * 2 / 15);
    let config = ElectorConfig::new(format!("{name}_uid-0"), duration, renew_deadline, retry).unwrap();
    let store = store(access, renew_deadline * 3 / 10);
    let (task, handle, outcomes) = task::new(config, store, Clock::system(), LeaseMetrics::default());
    let (stop, mut stopped) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(async move { stopped.requested().await }));
    handle.stand(true).await;
    Elector {
        handle,
        stop,
        outcomes,
        task: tasks,
        _directory: directory,
    }
}

impl Standing for Elector {
    fn handle(&self) -> &LeaseHandle {
        &self.handle
    }
}

async fn server() -> Server {
    let server = Server::start().await;
    server.create("uid-1");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_three_asks_less_than_1_2_times_a_second_and_a_release_is_followed_at_once() {
    let server = server().await;
    let duration = Duration::from_secs(15);
    let leader = elector(&server, "rg-0", duration).await;
    leader.until_leading().await;
    let others = [
        elector(&server, "rg-1", duration).await,
        elector(&server, "rg-2", duration).await,
    ];
    for other in &others {
        other.until_followed("rg-0_uid-0").await;
    }
    eventually("three watches", async || {
        (server.seen("WATCH").len() == 3).then_some(())
    })
    .await;
    let clock = Clock::system();
    let (began, before, renewals) = (clock.boot(), server.requests(), server.seen("PUT").len());
    // With 15 s, 10 s and 2 s, as by default: about 20 s, a followers' poll and more.
    eventually("ten renewals", async || {
        (server.seen("PUT").len() == renewals + 10).then_some(())
    })
    .await;
    let rate = (server.requests() - before) as f64 / clock.boot().since(began).as_secs_f64();
    assert!(rate < 1.2, "{rate} requests a second");
    assert_eq!(server.seen("WATCH").len(), 3);

    let began = clock.boot();
    leader.stop.pull();
    eventually("a successor", async || others.iter().find_map(Standing::fence)).await;
    let took = clock.boot().since(began);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let metadata = &server.lease().unwrap()["metadata"];
    assert_eq!(metadata["annotations"]["example.com/note"], "keep me");
    assert_eq!(metadata["annotations"]["random-generator/fence"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_server_only_the_holder_of_the_lease_takes_time_to_stop() {
    let server = server().await;
    let duration = Duration::from_secs(30);
    let mut leader = elector(&server, "rg-0", duration).await;
    leader.until_leading().await;
    let mut follower = elector(&server, "rg-1", duration).await;
    follower.until_followed("rg-0_uid-0").await;
    for verb in ["GET", "PUT", "WATCH"] {
        server.always(verb, Some(Fault::HangBefore));
    }
    server.close_connections();
    let mut stranger = elector(&server, "rg-2", duration).await;
    let clock = Clock::system();
    let began = clock.boot();
    for elector in [&mut follower, &mut stranger] {
        elector.stop.pull();
        timeout(PATIENCE, elector.task.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
    // It waits for neither a read nor the 13 s that a release may take.
    let took = clock.boot().since(began);
    assert!(took < Duration::from_secs(3), "{took:?}");
    leader.stop.pull();
    timeout(PATIENCE, leader.task.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let took = clock.boot().since(began);
    assert!(took > Duration::from_secs(10), "it tried to release it: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_cannot_grow_is_replaced_by_the_next_holders() {
    let server = server().await;
    let leader = elector(&server, "rg-0", Duration::from_secs(3)).await;
    leader.until_leading().await;
    for (garbage, fence) in [("9007199254740991", 2), ("18446744073709551615", 3), ("many", 4)] {
        server.edit(|lease| lease["metadata"]["annotations"]["random-generator/fence"] = garbage.into());
        eventually("the next fence", async || (leader.fence() == Some(fence)).then_some(())).await;
        let lease = server.lease().unwrap();
        assert_eq!(
            lease["metadata"]["annotations"]["random-generator/fence"],
            fence.to_string()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_answers_are_lost_goes_on_if_its_writes_landed() {
    let server = server().await;
    let leader = elector(&server, "rg-0", Duration::from_secs(6)).await;
    leader.until_leading().await;
    for fault in [Fault::FailAfter, Fault::HangAfter, Fault::CutAfter] {
        let renewals = server.seen("PUT").len();
        server.once("PUT", fault);
        eventually("two renewals", async || {
            (server.seen("PUT").len() >= renewals + 2).then_some(())
        })
        .await;
        assert_eq!(leader.fence(), Some(1));
    }
    let lease = server.lease().unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    leader.until("health", |snapshot| snapshot.trouble.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_fails_ends_the_term_in_time_and_leadership_comes_back() {
    let server = server().await;
    let duration = Duration::from_secs(3);
    let leader = elector(&server, "rg-0", duration).await;
    leader.until_leading().await;
    for fault in [
        Fault::HangBefore,
        Fault::Close,
        Fault::Status(503, "not ready"),
        Fault::Status(403, "no"),
    ] {
        let clock = Clock::system();
        let began = clock.boot();
        for verb in ["GET", "PUT", "WATCH"] {
            server.always(verb, Some(fault.clone()));
        }
        server.close_connections();
        leader
            .until("the term's end", |snapshot| snapshot.leads(clock.boot()).is_none())
            .await;
        let took = clock.boot().since(began);
        assert!(took < duration * 2 / 3 + Duration::from_secs(1), "{fault:?}: {took:?}");
        leader
            .until("trouble", |snapshot| {
                matches!(snapshot.trouble, Some(LeaseTrouble::Store(_)))
            })
            .await;
        for verb in ["GET", "PUT", "WATCH"] {
            server.always(verb, None);
        }
        leader.until_leading().await;
        leader.until("health", |snapshot| snapshot.trouble.is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_deleted_leaves_nobody_leading_until_it_is_created_again() {
    let server = server().await;
    let leader = elector(&server, "rg-0", Duration::from_secs(2)).await;
    leader.until_leading().await;
    server.delete();
    leader
        .until("absence", |snapshot| snapshot.trouble == Some(LeaseTrouble::Absent))
        .await;
    assert_eq!(leader.fence(), None);
    assert_eq!(server.lease(), None);
    server.create("uid-2");
    leader.until_leading().await;
    assert!(
        leader.fence() > Some(1),
        "a Lease made anew has no fence, and none is given twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_may_read_and_not_write_says_so_steadily() {
    let server = server().await;
    server.always("PUT", Some(Fault::Status(403, "cannot update")));
    let leader = elector(&server, "rg-0", Duration::from_secs(2)).await;
    leader.until("trouble", |snapshot| snapshot.trouble.is_some()).await;
    let reads = server.seen("GET").len();
    let mut snapshots = leader.handle.snapshots();
    let healed = snapshots.wait_for(|snapshot| snapshot.trouble.is_none());
    tokio::select! {
        biased;
        _ = healed => panic!("a read that works doesn't mend it"),
        () = eventually("three more reads", async || (server.seen("GET").len() >= reads + 3).then_some(())) => {}
    }
    server.always("PUT", None);
    leader.until_leading().await;
    leader.until("health", |snapshot| snapshot.trouble.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_refusal_a_commit_waits_as_every_other_write_does() {
    let server = server().await;
    let mut leader = elector(&server, "rg-0", Duration::from_secs(15)).await;
    leader.until_leading().await;
    server.always("PUT", Some(Fault::Status(403, "cannot update")));
    leader.until("trouble", |snapshot| snapshot.trouble.is_some()).await;
    let contribution = Contribution {
        member: "rg-0".to_owned(),
        next_commitment: Hex([9; 32]),
        ordinal: 0,
        reveal: None,
    };
    let record = Draft {
        set: "rg".to_owned(),
        chain: Hex([7; 16]),
        round: 1,
        schedule: "@every 1m".to_owned(),
        slot: Slot(1_800_000_000),
        missed: 0,
        holder: "rg-0_uid-0".to_owned(),
        fence: 1,
        voters: 1.into(),
        previous: None,
        contributions: vec![contribution],
        missing: vec![],
    };
    let record = Arc::new(record.seal());
    let clock = Clock::system();
    let (began, before) = (clock.boot(), server.seen("PUT").len());
    for ticket in 0..30 {
        let request = CommitRequest {
            ticket,
            payload: Arc::clone(&record),
            base: Head::Absent,
            fence: 1,
        };
        assert!(leader.handle.commit(request));
        let told = timeout(PATIENCE, leader.outcomes.recv()).await.expect("an outcome");
        assert_eq!(told, Some((ticket, CommitOutcome::NotCommitted)));
    }
    let tries = server.seen("PUT").len() - before;
    // A try every 1.6 s at most.
    let most = 1 + (clock.boot().since(began).as_secs_f64() / 1.6).ceil() as usize;
    assert!(tries <= most, "{tries} tries");
    server.always("PUT", None);
    leader.until("health", |snapshot| snapshot.trouble.is_none()).await;
}
