//! How each kind of value is written, in each format.

use std::fmt::Write;

use axum::response::Response;
use serde::Serialize;
use uuid::Uuid;

use crate::server::format::{Format, Values, respond, respond_json};

/// One value in a response.
pub trait Value: Serialize + Send {
    /// Without a line's end.
    fn text(&self, text: &mut String);

    /// For the paths that have bytes.
    fn bytes(&self, bytes: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        /// As text the shortest decimal that reads back as the same number.
        impl Value for $number {
            fn text(&self, text: &mut String) {
                // Writing to a String does not fail.
                let _ = write!(text, "{self:?}");
            }

            fn bytes(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_be_bytes());
            }
        }
    )+};
}

numbers!(i32, i64, f64);

/// Without control characters, so that a line of text is one value.
impl Value for String {
    fn text(&self, text: &mut String) {
        text.push_str(self);
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.as_bytes());
    }
}

impl Value for Uuid {
    fn text(&self, text: &mut String) {
        let _ = write!(text, "{self}");
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.as_bytes());
    }
}

/// Writes one value a line.
pub(in crate::http) fn lines<V: Value>(values: &[V]) -> String {
    let mut text = String::with_capacity(values.len() * 24);
    for value in values {
        value.text(&mut text);
        text.push('\n');
    }
    text
}

pub(in crate::http) fn response<V: Value>(format: Format, values: Vec<V>) -> Response {
    match format {
        Format::Json | Format::JsonLines => respond_json(&Values { values }),
        Format::Text => respond(format, lines(&values)),
        Format::Bytes => {
            let mut bytes = Vec::with_capacity(values.len() * 8);
            for value in &values {
                value.bytes(&mut bytes);
            }
            respond(format, bytes)
        }
    }
}
