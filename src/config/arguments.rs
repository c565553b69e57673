//! The raw arguments of `serve`, as clap reads them from the command line and from `RANDOM_GENERATOR_…`. What they mean
//! together is decided once, in [`Config`](super::Config).
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

/// When an acknowledged number is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// The reply doesn't wait for the journal
    None,
    /// The reply waits for the commit; it survives a crash of the process
    Crash,
    /// The reply waits for the disk; it survives a loss of power
    Power,
}

/// Where the lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LeaseStoreArg {
    /// A file that members on one machine share
    File,
    /// A Lease of Kubernetes, which the manifest creates
    Kubernetes,
}

/// How log lines are written, before it is known who reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// Text on a terminal, JSON elsewhere
    Auto,
    Text,
    Json,
}

/// Every argument of `serve`. An `Option` is one whose default follows from others.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Name of this member: its set, and its ordinal after the last hyphen [default: $POD_NAME, or rg-0]
    #[arg(long, env = "RANDOM_GENERATOR_POD_NAME", value_name = "NAME", value_parser = clap::value_parser!(MemberName), help_heading = "Identity")]
    pub pod_name: Option<MemberName>,
    /// Namespace of the set [default: $POD_NAMESPACE, or `default`]
    #[arg(long, env = "RANDOM_GENERATOR_POD_NAMESPACE", value_name = "NAME", value_parser = values::label, help_heading = "Identity")]
    pub pod_namespace: Option<String>,
    /// UID of the Pod, for the lease identity [default: $POD_UID, or none]
    #[arg(long, env = "RANDOM_GENERATOR_POD_UID", value_name = "UID", value_parser = values::uid, help_heading = "Identity")]
    pub pod_uid: Option<String>,
    /// Address of the Pod, for people: in the first log line [default: $POD_IP, or none]
    #[arg(long, env = "RANDOM_GENERATOR_POD_IP", value_name = "IP", help_heading = "Identity")]
    pub pod_ip: Option<IpAddr>,
    /// Node that the Pod runs on, for people: in the first log line [default: $NODE_NAME, or none]
    #[arg(long, env = "RANDOM_GENERATOR_NODE_NAME", value_name = "NAME", value_parser = values::node_name, help_heading = "Identity")]
    pub node_name: Option<String>,

    /// The member's volume: journal, ledger, owner mark and lock. Made if absent
    #[arg(
        long,
        env = "RANDOM_GENERATOR_DATA_DIR",
        value_name = "DIR",
        default_value = "./random-generator-data",
        help_heading = "Volume"
    )]
    pub data_dir: PathBuf,
    /// When a reply may leave: before the journal's commit, after it, or after the disk has it
    #[arg(
        long,
        env = "RANDOM_GENERATOR_DURABILITY",
        value_name = "MODE",
        value_enum,
        default_value = "crash",
        help_heading = "Volume"
    )]
    pub durability: Durability,
    /// Most that the journal takes up; the oldest rows go first [default: 60 % of the volume, or 64MiB where the directory is no mount of its own]
    #[arg(long, env = "RANDOM_GENERATOR_JOURNAL_MAX", value_name = "SIZE", value_parser = values::size, help_heading = "Volume")]
    pub journal_max: Option<u64>,
    /// Space reserved for the ledger of draws; the oldest rounds go first
    #[arg(long, env = "RANDOM_GENERATOR_LEDGER_MAX", value_name = "SIZE", value_parser = values::size, default_value = "1536KiB", help_heading = "Volume")]
    pub ledger_max: u64,

    /// Numbers, ids, draws, peers and readiness
    #[arg(long, env = "RANDOM_GENERATOR_PUBLIC_LISTEN", value_name = "IP:PORT", value_parser = values::address, default_value = "0.0.0.0:8080", help_heading = "Listeners")]
    pub public_listen: SocketAddr,
    /// What members say to each other
    #[arg(long, env = "RANDOM_GENERATOR_PEER_LISTEN", value_name = "IP:PORT", value_parser = values::address, default_value = "0.0.0.0:8081", help_heading = "Listeners")]
    pub peer_listen: SocketAddr,
    /// Maintenance; whoever reaches it may use it
    #[arg(long, env = "RANDOM_GENERATOR_ADMIN_LISTEN", value_name = "IP:PORT", value_parser = values::address, default_value = "127.0.0.1:8082", help_heading = "Listeners")]
    pub admin_listen: SocketAddr,
    /// OpenMetrics text
    #[arg(long, env = "RANDOM_GENERATOR_METRICS_LISTEN", value_name = "IP:PORT", value_parser = values::address, default_value = "0.0.0.0:9797", help_heading = "Listeners")]
    pub metrics_listen: SocketAddr,
    /// Connections that the public listener holds at once, 1 to 1000000
    #[arg(long, env = "RANDOM_GENERATOR_CONNECTION_LIMIT", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000), default_value = "16384", help_heading = "Listeners")]
    pub connection_limit: u32,
    /// Origins whose web pages may read the public listener (CORS), comma-separated: `https://example.org`, or `*` for all [default: none]
    #[arg(long, env = "RANDOM_GENERATOR_ALLOWED_ORIGINS", value_name = "ORIGINS", value_parser = values::origin, value_delimiter = ',', help_heading = "Listeners")]
    pub allowed_origins: Vec<String>,

    /// When to draw: `@every 10s` (aligned to the epoch), or five cron fields in UTC
    #[arg(
        long,
        env = "RANDOM_GENERATOR_DRAW_SCHEDULE",
        value_name = "SCHEDULE",
        default_value = "@every 1m",
        help_heading = "Draw"
    )]
    pub draw_schedule: String,
    /// How long after its instant a slot may still be drawn [default: half the period, at most 30s]
    #[arg(long, env = "RANDOM_GENERATOR_DRAW_DEADLINE", value_name = "DURATION", value_parser = values::duration, help_heading = "Draw")]
    pub draw_deadline: Option<Duration>,
    /// Ordinals 0 to N − 1 are the voters; a majority of them must keep a draw before the next, 1 to 32
    #[arg(long, env = "RANDOM_GENERATOR_VOTERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32), default_value = "1", help_heading = "Draw")]
    pub voters: u16,

    /// Where the lease is, and with it the newest draw
    #[arg(
        long,
        env = "RANDOM_GENERATOR_LEASE_STORE",
        value_name = "STORE",
        value_enum,
        default_value = "file",
        help_heading = "Lease"
    )]
    pub lease_store: LeaseStoreArg,
    /// File that holds the lease; members on one machine share it [default: lease.db in the data directory]
    #[arg(
        long,
        env = "RANDOM_GENERATOR_LEASE_FILE",
        value_name = "PATH",
        help_heading = "Lease"
    )]
    pub lease_file: Option<PathBuf>,
    /// Name of the Lease, in the set's namespace [default: random-generator]
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_NAME", value_name = "NAME", value_parser = values::object_name, help_heading = "Lease")]
    pub lease_name: Option<String>,
    /// How to reach the API server from outside of a cluster: the file's current context [default: as a Pod does]
    #[arg(
        long,
        env = "RANDOM_GENERATOR_KUBECONFIG",
        value_name = "PATH",
        help_heading = "Lease"
    )]
    pub kubeconfig: Option<PathBuf>,
    /// How long others wait before they take a lease that isn't renewed; whole seconds, 2s to 1h
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_DURATION", value_name = "DURATION", value_parser = values::duration, default_value = "15s", help_heading = "Lease")]
    pub lease_duration: Duration,
    /// How long the holder leads after its last successful renewal was sent [default: 2/3 of the duration]
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_RENEW_DEADLINE", value_name = "DURATION", value_parser = values::duration, help_heading = "Lease")]
    pub lease_renew_deadline: Option<Duration>,
    /// Time between tries to acquire or renew, ±20 % [default: 2/15 of the duration]
    #[arg(long, env = "RANDOM_GENERATOR_LEASE_RETRY", value_name = "DURATION", value_parser = values::duration, help_heading = "Lease")]
    pub lease_retry: Option<Duration>,

    /// DNS name of the governing Service, whose SRV records list the peers [default: none: this member is alone]
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_NAME", value_name = "FQDN", value_parser = values::domain, help_heading = "Discovery")]
    pub discovery_name: Option<String>,
    /// DNS server to ask; may be given more than once [default: those of /etc/resolv.conf]
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_NAMESERVER", value_name = "IP:PORT", value_parser = values::address, value_delimiter = ',', help_heading = "Discovery")]
    pub discovery_nameserver: Vec<SocketAddr>,
    /// Time between look-ups
    #[arg(long, env = "RANDOM_GENERATOR_DISCOVERY_INTERVAL", value_name = "DURATION", value_parser = values::duration, default_value = "5s", help_heading = "Discovery")]
    pub discovery_interval: Duration,
    /// File with the secret that signs what members say to each other
    #[arg(
        long,
        env = "RANDOM_GENERATOR_PEER_SECRET_FILE",
        value_name = "PATH",
        help_heading = "Discovery"
    )]
    pub peer_secret_file: Option<PathBuf>,

    /// After SIGTERM: time between `not ready` and the first connection drained
    #[arg(long, env = "RANDOM_GENERATOR_SHUTDOWN_DELAY", value_name = "DURATION", value_parser = values::duration, default_value = "0s", help_heading = "Shutdown")]
    pub shutdown_delay: Duration,
    /// Longest wait for requests in flight; what is left is cut off
    #[arg(long, env = "RANDOM_GENERATOR_DRAIN_LIMIT", value_name = "DURATION", value_parser = values::duration, default_value = "20s", help_heading = "Shutdown")]
    pub drain_limit: Duration,
    /// Stop when standard input closes: a member that `cluster` started must not outlive it
    #[arg(long, env = "RANDOM_GENERATOR_STOP_WITH_PARENT", value_parser = BoolishValueParser::new(), hide = true)]
    pub stop_with_parent: bool,

    /// Stand in for the image k8spatterns/random-generator: its paths, variables and files, on SERVER_PORT alone, unless an argument of draws, lease, discovery or journal is given (docs/reference.md)
    #[arg(long, env = "RANDOM_GENERATOR_REFERENCE", value_parser = BoolishValueParser::new(), help_heading = "Reference mode")]
    pub reference: bool,
    /// The version that reference mode tells, where neither VERSION nor a file of properties does
    #[arg(
        long,
        env = "RANDOM_GENERATOR_REFERENCE_VERSION",
        value_name = "TEXT",
        default_value = "1.0",
        help_heading = "Reference mode"
    )]
    pub reference_version: String,
    /// Directory that reference mode's files /tmp/... and /pod-info/... are below
    #[arg(
        long,
        env = "RANDOM_GENERATOR_REFERENCE_ROOT",
        value_name = "DIR",
        default_value = "/",
        help_heading = "Reference mode"
    )]
    pub reference_root: PathBuf,
    /// Somebody gave an argument of what reference mode leaves off: see [`configures_a_member`](super::configures_a_member).
    #[arg(skip)]
    pub for_a_member: bool,

    /// How log lines are written, to standard error
    #[arg(
        long,
        env = "RANDOM_GENERATOR_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "auto",
        help_heading = "Logs"
    )]
    pub log_format: LogFormatArg,
    /// What is logged: a level (off, error, warn, info, debug, trace), or TARGET=LEVEL, separated by commas
    #[arg(
        long,
        env = "RANDOM_GENERATOR_LOG_FILTER",
        value_name = "FILTER",
        default_value = "info",
        help_heading = "Logs"
    )]
    pub log_filter: String,
    /// Collector that takes spans by OTLP over HTTP; only in a build with the feature `otlp` [default: $OTEL_EXPORTER_OTLP_ENDPOINT, or none]
    #[arg(long, env = "RANDOM_GENERATOR_OTLP_ENDPOINT", value_name = "URL", value_parser = values::collector, help_heading = "Logs")]
    pub otlp_endpoint: Option<values::Collector>,
}
