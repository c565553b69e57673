//! The raw arguments of `serve`, as clap reads them from the command line and from `RANDOM_GENERATOR_…`.
//! [`Config`](super::Config) checks them against each other.
//!
//! No argument begins with `port` or `service`: Kubernetes injects `RANDOM_GENERATOR_PORT=tcp://…` and
//! `RANDOM_GENERATOR_SERVICE_HOST` into the Pods beside a Service of this name.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::values;
use crate::identity::MemberName;
use crate::listen::ListenAddress;
use crate::record::Voters;

/// When an acknowledged number is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// Don't wait for the journal
    None,
    /// Wait for the commit: the entry survives a crash of the process
    Crash,
    /// Wait for the disk: the entry survives a power failure
    Power,
}

/// Where the lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LeaseStoreArg {
    /// A directory that members on one machine share
    Directory,
    /// A Lease of Kubernetes, which the manifest creates
    Kubernetes,
}

/// The format of log lines, before it is known whether a terminal shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// Text on a terminal, JSON elsewhere
    Auto,
    Text,
    Json,
}

/// Every argument of `serve`, by its heading in the help. An `Option` is one whose default follows from others.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub volume: VolumeArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
    #[command(flatten)]
    pub draw: DrawArgs,
    #[command(flatten)]
    pub lease: LeaseArgs,
    #[command(flatten)]
    pub discovery: DiscoveryArgs,
    #[command(flatten)]
    pub shutdown: ShutdownArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

// A doc comment on one of these would become part of the command's help.

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Identity")]
pub struct IdentityArgs {
    /// This member's name, SET-ORDINAL [default: $POD_NAME, or rg-0]
    #[arg(long, env = "RANDOM_GENERATOR_POD_NAME", value_name = "NAME", value_parser = clap::value_parser!(MemberName))]
    pub pod_name: Option<MemberName>,
    /// Namespace of the set [default: $POD_NAMESPACE, or `default`]
    #[arg(long, env = "RANDOM_GENERATOR_POD_NAMESPACE", value_name = "NAME", value_parser = values::label)]
    pub pod_namespace: Option<String>,
    /// UID of the Pod, for the lease identity [default: $POD_UID, or none]
    #[arg(long, env = "RANDOM_GENERATOR_POD_UID", value_name = "UID", value_parser = values::uid)]
    pub pod_uid: Option<String>,
    /// The Pod's address; only logged, at the start [default: $POD_IP, or none]
    #[arg(long, env = "RANDOM_GENERATOR_POD_IP", value_name = "IP")]
    pub pod_ip: Option<IpAddr>,
    /// The node the Pod runs on; only logged, at the start [default: $NODE_NAME, or none]
    #[arg(long, env = "RANDOM_GENERATOR_NODE_NAME", value_name = "NAME", value_parser = values::node_name)]
    pub node_name: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Volume")]
pub struct VolumeArgs {
    /// The member's volume: journal, ledger, owner mark and lock. Created if missing
    #[arg(
        long,
        env = "RANDOM_GENERATOR_DATA_DIR",
        value_name = "DIR",
        default_value = "./random-generator-data"
    )]
    pub data_dir: PathBuf,
    /// When a response may be sent: before its journal entry is committed, after the commit, or after the disk confirms it
    #[arg(
        long,
        env = "RANDOM_GENERATOR_DURABILITY",
        value_name = "MODE",
        value_enum,
        default_value = "crash"
    )]
    pub durability: Durability,
    /// Maximum size of the journal, 2MiB to 1024GiB; the oldest rows are deleted first [default: 60 % of the volume, or 64MiB if the directory is not a mount point]
    #[arg(long, env = "RANDOM_GENERATOR_JOURNAL_MAX", value_name = "SIZE", value_parser = values::size)]
    pub journal_max: Option<u64>,
    /// Space reserved for the ledger of draws, 512KiB to 64GiB; the oldest rounds are deleted first
    #[arg(long, env = "RANDOM_GENERATOR_LEDGER_MAX", value_name = "SIZE", value_parser = values::size, default_value = "1536KiB")]
    pub ledger_max: u64,
    /// Delete draws that are older than this, 1h to 36500d [default: keep what --ledger-max has space for]
    #[arg(long, env = "RANDOM_GENERATOR_LEDGER_KEEP", value_name = "AGE", value_parser = values::age)]
    pub ledger_keep: Option<Duration>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listeners")]
pub struct ListenArgs {
    /// Address for clients: numbers, ids, draws, peers, readiness. `:PORT` is all addresses, IPv6 and IPv4
    #[arg(
        long,
        env = "RANDOM_GENERATOR_PUBLIC_LISTEN",
        value_name = "ADDRESS",
        default_value = ":8080"
    )]
    pub public_listen: ListenAddress,
    /// Address for messages between members
    #[arg(
        long,
        env = "RANDOM_GENERATOR_PEER_LISTEN",
        value_name = "ADDRESS",
        default_value = ":8081"
    )]
    pub peer_listen: ListenAddress,
    /// Address for maintenance; anyone who can reach it may use it. `localhost:PORT` is both loopbacks, `127.0.0.1` and `[::1]`
    #[arg(
        long,
        env = "RANDOM_GENERATOR_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "localhost:8082"
    )]
    pub admin_listen: ListenAddress,
    /// Address for metrics, as text for Prometheus
    #[arg(
        long,
        env = "RANDOM_GENERATOR_METRICS_LISTEN",
        value_name = "ADDRESS",
        default_value = ":9797"
    )]
    pub metrics_listen: ListenAddress,
    /// Maximum number of open connections to the public listener, 1 to 1000000
    #[arg(long, env = "RANDOM_GENERATOR_CONNECTION_LIMIT", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000), default_value = "16384")]
    pub connection_limit: u32,
    /// Memory for large answers of the public listener, 1MiB to 1024GiB: slow clients hold at most this [default: an eighth of the container's memory limit (cgroup v1 or v2) but at least 1MiB, or 64MiB without a limit]
    #[arg(long, env = "RANDOM_GENERATOR_ANSWER_MEMORY", value_name = "SIZE", value_parser = values::size)]
    pub answer_memory: Option<u64>,
    /// Origins whose web pages may read the public listener (CORS), comma-separated: `https://example.org`, or `*` for all [default: none]
    #[arg(long, env = "RANDOM_GENERATOR_ALLOWED_ORIGINS", value_name = "ORIGINS", value_parser = values::origin, value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Draw")]
pub struct DrawArgs {
    /// When to draw: `@every 10s` (aligned to the epoch), or five cron fields in UTC
    #[arg(
        long,
        env = "RANDOM_GENERATOR_DRAW_SCHEDULE",
        value_name = "SCHEDULE",
        default_value = "@every 1m"
    )]
    pub draw_schedule: String,
    /// How long after a slot's scheduled time it may still be drawn, 100ms to 3600s; with `@every` at most its period [default: half the period, at most 30s]
    #[arg(long, env = "RANDOM_GENERATOR_DRAW_DEADLINE", value_name = "DURATION", value_parser = values::duration)]
    pub draw_deadline: Option<Duration>,
    /// The voters: a majority of them must store a draw before the next one. N for the ordinals 0 to N − 1, or a range such as 5-7; 1 to 32 of them. A member without governing Service votes alone, whatever its ordinal
    #[arg(long, env = "RANDOM_GENERATOR_VOTERS", value_name = "N or A-B", value_parser = clap::value_parser!(Voters), default_value = "1")]
    pub voters: Voters,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Lease")]
pub struct LeaseArgs {
    /// Where the lease is, and with it the newest draw
    #[arg(
        long,
        env = "RANDOM_GENERATOR_LEASE_STORE",
        value_name = "STORE",
        value_enum,
        default_value = "directory"
    )]
    pub lease_store: LeaseStoreArg,
    /// Directory that holds the lease; members on one machine share it [default: lease in the data directory]
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_DIRECTORY", value_name = "PATH")]
    pub lease_directory: Option<PathBuf>,
    /// Name of the Lease, in the set's namespace; no other set may have the same [default: the set's name]
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_NAME", value_name = "NAME", value_parser = values::object_name)]
    pub lease_name: Option<String>,
    /// Kubeconfig for reaching the API server from outside the cluster; its current context is used [default: the Pod's ServiceAccount]
    #[arg(long, env = "RANDOM_GENERATOR_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// How long other members wait before they take over a lease that is not renewed; whole seconds, 2s to 1h
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_DURATION", value_name = "DURATION", value_parser = values::duration, default_value = "15s")]
    pub lease_duration: Duration,
    /// How long the holder may lead after sending its last successful renewal [default: 2/3 of the duration]
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_RENEW_DEADLINE", value_name = "DURATION", value_parser = values::duration)]
    pub lease_renew_deadline: Option<Duration>,
    /// Time between attempts to acquire or renew, ±20 % [default: 2/15 of the duration]
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_RETRY", value_name = "DURATION", value_parser = values::duration)]
    pub lease_retry: Option<Duration>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Discovery")]
pub struct DiscoveryArgs {
    /// DNS name of the governing Service, whose SRV records list the peers [default: none, and this member runs alone]
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_NAME", value_name = "FQDN", value_parser = values::domain)]
    pub discovery_name: Option<String>,
    /// Short name of the governing Service, in the set's namespace; the cluster's domain is that of /etc/resolv.conf, or cluster.local. --discovery-name overrides it
    #[arg(long, env = "RANDOM_GENERATOR_GOVERNING_SERVICE", value_name = "NAME", value_parser = values::label)]
    pub governing_service: Option<String>,
    /// DNS server to query; may be repeated [default: those of /etc/resolv.conf]
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_NAMESERVER", value_name = "IP:PORT", value_parser = values::address, value_delimiter = ',')]
    pub discovery_nameserver: Vec<SocketAddr>,
    /// Time between look-ups, 100ms to 3600s
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_INTERVAL", value_name = "DURATION", value_parser = values::duration, default_value = "5s")]
    pub discovery_interval: Duration,
    /// File with the secret that signs messages between members
    #[arg(long, env = "RANDOM_GENERATOR_PEER_SECRET_FILE", value_name = "PATH")]
    pub peer_secret_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Shutdown")]
pub struct ShutdownArgs {
    /// After SIGTERM: how long to keep serving while not ready, before connections are drained; 0s to 600s
    #[arg(long, env = "RANDOM_GENERATOR_SHUTDOWN_DELAY", value_name = "DURATION", value_parser = values::duration, default_value = "0s")]
    pub shutdown_delay: Duration,
    /// How long to wait for requests in flight; what remains is cut off; 0s to 600s
    #[arg(long, env = "RANDOM_GENERATOR_DRAIN_LIMIT", value_name = "DURATION", value_parser = values::duration, default_value = "20s")]
    pub drain_limit: Duration,
    /// Stop when standard input closes, so that a member never outlives the `cluster` that started it
    #[arg(long, env = "RANDOM_GENERATOR_STOP_WITH_PARENT", value_parser = BoolishValueParser::new(), hide = true)]
    pub stop_with_parent: bool,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// Format of the log on standard error
    #[arg(
        long,
        env = "RANDOM_GENERATOR_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "auto"
    )]
    pub log_format: LogFormatArg,
    /// What is logged: a level (off, error, warn, info, debug, trace), or TARGET=LEVEL, separated by commas
    #[arg(
        long,
        env = "RANDOM_GENERATOR_LOG_FILTER",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log_filter: String,
    /// Collector that takes spans by OTLP over HTTP; only in a build with the feature `otlp` [default: $OTEL_EXPORTER_OTLP_ENDPOINT, or none]
    #[arg(long, env = "RANDOM_GENERATOR_OTLP_ENDPOINT", value_name = "URL", value_parser = values::collector)]
    pub otlp_endpoint: Option<values::Collector>,
}
