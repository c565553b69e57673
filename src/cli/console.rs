//! What a command writes: to a person on a terminal, or to a pipe that may be closed at any time.

use std::io::{self, Write};
use std::time::Duration;

use super::failure::one_line;
use super::{Exit, Failure};
use crate::clock::{Boot, Clock};
use crate::config::ColourArg;

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

    pub fn progress(&mut self) -> Progress<'_> {
        let to = self.progress.as_deref_mut().map(|to| to as &mut dyn Write);
        Progress::new(to, self.clock.clone())
    }
}

/// A table, written in one or several parts. The text is the same on a terminal and in a pipe, except for colour.
#[derive(Debug)]
pub struct Table {
    headings: &'static [&'static str],
    /// Of its columns; none before the first part.
    widths: Option<Vec<usize>>,
}

impl Table {
    pub fn new(headings: &'static [&'static str]) -> Table {
        Table { headings, widths: None }
    }

    /// More rows, with the heading above the first part. A column is as wide as its widest cell so far.
    pub fn part(&mut self, rows: &[Vec<String>], colour: bool) -> String {
        let clean = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
        let begun = self.widths.is_some();
        let own = || self.headings.iter().map(|heading| heading.len()).collect();
        let widths = self.widths.get_or_insert_with(own);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        if !begun {
            let heading = line(self.headings.iter().copied(), widths);
            text = match colour {
                true => format!("\x1b[1m{heading}\x1b[0m\n"),
                false => heading + "\n",
            };
        }
        for row in &rows {
            text.push_str(&line(row.iter().map(String::as_str), widths));
            text.push('\n');
        }
        text
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let padded: Vec<String> = cells
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    padded.join("  ").trim_end().to_owned()
}

/// One line on a terminal that is overwritten; shown once something takes longer than a second.
pub struct Progress<'a> {
    to: Option<&'a mut dyn Write>,
    clock: Clock,
    next: Boot,
    shown: bool,
}

impl<'a> Progress<'a> {
    /// `to` is a terminal.
    pub fn new(to: Option<&'a mut dyn Write>, clock: Clock) -> Progress<'a> {
        let next = clock.boot() + PROGRESS_AFTER;
        Progress {
            to,
            clock,
            next,
            shown: false,
        }
    }

    pub fn show(&mut self, text: impl FnOnce() -> String) {
        let Some(to) = &mut self.to else { return };
        let now = self.clock.boot();
        if now < self.next {
            return;
        }
        self.next = now + PROGRESS_EVERY;
        self.shown = true;
        // The terminal may be gone.
        let _ = write!(to, "\r\x1b[K{}", text()).and_then(|()| to.flush());
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let (true, Some(to)) = (self.shown, &mut self.to) {
            let _ = write!(to, "\r\x1b[K").and_then(|()| to.flush());
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
    fn a_table_in_parts_has_one_heading_and_columns_that_only_widen() {
        let mut table = Table::new(&["NAME", "IS"]);
        let row = |name: &str| vec![vec![name.to_owned(), "x".to_owned()]];
        assert_eq!(table.part(&row("rg-0"), false), "NAME  IS\nrg-0  x\n");
        assert_eq!(table.part(&row("rg-1000"), false), "rg-1000  x\n");
        assert_eq!(table.part(&row("rg-1"), false), "rg-1     x\n");
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
            clock: clock.clone(),
        };
        let mut progress = console.progress();
        progress.show(|| "soon".into());
        clock.set(crate::clock::Now {
            boot: Boot(1_000_000_000),
            ..now
        });
        progress.show(|| "late".into());
        drop(progress);
        assert_eq!(String::from_utf8(error).unwrap(), "\r\x1b[Klate\r\x1b[K");
    }
}
