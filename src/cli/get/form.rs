//! Formats the members' answers: unchanged, as hexadecimal, or as one JSON document in pieces.

use bytes::Bytes;

use super::plan::Shape;

/// How values are written. Pieces come in order, and only one is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Unchanged.
    Plain,
    /// Unchanged, with a line feed at the end.
    Line,
    /// Bytes, as lower-case hexadecimal on one line.
    Hex,
    /// `{"values":["…"]}`, all hexadecimal digits in one string, as members write it.
    JsonHex,
    /// `{"values":[…]}` of lines.
    Json { quoted: bool },
}

impl Form {
    pub(super) fn of(shape: Shape, hex: bool, json: bool) -> Form {
        match shape {
            Shape::Bytes if json => Form::JsonHex,
            Shape::Bytes if hex => Form::Hex,
            Shape::Lines { quoted, .. } if json => Form::Json { quoted },
            Shape::Bytes | Shape::Lines { .. } => Form::Plain,
            Shape::Object => Form::Line,
        }
    }

    /// Whether the output is text.
    pub(super) fn is_text(self, shape: Shape) -> bool {
        !matches!(shape, Shape::Bytes) || self != Form::Plain
    }

    pub(super) fn begin(self) -> &'static str {
        match self {
            Form::Plain | Form::Line | Form::Hex => "",
            Form::JsonHex => "{\"values\":[\"",
            Form::Json { .. } => "{\"values\":[",
        }
    }

    pub(super) fn end(self) -> &'static str {
        match self {
            Form::Plain => "",
            Form::Line | Form::Hex => "\n",
            Form::JsonHex => "\"]}\n",
            Form::Json { .. } => "]}\n",
        }
    }

    /// `piece` holds whole values that were checked.
    pub(super) fn piece(self, piece: Bytes, first: bool) -> Bytes {
        match self {
            Form::Plain | Form::Line => piece,
            Form::Hex | Form::JsonHex => hex::encode(&piece).into(),
            Form::Json { quoted } => {
                let lines = String::from_utf8_lossy(&piece);
                let mut text = String::with_capacity(piece.len() * 2);
                for (number, line) in lines.lines().enumerate() {
                    if number > 0 || !first {
                        text.push(',');
                    }
                    match quoted {
                        true => text.push_str(&serde_json::Value::from(line).to_string()),
                        false => text.push_str(line),
                    }
                }
                text.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(form: Form, pieces: &[&'static str]) -> String {
        let mut text = form.begin().to_owned();
        for (number, piece) in pieces.iter().enumerate() {
            text += std::str::from_utf8(&form.piece(Bytes::from(*piece), number == 0)).unwrap();
        }
        text + form.end()
    }

    #[test]
    fn pieces_are_one_document() {
        let json = |quoted| whole(Form::Json { quoted }, &["1\n2\n", "3\n"]);
        assert_eq!(json(false), "{\"values\":[1,2,3]}\n");
        assert_eq!(json(true), "{\"values\":[\"1\",\"2\",\"3\"]}\n");
        assert_eq!(
            whole(Form::JsonHex, &["\x01\x02", "\x03"]),
            "{\"values\":[\"010203\"]}\n"
        );
        assert_eq!(whole(Form::Hex, &["\x01", "\x7f"]), "017f\n");
        assert_eq!(whole(Form::Plain, &["1\n2\n", "3\n"]), "1\n2\n3\n");
        assert_eq!(
            whole(Form::Json { quoted: true }, &["a\"b\n"]),
            "{\"values\":[\"a\\\"b\"]}\n"
        );
    }
}
