//! The only reader of arguments and environment. [`ServeArgs`] is what was written; [`Config`] is what it means, checked
//! once. After that nobody parses, and nobody has a default of their own.

mod arguments;
mod terminal;
pub mod values;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub use arguments::{Durability, LogFormatArg, ServeArgs};
pub use terminal::Terminal;
use values::show_duration;

use crate::identity::MemberName;
use crate::telemetry;

/// What a member does and where, in full.
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
    /// Signs the messages between members; absent, they are not signed.
    pub peer_secret_file: Option<PathBuf>,
    pub shutdown: Shutdown,
    pub log: Log,
    /// Connections that each listener holds at once, at least 1.
    pub connection_limit: usize,
}

#[derive(Clone, Debug)]
pub struct Identity {
    pub pod_name: MemberName,
    pub namespace: String,
    pub pod_uid: Option<String>,
    pub pod_ip: Option<IpAddr>,
    pub node_name: Option<String>,
}

/// Where the four listeners are; no two the same, unless the port is 0.
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
    /// Bytes; none for the share of the volume that the journal computes.
    pub max: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Draw {
    pub schedule: String,
    /// How long after its instant a slot may be drawn; none for half the period, at most 30 s.
    pub deadline: Option<Duration>,
    /// 1 to 32.
    pub voters: u16,
}

/// `duration` > `renew_deadline` > 1.2 × `retry`, and `renew_deadline` > 1 s.
#[derive(Clone, Debug)]
pub struct Lease {
    pub file: PathBuf,
    /// Whole seconds, as `leaseDurationSeconds` has them.
    pub duration: Duration,
    pub renew_deadline: Duration,
    pub retry: Duration,
}

#[derive(Clone, Debug)]
pub struct Discovery {
    /// The governing Service's DNS name without trailing dot; none for a member that is alone.
    pub name: Option<String>,
    /// Empty for those of resolv.conf.
    pub nameservers: Vec<SocketAddr>,
    pub interval: Duration,
}

#[derive(Clone, Debug)]
pub struct Shutdown {
    pub delay: Duration,
    pub drain_limit: Duration,
    /// Closing standard input asks the member to stop.
    pub with_parent: bool,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// Only ever with [`LogFormat::Text`].
    pub colour: bool,
    /// One that [`telemetry::Filter`] takes.
    pub filter: telemetry::Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Arguments that are fine alone and wrong together or out of bounds. Always usage, exit 64; always one line that names
/// the arguments and what is allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("invalid value '{value}' in {variable}, which stands in for {argument}: {allowed}")]
    Variable {
        variable: &'static str,
        argument: &'static str,
        value: String,
        allowed: String,
    },
    #[error("{argument} is {value}: from {least} to {most} is allowed")]
    Range {
        argument: &'static str,
        value: String,
        least: String,
        most: String,
    },
    #[error("{argument} is empty: a path is needed")]
    EmptyPath { argument: &'static str },
    #[error("--lease-duration is {}: whole seconds are needed, since a Lease counts in seconds", show_duration(*duration))]
    LeaseFraction { duration: Duration },
    #[error(
        "--lease-duration {} must be greater than --lease-renew-deadline {}, or others take the lease while its holder still leads",
        show_duration(*duration), show_duration(*renew_deadline)
    )]
    RenewDeadlineTooLong {
        duration: Duration,
        renew_deadline: Duration,
    },
    #[error(
        "--lease-renew-deadline {} must be greater than 1.2 × --lease-retry {}, or one late try ends the leadership",
        show_duration(*renew_deadline), show_duration(*retry)
    )]
    RetryTooLong { renew_deadline: Duration, retry: Duration },
    #[error(
        "--lease-renew-deadline {} (from --lease-duration {}) must be greater than 1s, since renewals are at least 1s apart",
        show_duration(*renew_deadline), show_duration(*duration)
    )]
    RenewDeadlineTooShort {
        duration: Duration,
        renew_deadline: Duration,
    },
    #[error(
        "--voters {0} needs --discovery-name, or no member finds the others; a member that is alone has --voters 1"
    )]
    VotersAlone(u16),
    #[error("{first} and {second} are both {address}: give each listener an address of its own")]
    SameAddress {
        first: &'static str,
        second: &'static str,
        address: SocketAddr,
    },
    #[error("--log-filter '{value}': {allowed}")]
    LogFilter { value: String, allowed: String },
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
    /// `environment` gives POD_NAME and its like, the fallback of arguments that weren't given; empty counts as absent.
    fn build(
        args: ServeArgs,
        stderr: Terminal,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let listen = listen(&args)?;
        let lease = lease(&args)?;
        let draw = draw(&args)?;
        let identity = identity(&args, environment)?;
        for (argument, path) in [
            ("--data-dir", Some(&args.data_dir)),
            ("--lease-file", args.lease_file.as_ref()),
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
        Ok(Config {
            identity,
            listen,
            journal: Journal {
                durability: args.durability,
                max: args.journal_max,
            },
            ledger_max: args.ledger_max,
            draw,
            lease,
            discovery: Discovery {
                name: args.discovery_name,
                nameservers: args.discovery_nameserver,
                interval: args.discovery_interval,
            },
            peer_secret_file: args.peer_secret_file,
            shutdown: Shutdown {
                delay: args.shutdown_delay,
                drain_limit: args.drain_limit,
                with_parent: args.stop_with_parent,
            },
            log: Log {
                format,
                colour: format == LogFormat::Text && stderr.colour,
                filter,
            },
            connection_limit: args.connection_limit.try_into().unwrap_or(usize::MAX),
            data_dir: args.data_dir,
        })
    }
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
    let args = args.clone();
    Ok(Identity {
        pod_name: parsed(
            args.pod_name,
            ("POD_NAME", "--pod-name"),
            &environment,
            values::member_name,
        )?
        .unwrap_or(MemberName {
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

fn listen(args: &ServeArgs) -> Result<Listen, ConfigError> {
    let listeners = [
        ("--public-listen", args.public_listen),
        ("--peer-listen", args.peer_listen),
        ("--admin-listen", args.admin_listen),
        ("--metrics-listen", args.metrics_listen),
    ];
    for (at, (first, address)) in listeners.iter().enumerate() {
        for (second, other) in listeners.iter().skip(at + 1) {
            // An address for all interfaces meets every address of the same port; port 0 is another one each time.
            let meets = address.ip() == other.ip() || address.ip().is_unspecified() || other.ip().is_unspecified();
            if address.port() != 0 && address.port() == other.port() && meets {
                return Err(ConfigError::SameAddress {
                    first,
                    second,
                    address: *address,
                });
            }
        }
    }
    Ok(Listen {
        public: args.public_listen,
        peer: args.peer_listen,
        admin: args.admin_listen,
        metrics: args.metrics_listen,
    })
}

fn draw(args: &ServeArgs) -> Result<Draw, ConfigError> {
    if args.voters > 1 && args.discovery_name.is_none() {
        return Err(ConfigError::VotersAlone(args.voters));
    }
    if let Some(deadline) = args.draw_deadline {
        within(
            "--draw-deadline",
            deadline,
            Duration::from_millis(100)..=Duration::from_secs(3600),
        )?;
    }
    Ok(Draw {
        schedule: args.draw_schedule.clone(),
        deadline: args.draw_deadline,
        voters: args.voters,
    })
}

/// The checks of client-go's elector constructor, and one of our own: renewals are at least a second apart, so a shorter
/// deadline would pass before the first.
fn lease(args: &ServeArgs) -> Result<Lease, ConfigError> {
    let duration = args.lease_duration;
    within(
        "--lease-duration",
        duration,
        Duration::from_secs(2)..=Duration::from_secs(3600),
    )?;
    if duration.subsec_nanos() != 0 {
        return Err(ConfigError::LeaseFraction { duration });
    }
    let renew_deadline = args.lease_renew_deadline.unwrap_or(duration * 2 / 3);
    let retry = args.lease_retry.unwrap_or(duration * 2 / 15);
    if duration <= renew_deadline {
        return Err(ConfigError::RenewDeadlineTooLong {
            duration,
            renew_deadline,
        });
    }
    if renew_deadline <= Duration::from_secs(1) {
        return Err(ConfigError::RenewDeadlineTooShort {
            duration,
            renew_deadline,
        });
    }
    within(
        "--lease-retry",
        retry,
        Duration::from_millis(10)..=Duration::from_secs(3600),
    )?;
    if renew_deadline * 5 <= retry * 6 {
        return Err(ConfigError::RetryTooLong { renew_deadline, retry });
    }
    Ok(Lease {
        file: args
            .lease_file
            .clone()
            .unwrap_or_else(|| args.data_dir.join("lease.db")),
        duration,
        renew_deadline,
        retry,
    })
}

fn within(argument: &'static str, value: Duration, range: RangeInclusive<Duration>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range {
        argument,
        value: show_duration(value),
        least: show_duration(*range.start()),
        most: show_duration(*range.end()),
    })
}

fn size_within(
    argument: &'static str,
    value: u64,
    least: (&'static str, u64),
    most: (&'static str, u64),
) -> Result<(), ConfigError> {
    if (least.1..=most.1).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range {
        argument,
        value: format!("{value} bytes"),
        least: least.0.to_owned(),
        most: most.0.to_owned(),
    })
}

/// One variable of the environment.
#[allow(clippy::disallowed_methods)] // This is the one reader.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The variable that gave `value` for an argument such as `--lease-duration`, if one did: an error should name what the
/// operator wrote.
pub fn source_of(argument: &str, value: &str) -> Option<String> {
    let name = format!(
        "RANDOM_GENERATOR_{}",
        argument.trim_start_matches('-').replace('-', "_").to_ascii_uppercase()
    );
    (variable(&name)? == value).then_some(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn config(args: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let only = Only::try_parse_from(std::iter::once("serve").chain(args.split_whitespace())).unwrap();
        let terminal = Terminal {
            colour: true,
            interactive: true,
        };
        Config::build(only.serve, terminal, |name| {
            environment
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn refusal(args: &str) -> String {
        config(args, &[]).unwrap_err().to_string()
    }

    #[test]
    fn no_arguments_are_a_useful_member() {
        let config = config("", &[]).unwrap();
        assert_eq!(config.identity.pod_name.to_string(), "rg-0");
        assert_eq!(config.identity.namespace, "default");
        assert_eq!(config.lease.file, PathBuf::from("./random-generator-data/lease.db"));
        assert_eq!(config.lease.renew_deadline, Duration::from_secs(10));
        assert_eq!(config.lease.retry, Duration::from_secs(2));
        assert_eq!(config.ledger_max, 1_572_864);
        assert_eq!(config.connection_limit, 16_384);
        assert_eq!(config.draw.voters, 1);
        assert!(config.log.colour);
    }

    #[test]
    fn the_pod_is_read_from_the_environment_unless_an_argument_says_otherwise() {
        let pod = [
            ("POD_NAME", "rg-2"),
            ("POD_NAMESPACE", "lab"),
            ("POD_UID", "0f0c-1"),
            ("POD_IP", "10.0.0.3"),
            ("NODE_NAME", "node-a.example"),
        ];
        let identity = config("", &pod).unwrap().identity;
        assert_eq!(identity.pod_name.ordinal, Some(2));
        assert_eq!(identity.namespace, "lab");
        assert_eq!(identity.pod_uid.as_deref(), Some("0f0c-1"));
        assert_eq!(identity.pod_ip, Some(IpAddr::from([10, 0, 0, 3])));
        assert_eq!(identity.node_name.as_deref(), Some("node-a.example"));
        let identity = config("--pod-name rg-1", &pod).unwrap().identity;
        assert_eq!(identity.pod_name.ordinal, Some(1));
        assert_eq!(
            config("", &[("POD_NAME", "")]).unwrap().identity.pod_name.to_string(),
            "rg-0"
        );
        let error = config("", &[("POD_NAME", "RG")]).unwrap_err().to_string();
        assert!(
            error.contains("POD_NAME") && error.contains("--pod-name") && error.contains("such as rg-0"),
            "{error}"
        );
    }

    #[test]
    fn lease_times_are_checked_as_client_go_checks_them() {
        let error = refusal("--lease-duration 10s --lease-renew-deadline 10s");
        assert!(
            error.contains("--lease-duration 10s") && error.contains("--lease-renew-deadline 10s"),
            "{error}"
        );
        let error = refusal("--lease-renew-deadline 6s --lease-retry 5s");
        assert!(
            error.contains("--lease-renew-deadline 6s") && error.contains("--lease-retry 5s"),
            "{error}"
        );
        assert!(config("--lease-renew-deadline 6.1s --lease-retry 5s", &[]).is_ok());
        let error = refusal("--lease-duration 2s --lease-renew-deadline 1s");
        assert!(error.contains("greater than 1s"), "{error}");
        assert!(refusal("--lease-duration 1s").contains("from 2s to 3600s"));
        assert!(refusal("--lease-duration 2.5s").contains("whole seconds"));
        let quick = config("--lease-duration 2s", &[]).unwrap().lease;
        assert!(quick.renew_deadline > Duration::from_millis(1333) && quick.retry > Duration::from_millis(266));
    }

    #[test]
    fn several_voters_need_a_way_to_find_each_other() {
        let error = refusal("--voters 3");
        assert!(
            error.contains("--voters 3") && error.contains("--discovery-name"),
            "{error}"
        );
        let config = config("--voters 3 --discovery-name rg.default.svc.cluster.local.", &[]).unwrap();
        assert_eq!(config.discovery.name.as_deref(), Some("rg.default.svc.cluster.local"));
    }

    #[test]
    fn two_listeners_on_one_address_are_refused_by_name() {
        let error = refusal("--peer-listen 127.0.0.1:8080");
        assert!(
            error.contains("--public-listen") && error.contains("--peer-listen"),
            "{error}"
        );
        assert!(config("--public-listen 127.0.0.1:0 --peer-listen 127.0.0.1:0", &[]).is_ok());
        assert!(config("--public-listen 127.0.0.1:9000 --peer-listen 127.0.0.2:9000", &[]).is_ok());
    }

    #[test]
    fn sizes_and_times_out_of_bounds_are_refused_with_the_bounds() {
        for (args, bounds) in [
            ("--journal-max 1KiB", "from 256KiB to 1024GiB"),
            ("--ledger-max 2GiB", "from 256KiB to 1GiB"),
            ("--drain-limit 1h", "from 0s to 600s"),
            ("--draw-deadline 1ms", "from 100ms to 3600s"),
            ("--discovery-interval 0s", "from 100ms to 3600s"),
        ] {
            let error = refusal(args);
            assert!(
                error.contains(bounds) && args.contains(error.split(' ').next().unwrap()),
                "{error}"
            );
        }
    }

    #[test]
    fn nameservers_may_be_repeated() {
        let config = config(
            "--discovery-nameserver 10.0.0.1:53 --discovery-nameserver [::1]:5353,10.0.0.2:53",
            &[],
        )
        .unwrap();
        assert_eq!(config.discovery.nameservers.len(), 3);
    }

    #[test]
    fn a_word_that_is_no_level_is_no_log_filter() {
        assert!(refusal("--log-filter inof").contains("--log-filter 'inof'"));
        assert!(config("--log-filter warn,random_generator::lease=debug", &[]).is_ok());
    }
}
