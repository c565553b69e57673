//! Reads a list in parts of whole lines, as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};

use crate::record::MAX_TEXT;

/// What one read takes. A part has at most this and one line.
const READ: usize = 64 * 1024;

/// What one read gave.
pub(super) enum Lines {
    /// Ends with a line feed, unless its last line is too long or the list ended there.
    Part(Vec<u8>),
    /// Only a piece of a line so far.
    Piece,
    End,
}

pub(super) struct Reader {
    input: BufReader<File>,
    /// The beginning of a line.
    piece: Vec<u8>,
}

impl Reader {
    pub(super) fn new(input: File) -> Reader {
        Reader {
            input: BufReader::with_capacity(READ, input),
            piece: Vec::new(),
        }
    }

    /// Whether the next read may wait for a writer: of a pipe or a terminal with nothing in it. Also at the end of a file.
    pub(super) fn may_wait(&self) -> bool {
        // What can't say how much there is has no writer.
        rustix::io::ioctl_fionread(self.input.get_ref()).is_ok_and(|bytes| bytes == 0)
    }

    /// Reads once.
    pub(super) fn read(&mut self) -> io::Result<Lines> {
        let bytes = match self.input.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Lines::Piece),
            Err(error) => return Err(error),
        };
        let ended = bytes.is_empty();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map(|last| last + 1);
        let (lines, rest) = bytes.split_at(whole.unwrap_or(0));
        let mut part = Vec::new();
        if whole.is_some() {
            part = std::mem::take(&mut self.piece);
            part.extend_from_slice(lines);
        }
        self.piece.extend_from_slice(rest);
        let read = bytes.len();
        self.input.consume(read);
        // A line beyond the limit is handed over as far as it was read, which is enough to refuse it.
        if part.is_empty() && (ended || self.piece.len() > MAX_TEXT + 1) {
            part = std::mem::take(&mut self.piece);
        }
        Ok(match part.is_empty() {
            false => Lines::Part(part),
            true if ended => Lines::End,
            true => Lines::Piece,
        })
    }
}
