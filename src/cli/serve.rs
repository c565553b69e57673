//! `serve`: one member, until it is asked to stop.

use clap::CommandFactory;
use tokio::runtime::Runtime;

use super::{Cli, Exit, Failure, run_on};
use crate::config::{self, Config, ServeArgs};
use crate::member;
use crate::telemetry::{self, Log, LogControl};

/// Whether a member would take these arguments.
pub(super) fn check(args: ServeArgs) -> Result<Config, Failure> {
    Config::try_from(args).map_err(usage)
}

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let config = check(args)?;
    let log = logging(&config.log)?;
    run_on(runtime()?, member::run(config, log)).map_err(|error| Failure::new(error.exit(), &error))
}

fn usage(error: config::ConfigError) -> Failure {
    Failure::new(Exit::Usage, format!("{error}; see --help"))
}

fn logging(log: &Log) -> Result<LogControl, Failure> {
    let log = telemetry::start(log).map_err(|error| Failure::new(Exit::Bug, error))?;
    for variable in config::unknown_variables(&Cli::command()) {
        tracing::warn!(variable, "unknown variable, ignored; {}", config::advice(&variable));
    }
    Ok(log)
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Io, format!("the runtime can't start: {error}")))
}
