//! The service from start to stop: the listener, the log file and the log URL.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use prometheus_client::registry::Registry;
use random_generator::clock::Clock;
use random_generator::exit::Exit;
use random_generator::generator::random::{EntropyError, check_entropy};
use random_generator::listen::{ListenAddress, Sockets};
use random_generator::server::limits::{Limits, raise_open_files_limit};
use random_generator::server::listener::{Listener, ListenerError};
use random_generator::server::metrics::HttpMetrics;
use random_generator::shutdown::stage;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal as Unix, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::answers::{self, Shared};
use crate::burn::Burns;
use crate::log_file::LogFile;
use crate::log_url::LogUrl;
use crate::memory::Eater;
use crate::numbers::Numbers;
use crate::ready_file::ReadyFile;
use crate::settings::Settings;
use crate::start;

/// How long requests in flight may take after the signal to stop.
const DRAIN_TIME: Duration = Duration::from_secs(20);
/// On top of the listener's own drain time.
const LISTENER_SLACK: Duration = Duration::from_secs(2);
/// How long the log file and the log URL may take to finish after that.
const LOGS_WITHIN: Duration = Duration::from_secs(5);

/// Why the service could not start, or stopped unasked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("can't wait for signals: {0}")]
    Signals(io::Error),
    #[error("{address} can't be listened on: {source}; end what uses it, or give SERVER_PORT or SERVER_ADDRESS")]
    Bind { address: String, source: io::Error },
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error(transparent)]
    Listener(#[from] ListenerError),
    #[error("the part {0:?} ended unasked: this is a bug")]
    Ended(&'static str),
    #[error("a part panicked: {0}: this is a bug")]
    Panicked(#[from] JoinError),
}

impl ServiceError {
    pub fn exit(&self) -> Exit {
        match self {
            ServiceError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Exit::TryAgain,
            ServiceError::Bind { .. } | ServiceError::Signals(_) | ServiceError::Entropy(_) => Exit::Io,
            ServiceError::Listener(_) | ServiceError::Ended(_) | ServiceError::Panicked(_) => Exit::Bug,
        }
    }
}

/// Runs until a signal or `/shutdown` stops it, or a part fails.
pub async fn run(settings: Settings) -> Result<(), ServiceError> {
    let mut stops = StopRequests::listen()?;
    let clock = Clock::system();
    check_entropy()?;
    let ready = ReadyFile::below(&settings.root);
    // A container that restarts may keep the file of its last run.
    ready.remove().await;
    tokio::select! {
        biased;
        () = stops.next() => return Ok(()),
        () = start::wait(&settings) => {}
    }
    let sockets = bind(&settings).await?;
    tracing::info!(address = %sockets, version = settings.version, "listening, in reference mode");

    let (stop_listener, listener_stops) = stage();
    let (stop_logs, logs_stop) = stage();
    let (mut listeners, mut logs) = (JoinSet::new(), JoinSet::new());
    let log_file = settings.log_file.as_ref().map(|path| {
        let (log_file, writer) = LogFile::new(path);
        let writing = writer.run(logs_stop.clone());
        logs.spawn(async { writing.await.map(|()| "log file").map_err(ServiceError::from) });
        log_file
    });
    let log_url = settings.log_url.as_ref().and_then(|url| {
        let (log_url, poster) = LogUrl::new(url)?;
        let posting = poster.run(logs_stop.clone());
        logs.spawn(async {
            posting.await;
            Ok("log url")
        });
        Some(log_url)
    });
    let id = uuid::Uuid::new_v4().to_string();
    let shared = Arc::new(Shared {
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
        shutdown: stops.sender.clone(),
        settings,
    });
    let listener = Listener {
        name: "public",
        sockets,
        paths: answers::router(shared.clone()).into(),
        limits: Limits {
            drain_time: DRAIN_TIME,
            ..Limits::public()
        }
        .within(raise_open_files_limit()),
        clock,
        // Nothing scrapes them: the image has no path for metrics.
        metrics: HttpMetrics::register(&mut Registry::default()),
        closing: listener_stops.clone(),
    };
    listeners.spawn(async {
        listener
            .run(listener_stops)
            .await
            .map(|()| "listener")
            .map_err(ServiceError::from)
    });
    // The socket is bound, so a probe that sees the file finds the port open.
    shared.ready.create().await;

    let result = tokio::select! {
        biased;
        () = stops.next() => Ok(()),
        Some(ended) = listeners.join_next() => Err(ended_early(ended)),
        Some(ended) = logs.join_next() => Err(ended_early(ended)),
    };
    tracing::info!("stopping");
    shared.ready.remove().await;
    drop(shared);
    let orderly = async {
        stop_listener.pull();
        let served = join_all(&mut listeners, DRAIN_TIME + LISTENER_SLACK).await;
        stop_logs.pull();
        served.and(join_all(&mut logs, LOGS_WITHIN).await)
    };
    tokio::select! {
        biased;
        () = stops.next() => tracing::warn!("second request to stop: ending at once"),
        stopped = orderly => return result.and(stopped),
    }
    result
}

type Part = Result<&'static str, ServiceError>;

fn ended_early(ended: Result<Part, JoinError>) -> ServiceError {
    match ended {
        Ok(Ok(name)) => ServiceError::Ended(name),
        Ok(Err(error)) => error,
        Err(panic) => panic.into(),
    }
}

async fn join_all(parts: &mut JoinSet<Part>, within: Duration) -> Result<(), ServiceError> {
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
async fn bind(settings: &Settings) -> Result<Sockets, ServiceError> {
    let port = settings.port;
    let failed = |host: &dyn fmt::Display, source| ServiceError::Bind {
        address: format!("{host} port {port}"),
        source,
    };
    match &settings.address {
        Some(host) => match TcpListener::bind((host.as_str(), port)).await {
            Ok(socket) => Ok(socket.into()),
            Err(source) => Err(failed(host, source)),
        },
        None => ListenAddress::All(port)
            .bind()
            .map_err(|error| failed(&error.address.ip(), error.source)),
    }
}

/// Requests to stop: SIGTERM, SIGINT, or `/shutdown`.
struct StopRequests {
    terminate: Unix,
    interrupt: Unix,
    receiver: mpsc::Receiver<()>,
    sender: mpsc::Sender<()>,
}

impl StopRequests {
    fn listen() -> Result<StopRequests, ServiceError> {
        let (sender, receiver) = mpsc::channel(1);
        Ok(StopRequests {
            terminate: signal(SignalKind::terminate()).map_err(ServiceError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(ServiceError::Signals)?,
            receiver,
            sender,
        })
    }

    /// Waits for the next request. Cancel-safe.
    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.receiver.recv() => {}
        }
    }
}
