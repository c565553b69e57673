//! clap's errors in one line: what was wrong, what is allowed, and a suggestion.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;
use crate::config;
use crate::exit::Exit;

pub(super) fn failure(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(Exit::Usage, "a subcommand is missing; see --help");
    }
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(argument))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && let Some(new) = config::renamed(argument)
    {
        return Failure::new(Exit::Usage, format!("{argument} is {new} now; see --help"));
    }
    let text = error.render().to_string();
    let said: Vec<&str> = text
        .split("\n\n")
        .map(|paragraph| paragraph.trim().trim_start_matches("error: "))
        .take_while(|paragraph| !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information"))
        .collect();
    let variable = match (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue)) {
        (Some(ContextValue::String(argument)), Some(ContextValue::String(value))) => argument
            .split_whitespace()
            .next()
            .and_then(|argument| config::source_of(argument, value)),
        _ => None,
    };
    let from = variable.map_or_else(String::new, |name| format!(" (from {name})"));
    Failure::new(Exit::Usage, format!("{}{from}; see --help", said.join("; ")))
}
