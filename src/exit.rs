//! The exit codes of a process, as in sysexits(3).

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success.
    Done = 0,
    /// Unknown, wrong or contradictory arguments.
    Usage = 64,
    /// Data that doesn't verify.
    Data = 65,
    /// A bug: a part panicked.
    Bug = 70,
    /// A file, disk or socket failed.
    Io = 74,
    /// In use or not there yet: the same command may work later.
    TryAgain = 75,
    /// The volume or the configuration isn't this member's.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
