//! Reads and writes: what each answer means, and what is known when none comes.

use std::sync::Arc;
use std::time::Duration;

use lease_election::{LeaseStore, StoreError, WriteOutcome};
use random_generator::clock::Clock;
use random_generator::record::Record;

use crate::lease_writes::{change, written};
use crate::server::{Fault, frozen};
use crate::waiting::eventually;
use crate::{ANSWER, Bench, SHORT, kubeconfig, store};

fn refusal(outcome: WriteOutcome<Record>) -> String {
    match outcome {
        WriteOutcome::Failed(StoreError::Refused(reason)) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn holder(bench: &Bench) -> Option<String> {
    let lease = bench.server.lease()?;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_replaces_the_whole_object_and_what_is_others_stays() {
    let bench = Bench::new(ANSWER).await;
    let base = bench.read().await;
    assert_eq!(
        (base.uid.as_str(), base.fence, base.version),
        ("uid-1", 0, bench.server.version())
    );
    let mut wanted = change("rg-0_u-n", 3);
    wanted.spec.renew_time = Some("2026-11-21T05:38:34.5Z".parse().unwrap());
    let after = written(bench.store.write(&base, &wanted).await);
    assert_eq!((&after.spec, after.fence), (&wanted.spec, 3));
    assert!(after.version > base.version);
    let lease = bench.server.lease().unwrap();
    assert_eq!(lease["spec"]["renewTime"], "2026-11-21T05:38:34.500000Z");
    assert_eq!(lease["spec"]["strategy"], "OldestEmulationVersion");
    let metadata = &lease["metadata"];
    assert_eq!(metadata["labels"]["app"], "rg");
    assert_eq!(metadata["annotations"]["example.com/note"], "keep me");
    assert_eq!(metadata["annotations"]["random-generator/fence"], "3");
    assert_eq!(metadata["finalizers"][0], "example.com/hold");
    assert_eq!(metadata["managedFields"][0]["manager"], "kubectl");
    assert_eq!(*bench.read().await, *after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_write_is_a_conflict_and_a_deleted_lease_is_never_created_again() {
    let bench = Bench::new(ANSWER).await;
    let base = bench.read().await;
    bench
        .server
        .edit(|lease| lease["metadata"]["labels"]["more"] = "yes".into());
    assert_eq!(bench.store.write(&base, &change("a", 1)).await, WriteOutcome::Conflict);
    let base = bench.read().await;
    bench.server.delete();
    assert_eq!(bench.store.read().await, Ok(None));
    assert_eq!(bench.store.write(&base, &change("a", 1)).await, WriteOutcome::Conflict);
    assert_eq!(bench.server.lease(), None);
    bench.server.create("uid-2");
    assert_eq!(bench.store.write(&base, &change("a", 1)).await, WriteOutcome::Conflict);
    assert_eq!(holder(&bench), None);
    for put in bench.server.seen("PUT") {
        let body: serde_json::Value = serde_json::from_slice(&put.body).unwrap();
        assert_eq!(body["metadata"]["uid"], "uid-1");
        assert!(body["metadata"]["resourceVersion"].is_string());
    }
    for get in bench.server.seen("GET") {
        assert!(!get.target.contains('?'), "a read that may be old: {}", get.target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_absent_is_told_apart_from_an_api_server_that_is_none() {
    let bench = Bench::new(ANSWER).await;
    let base = bench.read().await;
    bench.server.delete();
    assert_eq!(bench.store.read().await, Ok(None));
    bench.server.once("GET", Fault::NoApi);
    let error = bench.store.read().await.unwrap_err().to_string();
    assert!(error.contains("404") && error.contains("page not found"), "{error}");
    bench.server.once("GET", Fault::Page);
    let error = bench.store.read().await.unwrap_err().to_string();
    assert!(error.contains("not readable: not JSON"), "{error}");
    bench.server.once("PUT", Fault::Page);
    let outcome = bench.store.write(&base, &change("a", 1)).await;
    assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{outcome:?}");
    bench.server.once("PUT", Fault::NoApi);
    let error = refusal(bench.store.write(&base, &change("a", 1)).await);
    assert!(error.contains("404"), "{error}");
    bench
        .server
        .once("PUT", Fault::Status(404, "leases.coordination.k8s.io not found"));
    assert_eq!(bench.store.write(&base, &change("a", 1)).await, WriteOutcome::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_what_was_asked_and_how_to_mend_it() {
    let bench = Bench::new(ANSWER).await;
    let base = bench.read().await;
    let said =
        "leases.coordination.k8s.io \"random-generator\" is forbidden: User \"rg\" cannot update resource \"leases\"";
    bench.server.once("PUT", Fault::Status(403, said));
    let error = refusal(bench.store.write(&base, &change("a", 1)).await);
    for part in [
        "no permission to update Lease random-generator in namespace lab",
        said,
        "get, update and watch on leases.coordination.k8s.io named random-generator",
        "RoleBinding",
    ] {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    bench.server.once("GET", Fault::Status(403, "cannot get"));
    let error = bench.store.read().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused(reason) if reason.contains("no permission to get")),
        "{error}"
    );
    bench.server.once("PUT", Fault::Status(401, "Unauthorized"));
    let error = refusal(bench.store.write(&base, &change("a", 1)).await);
    assert!(
        error.contains("401") && error.contains("token") && error.contains("--kubeconfig"),
        "{error}"
    );
    bench
        .server
        .once("PUT", Fault::Status(422, "spec.strategy: Invalid value"));
    let error = refusal(bench.store.write(&base, &change("a", 1)).await);
    assert!(error.contains("422") && error.contains("spec.strategy"), "{error}");
    assert_eq!(holder(&bench), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_unknown_whether_or_not_it_landed() {
    for (fault, landed) in [
        (Fault::FailAfter, true),
        (Fault::HangAfter, true),
        (Fault::CutAfter, true),
        (Fault::HangBefore, false),
        (Fault::Close, false),
        (Fault::Status(500, "internal error"), false),
        (Fault::Status(503, "shutting down"), false),
        (Fault::Status(504, "timeout"), false),
    ] {
        let bench = Bench::new(SHORT).await;
        let base = bench.read().await;
        bench.server.once("PUT", fault.clone());
        let outcome = bench.store.write(&base, &change("a", 1)).await;
        assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{fault:?}: {outcome:?}");
        assert_eq!(
            bench.server.seen("PUT").len(),
            1,
            "{fault:?}: nothing is sent again unasked"
        );
        assert_eq!(holder(&bench).as_deref() == Some("a"), landed, "{fault:?}");
        // The next read tells.
        assert_eq!(bench.read().await.fence, u64::from(landed), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_is_never_an_absent_lease() {
    for fault in [
        Fault::HangBefore,
        Fault::CutAfter,
        Fault::Close,
        Fault::Status(500, "internal error"),
        Fault::Status(503, "shutting down"),
        Fault::Busy(0),
    ] {
        let bench = Bench::new(SHORT).await;
        bench.server.once("GET", fault.clone());
        let error = bench.store.read().await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{fault:?}: {error:?}");
        assert_eq!(
            bench.server.seen("GET").len(),
            1,
            "{fault:?}: nothing is sent again unasked"
        );
        assert_eq!(bench.read().await.uid, "uid-1", "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_never_left_did_not_happen() {
    let bench = Bench::new(SHORT).await;
    let base = bench.read().await;
    let directory = tempfile::tempdir().unwrap();
    // A port that was free a moment ago, and one behind which nobody takes part in a TLS handshake.
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let (silent, _held) = frozen().await;
    for server in [
        format!("http://{closed}"),
        format!("https://{closed}"),
        format!("https://{silent}"),
    ] {
        let clock = Clock::system();
        let began = clock.boot();
        let other = store(kubeconfig(directory.path(), &server), SHORT);
        let outcome = other.write(&base, &change("a", 1)).await;
        let failed = matches!(outcome, WriteOutcome::Failed(StoreError::Unreachable(_)));
        assert!(failed, "{server}: {outcome:?}");
        assert!(clock.boot().since(began) < SHORT + Duration::from_secs(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_late_ends_with_its_connection() {
    let bench = Bench::new(SHORT).await;
    let base = bench.read().await;
    let clock = Clock::system();
    for _ in 0..2 {
        bench.server.once("PUT", Fault::HangAfter);
        let began = clock.boot();
        let outcome = bench.store.write(&base, &change("a", 1)).await;
        assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{outcome:?}");
        let took = clock.boot().since(began);
        assert!(took >= SHORT && took < SHORT + Duration::from_secs(2), "{took:?}");
    }
    bench.read().await;
    let hung: Vec<u64> = bench.server.seen("PUT").iter().map(|seen| seen.connection).collect();
    let last = bench.server.seen("GET").last().unwrap().connection;
    assert!(hung[0] != hung[1] && !hung.contains(&last), "{hung:?}, then {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_share_a_connection_and_one_closed_at_rest_costs_no_doubt() {
    let bench = Bench::new(ANSWER).await;
    let mut base = bench.read().await;
    for fence in 1..=20 {
        base = written(bench.store.write(&base, &change("a", fence)).await);
    }
    // A connection is free again a moment after its answer: a request right behind it may open a second one.
    let used = bench.server.seen("PUT").iter().map(|seen| seen.connection).max();
    assert!(used <= Some(3), "20 requests by {used:?} connections");
    for fence in 21..30 {
        bench.server.close_connections();
        // Its end has been sent before the next connection is taken.
        drop(tokio::net::TcpStream::connect(bench.server.address).await.unwrap());
        tokio::task::yield_now().await;
        match bench.store.write(&base, &change("a", fence)).await {
            WriteOutcome::Written(object) => base = object,
            // The end was on its way while the write was: in doubt, as it must be.
            WriteOutcome::Unknown(_) => base = bench.read().await,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_off() {
    let bench = Bench::new(ANSWER).await;
    let base = bench.read().await;
    bench.server.once("GET", Fault::Endless(200));
    let error = bench.store.read().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unreachable(reason) if reason.contains("length limit exceeded")),
        "{error}"
    );
    bench.server.once("PUT", Fault::Endless(500));
    let outcome = bench.store.write(&base, &change("a", 1)).await;
    assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{outcome:?}");
    eventually("the end of both", async || {
        (bench.server.flooded().len() == 2).then_some(())
    })
    .await;
    let taken = bench.server.flooded();
    assert!(taken.iter().all(|bytes| *bytes < 24 << 20), "{taken:?} bytes");
    bench.read().await;
}

/// A firewall forgets a connection that is silent, and a machine that is gone answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_probed_by_tcp() {
    let bench = Bench::new(ANSWER).await;
    bench.read().await;
    // As proc(5) describes it: local address, remote address, state (01 is established), queues, timer (02 is keepalive).
    let remote = format!("0100007F:{:04X}", bench.server.address.port());
    eventually("a keepalive timer", async || {
        let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        sockets
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .any(|fields| fields[2] == remote && fields[3] == "01" && fields[5].starts_with("02:"))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_asks_to_wait_is_left_alone_but_not_for_longer_than_an_answer_takes() {
    let bench = Bench::new(SHORT).await;
    let base = bench.read().await;
    bench.server.once("PUT", Fault::Busy(3600));
    let busy = |outcome: WriteOutcome<Record>| match outcome {
        WriteOutcome::Failed(StoreError::Unreachable(reason)) => assert!(reason.contains("429"), "{reason}"),
        other => panic!("{other:?}"),
    };
    let clock = Clock::system();
    let began = clock.boot();
    busy(bench.store.write(&base, &change("a", 1)).await);
    busy(bench.store.write(&base, &change("a", 1)).await);
    assert_eq!(bench.server.seen("PUT").len(), 1, "it was not asked again");
    eventually("the end of its rest", async || {
        match bench.store.write(&base, &change("a", 1)).await {
            WriteOutcome::Written(_) => return Some(()),
            other => busy(other),
        }
        None
    })
    .await;
    let waited = clock.boot().since(began);
    assert!(waited >= SHORT && waited < SHORT + Duration::from_secs(5), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_on_one_version_exactly_one_wins() {
    let bench = Bench::new(ANSWER).await;
    let base = bench.read().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let (store, base) = (Arc::clone(&bench.store), Arc::clone(&base));
        writers.spawn(async move { store.write(&base, &change(&format!("w-{writer}"), 1)).await });
    }
    let outcomes = writers.join_all().await;
    let won = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, WriteOutcome::Written(_)))
        .count();
    let lost = outcomes
        .iter()
        .filter(|outcome| **outcome == WriteOutcome::Conflict)
        .count();
    assert_eq!((won, lost), (1, 7));
}
