//! A request to members: one path, in batches that fit in one answer.

use bytes::Bytes;

/// Values and bytes in one answer of a member, at most.
pub(super) const VALUES: u64 = 10_000;
const BYTES: u64 = 1 << 20;
pub(super) const IDS: u64 = 1_000;
/// Strings are longer than numbers: about this many bytes fit in one answer.
pub(super) const TEXT_BYTES: u64 = 4 << 20;

pub(super) const INTEGERS: Shape = Shape::Lines {
    valid: |line| line.parse::<i64>().is_ok(),
    quoted: false,
};

pub(super) const DECIMALS: Shape = Shape::Lines {
    valid: |line| line.parse::<f64>().is_ok_and(f64::is_finite),
    quoted: false,
};

pub(super) const TEXTS: Shape = Shape::Lines {
    valid: |_| true,
    quoted: true,
};

/// JavaScript rounds numbers above 2^53.
pub(super) const NUMBERS_AS_TEXT: Shape = Shape::Lines {
    valid: |line| line.parse::<u64>().is_ok(),
    quoted: true,
};

/// A request that may need several answers. Batches are independent: each may come from another member.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Path and query without the count.
    pub(super) path: String,
    /// Number of values (bytes for [`Shape::Bytes`]), at least 1.
    pub(super) total: u64,
    /// Number of them in one answer, at least 1.
    pub(super) batch: u64,
    part: Part,
    pub(super) shape: Shape,
}

/// How a path selects one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// By `count`.
    Count,
    /// By `count`, and the position of the first as `from`: without it every answer would be the same.
    Place,
    /// There is only one batch.
    Whole,
}

/// What an answer is made of, and what a value must look like: the URL may be of some other server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Bytes,
    /// One value a line.
    Lines {
        valid: fn(&str) -> bool,
        /// In JSON the values are strings.
        quoted: bool,
    },
    /// One JSON object, written as it is.
    Object,
}

impl Plan {
    /// A path with the parameters that were given.
    pub(super) fn new(path: &str, query: &[(&str, Option<String>)], total: u64, batch: u64, shape: Shape) -> Plan {
        let given = query
            .iter()
            .filter_map(|(name, value)| Some(parameter(name, value.as_deref()?)));
        let query = given.collect::<Vec<_>>().join("&");
        Plan {
            path: if query.is_empty() {
                path.to_owned()
            } else {
                format!("{path}?{query}")
            },
            total,
            batch,
            part: Part::Count,
            shape,
        }
    }

    pub(super) fn bytes(total: u64) -> Plan {
        Plan::new("/bytes", &[], total, BYTES, Shape::Bytes)
    }

    /// The path itself decides the number of values.
    pub(super) fn whole(mut self) -> Plan {
        self.part = Part::Whole;
        self
    }

    /// The path gives the same values each time, from the position that is asked for.
    pub(super) fn by_place(mut self) -> Plan {
        self.part = Part::Place;
        self
    }

    pub(super) fn batches(&self) -> u64 {
        self.total.div_ceil(self.batch)
    }

    /// Values of batch `number`, from 0 on.
    pub(super) fn size(&self, number: u64) -> u64 {
        self.batch.min(self.total - number * self.batch)
    }

    /// Path and query of batch `number`.
    pub(super) fn uri(&self, number: u64) -> String {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        let count = self.size(number);
        match self.part {
            Part::Whole => self.path.clone(),
            Part::Place if number > 0 => format!("{}{joint}from={}&count={count}", self.path, number * self.batch),
            Part::Count | Part::Place => format!("{}{joint}count={count}", self.path),
        }
    }

    pub(super) fn accept(&self) -> &'static str {
        match self.shape {
            Shape::Bytes => "application/octet-stream",
            Shape::Lines { .. } => "text/plain",
            Shape::Object => "application/json",
        }
    }

    /// Checks that `body` is all of batch `number`.
    pub(super) fn check(&self, number: u64, body: &Bytes) -> Result<(), String> {
        let expected = self.size(number);
        let found = match self.shape {
            Shape::Bytes => body.len() as u64,
            Shape::Object => {
                let object: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(body);
                object.map(|_| expected).map_err(|error| error.to_string())?
            }
            Shape::Lines { valid, .. } => {
                let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
                let Some(text) = text.strip_suffix('\n') else {
                    return Err("its last line is cut off".into());
                };
                let mut lines = 0;
                for line in text.split('\n') {
                    // Control characters would reach the user's terminal.
                    if line.chars().any(char::is_control) || !valid(line) {
                        let line: String = line.chars().take(40).collect();
                        return Err(format!("{line:?} is not a value of this kind"));
                    }
                    lines += 1;
                }
                lines
            }
        };
        if found == expected {
            return Ok(());
        }
        Err(format!("it has {found} values instead of {expected}"))
    }
}

/// A query parameter, percent-encoded.
fn parameter(name: &str, value: &str) -> String {
    let mut text = format!("{name}=");
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(total: u64, batch: u64) -> Plan {
        Plan::new("/integers", &[("min", Some("1".into()))], total, batch, INTEGERS)
    }

    #[test]
    fn batches_add_up_to_the_request() {
        for (total, batch, expected) in [(1, 10, vec![1]), (10, 10, vec![10]), (25, 10, vec![10, 10, 5])] {
            let plan = plan(total, batch);
            let sizes: Vec<u64> = (0..plan.batches()).map(|number| plan.size(number)).collect();
            assert_eq!(sizes, expected);
        }
        assert_eq!(plan(25, 10).uri(2), "/integers?min=1&count=5");
    }

    #[test]
    fn an_answer_that_does_not_fit_the_request_is_refused() {
        let plan = plan(2, 10);
        let check = |body: &'static str| plan.check(0, &Bytes::from(body)).is_ok();
        assert!(check("1\n-2\n"));
        for body in [
            "",
            "\n",
            "1\n",
            "1\n2",
            "1\n2\n3\n",
            "1\n\n",
            "1\n2\n\n",
            "1\nx\n",
            "1\n\x1b[2J\n",
        ] {
            assert!(!check(body), "{body:?} was taken");
        }
    }

    #[test]
    fn a_parameter_is_encoded() {
        assert_eq!(parameter("items", "a b,c&d=ü"), "items=a%20b,c%26d%3D%C3%BC");
    }
}
