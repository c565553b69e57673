//! The environment: POD_NAME and its like, and the `RANDOM_GENERATOR_…` of arguments, which clap reads.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::{Args, Command};

use super::ServeArgs;

const PREFIX: &str = "RANDOM_GENERATOR_";
/// What the project's own tests read.
const OF_TESTS: &str = "RANDOM_GENERATOR_TEST_";

/// One variable.
#[allow(clippy::disallowed_methods)] // This is the one reader.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The variable that gave `value` for an argument such as `--lease-duration`, if one did: an error should name what the
/// operator wrote.
pub fn source_of(argument: &str, value: &str) -> Option<String> {
    let words = argument.trim_start_matches('-').replace('-', "_");
    let name = format!("{PREFIX}{}", words.to_ascii_uppercase());
    (variable(&name)? == value).then_some(name)
}

/// Variables that look like an argument's and are none: misspelt ones, which would otherwise be ignored in silence. Not
/// an error, since the environment is also written by others.
pub fn unknown_variables() -> Vec<String> {
    unknown(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    let serve = ServeArgs::augment_args(Command::new("serve"));
    let known: BTreeSet<&str> = serve
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let unknown: BTreeSet<String> = names
        .filter(|name| name.starts_with(PREFIX) && !name.starts_with(OF_TESTS))
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
    use super::*;

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
            "RANDOM_GENERATOR_TEST_SEEDS",
            "HOME",
        ];
        assert_eq!(
            unknown(names.map(String::from).into_iter()),
            ["RANDOM_GENERATOR_VOTRES"]
        );
    }
}
