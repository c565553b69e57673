//! The variables of this process, read once.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};

use random_generator::exit::Exit;
use random_generator::telemetry::{self, Log, LogFormat};

use crate::Failure;

/// The version that the image's tag stands for; VERSION and files of properties override it.
pub const VERSION: &str = "RANDOM_GENERATOR_REFERENCE_VERSION";
/// The directory that takes the place of `/` for `/tmp` and `/pod-info`.
pub const ROOT: &str = "RANDOM_GENERATOR_REFERENCE_ROOT";
/// Variables that only this program knows.
pub const OWN: [&str; 2] = [VERSION, ROOT];

/// Every variable of the image that this program stands in for.
pub const OF_THE_IMAGE: [&str; 15] = [
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

/// Variables that configure a part which only a member has. One of them is enough to run the member instead.
pub const OF_A_MEMBER: [&str; 14] = [
    "RANDOM_GENERATOR_DURABILITY",
    "RANDOM_GENERATOR_JOURNAL_MAX",
    "RANDOM_GENERATOR_LEDGER_MAX",
    "RANDOM_GENERATOR_LEDGER_KEEP",
    "RANDOM_GENERATOR_DRAW_SCHEDULE",
    "RANDOM_GENERATOR_DRAW_DEADLINE",
    "RANDOM_GENERATOR_VOTERS",
    "RANDOM_GENERATOR_LEASE_STORE",
    "RANDOM_GENERATOR_LEASE_DIRECTORY",
    "RANDOM_GENERATOR_LEASE_NAME",
    "RANDOM_GENERATOR_KUBECONFIG",
    "RANDOM_GENERATOR_DISCOVERY_NAME",
    "RANDOM_GENERATOR_GOVERNING_SERVICE",
    "RANDOM_GENERATOR_PEER_SECRET_FILE",
];

/// Variables by name. One that is empty or isn't UTF-8 counts as absent.
#[derive(Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Whether a Service is beside this Pod, as Spring Boot tells that it runs on Kubernetes: X_SERVICE_HOST and X_SERVICE_PORT.
    pub fn has_service(&self) -> bool {
        let hosts = self.0.keys().filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
        hosts
            .into_iter()
            .any(|name| self.0.contains_key(&format!("{name}_SERVICE_PORT")))
    }

    pub fn read() -> Environment {
        let text =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Environment(text.filter(|(_, value)| !value.is_empty()).collect())
    }

    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)]) -> Environment {
        let owned = |(name, value): &(&str, &str)| (String::from(*name), String::from(*value));
        Environment(variables.iter().map(owned).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether standard error is a terminal that can write over a line.
    pub fn writes_over_lines(&self) -> bool {
        stderr().is_terminal() && self.get("TERM") != Some("dumb")
    }

    /// Logs to standard error from now on: text on a terminal, else JSON, with the variables that a member has for it.
    pub fn start_log(&self) -> Result<(), Failure> {
        let format = match self.get("RANDOM_GENERATOR_LOG_FORMAT") {
            Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            _ if stderr().is_terminal() => LogFormat::Text,
            _ => LogFormat::Json,
        };
        let has_colour = self.writes_over_lines() && self.get("NO_COLOR").is_none();
        let filter = self.get("RANDOM_GENERATOR_LOG_FILTER").unwrap_or("info").parse();
        let log = Log {
            format,
            colour: format == LogFormat::Text && has_colour,
            filter: filter
                .map_err(|error| Failure::new(Exit::Usage as u8, format!("RANDOM_GENERATOR_LOG_FILTER: {error}")))?,
        };
        telemetry::start(&log).map_err(|error| Failure::new(Exit::Bug as u8, error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_of_a_member_is_one_that_serve_reads() {
        let cli = random_generator::cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        let known: Vec<_> = serve
            .get_arguments()
            .filter_map(|argument| argument.get_env()?.to_str())
            .collect();
        for name in OF_A_MEMBER {
            assert!(known.contains(&name), "{name}");
        }
    }
}
