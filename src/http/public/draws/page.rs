//! The records of one answer of `/draws`, written a part at a time: a chain may be long, and its reader slow.

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::draw::ledger::LedgerSnapshot;
use crate::record::Record;
use crate::server::budget::PART;
use crate::server::format::Format;
use crate::server::parts::More;

// What `PageWriter` writes in JSON. No docstring: that would be a part of the description.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Draws)]
pub struct Page {
    #[schema(value_type = Vec<Record>)]
    pub draws: Vec<Arc<Record>>,
    /// The round to continue from; null when there is none yet.
    #[schema(required)]
    pub next: Option<u64>,
}

pub(super) struct PageWriter {
    format: Format,
    ledger: Arc<LedgerSnapshot>,
    /// Places in the chain that are left.
    left: Range<usize>,
    next: Option<u64>,
    begun: bool,
}

impl PageWriter {
    pub fn new(format: Format, ledger: Arc<LedgerSnapshot>, shown: Range<usize>, next: Option<u64>) -> PageWriter {
        PageWriter {
            format,
            ledger,
            left: shown,
            next,
            begun: false,
        }
    }

    /// Appends the next records. A part has room for one more than it needs to be long enough.
    pub fn write(&mut self, part: &mut Vec<u8>) -> More {
        let json = self.format == Format::Json;
        let mut first = !std::mem::replace(&mut self.begun, true);
        if json && first {
            part.extend_from_slice(b"{\"draws\":[");
        }
        while part.len() < PART / 2 {
            let Some(record) = self.left.next().and_then(|place| self.ledger.recent.get(place)) else {
                if json {
                    let next = self.next.map_or("null".to_owned(), |next| next.to_string());
                    part.extend_from_slice(format!("],\"next\":{next}}}").as_bytes());
                }
                return More::No;
            };
            if json && !std::mem::take(&mut first) {
                part.push(b',');
            }
            // Texts and numbers, to memory: this does not fail.
            let _ = serde_json::to_writer(&mut *part, record);
            if !json {
                part.push(b'\n');
            }
        }
        More::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::ledger::Condition;
    use crate::draw::ledger::task::unopened;
    use crate::record::{Draft, Hex, Slot};

    #[test]
    fn the_parts_of_a_page_are_the_page_in_json_and_a_record_a_line_otherwise() {
        let records: Vec<Arc<Record>> = (1..=300).map(|round| Arc::new(record(round))).collect();
        let ledger = Arc::new(LedgerSnapshot {
            recent: records.clone().into(),
            ..unopened(Condition::Writable)
        });
        for (shown, next) in [(0..0, None), (3..4, Some(5)), (0..300, None)] {
            let parts = |format| {
                let mut writer = PageWriter::new(format, ledger.clone(), shown.clone(), next);
                let mut parts = Vec::new();
                loop {
                    let mut part = Vec::new();
                    let more = writer.write(&mut part);
                    parts.push(part);
                    if more == More::No {
                        return parts;
                    }
                }
            };
            let draws = records[shown.clone()].to_vec();
            let lines: String = draws.iter().map(|record| record.canonical() + "\n").collect();
            let json = parts(Format::Json);
            assert_eq!(json.concat(), serde_json::to_vec(&Page { draws, next }).unwrap());
            assert_eq!(json.len() > 4, shown.len() == 300);
            assert_eq!(parts(Format::JsonLines).concat(), lines.into_bytes());
        }
    }

    fn record(round: u64) -> Record {
        let draft = Draft {
            set: "rg".into(),
            chain: Hex([7; 16]),
            round,
            schedule: "@every 10s".into(),
            slot: Slot(10 * round as i64),
            missed: 0,
            holder: "rg-0_uid-nonce".into(),
            fence: 1,
            voters: 1.into(),
            previous: None,
            contributions: Vec::new(),
            missing: Vec::new(),
        };
        draft.seal()
    }
}
