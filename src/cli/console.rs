//! What a command writes: to a person on a terminal, or to a pipe that may be closed at any time.

use std::io::{self, Write};
use std::time::Duration;

use super::{Exit, Failure};
use crate::clock::{Boot, Clock};
use crate::config::ColourArg;
use crate::table::Table;

const PROGRESS_AFTER: Duration = Duration::from_secs(1);
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// clap's argument for the commands that write tables.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Colour {
    /// When to colour table headings; by default on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    pub color: ColourArg,
}

/// Where a command writes. `progress` is standard error when that is a terminal.
pub struct Console<'a> {
    pub out: &'a mut dyn Write,
    pub progress: Option<&'a mut dyn Write>,
    /// Whether escape sequences are supported and wanted.
    pub colour: bool,
    /// Whether `out` is a terminal on which a screen can be written over.
    pub overwrites: bool,
    pub clock: Clock,
}

impl Console<'_> {
    /// Writes and flushes. False when the reader is gone (`| head`), which is not an error: the command ends.
    ///
    /// # Errors
    /// I/O: anything but a closed pipe.
    pub fn put(&mut self, text: &str) -> Result<bool, Failure> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::new(Exit::Io, format!("standard output: {error}"))),
        }
    }

    /// A whole table.
    pub fn table(&self, headings: &'static [&'static str], rows: &[Vec<String>]) -> String {
        Table::new(headings).part(rows, self.colour)
    }

    /// One of several screens: it takes the place of the one before, or follows below it where nothing can be written over.
    pub fn put_screen(&mut self, text: &str) -> Result<bool, Failure> {
        let screen = match self.overwrites {
            // From the top left corner, each line to its end, and nothing left below.
            true => format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")),
            false => format!("{text}\n"),
        };
        self.put(&screen)
    }

    pub fn progress(&mut self) -> Progress<'_> {
        let to = self.progress.as_deref_mut().map(|to| to as &mut dyn Write);
        Progress::new(to, self.clock.clone())
    }
}

/// One line on a terminal that is overwritten; shown once something takes longer than a second. Spaces erase it: unlike an escape
/// sequence, every terminal understands them.
pub struct Progress<'a> {
    to: Option<&'a mut dyn Write>,
    clock: Clock,
    next: Boot,
    /// How many characters there are to erase.
    width: usize,
}

impl<'a> Progress<'a> {
    /// `to` is a terminal.
    pub fn new(to: Option<&'a mut dyn Write>, clock: Clock) -> Progress<'a> {
        let next = clock.boot() + PROGRESS_AFTER;
        Progress {
            to,
            clock,
            next,
            width: 0,
        }
    }

    pub fn show(&mut self, text: impl FnOnce() -> String) {
        let Some(to) = &mut self.to else { return };
        let now = self.clock.boot();
        if now < self.next {
            return;
        }
        self.next = now + PROGRESS_EVERY;
        let text = text();
        let before = self.width;
        self.width = text.chars().count();
        // The terminal may be gone.
        let _ = write!(to, "\r{text:before$}").and_then(|()| to.flush());
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let (width @ 1.., Some(to)) = (self.width, &mut self.to) {
            let _ = write!(to, "\r{:width$}\r", "").and_then(|()| to.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(out: &mut dyn Write, colour: bool) -> Console<'_> {
        Console {
            out,
            progress: None,
            colour,
            overwrites: false,
            clock: Clock::system(),
        }
    }

    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_table_is_aligned_and_lets_no_control_characters_through() {
        let rows = [
            vec!["rg-0".into(), "a\x1b[31m\nb".into()],
            vec!["rg-10".into(), "x".into()],
        ];
        let mut out = Vec::new();
        let plain = console(&mut out, false).table(&["NAME", "IS"], &rows);
        assert_eq!(plain, "NAME   IS\nrg-0   a [31m b\nrg-10  x\n");
        let mut out = Vec::new();
        let coloured = console(&mut out, true).table(&["NAME", "IS"], &rows);
        assert_eq!(coloured, plain.replacen("NAME   IS", "\x1b[1mNAME   IS\x1b[0m", 1));
    }

    #[test]
    fn a_closed_pipe_ends_a_command_quietly_and_a_full_disk_does_not() {
        assert_eq!(
            console(&mut Closed(io::ErrorKind::BrokenPipe), false).put("x"),
            Ok(false)
        );
        let failure = console(&mut Closed(io::ErrorKind::StorageFull), false)
            .put("x")
            .unwrap_err();
        assert_eq!(failure.exit, Exit::Io);
    }

    #[test]
    fn a_screen_takes_the_place_of_the_one_before_only_where_that_can_be_written_over() {
        for (overwrites, written) in [
            (true, "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J\x1b[Hc\x1b[K\n\x1b[J"),
            (false, "a\nb\n\nc\n\n"),
        ] {
            let mut out = Vec::new();
            let mut console = console(&mut out, false);
            console.overwrites = overwrites;
            assert_eq!(console.put_screen("a\nb\n"), Ok(true));
            assert_eq!(console.put_screen("c\n"), Ok(true));
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }

    #[test]
    fn progress_is_shown_only_for_what_takes_longer_than_a_second() {
        let now = crate::clock::Now {
            boot: Boot(0),
            wall: crate::clock::Wall(0),
        };
        let (mut out, mut error) = (Vec::new(), Vec::new());
        let clock = Clock::held(now);
        let mut console = Console {
            out: &mut out,
            progress: Some(&mut error),
            colour: false,
            overwrites: false,
            clock: clock.clone(),
        };
        let mut progress = console.progress();
        progress.show(|| "soon".into());
        clock.set(crate::clock::Now {
            boot: Boot(1_000_000_000),
            ..now
        });
        progress.show(|| "late".into());
        clock.set(crate::clock::Now {
            boot: Boot(2_000_000_000),
            ..now
        });
        progress.show(|| "end".into());
        drop(progress);
        assert_eq!(String::from_utf8(error).unwrap(), "\rlate\rend \r   \r");
    }
}
