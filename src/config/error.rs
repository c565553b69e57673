//! What is wrong with arguments that clap took, each in one line for the operator.

use std::net::SocketAddr;
use std::time::Duration;

use super::values::show_duration;
use crate::record::schedule::{Schedule, ScheduleError};

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
    #[error("--otlp-endpoint needs a program that was built with `cargo build --features otlp`; this one was not")]
    NoOtlp,
    #[error("{argument} is empty: a path is needed")]
    EmptyPath { argument: &'static str },
    #[error("{argument} is of no use with --lease-store {store}: leave one of them out")]
    OtherStore {
        argument: &'static str,
        store: &'static str,
    },
    #[error(
        "--lease-store kubernetes finds no API server: in a Pod KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name it; elsewhere give --kubeconfig FILE"
    )]
    NoCluster,
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
