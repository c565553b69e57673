//! Errors in arguments that clap accepted, each in one line for the operator.

use std::time::Duration;

use super::values::show_duration;
use crate::listen::ListenAddress;
use crate::record::Voters;
use crate::record::schedule::{Schedule, ScheduleError};

/// Arguments that are out of bounds or contradict each other: exit 64, and one line that names them and what is allowed.
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
    #[error("--otlp-endpoint needs a build with `cargo build --features otlp`")]
    NoOtlp,
    #[error("{argument} is empty: a path is needed")]
    EmptyPath { argument: &'static str },
    #[error("{argument} can't be used with --lease-store {store}")]
    OtherStore {
        argument: &'static str,
        store: &'static str,
    },
    #[error(
        "--lease-store kubernetes finds no API server: set KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT as in a Pod, or give --kubeconfig FILE"
    )]
    NoCluster,
    #[error("--lease-duration is {}: whole seconds are needed, since a Lease counts in seconds", show_duration(*duration))]
    LeaseFraction { duration: Duration },
    #[error(
        "--lease-duration {} must be greater than --lease-renew-deadline {}, or another member takes the lease while its holder still leads",
        show_duration(*duration), show_duration(*renew_deadline)
    )]
    RenewDeadlineTooLong {
        duration: Duration,
        renew_deadline: Duration,
    },
    #[error(
        "--lease-renew-deadline {} must be greater than 1.2 × --lease-retry {}, or one late attempt ends the leadership",
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
        "--voters {0} needs --discovery-name or, in a Pod, --governing-service, so that members find each other; use --voters 1 for a member that runs alone"
    )]
    VotersAlone(Voters),
    #[error("{first} {address} and {second} {other} overlap: give each listener an address of its own")]
    SameAddress {
        first: &'static str,
        second: &'static str,
        address: ListenAddress,
        other: ListenAddress,
    },
    #[error("--draw-schedule: {0}")]
    Schedule(#[from] ScheduleError),
    #[error(
        "--draw-deadline {} is longer than the period of --draw-schedule '{schedule}': a slot ends at the latest when the next begins",
        show_duration(*deadline)
    )]
    DeadlineBeyondPeriod { deadline: Duration, schedule: Schedule },
    #[error("--log-filter '{value}': {allowed}")]
    LogFilter { value: String, allowed: String },
}
