//! Why a command failed: an exit code, and the one line that goes with it.

use std::io::{self, Write};

use crate::exit::Exit;
pub(super) use crate::table::one_line;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What was wrong, what is allowed, what to do: one line.
    pub line: String,
}

impl Failure {
    pub fn new(exit: Exit, reason: impl ToString) -> Failure {
        Failure {
            exit,
            line: one_line(&reason.to_string()),
        }
    }

    /// Writes the line to standard error.
    pub(super) fn report(&self) {
        note(&self.line);
    }
}

/// Writes one line to standard error.
pub(super) fn note(line: &str) {
    // With standard error closed nobody would read it.
    let _ = writeln!(io::stderr().lock(), "random-generator: {}", one_line(line));
}
