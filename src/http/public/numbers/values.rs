//! How each kind of value is written, in each format.

use std::io::Write;

use serde::Serialize;
use uuid::Uuid;

use crate::server::budget::PART;
use crate::server::format::Format;
use crate::server::parts::More;

const OPEN: &[u8] = b"{\"values\":[";
const COMMA: u8 = b',';
const CLOSE: &[u8] = b"]}";

/// One value in a response.
pub trait Value: Serialize + Send {
    /// Without a line's end.
    fn text(&self, text: &mut Vec<u8>);

    /// It writes to memory, which does not fail.
    fn json(&self, json: &mut Vec<u8>) {
        let _ = serde_json::to_writer(json, self);
    }

    /// For the paths that have bytes.
    fn bytes(&self, bytes: &mut Vec<u8>);

    /// The length of every value in this format, if it is the same.
    fn length(_: Format) -> Option<u64> {
        None
    }
}

/// A value whose text has a maximum length.
pub trait Bounded: Value {
    /// Bytes in text or JSON, quotes included.
    const LONGEST: usize;
}

macro_rules! numbers {
    ($($number:ty: $longest:literal, $text:expr, $json:expr);+) => {$(
        impl Value for $number {
            fn text(&self, text: &mut Vec<u8>) {
                let write: fn(&mut Vec<u8>, $number) = $text;
                write(text, *self);
            }

            fn json(&self, json: &mut Vec<u8>) {
                let write: fn(&mut Vec<u8>, $number) = $json;
                write(json, *self);
            }

            fn bytes(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_be_bytes());
            }

            fn length(format: Format) -> Option<u64> {
                (format == Format::Bytes).then_some(size_of::<$number>() as u64)
            }
        }

        impl Bounded for $number {
            const LONGEST: usize = $longest;
        }
    )+};
}

numbers! {
    i32: 11, whole, whole;
    i64: 20, whole, whole;
    // The shortest decimal that reads back as the same number. Writing to memory does not fail.
    f64: 24, |text, number| _ = write!(text, "{number:?}"), |json, number| _ = serde_json::to_writer(json, &number)
}

#[inline]
fn whole<T: Into<i64>>(text: &mut Vec<u8>, number: T) {
    let number = number.into();
    match u16::try_from(number) {
        Ok(few @ ..10_000) => four_digits(text, few),
        _ => _ = serde_json::to_writer(text, &number),
    }
}

/// Two digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Always appends four bytes: the digits without leading zeros, then zero bytes to fill up, which it cuts off. So it needs neither a
/// loop nor a branch.
#[inline]
fn four_digits(text: &mut Vec<u8>, number: u16) {
    let [a, b] = PAIRS[usize::from(number / 100) % 100];
    let [c, d] = PAIRS[usize::from(number % 100)];
    let unused = usize::from(number < 10) + usize::from(number < 100) + usize::from(number < 1_000);
    let digits = u32::from_be_bytes([a, b, c, d]) << (8 * unused);
    text.extend_from_slice(&digits.to_be_bytes());
    text.truncate(text.len() - unused);
}

/// Without control characters, so that a line of text is one value.
impl Value for String {
    fn text(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(self.as_bytes());
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl Value for Uuid {
    fn text(&self, text: &mut Vec<u8>) {
        let _ = write!(text, "{self}");
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }

    fn length(format: Format) -> Option<u64> {
        Some(match format {
            Format::Bytes => 16,
            Format::Text => 36,
            Format::Json | Format::JsonLines => 38,
        })
    }
}

impl Bounded for Uuid {
    const LONGEST: usize = 38;
}

/// Writes one value a line.
pub(in crate::http) fn lines<V: Value>(values: &[V]) -> Vec<u8> {
    let mut text = Vec::with_capacity(values.len() * 24);
    for value in values {
        value.text(&mut text);
        text.push(b'\n');
    }
    text
}

/// Writes the values of one answer, a part at a time.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    /// Bytes of the longest value.
    longest: usize,
    count: usize,
    written: usize,
}

impl Writer {
    pub fn new(format: Format, longest: usize, count: usize) -> Writer {
        Writer {
            format,
            longest,
            count,
            written: 0,
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the whole answer, at most.
    pub fn most(&self) -> usize {
        self.count * (self.longest + 1) + OPEN.len() + CLOSE.len()
    }

    /// Bytes of the whole answer, if that can be known.
    pub fn length<V: Value>(&self) -> Option<u64> {
        let (each, count) = (V::length(self.format)?, self.count as u64);
        Some(match self.format {
            Format::Bytes => each * count,
            Format::Text => (each + 1) * count,
            Format::Json | Format::JsonLines => (each + 1) * count - 1 + (OPEN.len() + CLOSE.len()) as u64,
        })
    }

    /// Appends the next part, each of its values from `next`.
    pub fn write<V: Value>(&mut self, part: &mut Vec<u8>, mut next: impl FnMut() -> V) -> More {
        let json = matches!(self.format, Format::Json | Format::JsonLines);
        if json && self.written == 0 {
            part.extend_from_slice(OPEN);
        }
        while self.written < self.count {
            // With what may stand beside it.
            if !part.is_empty() && part.len() + self.longest + CLOSE.len() + 1 > PART {
                return More::Yes;
            }
            let value = next();
            match self.format {
                Format::Bytes => value.bytes(part),
                Format::Text => {
                    value.text(part);
                    part.push(b'\n');
                }
                Format::Json | Format::JsonLines => {
                    value.json(part);
                    part.push(COMMA);
                }
            }
            self.written += 1;
        }
        if json {
            if self.count > 0 {
                // What stands after the last one.
                part.pop();
            }
            part.extend_from_slice(CLOSE);
        }
        More::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::format::Values;

    #[test]
    fn whole_numbers_are_written_as_a_formatter_writes_them() {
        let long = [i64::MIN, i64::from(i32::MIN), -1, 10_000, 65_535, 65_536, i64::MAX];
        for number in (-20_000..20_000).chain(long) {
            let mut text = b"before ".to_vec();
            number.text(&mut text);
            assert_eq!(text, format!("before {number}").into_bytes());
        }
    }

    fn written<V: Value + Clone>(format: Format, longest: usize, values: &[V]) -> (Vec<Vec<u8>>, Option<u64>) {
        let mut writer = Writer::new(format, longest, values.len());
        let length = writer.length::<V>();
        let most = writer.most();
        let (mut rest, mut parts) = (values.iter().cloned(), Vec::new());
        loop {
            let mut part = Vec::new();
            let more = writer.write(&mut part, || rest.next().unwrap());
            assert!(!part.is_empty() && part.len() <= PART);
            parts.push(part);
            if more == More::No {
                assert!(parts.concat().len() <= most);
                return (parts, length);
            }
        }
    }

    fn check<V: Value + Clone>(longest: usize, values: Vec<V>) {
        let count = values.len();
        let (json, length) = written(Format::Json, longest, &values);
        let whole = serde_json::to_vec(&Values { values: values.clone() }).unwrap();
        assert_eq!(json.concat(), whole);
        assert!(length.is_none_or(|length| length == whole.len() as u64));
        let (text, length) = written(Format::Text, longest, &values);
        assert_eq!(text.concat(), lines(&values));
        assert!(length.is_none_or(|length| length == text.concat().len() as u64));
        let (bytes, length) = written(Format::Bytes, longest, &values);
        assert!(length.is_none_or(|length| length == bytes.concat().len() as u64));
        assert!(count < 9_000 || json.len() > 2, "{} parts", json.len());
    }

    #[test]
    fn the_parts_of_an_answer_are_the_answer_and_none_is_too_long() {
        for count in [1, 2, 9_999] {
            check(i64::LONGEST, vec![i64::MIN; count]);
            check(i32::LONGEST, vec![i32::MIN; count]);
            check(f64::LONGEST, vec![-2.2250738585072014e-308; count]);
            check(Uuid::LONGEST, vec![Uuid::max(); count]);
            check(2 + 4 * 8, vec!["\u{10ffff}\"\\".to_owned(); count]);
        }
    }
}
