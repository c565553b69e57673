//! Stands in for the image k8spatterns/random-generator: its paths, variables, files and exit codes, on one port, without the
//! parts of a member. What is unsafe in it (`/shutdown` and `/memory-eater` for anybody who asks) is nowhere else.
//!
//! In reading order: [`settings`] (from variables and files of [`properties`], whose numbers [`java_number`] reads),
//! [`start`] (what is waited for before the port opens), [`answers`] (one file a group of paths, errors in [`fault`]),
//! [`numbers`] and [`burn`], what a number leaves behind ([`log_file`] by [`appending`], [`log_url`]), [`memory`] and
//! [`ready_file`]; then [`batch`], the image's `RandomRunner`, and [`java_command`], how `java ...` leads to either.
//! `docs/reference.md` has each row of the image's interface, and what is better here.

mod answers;
mod appending;
pub mod batch;
mod burn;
mod fault;
pub mod java_command;
mod java_number;
mod line;
mod log_file;
mod log_url;
mod memory;
mod numbers;
mod properties;
mod ready_file;
pub mod settings;
mod start;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal as Unix, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use self::answers::Shared;
use self::burn::Burns;
use self::log_file::LogFile;
use self::log_url::LogUrl;
use self::memory::Eater;
use self::numbers::Numbers;
use self::ready_file::ReadyFile;
use self::settings::{Settings, SettingsError};
use crate::clock::Clock;
use crate::config;
use crate::exit::Exit;
use crate::generator::random::{EntropyError, check_entropy};
use crate::server::limits::{Limits, raise_open_files_limit};
use crate::server::listener::{Listener, ListenerError};
use crate::server::metrics::HttpMetrics;
use crate::shutdown::stage;

/// On top of the listener's own drain limit.
const LISTENER_SLACK: Duration = Duration::from_secs(2);
/// What was logged is written, what is being posted is answered.
const KEEPERS_LIMIT: Duration = Duration::from_secs(5);

/// Why reference mode could not start, or ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("signals can't be waited for: {0}")]
    Signals(io::Error),
    #[error("{address} can't be listened on: {source}; end what uses it, or give SERVER_PORT or SERVER_ADDRESS")]
    Bind { address: String, source: io::Error },
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error(transparent)]
    Listener(#[from] ListenerError),
    #[error("the part {0:?} ended though nobody asked it to: this is a bug")]
    Ended(&'static str),
    #[error("a part panicked: {0}: this is a bug")]
    Panicked(#[from] JoinError),
}

impl ReferenceError {
    pub fn exit(&self) -> Exit {
        match self {
            ReferenceError::Settings(_) => Exit::Reference,
            ReferenceError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Exit::TryAgain,
            ReferenceError::Bind { .. } | ReferenceError::Signals(_) | ReferenceError::Entropy(_) => Exit::Io,
            ReferenceError::Listener(_) | ReferenceError::Ended(_) | ReferenceError::Panicked(_) => Exit::Bug,
        }
    }
}

/// Runs until it is asked to stop by a signal or `/shutdown`, or a part fails.
pub async fn run(config: config::Reference) -> Result<(), ReferenceError> {
    let settings = Settings::read(&config.variables, &config.version)?;
    let mut ending = Ending::listen()?;
    let clock = Clock::system();
    check_entropy()?;
    let ready = ReadyFile::below(&config.root);
    // That of a run before: the file system of a container that is started again may be the same.
    ready.remove_stale().await;
    tokio::select! {
        biased;
        () = ending.asked() => return Ok(()),
        () = start::held_back(&settings, &config.root) => {}
    }
    let socket = bind(&settings).await?;
    if let Ok(address) = socket.local_addr() {
        tracing::info!(%address, version = settings.version, "listening, in reference mode");
    }

    let (stop_listener, listener_stops) = stage();
    let (stop_keepers, keepers_stop) = stage();
    let (mut listeners, mut keepers) = (JoinSet::new(), JoinSet::new());
    let log_file = settings.log_file.as_ref().map(|path| {
        let (log_file, writer) = LogFile::new(path);
        let stop = keepers_stop.clone();
        keepers.spawn(async move {
            writer
                .run(stop)
                .await
                .map(|()| "log file")
                .map_err(ReferenceError::from)
        });
        log_file
    });
    let log_url = settings.log_url.as_ref().and_then(|url| {
        let (log_url, poster) = LogUrl::new(url)?;
        let stop = keepers_stop.clone();
        keepers.spawn(async move {
            poster.run(stop).await;
            Ok("log url")
        });
        Some(log_url)
    });
    let id = uuid::Uuid::new_v4().to_string();
    let shared = Shared {
        tail: answers::tail(&id, &settings.version, settings.pattern.as_deref()),
        id,
        numbers: Numbers::new(settings.seed),
        healthy: AtomicBool::new(settings.healthy),
        burns: Burns::default(),
        eater: Eater::default(),
        ready,
        log_file,
        log_url,
        clock: clock.clone(),
        root: config.root.clone(),
        shutdown: ending.requests.clone(),
        settings,
    };
    let shared = Arc::new(shared);
    let listener = Listener {
        name: "public",
        socket,
        router: answers::router(shared.clone()),
        limits: Limits {
            connections: config.connection_limit,
            drain_time: config.drain_limit,
            ..Limits::public()
        }
        .within(raise_open_files_limit()),
        clock,
        // Nobody scrapes this mode: it has one port, whose paths are the image's.
        metrics: HttpMetrics::register(&mut Registry::default()),
    };
    listeners.spawn(async move {
        listener
            .run(listener_stops)
            .await
            .map(|()| "listener")
            .map_err(ReferenceError::from)
    });
    // Clients are taken from when the socket is bound: a probe that sees the file finds the port open.
    shared.ready.make_at_start().await;

    let result = tokio::select! {
        biased;
        () = ending.asked() => Ok(()),
        Some(ended) = listeners.join_next() => Err(early(ended)),
        Some(ended) = keepers.join_next() => Err(early(ended)),
    };
    tracing::info!("stopping");
    shared.ready.remove_stale().await;
    drop(shared);
    let orderly = async {
        sleep(config.shutdown_delay).await;
        stop_listener.pull();
        let served = joined(&mut listeners, config.drain_limit + LISTENER_SLACK).await;
        stop_keepers.pull();
        served.and(joined(&mut keepers, KEEPERS_LIMIT).await)
    };
    tokio::select! {
        biased;
        () = ending.asked() => tracing::warn!("asked to stop again: ending at once"),
        stopped = orderly => return result.and(stopped),
    }
    result
}

type Part = Result<&'static str, ReferenceError>;

fn early(ended: Result<Part, JoinError>) -> ReferenceError {
    match ended {
        Ok(Ok(name)) => ReferenceError::Ended(name),
        Ok(Err(error)) => error,
        Err(panic) => panic.into(),
    }
}

async fn joined(parts: &mut JoinSet<Part>, within: Duration) -> Result<(), ReferenceError> {
    let all = timeout(within, async {
        while let Some(ended) = parts.join_next().await {
            ended??;
        }
        Ok(())
    });
    all.await.unwrap_or_else(|_| {
        tracing::warn!(?within, "some parts did not stop in time");
        Ok(())
    })
}

/// All addresses of this host unless SERVER_ADDRESS says which: of both families where there are two, as Java does.
async fn bind(settings: &Settings) -> Result<TcpListener, ReferenceError> {
    let port = settings.port;
    let (host, bound) = match &settings.address {
        Some(host) => (host.as_str(), TcpListener::bind((host.as_str(), port)).await),
        None => match TcpListener::bind(("::", port)).await {
            // A kernel without IPv6 has no such family or address.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                ("0.0.0.0", TcpListener::bind(("0.0.0.0", port)).await)
            }
            bound => ("::", bound),
        },
    };
    bound.map_err(|source| ReferenceError::Bind {
        address: format!("{host} port {port}"),
        source,
    })
}

/// What asks this process to end: SIGTERM, SIGINT, or `/shutdown`.
struct Ending {
    terminate: Unix,
    interrupt: Unix,
    requested: mpsc::Receiver<()>,
    requests: mpsc::Sender<()>,
}

impl Ending {
    fn listen() -> Result<Ending, ReferenceError> {
        let (requests, requested) = mpsc::channel(1);
        Ok(Ending {
            terminate: signal(SignalKind::terminate()).map_err(ReferenceError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(ReferenceError::Signals)?,
            requested,
            requests,
        })
    }

    /// Returns each time somebody asks. Cancel-safe.
    async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.requested.recv() => {}
        }
    }
}
