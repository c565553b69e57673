//! A kubeconfig's `exec` plugin: a program that prints a credential. It runs beside the requests, one process at a time, is
//! killed when it is slow, and runs again before its credential expires.
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>

use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::{Boot, Clock};
use crate::store::StoreError;

const LIMIT: Duration = Duration::from_secs(30);
const OUTPUT_MAX: u64 = 1 << 20;
/// A credential is renewed this long before it expires, or after three quarters of its life if that is later.
const AHEAD: Duration = Duration::from_secs(60);

pub(super) struct Plugin {
    exec: ExecConfig,
    running: JoinSet<Result<Credential, StoreError>>,
    credential: Option<Credential>,
}

struct Credential {
    status: Status,
    /// When the plugin runs again, and when the credential must no longer be used. None: until the API server rejects it.
    times: Option<(Boot, Boot)>,
}

#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl Plugin {
    pub fn new(exec: ExecConfig) -> Plugin {
        Plugin {
            exec,
            running: JoinSet::new(),
            credential: None,
        }
    }

    /// Makes sure of a valid credential: true when it is another one than before. Waits for the plugin only without one.
    /// Cancel-safe.
    pub async fn refresh(&mut self, clock: &Clock) -> Result<bool, StoreError> {
        let now = clock.boot();
        let times = self.credential.as_ref().map(|credential| credential.times);
        let valid = times.is_some_and(|times| times.is_none_or(|(_, expiry)| now < expiry));
        let due = times.is_none_or(|times| times.is_some_and(|(renewal, _)| renewal <= now));
        if due && self.running.is_empty() {
            self.running.spawn(run(self.exec.clone(), clock.clone()));
        }
        let ended = match valid {
            true => self.running.try_join_next(),
            false => self.running.join_next().await,
        };
        match ended {
            None => Ok(false),
            Some(Ok(Ok(credential))) => {
                self.credential = Some(credential);
                Ok(true)
            }
            Some(Ok(Err(error))) if valid => {
                tracing::warn!(%error, "the kubeconfig's exec plugin can't renew its credential");
                Ok(false)
            }
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(StoreError::Refused(panic.to_string())),
        }
    }

    /// Puts the credential in, in the form of a kubeconfig: certificate and key in Base64.
    pub fn sign_in(&self, user: &mut AuthInfo) {
        if let Some(Credential { status, .. }) = &self.credential {
            user.token = status.token.clone().map(Into::into);
            if let (Some(certificate), Some(key)) = (&status.client_certificate_data, &status.client_key_data) {
                user.client_certificate_data = Some(STANDARD.encode(certificate));
                user.client_key_data = Some(STANDARD.encode(key).into());
            }
        }
    }
}

/// Kills the processes of a plugin that is given up, those that it started included.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn run(exec: ExecConfig, clock: Clock) -> Result<Credential, StoreError> {
    let name = exec.command.clone().unwrap_or_default();
    let refused = |why: String| StoreError::Refused(format!("the kubeconfig's exec plugin {name} {why}"));
    if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(refused(
            "asks for input (interactiveMode Always), which a service can't give".to_owned(),
        ));
    }
    let spec = json!({"interactive": false, "cluster": exec.cluster});
    let input = json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec});
    let mut command = Command::new(&name);
    command
        .args(exec.args.iter().flatten())
        .env("KUBERNETES_EXEC_INFO", input.to_string());
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| refused(format!("can't be run: {error}")))?;
    let (out, log) = (child.stdout.take(), child.stderr.take());
    // Dropped before `child`, so that the process id is still the plugin's.
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let wait = async { child.wait().await.map_err(|error| format!("was lost: {error}")) };
    let ended = timeout(LIMIT, async { tokio::try_join!(read_output(out), read_log(log), wait) }).await;
    let Ok(ended) = ended else {
        let late = format!("the kubeconfig's exec plugin {name} was killed: no credential after {LIMIT:?}");
        return Err(StoreError::Unreachable(late));
    };
    let (out, log, status) = ended.map_err(refused)?;
    group.0 = None;
    if !status.success() {
        let log = String::from_utf8_lossy(&log);
        let said = log
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("it says nothing");
        return Err(refused(format!("failed ({status}): {}", said.trim())));
    }
    // Usually JSON, but client-go accepts YAML too. An error would quote the output, which may hold secrets.
    let printed = serde_saphyr::from_slice(&out);
    let printed = printed.map_err(|_| refused("printed no ExecCredential with a status".to_owned()));
    Credential::new(printed?, &clock).map_err(refused)
}

async fn read_output(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What can't be read is missing from the credential, which is refused then.
        let _ = pipe.take(OUTPUT_MAX + 1).read_to_end(&mut bytes).await;
    }
    match bytes.len() as u64 > OUTPUT_MAX {
        true => Err(format!(
            "was killed: it printed more than {OUTPUT_MAX} bytes, and may print one ExecCredential"
        )),
        false => Ok(bytes),
    }
}

/// Reads the log to its end, so that the plugin doesn't stop at a full pipe, and keeps its beginning.
async fn read_log(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(OUTPUT_MAX).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    Ok(bytes)
}

impl Credential {
    fn new(printed: ExecCredential, clock: &Clock) -> Result<Credential, String> {
        let status = printed.status.unwrap_or_default();
        if status.token.is_none() && (status.client_certificate_data.is_none() || status.client_key_data.is_none()) {
            return Err("printed no token, and no client certificate with its key".to_owned());
        }
        let now = clock.now();
        let times = match &status.expiration_timestamp {
            None => None,
            Some(text) => {
                let expiry: Timestamp = text.parse().map_err(|error| format!("printed a wrong time: {error}"))?;
                let life = expiry.duration_since(now.wall.timestamp());
                let life = Duration::try_from(life).unwrap_or(Duration::ZERO);
                let renewal = now.boot + (life - AHEAD.min(life / 4));
                Some((renewal, now.boot + life))
            }
        };
        Ok(Credential { status, times })
    }
}
