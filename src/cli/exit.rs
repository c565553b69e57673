//! How a command ends: the exit code of sysexits(3), and the one line that goes with it.

use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Ended as asked.
    Done = 0,
    /// Arguments unknown, wrong or contradictory.
    Usage = 64,
    /// Data that doesn't verify.
    Data = 65,
    /// A bug: a part panicked.
    Bug = 70,
    /// A file, disk or socket failed.
    Io = 74,
    /// In use or not there yet; the same command may work later.
    TryAgain = 75,
    /// The volume or the configuration isn't this member's.
    Config = 78,
}

impl Exit {
    /// The one of this number, as a part's error names it. A number that is none of ours is a bug.
    pub fn from_code(code: u8) -> Exit {
        [
            Exit::Done,
            Exit::Usage,
            Exit::Data,
            Exit::Io,
            Exit::TryAgain,
            Exit::Config,
        ]
        .into_iter()
        .find(|exit| *exit as u8 == code)
        .unwrap_or(Exit::Bug)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command ended otherwise than asked.
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
    pub(super) fn tell(&self) {
        // With standard error closed there is nobody left to tell.
        let _ = writeln!(io::stderr().lock(), "random-generator: {}", self.line);
    }
}

/// Control characters would let text from a file or a peer write to the operator's terminal.
pub(super) fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}
