//! A real cluster, through its API server: requests with bounds, kubectl where a person would use it, and what has to be undone.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// The longest wait for a condition that has no limit of its own.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(100);
/// One request to the API server.
const ANSWER: Duration = Duration::from_secs(5);
/// One command. `kubectl drain` and a node's revival take longest.
const COMMAND: Duration = Duration::from_secs(120);
/// A build beside everything else, of what may not have been built before.
pub const BUILD: Duration = Duration::from_secs(400);

/// What the tests are given.
#[derive(Clone, Debug)]
pub struct Given {
    /// Of the member.
    pub image: String,
    /// Has a shell, tar, wget and nslookup: what busybox has.
    pub client_image: String,
    pub kubectl: String,
    /// Breaks things; only the faults need it.
    pub fault: Option<String>,
}

/// How to mend what a test of one set broke, as a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    namespace: String,
    command: Vec<String>,
}

pub struct Cluster {
    pub client: Client,
    pub given: Given,
    undo: Mutex<Vec<Undo>>,
}

/// What a command wrote.
#[derive(Clone, Debug)]
pub struct Said {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn expect_ok(self) -> Said {
        assert!(self.ok, "{}{}", self.out, self.err);
        self
    }
}

/// Waits until `condition` gives something. What it gives otherwise is told if it never does.
pub async fn until<T, E: Display>(what: &str, condition: impl AsyncFnMut() -> Result<T, E>) -> T {
    within(PATIENCE, what, condition).await
}

pub async fn within<T, E: Display>(limit: Duration, what: &str, condition: impl AsyncFnMut() -> Result<T, E>) -> T {
    every(LOOK, limit, what, condition).await
}

/// As [`within`], looking as often as a measurement needs.
pub async fn every<T, E: Display>(
    look: Duration,
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let began = Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(last) if began.elapsed() > limit => panic!("waited {limit:?} in vain for {what}; last seen: {last}"),
            Err(_) => sleep(look).await,
        }
    }
}

/// The middle one, and the greatest.
pub fn median_and_worst(times: &[Duration]) -> (Duration, Duration) {
    let mut sorted = times.to_vec();
    sorted.sort();
    (sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}

impl Cluster {
    pub async fn connect(given: Given) -> Cluster {
        let mut config = Config::infer().await.expect("KUBECONFIG names a cluster");
        // A member's 503, through the API server, is an answer: kube would ask again in secret for longer than we wait.
        config.default_retry = false;
        Cluster {
            client: Client::try_from(config).expect("KUBECONFIG has credentials that can be used"),
            given,
            undo: Mutex::new(Vec::new()),
        }
    }

    /// Any answer; an error only when there is none within the bound.
    pub async fn ask(&self, request: Request<Vec<u8>>) -> Result<(StatusCode, Vec<u8>), String> {
        let (path, answer) = (request.uri().to_string(), async {
            let response = self.client.send(request.map(Body::from)).await;
            let response = response.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = response.into_body().collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes().to_vec()))
        });
        let answered = timeout(ANSWER, answer).await;
        answered.unwrap_or_else(|_| Err(format!("no answer within {ANSWER:?} to {path}")))
    }

    async fn json(&self, method: &str, path: &str, kind: &str, body: Vec<u8>) -> Result<Value, String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(body)
            .unwrap();
        let (status, body) = self.ask(request).await?;
        let told = || format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        if !status.is_success() {
            return Err(told());
        }
        serde_json::from_slice(&body).map_err(|_| told())
    }

    /// An object by its path in the API.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        self.json("GET", path, "application/json", Vec::new()).await
    }

    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, String> {
        let body = serde_json::to_vec(object).unwrap();
        self.json("POST", path, "application/json", body).await
    }

    /// A JSON merge patch (RFC 7396).
    pub async fn patch(&self, path: &str, change: &Value) -> Result<Value, String> {
        let body = serde_json::to_vec(change).unwrap();
        self.json("PATCH", path, "application/merge-patch+json", body).await
    }

    /// Begins the deletion. It is fine if it was gone.
    pub async fn delete(&self, path: &str) -> Result<(), String> {
        match self.json("DELETE", path, "application/json", Vec::new()).await {
            Err(told) if told.contains("\"reason\":\"NotFound\"") => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Whether the object is gone.
    pub async fn gone(&self, path: &str) -> Result<(), String> {
        match self.get(path).await {
            Err(told) if told.contains("\"reason\":\"NotFound\"") => Ok(()),
            Err(told) => Err(told),
            Ok(_) => Err(format!("{path} is there")),
        }
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> Said {
        run(&self.given.kubectl, arguments).await
    }

    /// kubectl with what it prints in a file, until the child is dropped.
    pub fn kubectl_into(&self, file: &File, arguments: &[&str]) -> Child {
        Command::new(&self.given.kubectl)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file.try_clone().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Breaks things, and says how to mend them if the test ends before it does so itself.
    pub async fn fault(&self, arguments: &[&str]) -> String {
        let fault = self.given.fault.as_deref().expect("FAULT names a command");
        run(fault, arguments).await.expect_ok().out
    }

    /// To be done when the test of this namespace ends, however it ends; [`Cluster::mend`] does it earlier.
    pub fn mend_later(&self, namespace: &str, command: &[&str]) -> Undo {
        let undo = Undo {
            namespace: namespace.to_owned(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
        };
        self.undo().push(undo.clone());
        undo
    }

    pub async fn mend(&self, undo: Undo) {
        undo.run().await.expect_ok();
        self.undo().retain(|other| *other != undo);
    }

    /// Mends all that is still broken, of one namespace or of all, the last first; says what could not be mended.
    pub async fn mend_all(&self, namespace: Option<&str>) -> Result<(), String> {
        let mut left = Vec::new();
        loop {
            let next = {
                let mut open = self.undo();
                let of = |undo: &Undo| namespace.is_none_or(|namespace| undo.namespace == namespace);
                open.iter().rposition(of).map(|at| open.remove(at))
            };
            let Some(undo) = next else { break };
            let said = undo.run().await;
            if !said.ok {
                left.push(format!("{}: {}", undo.command.join(" "), said.err));
            }
        }
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    }

    fn undo(&self) -> MutexGuard<'_, Vec<Undo>> {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Undo {
    async fn run(&self) -> Said {
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        run(words[0], &words[1..]).await
    }
}

/// Runs a command to its end.
pub async fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Said {
    run_within(COMMAND, program, arguments).await
}

pub async fn run_within(limit: Duration, program: impl AsRef<Path>, arguments: &[&str]) -> Said {
    let program = program.as_ref();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let told = format!("{} {}", program.display(), arguments.join(" "));
    let output = timeout(limit, child)
        .await
        .unwrap_or_else(|_| panic!("{told}: not done within {limit:?}"))
        .unwrap_or_else(|error| panic!("{told}: {error}"));
    Said {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
