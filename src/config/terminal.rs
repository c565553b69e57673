//! What stands at the other end of standard output and standard error.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};

/// How to write for whoever reads a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Escape sequences for colour are understood and wanted (<https://no-color.org>).
    pub colour: bool,
    /// A person reads along: tables and progress are of use.
    pub interactive: bool,
}

impl Terminal {
    pub fn stdout() -> Terminal {
        Terminal::of(&io::stdout())
    }

    pub fn stderr() -> Terminal {
        Terminal::of(&io::stderr())
    }

    fn of(stream: &impl IsTerminal) -> Terminal {
        let set = |name| super::variable(name).unwrap_or_default();
        Terminal::new(stream.is_terminal(), &set("NO_COLOR"), &set("TERM"))
    }

    fn new(is_terminal: bool, no_color: &OsStr, term: &OsStr) -> Terminal {
        Terminal {
            colour: is_terminal && no_color.is_empty() && term != "dumb",
            interactive: is_terminal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_that_understands_it_and_nobody_who_declines() {
        let colour = |is_terminal, no_color: &str, term: &str| {
            Terminal::new(is_terminal, OsStr::new(no_color), OsStr::new(term)).colour
        };
        assert!(colour(true, "", "xterm"));
        assert!(!colour(true, "1", "xterm"));
        assert!(!colour(true, "", "dumb"));
        assert!(!colour(false, "", "xterm"));
    }
}
