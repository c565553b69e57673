//! The supervisor of `cluster` with real processes: shell scripts stand in for members.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod harness;
#[path = "../waiting/mod.rs"]
mod waiting;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use clap::{Args, FromArgMatches};
use random_generator::cli::cluster::ClusterWiring;
use random_generator::clock::Clock;
use random_generator::config::{ClusterArgs, ServeArgs};
use random_generator::local::layout::{Layout, Place};
use random_generator::local::output::Output;
use random_generator::shutdown;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use harness::{LIVES, Screen, is_alive, next_base, prepared, running, running_in, state};
use waiting::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn members_start_in_groups_of_their_own_and_all_end_within_a_second() {
    let mut set = running(3, false, |_| LIVES).await;
    let pids = set.pids().await;
    for pid in &pids {
        assert_eq!(
            state(*pid).1,
            pid.as_raw_nonzero().to_string(),
            "its own group: ^C does not reach it"
        );
    }
    let table = eventually("the table", async || {
        Some(set.screen.text()).filter(|text| text.lines().count() == 4)
    })
    .await;
    for (line, (place, pid)) in table.lines().skip(1).zip(set.layout.members.iter().zip(&pids)) {
        let url = format!("http://127.0.0.1:{}/", place.public_port);
        let parts: Vec<&str> = line.split_whitespace().collect();
        let pid = pid.as_raw_nonzero().to_string();
        assert_eq!(parts, [place.name.as_str(), &url, place.volume.to_str().unwrap(), &pid]);
    }
    let began = Instant::now();
    set.stop.pull();
    set.ended().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(set.layout.members.iter().all(|place| !place.pid_file.exists()));
    assert_eq!(
        set.screen.lines_with("was ended (SIGTERM)").len(),
        3,
        "{}",
        set.screen.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_killed_is_started_again_and_the_others_are_left_alone() {
    let set = running(2, false, |_| LIVES).await;
    let first = set.pids().await;
    eventually("the table", async || (!set.screen.text().is_empty()).then_some(())).await;
    rustix::process::kill_process(first[1], Signal::KILL).unwrap();
    let again = eventually("another process", async || set.pid(1).filter(|pid| *pid != first[1])).await;
    assert!(is_alive(again) && set.pid(0) == Some(first[0]));
    let line = eventually("its line", async || {
        set.screen.lines_with("rg-1 was killed (SIGKILL)").pop()
    })
    .await;
    assert!(line.ends_with("restarting in 100 ms"), "{line}");
    eventually("its start", async || {
        set.screen
            .lines_with(&format!("started, pid {}", again.as_raw_nonzero()))
            .pop()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_again_and_again_is_started_at_a_growing_distance() {
    let set = running(1, true, |_| "date +%s%N >> $DIR/births; echo no luck >&2; exit 3").await;
    let births = eventually("five births", async || {
        Some(set.births()).filter(|births| births.len() >= 5)
    })
    .await;
    for (pair, at_least) in births.windows(2).zip([100, 200, 400, 800]) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(at_least), "{births:?}");
    }
    let line = set.screen.lines_with("exited").remove(0);
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["member"], &event["code"], &event["how"], &event["again_in_ms"]),
        (&json!("rg-0"), &json!(3), &json!("exited with 3: no luck"), &json!(100))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_reported_once_and_tried_again_slowly_until_it_is_set_right() {
    let set = running(
        1,
        false,
        |_| "date +%s%N >> $DIR/births; test -e $DIR/right && read x; echo the volume belongs to rg-7; exit 78",
    )
    .await;
    let births = eventually("a second birth", async || {
        Some(set.births()).filter(|births| births.len() >= 2)
    })
    .await;
    assert!(births[1] - births[0] >= Duration::from_secs(2), "{births:?}");
    fs::write(set.dir.path().join("right"), "").unwrap();
    eventually("its start", async || set.screen.lines_with("started").pop()).await;
    let told = set.screen.lines_with("exited with 78");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("the volume belongs to rg-7; restarting in 2000 ms"),
        "{told:?}"
    );
}

/// A shell whose script begins with a trap has set it once it runs another program.
async fn has_its_trap(shell: Pid) {
    eventually("the trap", async || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.as_raw_nonzero())).unwrap();
        (!children.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_member_is_left_alone_and_yet_ends_in_order() {
    let mut set = running(
        2,
        false,
        |_| "trap 'echo orderly >> $DIR/end; exit 0' TERM; while :; do sleep 0.01; done",
    )
    .await;
    let pids = set.pids().await;
    has_its_trap(pids[0]).await;
    rustix::process::kill_process(pids[0], Signal::STOP).unwrap();
    eventually("the stop", async || (state(pids[0]).0 == "T").then_some(())).await;
    rustix::process::kill_process(pids[1], Signal::KILL).unwrap();
    let again = eventually("another process", async || set.pid(1).filter(|pid| *pid != pids[1])).await;
    assert_eq!((set.pid(0), state(pids[0]).0.as_str()), (Some(pids[0]), "T"));
    has_its_trap(again).await;
    set.stop.pull();
    set.ended().await;
    assert_eq!(
        fs::read_to_string(set.dir.path().join("end")).unwrap(),
        "orderly\norderly\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_members_that_will_not_end() {
    let mut set = running(
        2,
        false,
        |_| "trap '' TERM; echo > $DIR/deaf-$N; while :; do sleep 0.05; done",
    )
    .await;
    let pids = set.pids().await;
    eventually("the traps", async || {
        (0..2)
            .all(|n| set.dir.path().join(format!("deaf-{n}")).exists())
            .then_some(())
    })
    .await;
    set.stop.pull();
    tokio::time::timeout(Duration::from_millis(300), set.tasks.join_next())
        .await
        .expect_err("they are deaf");
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    set.kill.pull();
    set.ended().await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_set_aside_when_its_member_starts() {
    let dir = tempfile::tempdir().unwrap();
    fs::File::create(dir.path().join("rg-0.log"))
        .unwrap()
        .set_len(11 * 1024 * 1024)
        .unwrap();
    fs::write(dir.path().join("rg-1.log"), "old\n").unwrap();
    let set = running_in(dir, 2, false, |_| "echo new; read x").await;
    let log = |name: &str| fs::read_to_string(set.dir.path().join(name)).ok();
    eventually("the logs", async || {
        (log("rg-0.log")? == "new\n" && log("rg-1.log")? == "old\nnew\n").then_some(())
    })
    .await;
    assert_eq!(
        fs::metadata(set.dir.path().join("rg-0.log.1")).unwrap().len(),
        11 * 1024 * 1024
    );
}

/// Both roles: run by the test runner it starts itself again with the directory in the environment, as the supervisor.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods)] // the way to give a role to a test's own process
async fn members_end_when_their_supervisor_is_killed() {
    const DIR: &str = "CLUSTER_SUPERVISOR_TEST_DIR";
    const SCRIPT: &str = "read x; echo > $DIR/gone-$N";
    if let Some(dir) = std::env::var_os(DIR) {
        let (layout, supervisor) = prepared(Path::new(&dir), 2).await;
        let output = Output::new(
            Box::new(std::io::sink()),
            false,
            false,
            Clock::system(),
            layout.members.clone(),
        );
        let (_stop, stopped) = shutdown::stage();
        let (_kill, killed) = shutdown::stage();
        let command = Arc::new(move |place: &Place| {
            let mut command = Command::new("/bin/sh");
            command
                .args(["-c", SCRIPT])
                .env("DIR", &dir)
                .env("N", place.ordinal.to_string());
            command
        });
        supervisor.run(command, output, stopped, killed).await.unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "members_end_when_their_supervisor_is_killed"])
        .env(DIR, dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let here = |name: &str| {
        (0..2)
            .all(|n| dir.path().join(name.replace('N', &n.to_string())).exists())
            .then_some(())
    };
    eventually("both members", async || here("rg-N.pid")).await;
    assert!(here("gone-N").is_none());
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    eventually("the end of both", async || here("gone-N")).await;
}

/// What the fake members answer.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<(Value, Vec<Value>)>>);

async fn fake_member(port: u16, answers: Answers) {
    let router = axum::Router::new()
        .route(
            "/leader",
            get(|State(answers): State<Answers>| async move { Json(answers.0.lock().unwrap().0.clone()) }),
        )
        .route(
            "/draws/latest",
            get(|State(answers): State<Answers>| async move { Json(answers.0.lock().unwrap().1.last().cloned()) }),
        )
        .route(
            "/draws",
            get(
                |State(answers): State<Answers>, query: axum::extract::Query<Vec<(String, u64)>>| async move {
                    let (from, limit) = (query.0[0].1, query.0[1].1);
                    let mut draws = answers.0.lock().unwrap().1.clone();
                    draws.retain(|draw| (from..from + limit).contains(&draw["round"].as_u64().unwrap()));
                    Json(json!({"draws": draws, "next": null}))
                },
            ),
        )
        .with_state(answers);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let stream = hyper_util::rt::TokioIo::new(stream);
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
    }
}

fn record(round: u64, missing: Value) -> Value {
    json!({
        "round": round, "slot": format!("2026-01-01T00:00:{round:02}Z"), "holder": "rg-1_uid-nonce", "fence": 3,
        "missed": 0, "missing": missing, "output": "0123456789abcdef0123", "hash": "x",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_and_each_draw_are_shown_as_members_report_them() {
    let mut set = running(2, false, |_| LIVES).await;
    set.pids().await;
    // One member is stopped: it takes connections and never answers. The other answers.
    let silent = TcpListener::bind(("127.0.0.1", set.layout.members[0].public_port))
        .await
        .unwrap();
    let answers = Answers::default();
    *answers.0.lock().unwrap() = (json!({"member": "rg-1", "fence": 3}), vec![record(1, json!([]))]);
    let mut fakes = JoinSet::new();
    fakes.spawn(fake_member(set.layout.members[1].public_port, answers.clone()));

    eventually("the leader", async || {
        set.screen.lines_with("rg-1 leads, fence 3").pop()
    })
    .await;
    eventually("the draw", async || {
        set.screen
            .lines_with("draw 1 of 2026-01-01T00:00:01Z by rg-1: 0123456789abcdef…")
            .pop()
    })
    .await;

    let later = [
        record(2, json!([])),
        record(3, json!([])),
        record(4, json!([{"ordinal": 0, "reason": "timeout"}])),
    ];
    answers.0.lock().unwrap().1.extend(later);
    eventually("the fourth draw", async || set.screen.lines_with("draw 4 ").pop()).await;
    let rounds = set
        .screen
        .lines_with(" draw ")
        .iter()
        .map(|l| l[14..15].to_owned())
        .collect::<Vec<_>>();
    assert_eq!(
        rounds,
        ["1", "2", "3", "4"],
        "those in between are fetched: {}",
        set.screen.text()
    );
    assert!(set.screen.lines_with("without rg-0 (timeout)").len() == 1);

    answers.0.lock().unwrap().0 = json!({"member": null, "fence": 3});
    eventually("nobody", async || set.screen.lines_with("nobody leads").pop()).await;
    assert_eq!(
        set.screen.lines_with("leads").len(),
        2,
        "only changes are shown: {}",
        set.screen.text()
    );
    set.stop.pull();
    set.ended().await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_begin_with_the_members() {
    let set = running(2, true, |_| LIVES).await;
    let pids = set.pids().await;
    let line = eventually("the members", async || {
        set.screen.text().lines().next().map(str::to_owned)
    })
    .await;
    let members: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(members["event"], "members");
    assert_eq!(members["members"][1]["name"], "rg-1");
    assert_eq!(members["members"][1]["pid"], pids[1].as_raw_nonzero().get());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_or_port_in_use_and_a_path_that_cannot_be_are_reported_with_their_codes() {
    let dir = tempfile::tempdir().unwrap();
    let (layout, first) = prepared(dir.path(), 1).await;
    let again = Layout::new("rg", 1, layout.members[0].public_port + 20, dir.path()).unwrap();
    let error = again.claim().unwrap_err();
    assert_eq!(error.exit() as u8, 75);
    assert!(error.to_string().contains("in use by another cluster"), "{error}");
    drop(first);

    let taken = std::net::TcpListener::bind(("127.0.0.1", layout.members[0].admin_port())).unwrap();
    // What was let go is held on for a moment where another test just starts a program: until that is executed, its process has
    // all files of this one.
    let error = eventually("the lock", async || {
        let error = layout.claim().unwrap_err();
        (!error.to_string().contains("in use by another cluster")).then_some(error)
    })
    .await;
    let port = layout.members[0].admin_port();
    assert!(
        error
            .to_string()
            .starts_with(&format!("port {port} (admin port of rg-0) is in use")),
        "{error}"
    );
    assert_eq!(error.exit() as u8, 75);
    drop(taken);
    eventually("the port", async || layout.claim().ok()).await;

    fs::write(dir.path().join("file"), "").unwrap();
    let error = Layout::new("rg", 1, 20_000, &dir.path().join("file/data"))
        .unwrap()
        .claim()
        .unwrap_err();
    assert_eq!(error.exit() as u8, 74);
    assert!(error.to_string().contains("file/data"), "{error}");
}

fn arguments(dir: &Path, base_port: u16, serve: &[&str]) -> ClusterArgs {
    ClusterArgs {
        members: 2,
        base_port,
        data_dir: dir.to_owned(),
        json: false,
        serve: serve.iter().map(|s| (*s).to_owned()).collect(),
    }
}

fn parse(line: &[String]) -> Result<ServeArgs, String> {
    let serve = ServeArgs::augment_args(clap::Command::new("serve"));
    let read = serve.try_get_matches_from(line);
    read.and_then(|matches| ServeArgs::from_arg_matches(&matches))
        .map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_option_for_members_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let wiring = ClusterWiring {
        program: "/nowhere".into(),
        parse,
        output: Box::new(std::io::sink()),
        colour: false,
        clock: Clock::system(),
    };
    let args = arguments(&dir.path().join("data"), next_base(), &["--lease-duraton"]);
    let error = random_generator::cli::cluster::run(args, wiring).await.unwrap_err();
    assert_eq!(error.exit() as u8, 64);
    assert!(error.to_string().contains("'--lease-duraton'"), "{error}");
    assert!(!dir.path().join("data").exists());
}

/// The only test that sends a signal to this process: `run` has caught it by then, and stays the one to do so.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_whole_command_and_members_were_given_their_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nread x\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let data = dir.path().join("data");
    let screen = Screen::default();
    let mut tasks = JoinSet::new();
    let base = loop {
        let base = next_base();
        if Layout::new("rg", 2, base, &data).unwrap().claim().is_ok() {
            break base;
        }
    };
    let args = arguments(&data, base, &["--lease-duration", "2s"]);
    let output = Box::new(screen.clone());
    tasks.spawn(async move {
        let wiring = ClusterWiring {
            program,
            parse,
            output,
            colour: true,
            clock: Clock::system(),
        };
        random_generator::cli::cluster::run(args, wiring).await
    });
    eventually("the table", async || screen.text().contains("rg-1").then_some(())).await;
    let log = || {
        fs::read_to_string(data.join("rg-1.log"))
            .ok()
            .filter(|log| log.ends_with('\n'))
    };
    let line = eventually("its arguments", async || log()).await;
    assert!(
        line.starts_with(&format!("serve --pod-name rg-1 --data-dir {}/rg-1 ", data.display())),
        "{line}"
    );
    assert!(
        line.ends_with("--voters 2 --stop-with-parent --lease-duration 2s\n"),
        "{line}"
    );
    assert!(screen.text().starts_with("\x1b[1m"), "colour was asked for");
    let dns = "\nall members: --discovery-nameserver 127.0.0.1:";
    assert!(screen.text().contains(dns), "{}", screen.text());
    rustix::process::kill_process(rustix::process::getpid(), Signal::INT).unwrap();
    let ended = tokio::time::timeout(PATIENCE, tasks.join_next())
        .await
        .expect("it ends");
    ended.unwrap().unwrap().unwrap();
    assert!(!data.join("rg-1.pid").exists());
}
