//! `serve`: one member, or what stands in for the reference image, until it is asked to stop.

use std::time::Duration;

use clap::CommandFactory;
use tokio::runtime::Runtime;

use super::{Cli, Exit, Failure, run_on};
use crate::config::{self, Config, ServeArgs};
use crate::telemetry::{Log, LogControl};
use crate::{member, reference, telemetry};

/// A thread that writes into a pipe which nobody reads must not keep the process from ending.
const THREADS_WITHIN: Duration = Duration::from_secs(1);

/// Whether a member would take these arguments.
pub(super) fn check(args: ServeArgs) -> Result<Config, Failure> {
    Config::try_from(args).map_err(usage)
}

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    if let Some(config) = config::Reference::of(&args).map_err(usage)? {
        return reference(config);
    }
    let config = check(args)?;
    let log = logging(&config.log)?;
    run_on(runtime()?, member::run(config, log)).map_err(|error| Failure::new(error.exit(), &error))
}

fn reference(config: config::Reference) -> Result<(), Failure> {
    logging(&config.log)?;
    let runtime = match std::thread::available_parallelism() {
        // A container with a share of one processor: threads that take turns on it would only cost.
        Ok(processors) if processors.get() == 1 => built(&mut tokio::runtime::Builder::new_current_thread())?,
        _ => runtime()?,
    };
    let ended = runtime.block_on(reference::run(config));
    runtime.shutdown_timeout(THREADS_WITHIN);
    ended.map_err(|error| Failure::new(error.exit(), &error))
}

fn usage(error: config::ConfigError) -> Failure {
    Failure::new(Exit::Usage, format!("{error}; see --help"))
}

fn logging(log: &Log) -> Result<LogControl, Failure> {
    let log = telemetry::start(log).map_err(|error| Failure::new(Exit::Bug, error))?;
    for variable in config::unknown_variables(&Cli::command()) {
        tracing::warn!(variable, "unknown variable, ignored; see serve --help");
    }
    Ok(log)
}

fn runtime() -> Result<Runtime, Failure> {
    built(&mut tokio::runtime::Builder::new_multi_thread())
}

fn built(builder: &mut tokio::runtime::Builder) -> Result<Runtime, Failure> {
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Io, format!("the runtime can't start: {error}")))
}
