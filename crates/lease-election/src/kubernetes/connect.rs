//! A [`kube::Client`] for the API server and credentials as they are now: files are read again for each request, because
//! tokens rotate, and a missing file may appear while the process runs.

use std::error::Error as StdError;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use kube::config::{ExecConfig, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::plugin::Plugin;
use super::{describe, transport};
use crate::clock::Clock;
use crate::store::StoreError;

const READABLE: &str = "it must be a file that this user may read";

/// How the API server is reached. Never through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a Pod: `token` and `ca.crt` of its ServiceAccount are in the directory `credentials`.
    InCluster { server: String, credentials: PathBuf },
    /// As a person, or a program outside the cluster: the file's current context. Its `exec` plugin never asks for input,
    /// and runs once for each credential, which it has to print within half a minute.
    Kubeconfig(PathBuf),
}

/// Gives the store its [`Client`], and builds another one when files or credentials change.
pub struct Connector(Source);

enum Source {
    Given(Client),
    Built(Box<Builder>),
}

struct Builder {
    access: Access,
    state: Mutex<State>,
    /// A request failed: connections may be dead, and files that are not compared may have changed.
    failed: AtomicBool,
    /// The API server rejected the credentials.
    rejected: AtomicBool,
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    /// Reads the files, on a thread that a file system may block: one at a time, and each call waits for the same.
    loading: JoinSet<Result<Option<Loaded>, String>>,
}

/// What was built from the files as they were.
struct Session {
    files: Arc<Files>,
    config: Config,
    plugin: Option<Plugin>,
    client: Option<Client>,
}

impl From<Client> for Connector {
    fn from(client: Client) -> Connector {
        Connector(Source::Given(client))
    }
}

impl From<Access> for Connector {
    fn from(access: Access) -> Connector {
        Connector(Source::Built(Box::new(Builder {
            access,
            state: Mutex::default(),
            failed: AtomicBool::new(false),
            rejected: AtomicBool::new(false),
        })))
    }
}

impl Connector {
    /// A client with the present credentials; `connect` limits TCP and TLS. When this is cancelled, a plugin that runs
    /// continues for the next call.
    pub(super) async fn client(&self, clock: &Clock, connect: Duration) -> Result<Client, StoreError> {
        match &self.0 {
            Source::Given(client) => Ok(client.clone()),
            Source::Built(builder) => builder.client(clock, connect).await,
        }
    }

    /// The next request uses a new connection, and with `rejected` new credentials.
    pub(super) fn reconnect(&self, rejected: bool) {
        if let Source::Built(builder) = &self.0 {
            builder.failed.store(true, Ordering::Relaxed);
            builder.rejected.fetch_or(rejected, Ordering::Relaxed);
        }
    }
}

impl Builder {
    async fn client(&self, clock: &Clock, connect: Duration) -> Result<Client, StoreError> {
        let mut state = self.state.lock().await;
        let State { session, loading } = &mut *state;
        loop {
            let usable = session.as_ref().filter(|_| !self.failed.load(Ordering::Relaxed));
            let known = usable.map(|session| Arc::clone(&session.files));
            let is_known = known.is_some();
            if loading.is_empty() {
                let access = self.access.clone();
                loading.spawn_blocking(move || match known {
                    Some(files) if files.are_unchanged() => Ok(None),
                    _ => access.load().map(Some),
                });
            }
            let loaded = match loading.join_next().await {
                Some(Ok(loaded)) => loaded.map_err(StoreError::Refused)?,
                Some(Err(panic)) => return Err(StoreError::Refused(panic.to_string())),
                None => return Err(slow(Duration::ZERO)),
            };
            match (loaded, session.as_mut()) {
                (None, Some(session)) if is_known => return session.client(clock, connect).await,
                // It began before a request failed.
                (None, _) => {}
                (Some(loaded), earlier) => {
                    self.failed.store(false, Ordering::Relaxed);
                    let rejected = self.rejected.swap(false, Ordering::Relaxed);
                    // The first file is the kubeconfig: while it is the same, its plugin's credential is valid.
                    let earlier =
                        earlier.filter(|earlier| !rejected && earlier.files.0.first() == loaded.files.0.first());
                    let plugin = match earlier {
                        Some(earlier) => earlier.plugin.take(),
                        None => loaded.exec.map(Plugin::new),
                    };
                    let opened = Session {
                        files: Arc::new(loaded.files),
                        config: loaded.config,
                        plugin,
                        client: None,
                    };
                    return session.insert(opened).client(clock, connect).await;
                }
            }
        }
    }
}

impl Session {
    async fn client(&mut self, clock: &Clock, connect: Duration) -> Result<Client, StoreError> {
        if let Some(plugin) = &mut self.plugin
            && plugin.refresh(clock).await?
        {
            self.client = None;
        }
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let mut config = self.config.clone();
        if let Some(plugin) = &self.plugin {
            plugin.sign_in(&mut config.auth_info);
        }
        let client = transport::client(config, connect).map_err(|error| StoreError::Refused(unusable(&error)))?;
        Ok(self.client.insert(client).clone())
    }
}

/// What the files say.
struct Loaded {
    files: Files,
    config: Config,
    exec: Option<ExecConfig>,
}

impl Access {
    /// Reads all files. Blocks.
    fn load(&self) -> Result<Loaded, String> {
        let mut files = Files::default();
        let kubeconfig = match self {
            Access::InCluster { server, credentials } => {
                let hint = "the Pod needs its ServiceAccount's token mounted (automountServiceAccountToken)";
                let token = files.read_token(&credentials.join("token"), hint)?;
                let ca = credentials.join("ca.crt");
                files.read(&ca, "the cluster's CA certificate", hint)?;
                let kubeconfig = json!({
                    "clusters": [{"name": "pod", "cluster": {"server": server, "certificate-authority": ca}}],
                    "users": [{"name": "pod", "user": {"token": token}}],
                    "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
                    "current-context": "pod",
                });
                serde_json::from_value(kubeconfig).map_err(|error| error.to_string())?
            }
            Access::Kubeconfig(path) => {
                files.read(path, "--kubeconfig", READABLE)?;
                Kubeconfig::read_from(path).map_err(|error| format!("--kubeconfig: {}", describe(&error)))?
            }
        };
        // It is async for sources that it doesn't use here.
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).now_or_never();
        let config = config.ok_or("--kubeconfig: it can't be read at once")?;
        let mut config = config.map_err(|error| unusable(&error))?;
        config.proxy_url = None;
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        if let (Ok(name), Ok(agent)) = ("user-agent".parse(), agent.parse()) {
            config.headers.push((name, agent));
        }
        let user = &mut config.auth_info;
        if user
            .auth_provider
            .as_ref()
            .is_some_and(|provider| provider.config.contains_key("cmd-path"))
        {
            return Err("--kubeconfig: an auth-provider with cmd-path is not supported; use an exec plugin".to_owned());
        }
        // kube sends the newline at the end of a token file along, and reads the file once a minute.
        if let Some(file) = user.token_file.take()
            && user.token.is_none()
        {
            user.token = Some(files.read_token(Path::new(&file), READABLE)?.into());
        }
        // kube reads these when it builds a client, on the calling thread.
        if let Some(file) = user.client_certificate.take()
            && user.client_certificate_data.is_none()
        {
            let text = files.read(Path::new(&file), "the client certificate", READABLE)?;
            user.client_certificate_data = Some(STANDARD.encode(text));
        }
        if let Some(file) = user.client_key.take()
            && user.client_key_data.is_none()
        {
            let text = files.read(Path::new(&file), "the client's key", READABLE)?;
            user.client_key_data = Some(STANDARD.encode(text).into());
        }
        // kube runs the plugin three times for each client, on the calling thread and without a limit.
        let exec = user
            .exec
            .take()
            .filter(|_| user.token.is_none() && user.username.is_none());
        Ok(Loaded { files, config, exec })
    }
}

/// Files by their paths, with what they had in them.
#[derive(Default)]
struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    fn read(&mut self, path: &Path, what: &str, hint: &str) -> Result<String, String> {
        let found =
            fs::read(path).map_err(|error| format!("{what} {} can't be read: {error}; {hint}", path.display()))?;
        let text = String::from_utf8_lossy(&found).trim().to_owned();
        self.0.push((path.to_owned(), found));
        Ok(text)
    }

    fn read_token(&mut self, path: &Path, hint: &str) -> Result<String, String> {
        let token = self.read(path, "the token", hint)?;
        match token.is_empty() || token.contains(|c: char| !c.is_ascii_graphic()) {
            true => Err(format!("the token {} is empty or not one word: {hint}", path.display())),
            false => Ok(token),
        }
    }

    fn are_unchanged(&self) -> bool {
        let unchanged = |(path, before): &(PathBuf, Vec<u8>)| fs::read(path).is_ok_and(|found| found == *before);
        self.0.iter().all(unchanged)
    }
}

/// The error of a call that waited this long for [`Connector::client`].
pub(super) fn slow(waited: Duration) -> StoreError {
    StoreError::Unreachable(format!(
        "no credentials for the API server after {waited:.1?}: a credentials file or the kubeconfig's exec plugin is slow"
    ))
}

fn unusable(error: &dyn StdError) -> String {
    format!("the API server's address or credentials: {}", describe(error))
}
