//! What every store has in common: our two annotations of a Lease, and how its times are written.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Map, Value};

use super::Head;
use crate::record::Record;

const FENCE: &str = "random-generator/fence";
const RECORD: &str = "random-generator/record";

/// Takes ours out of an object's annotations. A fence that is no number counts as none; a damaged record says so.
pub(super) fn take(annotations: &mut Map<String, Value>) -> (u64, Head) {
    let fence = annotations.remove(FENCE);
    let head = match annotations.remove(RECORD) {
        None | Some(Value::Null) => Head::Absent,
        Some(Value::String(text)) => match Record::parse(&text) {
            Ok(record) => Head::Record(Arc::new(record)),
            Err(_) => Head::Invalid(text.into()),
        },
        Some(other) => Head::Invalid(other.to_string().into()),
    };
    let fence = fence
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    (fence.unwrap_or(0), head)
}

/// Puts ours beside those of others.
pub(super) fn put(annotations: &mut Map<String, Value>, fence: u64, head: &Head) {
    annotations.insert(FENCE.to_owned(), Value::from(fence.to_string()));
    match head {
        Head::Absent => annotations.remove(RECORD),
        Head::Invalid(text) => annotations.insert(RECORD.to_owned(), Value::from(&**text)),
        Head::Record(record) => annotations.insert(RECORD.to_owned(), Value::from(record.canonical())),
    };
}

/// MicroTime of Kubernetes: RFC 3339 in UTC with exactly six digits.
pub(super) fn micro_time(time: Timestamp) -> String {
    DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&time)
}
