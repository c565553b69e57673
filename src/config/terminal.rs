//! Whether standard output and standard error are terminals, and want colour.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};

/// Whether `--color` asks for colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColourArg {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}

/// How to write to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Escape sequences for colour are understood and wanted (<https://no-color.org>).
    pub colour: bool,
    /// A person may be reading.
    pub interactive: bool,
    /// A line can be written over: show progress.
    pub overwrites: bool,
}

impl Terminal {
    pub fn stdout() -> Terminal {
        Terminal::of(&io::stdout())
    }

    pub fn stderr() -> Terminal {
        Terminal::of(&io::stderr())
    }

    /// With `--color`, which overrides the environment.
    pub fn with_colour(self, argument: ColourArg) -> Terminal {
        let colour = match argument {
            ColourArg::Auto => self.colour,
            ColourArg::Always => true,
            ColourArg::Never => false,
        };
        Terminal { colour, ..self }
    }

    fn of(stream: &impl IsTerminal) -> Terminal {
        let set = |name| super::variable(name).unwrap_or_default();
        Terminal::new(stream.is_terminal(), &set("NO_COLOR"), &set("TERM"))
    }

    fn new(is_terminal: bool, no_color: &OsStr, term: &OsStr) -> Terminal {
        let overwrites = is_terminal && term != "dumb";
        Terminal {
            colour: overwrites && no_color.is_empty(),
            interactive: is_terminal,
            overwrites,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumb_terminal_has_a_reader_and_no_line_that_is_written_over() {
        let terminal = |term| Terminal::new(true, OsStr::new(""), OsStr::new(term));
        assert!(terminal("dumb").interactive && !terminal("dumb").overwrites);
        assert!(terminal("xterm").overwrites);
    }

    #[test]
    fn colour_needs_a_terminal_that_understands_it_and_nobody_who_declines() {
        let colour = |is_terminal, no_color: &str, term: &str| {
            Terminal::new(is_terminal, OsStr::new(no_color), OsStr::new(term)).colour
        };
        assert!(colour(true, "", "xterm"));
        assert!(!colour(true, "1", "xterm"));
        assert!(!colour(true, "", "dumb"));
        assert!(!colour(false, "", "xterm"));
        let declined = Terminal::new(true, OsStr::new("1"), OsStr::new("xterm"));
        assert!(declined.with_colour(ColourArg::Always).colour);
        assert!(
            !Terminal::new(true, OsStr::new(""), OsStr::new("xterm"))
                .with_colour(ColourArg::Never)
                .colour
        );
        assert!(!declined.with_colour(ColourArg::Auto).colour);
    }
}
