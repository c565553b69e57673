//! A set of real member processes under `random-generator cluster`, and ways to look at it and to hurt it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use random_generator::local::layout::{Layout, Place};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, sleep, timeout};

use crate::load::Source;
pub use crate::waiting::{PATIENCE, eventually};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);
/// A member that is stopped accepts connections and never answers.
const ANSWER: Duration = Duration::from_secs(2);
/// What `--lease-retry` is by default, as a share of the duration.
const RETRY: f64 = 2.0 / 15.0;

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Trials that time real processes take the machine one after another.
pub async fn turn() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

/// Those that time nothing take it side by side.
pub async fn shared_turn() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// `tests/soak/run` asks for more of a trial by the environment.
pub fn asked(name: &str, default: u64) -> u64 {
    let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"));
    std::env::var(name).ok().map_or(default, number)
}

/// The middle one, and the greatest.
pub fn median_and_worst(times: &[Duration]) -> (Duration, Duration) {
    let mut sorted = times.to_vec();
    sorted.sort();
    (sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}

/// What a member says on `/leader`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub member: Option<String>,
    pub own: bool,
    pub fence: u64,
}

/// When another member took over, seen from outside: after the last look at which nobody led, before the first at which
/// one did.
#[derive(Clone, Copy, Debug)]
pub struct Takeover {
    pub ordinal: usize,
    pub fence: u64,
    pub after: Instant,
    pub before: Instant,
}

/// The public side of members, kept alive between requests.
#[derive(Clone, Debug)]
pub struct Http(Client<HttpConnector, Empty<Bytes>>);

impl Http {
    pub fn new() -> Http {
        Http(Client::builder(TokioExecutor::new()).build_http())
    }

    /// None when there is no whole answer.
    pub async fn get(&self, url: &str, request_id: Option<&str>) -> Option<(StatusCode, Bytes)> {
        let mut request = Request::get(url);
        if let Some(id) = request_id {
            request = request.header("x-request-id", id);
        }
        let answer = async {
            let response = self.0.request(request.body(Empty::new()).unwrap()).await.ok()?;
            let status = response.status();
            Some((status, response.into_body().collect().await.ok()?.to_bytes()))
        };
        timeout(ANSWER, answer).await.ok()?
    }
}

/// A running `cluster`. Dropped, it is ended, by force if need be.
pub struct Set {
    child: Child,
    pub layout: Layout,
    pub lease: Duration,
    pub http: Http,
    said: PathBuf,
}

/// Below the kernel's ephemeral ports, so that no connection takes one in between.
fn next_base() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let part = (std::process::id() % 100) as u16 * 100;
    12_000 + (part + NEXT.fetch_add(100, Ordering::SeqCst)) % 10_000
}

impl Set {
    /// `members` members over the directory, with draws each second and a lease of that duration.
    pub async fn start(dir: &Path, members: u16, lease: Duration) -> Set {
        for _ in 0..100 {
            let layout = Layout::new("rg", members, next_base(), dir).unwrap();
            if let Some(set) = Set::try_start(layout, lease).await {
                return set;
            }
        }
        panic!("no free ports");
    }

    /// None when a port is taken. Returns when each member is ready.
    async fn try_start(layout: Layout, lease: Duration) -> Option<Set> {
        let said = layout.data_dir.join("cluster.out");
        let out = File::options().create(true).append(true).open(&said).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_random-generator"))
            .args(["cluster", "--members", &layout.members.len().to_string()])
            .args(["--base-port", &layout.members[0].public_port.to_string()])
            .arg("--data-dir")
            .arg(&layout.data_dir)
            .args(["--lease-duration", &format!("{}s", lease.as_secs())])
            .args(["--draw-schedule", "@every 1s"])
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut set = Set {
            child,
            layout,
            lease,
            http: Http::new(),
            said,
        };
        let began = Instant::now();
        loop {
            if let Some(status) = set.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(75), "cluster ended: {}", set.said());
                return None;
            }
            if set.all_ready().await {
                return Some(set);
            }
            assert!(began.elapsed() < PATIENCE, "not ready: {}", set.said());
            sleep(LOOK).await;
        }
    }

    pub fn size(&self) -> usize {
        self.layout.members.len()
    }

    /// The end of what `cluster` said.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.said).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    pub fn place(&self, n: usize) -> &Place {
        &self.layout.members[n]
    }

    pub fn url(&self, n: usize) -> String {
        format!("http://127.0.0.1:{}", self.place(n).public_port)
    }

    pub fn urls(&self) -> Vec<String> {
        (0..self.size()).map(|n| self.url(n)).collect()
    }

    pub fn journals(&self) -> Vec<Source> {
        let journal = |place: &Place| Source {
            name: place.name.clone(),
            journal: place.volume.join("journal.db"),
        };
        self.layout.members.iter().map(journal).collect()
    }

    pub fn pid(&self, n: usize) -> Option<Pid> {
        let text = fs::read_to_string(&self.place(n).pid_file).ok()?;
        Pid::from_raw(text.trim().parse().unwrap())
    }

    /// Sends a signal to the process that the pid file names.
    pub async fn signal(&self, n: usize, signal: Signal) -> Pid {
        let pid = eventually("a pid file", async || self.pid(n)).await;
        rustix::process::kill_process(pid, signal).unwrap();
        pid
    }

    /// The JSON of a 200, else None.
    pub async fn json(&self, n: usize, path: &str) -> Option<Value> {
        let (status, body) = self.http.get(&format!("{}{path}", self.url(n)), None).await?;
        (status == StatusCode::OK).then(|| serde_json::from_slice(&body).unwrap())
    }

    pub async fn is_ready(&self, n: usize) -> bool {
        self.json(n, "/readyz").await.is_some()
    }

    pub async fn all_ready(&self) -> bool {
        let all = (0..self.size()).map(|n| self.is_ready(n));
        join_all(all).await.into_iter().all(|ready| ready)
    }

    pub async fn leader(&self, n: usize) -> Option<Leader> {
        let says = self.json(n, "/leader").await?;
        Some(Leader {
            member: says["member"].as_str().map(str::to_owned),
            own: says["self"].as_bool().unwrap(),
            fence: says["fence"].as_u64().unwrap(),
        })
    }

    /// Waits until a member leads with a fence above `fence`.
    pub async fn takeover(&self, fence: u64) -> Takeover {
        let began = Instant::now();
        let mut after = began;
        loop {
            let looked = Instant::now();
            let all = join_all((0..self.size()).map(|n| self.look(n))).await;
            let taken = all.iter().enumerate().find_map(|(ordinal, answer)| {
                let (leader, before) = answer.as_ref()?;
                (leader.own && leader.fence > fence).then_some((ordinal, leader.fence, *before))
            });
            if let Some((ordinal, fence, before)) = taken {
                return Takeover {
                    ordinal,
                    fence,
                    after,
                    before,
                };
            }
            after = looked;
            assert!(began.elapsed() < PATIENCE, "nobody took over: {}", self.said());
            sleep(LOOK).await;
        }
    }

    /// A member that doesn't answer at once must not hold up the look at the others.
    async fn look(&self, n: usize) -> Option<(Leader, Instant)> {
        let leader = timeout(Duration::from_millis(250), self.leader(n)).await.ok()??;
        Some((leader, Instant::now()))
    }

    /// Who leads now, and its fence.
    pub async fn holder(&self) -> (usize, u64) {
        let takeover = self.takeover(0).await;
        (takeover.ordinal, takeover.fence)
    }

    /// Within this time of a holder's death another leads: its lease runs out, and whoever waits looks again.
    pub fn takeover_limit(&self) -> Duration {
        self.lease + self.lease.mul_f64(2.2 * RETRY)
    }

    /// Records that a member shows, from a round on.
    pub async fn draws(&self, n: usize, from: u64) -> Option<Vec<Value>> {
        let mut page = self.json(n, &format!("/draws?from={from}&limit=1000")).await?;
        Some(page["draws"].as_array_mut().unwrap().drain(..).collect())
    }

    pub async fn latest(&self, n: usize) -> Option<Value> {
        self.json(n, "/draws/latest").await
    }

    /// Waits until each member shows a record of at least this round.
    pub async fn all_have(&self, round: u64) {
        for n in 0..self.size() {
            let what = format!("round {round} at {}", self.place(n).name);
            let has = async || {
                let latest = self.latest(n).await?;
                (latest["round"].as_u64()? >= round).then_some(())
            };
            eventually(&what, has).await;
        }
    }

    /// The newest round that any member shows.
    pub async fn newest(&self) -> u64 {
        let all = join_all((0..self.size()).map(|n| self.latest(n))).await;
        let rounds = all.iter().flatten().map(|record| record["round"].as_u64().unwrap());
        rounds.max().unwrap_or(0)
    }

    /// ^C, and how long it took to end.
    pub async fn interrupt(mut self) -> Duration {
        let pids: Vec<Pid> = (0..self.size()).filter_map(|n| self.pid(n)).collect();
        let began = Instant::now();
        rustix::process::kill_process(self.own_pid(), Signal::INT).unwrap();
        let status = eventually("the end of cluster", async || self.child.try_wait().unwrap()).await;
        let took = began.elapsed();
        self.check_gone(status, &pids);
        took
    }

    fn check_gone(&self, status: ExitStatus, pids: &[Pid]) {
        assert_eq!(status.code(), Some(0), "{}", self.said());
        for place in &self.layout.members {
            assert!(!place.pid_file.exists(), "{} is left", place.pid_file.display());
        }
        for pid in pids {
            assert!(rustix::process::test_kill_process(*pid).is_err(), "{pid:?} still lives");
        }
    }

    fn own_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- cluster said:\n{}\n---", self.said());
        }
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = rustix::process::kill_process(self.own_pid(), Signal::INT);
        for _ in 0..1_000 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        // Its members notice that it is gone, and end by themselves; unless they are stopped.
        for n in 0..self.size() {
            if let Some(pid) = self.pid(n) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}
