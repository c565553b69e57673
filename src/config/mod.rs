//! The only reader of arguments and environment. [`ServeArgs`] has the raw arguments; [`Config`] is checked and typed, and
//! the other rooms parse nothing and have no defaults of their own.

mod arguments;
mod check;
mod cluster;
mod environment;
mod error;
mod nameservers;
mod terminal;
#[cfg(test)]
mod tests;
pub mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use arguments::{Durability, LeaseStoreArg, LogFormatArg, ServeArgs};
use check::{collector, draw, lease, listen, size_within, within};
pub use cluster::ClusterArgs;
use environment::variable;
pub use environment::{source_of, unknown_variables};
pub use error::ConfigError;
pub use nameservers::NameserverArgs;
pub use terminal::{ColourArg, Terminal};
pub use values::Collector;

use crate::identity::{MemberName, NameError};
use crate::record::Voters;
use crate::record::schedule::Schedule;
use crate::telemetry::{self, Log, LogFormat};

/// Everything that configures a member.
#[derive(Clone, Debug)]
pub struct Config {
    pub identity: Identity,
    pub data_dir: PathBuf,
    pub listen: Listen,
    pub journal: Journal,
    /// Bytes reserved for the ledger.
    pub ledger_max: u64,
    pub draw: Draw,
    pub lease: Lease,
    pub discovery: Discovery,
    /// Signs messages between members; without it they are not signed.
    pub peer_secret_file: Option<PathBuf>,
    pub shutdown: Shutdown,
    pub log: Log,
    /// Takes spans; always none without the feature `otlp`.
    pub collector: Option<Collector>,
    /// Connections that each listener holds at once, at least 1.
    pub connection_limit: usize,
    /// Origins whose web pages may read the public listener; `*` is every origin.
    pub allowed_origins: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Identity {
    pub pod_name: MemberName,
    pub namespace: String,
    pub pod_uid: Option<String>,
    pub pod_ip: Option<IpAddr>,
    pub node_name: Option<String>,
}

/// Addresses of the four listeners; no two collide, except with port 0.
#[derive(Clone, Debug)]
pub struct Listen {
    pub public: SocketAddr,
    pub peer: SocketAddr,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
}

#[derive(Clone, Debug)]
pub struct Journal {
    pub durability: Durability,
    /// Bytes; none for a share of the volume, which the journal computes.
    pub max: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Draw {
    pub schedule: Schedule,
    /// How long after its scheduled time a slot may be drawn; none for half the period, at most 30 s.
    pub deadline: Option<Duration>,
    /// A member without governing Service is its own voter.
    pub voters: Voters,
}

/// `duration` > `renew_deadline` > 1.2 × `retry`, and `renew_deadline` > 1 s.
#[derive(Clone, Debug)]
pub struct Lease {
    pub store: LeaseStore,
    /// Whole seconds, as in `leaseDurationSeconds`.
    pub duration: Duration,
    pub renew_deadline: Duration,
    pub retry: Duration,
}

/// Where the lease is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStore {
    Directory(PathBuf),
    Kubernetes {
        /// Of the Lease, in the identity's namespace.
        name: String,
        access: ClusterAccess,
    },
}

/// How to reach the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterAccess {
    /// As a Pod.
    InCluster {
        /// `https://HOST:PORT`.
        server: String,
        /// Where `token` and `ca.crt` are.
        credentials: PathBuf,
    },
    Kubeconfig(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Discovery {
    /// The governing Service's DNS name without trailing dot; none for a member that runs alone.
    pub name: Option<String>,
    /// Empty for those of /etc/resolv.conf.
    pub nameservers: Vec<SocketAddr>,
    pub interval: Duration,
}

#[derive(Clone, Debug)]
pub struct Shutdown {
    pub delay: Duration,
    pub drain_limit: Duration,
    /// Stop when standard input closes.
    pub with_parent: bool,
}

impl TryFrom<ServeArgs> for Config {
    type Error = ConfigError;

    fn try_from(args: ServeArgs) -> Result<Config, ConfigError> {
        Config::build(args, Terminal::stderr(), |name| {
            variable(name).and_then(|value| value.into_string().ok())
        })
    }
}

impl Config {
    /// `environment` looks up POD_NAME and the like, the fallback for missing arguments; empty counts as absent.
    fn build(
        args: ServeArgs,
        stderr: Terminal,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let listen = listen(&args)?;
        let identity = identity(&args, &environment)?;
        let lease = lease(&args, &identity.pod_name.set, &environment)?;
        let draw = draw(&args, identity.pod_name.ordinal)?;
        let collector = collector(&args, &environment)?;
        for (argument, path) in [
            ("--data-dir", Some(&args.data_dir)),
            ("--lease-directory", args.lease_directory.as_ref()),
            ("--kubeconfig", args.kubeconfig.as_ref()),
            ("--peer-secret-file", args.peer_secret_file.as_ref()),
        ] {
            if path.is_some_and(|path| path.as_os_str().is_empty()) {
                return Err(ConfigError::EmptyPath { argument });
            }
        }
        if let Some(max) = args.journal_max {
            size_within("--journal-max", max, ("256KiB", 256 << 10), ("1024GiB", 1 << 40))?;
        }
        size_within(
            "--ledger-max",
            args.ledger_max,
            ("256KiB", 256 << 10),
            ("1GiB", 1 << 30),
        )?;
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        within("--discovery-interval", args.discovery_interval, ms(100)..=s(3600))?;
        within("--shutdown-delay", args.shutdown_delay, s(0)..=s(600))?;
        within("--drain-limit", args.drain_limit, s(0)..=s(600))?;
        let log = log(&args, stderr)?;
        Ok(Config {
            listen,
            journal: Journal {
                durability: args.durability,
                max: args.journal_max,
            },
            ledger_max: args.ledger_max,
            draw,
            lease,
            discovery: Discovery {
                name: args.discovery_name.or_else(|| {
                    let service = args.governing_service?;
                    let domain = cluster_domain(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default());
                    Some(format!("{service}.{}.svc.{domain}", identity.namespace))
                }),
                nameservers: args.discovery_nameserver,
                interval: args.discovery_interval,
            },
            peer_secret_file: args.peer_secret_file,
            shutdown: Shutdown {
                delay: args.shutdown_delay,
                drain_limit: args.drain_limit,
                with_parent: args.stop_with_parent,
            },
            log,
            collector,
            connection_limit: args.connection_limit.try_into().unwrap_or(usize::MAX),
            allowed_origins: args.allowed_origins,
            data_dir: args.data_dir,
            identity,
        })
    }
}

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The domain in `svc.DOMAIN`, which Kubernetes puts into the search list of its Pods.
fn cluster_domain(resolv_conf: &str) -> String {
    let mut words = resolv_conf.lines().map(str::split_whitespace);
    let searched = words.find_map(|mut words| (words.next() == Some("search")).then_some(words));
    let mut entries = searched.into_iter().flatten();
    let domain = entries.find_map(|entry| entry.trim_end_matches('.').strip_prefix("svc."));
    domain.unwrap_or("cluster.local").to_ascii_lowercase()
}

fn log(args: &ServeArgs, stderr: Terminal) -> Result<Log, ConfigError> {
    let filter = args
        .log_filter
        .parse()
        .map_err(|error: telemetry::FilterError| ConfigError::LogFilter {
            value: args.log_filter.clone(),
            allowed: error.to_string(),
        })?;
    let format = match args.log_format {
        LogFormatArg::Auto if stderr.interactive => LogFormat::Text,
        LogFormatArg::Auto => LogFormat::Json,
        LogFormatArg::Text => LogFormat::Text,
        LogFormatArg::Json => LogFormat::Json,
    };
    Ok(Log {
        format,
        colour: format == LogFormat::Text && stderr.colour,
        filter,
    })
}

fn identity(args: &ServeArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Identity, ConfigError> {
    fn parsed<T>(
        given: Option<T>,
        (variable, argument): (&'static str, &'static str),
        environment: impl Fn(&str) -> Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let fallback = || environment(variable).filter(|value| !value.is_empty());
        match (given, fallback()) {
            (Some(given), _) => Ok(Some(given)),
            (None, None) => Ok(None),
            (None, Some(value)) => parse(&value).map(Some).map_err(|allowed| ConfigError::Variable {
                variable,
                argument,
                value,
                allowed,
            }),
        }
    }
    let ip = |text: &str| {
        text.parse()
            .map_err(|_| String::from("an IP address, such as 10.1.2.3"))
    };
    let name = |text: &str| text.parse().map_err(|error: NameError| error.to_string());
    let args = args.clone();
    Ok(Identity {
        pod_name: parsed(args.pod_name, ("POD_NAME", "--pod-name"), &environment, name)?.unwrap_or(MemberName {
            set: String::from("rg"),
            ordinal: Some(0),
        }),
        namespace: parsed(
            args.pod_namespace,
            ("POD_NAMESPACE", "--pod-namespace"),
            &environment,
            values::label,
        )?
        .unwrap_or_else(|| String::from("default")),
        pod_uid: parsed(args.pod_uid, ("POD_UID", "--pod-uid"), &environment, values::uid)?,
        pod_ip: parsed(args.pod_ip, ("POD_IP", "--pod-ip"), &environment, ip)?,
        node_name: parsed(
            args.node_name,
            ("NODE_NAME", "--node-name"),
            &environment,
            values::node_name,
        )?,
    })
}
