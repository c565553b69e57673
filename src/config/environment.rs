//! The environment: POD_NAME and its like, and the `RANDOM_GENERATOR_…` of arguments, which clap reads.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::Command;

const PREFIX: &str = "RANDOM_GENERATOR_";

/// One variable.
#[allow(clippy::disallowed_methods)] // the only reader
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The variable that set an argument such as `--lease-duration` to `value`, if one did: an error names what the operator wrote.
pub fn source_of(argument: &str, value: &str) -> Option<String> {
    let name = variable_of(argument);
    (variable(&name)? == value).then_some(name)
}

/// Variables with our prefix that belong to no argument: probably misspelt. Not an error, because other programs also write the
/// environment.
pub fn unknown_variables(cli: &Command) -> Vec<String> {
    let texts =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    unknown(cli, &texts.collect())
}

/// Arguments that have another name now.
const RENAMED: [(&str, &str); 1] = [("--lease-file", "--lease-directory")];

/// The name that an argument has now, if it had another one.
pub fn renamed(argument: &str) -> Option<&'static str> {
    let (_, new) = RENAMED.iter().find(|(old, _)| *old == argument)?;
    Some(new)
}

/// What to do about a variable that belongs to no argument.
pub fn advice(variable: &str) -> String {
    match RENAMED.iter().find(|(old, _)| variable_of(old) == variable) {
        Some((_, new)) => format!("it is {} now", variable_of(new)),
        None => "see serve --help".to_owned(),
    }
}

fn variable_of(argument: &str) -> String {
    let words = argument.trim_start_matches('-').replace('-', "_");
    format!("{PREFIX}{}", words.to_ascii_uppercase())
}

fn unknown(cli: &Command, variables: &BTreeMap<String, String>) -> Vec<String> {
    // Those of every command: a member of `cluster` has its environment.
    let known: BTreeSet<&str> = cli
        .get_subcommands()
        .flat_map(Command::get_arguments)
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let services = services(variables);
    let ours = variables.keys().filter(|name| name.starts_with(PREFIX));
    ours.filter(|name| !known.contains(name.as_str()) && !services.iter().any(|service| is_link(name, service)))
        .cloned()
        .collect()
}

/// The Services beside the Pod, as their links name them: Kubernetes sets `X_PORT` to `tcp://10.0.0.1:8080` for the Service x
/// (<https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables>).
fn services(variables: &BTreeMap<String, String>) -> Vec<&str> {
    let has_link = |value: &str| {
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    };
    let linked = variables.iter().filter(|(_, value)| has_link(value));
    linked.filter_map(|(name, _)| name.strip_suffix("_PORT")).collect()
}

/// Whether it is one of the variables that Kubernetes sets for the Service.
fn is_link(name: &str, service: &str) -> bool {
    let rest = name.strip_prefix(service).unwrap_or_default();
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].contains(&rest)
        || rest.starts_with("_SERVICE_PORT_")
        || rest.starts_with("_PORT_")
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::config::ServeArgs;

    #[test]
    fn a_misspelt_variable_is_noticed_and_those_of_services_are_not() {
        let given = [
            ("RANDOM_GENERATOR_VOTRES", "3"),
            ("RANDOM_GENERATOR_VOTERS", "3"),
            ("RANDOM_GENERATOR_STOP_WITH_PARENT", "true"),
            ("RANDOM_GENERATOR_PUBLIC_PORT", "9000"),
            ("RANDOM_GENERATOR_SERVICE_PORT_PEER", "9001"),
            ("RANDOM_GENERATOR_PEERS_PORT", "tcp://10.0.0.1:8080"),
            ("RANDOM_GENERATOR_PEERS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("RANDOM_GENERATOR_PEERS_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("RANDOM_GENERATOR_PEERS_SERVICE_HOST", "10.0.0.1"),
            ("RANDOM_GENERATOR_PEERS_SERVICE_PORT", "8080"),
            ("RANDOM_GENERATOR_PEERS_SERVICE_PORT_PEER", "8080"),
            ("HOME", "/"),
        ];
        let variables = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let cli = Command::new("rg").subcommand(ServeArgs::augment_args(Command::new("serve")));
        assert_eq!(
            unknown(&cli, &variables.into()),
            [
                "RANDOM_GENERATOR_PUBLIC_PORT",
                "RANDOM_GENERATOR_SERVICE_PORT_PEER",
                "RANDOM_GENERATOR_VOTRES"
            ]
        );
    }
}
