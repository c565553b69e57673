//! How each kind of value is written, in each format.

use std::fmt::Write;

use axum::response::Response;
use uuid::Uuid;

use crate::server::format::{Format, fresh, json_values};

/// One value in a response. Writing to a String does not fail.
pub trait Value: Send {
    fn json(&self, text: &mut String);

    /// Without a line's end.
    fn text(&self, text: &mut String) {
        self.json(text);
    }

    /// For the formats with bytes.
    fn bytes(&self, bytes: &mut Vec<u8>);
}

impl Value for i32 {
    fn json(&self, text: &mut String) {
        let _ = write!(text, "{self}");
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }
}

impl Value for i64 {
    fn json(&self, text: &mut String) {
        let _ = write!(text, "{self}");
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }
}

/// Finite; the shortest decimal that reads back as the same number.
impl Value for f64 {
    fn json(&self, text: &mut String) {
        let _ = write!(text, "{self:?}");
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }
}

/// Without control characters, so that a line of text is one value.
impl Value for String {
    fn json(&self, text: &mut String) {
        // Any text is JSON.
        text.push_str(&serde_json::to_string(self).unwrap_or_default());
    }

    fn text(&self, text: &mut String) {
        text.push_str(self);
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl Value for Uuid {
    fn json(&self, text: &mut String) {
        let _ = write!(text, "\"{self}\"");
    }

    fn text(&self, text: &mut String) {
        let _ = write!(text, "{self}");
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

pub(super) fn response<V: Value>(format: Format, values: &[V]) -> Response {
    match format {
        Format::Json | Format::JsonLines => fresh(format, json_values(values, |text, value| value.json(text))),
        Format::Text => {
            let mut text = String::with_capacity(values.len() * 24);
            for value in values {
                value.text(&mut text);
                text.push('\n');
            }
            fresh(format, text)
        }
        Format::Bytes => {
            let mut bytes = Vec::with_capacity(values.len() * 8);
            for value in values {
                value.bytes(&mut bytes);
            }
            fresh(format, bytes)
        }
    }
}
