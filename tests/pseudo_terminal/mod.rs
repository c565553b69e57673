//! Commands on a terminal of their own.

use std::process::{Command, Stdio};

use crate::harness::{Ended, run_command};

/// Runs a command line on a terminal that script(1) makes, with these variables. `stdout` is what the terminal shows.
pub fn run_on_terminal(command: &str, variables: &[(&str, &str)]) -> Ended {
    let mut script = Command::new("script");
    script.env_remove("NO_COLOR").envs(variables.iter().copied());
    script.args(["--quiet", "--return", "--command", command, "/dev/null"]);
    run_command(script.stdin(Stdio::null()))
}
