//! The environment: POD_NAME and its like, and the `RANDOM_GENERATOR_…` of arguments, which clap reads.

use std::collections::BTreeSet;
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
    let words = argument.trim_start_matches('-').replace('-', "_");
    let name = format!("{PREFIX}{}", words.to_ascii_uppercase());
    (variable(&name)? == value).then_some(name)
}

/// Variables with our prefix that belong to no argument: probably misspelt. Not an error, because other programs also write the
/// environment.
pub fn unknown_variables(cli: &Command) -> Vec<String> {
    unknown(cli, std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

fn unknown(cli: &Command, names: impl Iterator<Item = String>) -> Vec<String> {
    // Those of every command: a member of `cluster` has its environment.
    let known: BTreeSet<&str> = cli
        .get_subcommands()
        .flat_map(Command::get_arguments)
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let unknown: BTreeSet<String> = names
        .filter(|name| name.starts_with(PREFIX))
        .filter(|name| !known.contains(name.as_str()) && !is_injected(name))
        .collect();
    unknown.into_iter().collect()
}

/// Kubernetes sets these for each Service beside the Pod whose name begins with random-generator.
fn is_injected(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::config::ServeArgs;

    #[test]
    fn a_misspelt_variable_is_noticed_and_those_of_others_are_not() {
        let names = [
            "RANDOM_GENERATOR_VOTRES",
            "RANDOM_GENERATOR_VOTERS",
            "RANDOM_GENERATOR_STOP_WITH_PARENT",
            "RANDOM_GENERATOR_PORT",
            "RANDOM_GENERATOR_PORT_8080_TCP_ADDR",
            "RANDOM_GENERATOR_SERVICE_HOST",
            "RANDOM_GENERATOR_PEERS_SERVICE_PORT_PEER",
            "HOME",
        ];
        let cli = Command::new("rg").subcommand(ServeArgs::augment_args(Command::new("serve")));
        assert_eq!(
            unknown(&cli, names.map(String::from).into_iter()),
            ["RANDOM_GENERATOR_VOTRES"]
        );
    }
}
