//! Server-sent events (WHATWG HTML, 9.2), as members send them: read piece by piece, every line bounded.

use crate::record::MAX_TEXT;

/// The longest line of a member has a record.
const MAX_LINE: usize = MAX_TEXT + 64;

/// One event. Fields that were not sent are empty, as the standard has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) data: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventError {
    #[error("a line is longer than any event's")]
    TooLong,
    #[error("a line is not UTF-8")]
    NotText,
}

/// The part of a stream that is not a whole event yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    event: Event,
    any: bool,
    /// The last byte was a carriage return: a line feed after it belongs to the same line end.
    returned: bool,
}

impl Parser {
    /// Takes the next piece, and returns the events that it completes.
    ///
    /// # Errors
    /// It is not a stream of events; parsing can't continue.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>, EventError> {
        let mut events = Vec::new();
        for byte in piece {
            match byte {
                b'\n' if self.returned => self.returned = false,
                b'\n' | b'\r' => {
                    self.returned = *byte == b'\r';
                    events.extend(self.end_line()?);
                }
                other => {
                    self.returned = false;
                    if self.line.len() >= MAX_LINE {
                        return Err(EventError::TooLong);
                    }
                    self.line.push(*other);
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<Event>, EventError> {
        let bytes = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&bytes).map_err(|_| EventError::NotText)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.any).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                if self.event.data.len() + value.len() > MAX_LINE {
                    return Err(EventError::TooLong);
                }
                self.event.data.push_str(value);
            }
            // A comment, or an unknown field.
            _ => return Ok(None),
        }
        self.any = true;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, kind: &str, data: &str) -> Event {
        Event {
            id: id.into(),
            kind: kind.into(),
            data: data.into(),
        }
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_cut_and_its_lines_end() {
        let stream =
            ": hello\n\nid: 7\nevent: draw\ndata: {\"a\":1}\n\n:\n\nid:8\ndata: x\ndata: y\nretry: 5\n\nid: 9\n";
        let expected = [event("7", "draw", "{\"a\":1}"), event("8", "", "x\ny")];
        for ends in ["\n", "\r\n", "\r"] {
            let stream = stream.replace('\n', ends);
            for size in 1..stream.len() {
                let mut parser = Parser::default();
                let pieces = stream.as_bytes().chunks(size);
                let events: Vec<Event> = pieces.flat_map(|piece| parser.push(piece).unwrap()).collect();
                assert_eq!(events, expected, "{ends:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_line_without_end_and_one_that_is_no_text_end_the_stream() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; MAX_LINE + 1]), Err(EventError::TooLong));
        assert_eq!(Parser::default().push(b"data: \xff\n"), Err(EventError::NotText));
        let mut parser = Parser::default();
        let data = format!("data: {}\n", "x".repeat(MAX_LINE - 10));
        assert!(parser.push(data.as_bytes()).is_ok());
        assert_eq!(parser.push(data.as_bytes()), Err(EventError::TooLong));
    }
}
