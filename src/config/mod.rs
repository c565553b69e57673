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

use std::path::PathBuf;
use std::time::Duration;

pub use arguments::{
    DiscoveryArgs, Durability, IdentityArgs, LeaseStoreArg, ListenArgs, LogArgs, LogFormatArg, ServeArgs, ShutdownArgs,
    VolumeArgs,
};
use check::{collector, draw, lease, listen, ms, s, size_within, within};
pub use cluster::ClusterArgs;
use environment::variable;
pub use environment::{advice, renamed, source_of, unknown_variables};
pub use error::ConfigError;
pub use nameservers::NameserverArgs;
pub use terminal::{ColourArg, Terminal};
pub use values::Collector;

use lease_election::kubernetes::Access;

use crate::identity::{Facts, NameError};
use crate::record::Voters;
use crate::record::schedule::Schedule;
use crate::telemetry::{self, Log, LogFormat};

/// What journal and ledger need at least; `member` compares it with theirs.
pub const JOURNAL_MIN: u64 = 2 << 20;
pub const LEDGER_MIN: u64 = 512 << 10;
/// What answers need at least.
pub const ANSWER_MEMORY_MIN: u64 = 1 << 20;

/// Everything that configures a member. A group of arguments that is only checked is here as it was given.
#[derive(Clone, Debug)]
pub struct Config {
    pub identity: Facts,
    pub volume: VolumeArgs,
    /// No two addresses collide, except with port 0.
    pub listen: ListenArgs,
    pub draw: Draw,
    pub lease: Lease,
    pub discovery: DiscoveryArgs,
    pub shutdown: ShutdownArgs,
    pub log: Log,
    /// Takes spans; always none without the feature `otlp`.
    pub collector: Option<Collector>,
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
        access: Access,
    },
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
        listen(&args.listen)?;
        let identity = identity(&args.identity, &environment)?;
        let lease = lease(&args, &identity.pod_name.set, &environment)?;
        let draw = draw(&args, identity.pod_name.ordinal)?;
        let collector = collector(&args, &environment)?;
        for (argument, path) in [
            ("--data-dir", Some(&args.volume.data_dir)),
            ("--lease-directory", args.lease.lease_directory.as_ref()),
            ("--kubeconfig", args.lease.kubeconfig.as_ref()),
            ("--peer-secret-file", args.discovery.peer_secret_file.as_ref()),
        ] {
            if path.is_some_and(|path| path.as_os_str().is_empty()) {
                return Err(ConfigError::EmptyPath { argument });
            }
        }
        if let Some(max) = args.volume.journal_max {
            size_within("--journal-max", max, ("2MiB", JOURNAL_MIN), ("1024GiB", 1 << 40))?;
        }
        if let Some(memory) = args.listen.answer_memory {
            size_within(
                "--answer-memory",
                memory,
                ("1MiB", ANSWER_MEMORY_MIN),
                ("1024GiB", 1 << 40),
            )?;
        }
        let ledger_max = args.volume.ledger_max;
        size_within("--ledger-max", ledger_max, ("512KiB", LEDGER_MIN), ("64GiB", 64 << 30))?;
        within(
            "--discovery-interval",
            args.discovery.discovery_interval,
            ms(100)..=s(3600),
        )?;
        within("--shutdown-delay", args.shutdown.shutdown_delay, s(0)..=s(600))?;
        within("--drain-limit", args.shutdown.drain_limit, s(0)..=s(600))?;
        let log = log(&args.log, stderr)?;
        let discovery_name = args.discovery.discovery_name.or_else(|| {
            let service = args.discovery.governing_service.as_deref()?;
            let domain = cluster_domain(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default());
            Some(format!("{service}.{}.svc.{domain}", identity.namespace))
        });
        Ok(Config {
            volume: args.volume,
            listen: args.listen,
            draw,
            lease,
            discovery: DiscoveryArgs {
                discovery_name,
                ..args.discovery
            },
            shutdown: args.shutdown,
            log,
            collector,
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

fn log(args: &LogArgs, stderr: Terminal) -> Result<Log, ConfigError> {
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

fn identity(args: &IdentityArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Facts, ConfigError> {
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
    let (args, default) = (args.clone(), Facts::default());
    let namespace = ("POD_NAMESPACE", "--pod-namespace");
    let namespace = parsed(args.pod_namespace, namespace, &environment, values::label)?;
    let node = ("NODE_NAME", "--node-name");
    Ok(Facts {
        pod_name: parsed(args.pod_name, ("POD_NAME", "--pod-name"), &environment, name)?.unwrap_or(default.pod_name),
        namespace: namespace.unwrap_or(default.namespace),
        pod_uid: parsed(args.pod_uid, ("POD_UID", "--pod-uid"), &environment, values::uid)?,
        pod_ip: parsed(args.pod_ip, ("POD_IP", "--pod-ip"), &environment, ip)?,
        node_name: parsed(args.node_name, node, &environment, values::node_name)?,
    })
}
