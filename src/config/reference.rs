//! What reference mode is given: the variables of the image that it stands in for, by that image's own names. What they mean
//! is decided in [`reference::settings`](crate::reference::settings), since files of properties have a say in it.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::{ConfigError, ServeArgs, Terminal, log, variable};
use crate::telemetry::Log;

/// Every variable of the image; no other is looked at, nor told in `/info`.
const VARIABLES: [&str; 15] = [
    "LOG_FILE",
    "LOG_URL",
    "SEED",
    "PATTERN",
    "RANDOM_PATTERN",
    "BUILD_TYPE",
    "VERSION",
    "POD_IP",
    "NODE_NAME",
    "HEALTHY",
    "DELAY_STARTUP",
    "WAIT_FOR_POST_START",
    "SERVER_PORT",
    "SERVER_ADDRESS",
    "SPRING_CONFIG_LOCATION",
];

/// Arguments of the parts of a member that reference mode leaves off, by the names of their fields in [`ServeArgs`].
pub(super) const OF_A_MEMBER: [&str; 12] = [
    "durability",
    "journal_max",
    "ledger_max",
    "draw_schedule",
    "draw_deadline",
    "voters",
    "lease_store",
    "lease_file",
    "lease_name",
    "kubeconfig",
    "discovery_name",
    "peer_secret_file",
];

/// What reference mode runs with.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Those of the image's variables that are set and not empty, in the order of its documentation.
    pub variables: Vec<(&'static str, String)>,
    /// Told where nothing else says a version.
    pub version: String,
    /// `/tmp` and `/pod-info` are below it.
    pub root: PathBuf,
    pub connection_limit: usize,
    pub shutdown_delay: Duration,
    pub drain_limit: Duration,
    pub log: Log,
}

impl Reference {
    /// None where these arguments ask for a member: without `--reference`, or with an argument of a part that reference
    /// mode leaves off, as a StatefulSet with the workshop's image has.
    pub fn of(args: &ServeArgs) -> Result<Option<Reference>, ConfigError> {
        if !args.reference || args.for_a_member {
            return Ok(None);
        }
        // What isn't UTF-8 is none of the image's values.
        let text = |name: &'static str| variable(name)?.into_string().ok().filter(|value| !value.is_empty());
        let variables = VARIABLES.into_iter().filter_map(|name| Some((name, text(name)?)));
        Ok(Some(Reference {
            variables: variables.collect(),
            version: args.reference_version.clone(),
            root: args.reference_root.clone(),
            connection_limit: args.connection_limit.try_into().unwrap_or(usize::MAX),
            shutdown_delay: args.shutdown_delay,
            drain_limit: args.drain_limit,
            log: log(args, Terminal::stderr())?,
        }))
    }
}

/// Whether somebody gave an argument of a member, on the command line or as a variable. Their values alone don't say that: the
/// defaults are values as well.
pub fn configures_a_member(given: &ArgMatches) -> bool {
    OF_A_MEMBER
        .iter()
        .any(|name| !matches!(given.value_source(name), None | Some(ValueSource::DefaultValue)))
}
