//! What reference mode is given: the variables of the image that it stands in for, by that image's own names. What they mean
//! is decided in [`reference::settings`](crate::reference::settings), since files of properties have a say in it.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, Durability, LeaseStoreArg, ServeArgs, Terminal, log, variable};
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

/// Variables that configure a part of a member which reference mode leaves off. Their arguments' values alone don't say
/// whether somebody gave them: the defaults are values as well.
const OF_A_MEMBER: [&str; 12] = [
    "RANDOM_GENERATOR_DURABILITY",
    "RANDOM_GENERATOR_JOURNAL_MAX",
    "RANDOM_GENERATOR_LEDGER_MAX",
    "RANDOM_GENERATOR_DRAW_SCHEDULE",
    "RANDOM_GENERATOR_DRAW_DEADLINE",
    "RANDOM_GENERATOR_VOTERS",
    "RANDOM_GENERATOR_LEASE_STORE",
    "RANDOM_GENERATOR_LEASE_FILE",
    "RANDOM_GENERATOR_LEASE_NAME",
    "RANDOM_GENERATOR_KUBECONFIG",
    "RANDOM_GENERATOR_DISCOVERY_NAME",
    "RANDOM_GENERATOR_PEER_SECRET_FILE",
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
        if !args.reference || configures_a_member(args) {
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

fn configures_a_member(args: &ServeArgs) -> bool {
    let given = args.journal_max.is_some()
        || args.draw_deadline.is_some()
        || args.lease_file.is_some()
        || args.lease_name.is_some()
        || args.kubeconfig.is_some()
        || args.discovery_name.is_some()
        || args.peer_secret_file.is_some();
    // Arguments that always have a value: another than their default, which somebody gave.
    let other = args.durability != Durability::Crash
        || args.voters > 1
        || args.lease_store != LeaseStoreArg::File
        || args.draw_schedule != "@every 1m"
        || args.ledger_max != 1536 * 1024;
    given || other || OF_A_MEMBER.iter().any(|name| variable(name).is_some())
}
