//! The records of one answer of `/draws`, written a part at a time: a chain may be long, and its reader slow.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use super::unread;
use crate::draw::ledger::LedgerSnapshot;
use crate::draw::ledger::history::{History, HistoryError};
use crate::record::{Hash, Record};
use crate::server::budget::{Hold, PART};
use crate::server::format::Format;
use crate::server::parts::More;
use crate::server::problem::Problem;

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

/// Bytes of older records that are read at once.
const READ_BYTES: usize = PART / 2;

pub(super) struct PageWriter {
    format: Format,
    /// The newest records; older ones are read when they are due.
    ledger: Arc<LedgerSnapshot>,
    history: History,
    read: VecDeque<Arc<Record>>,
    /// Rounds that are left.
    left: Range<u64>,
    /// Hash of the record before, if that was read.
    before: Option<Hash>,
    next: Option<u64>,
    begun: bool,
}

impl PageWriter {
    pub fn new(
        format: Format,
        ledger: Arc<LedgerSnapshot>,
        history: History,
        shown: Range<u64>,
        next: Option<u64>,
    ) -> PageWriter {
        PageWriter {
            format,
            ledger,
            history,
            read: VecDeque::new(),
            left: shown,
            before: None,
            next,
            begun: false,
        }
    }

    /// What it needs besides the parts that it makes.
    pub fn kept_bytes(&self) -> usize {
        if self.is_old() { 2 * READ_BYTES } else { 0 }
    }

    /// Whether the next record is only on the volume.
    fn is_old(&self) -> bool {
        let recent = self.ledger.recent.first().map_or(0, |record| record.round);
        self.left.start < self.left.end.min(recent)
    }

    /// The first part is made at once, so that its error can still be a status. A later one ends the connection, which the client
    /// notices by the last chunk missing.
    pub async fn into_body(mut self, hold: Hold) -> Result<Body, Problem> {
        let first = self.part(&hold).await;
        let (first, more) = first.map_err(|error| unread(&error, &self.ledger))?;
        if more == More::No {
            return Ok(Body::from(first));
        }
        let rest = stream::try_unfold(Some((self, hold)), |left| async {
            let Some((mut writer, hold)) = left else {
                return Ok(None);
            };
            let (part, more) = writer.part(&hold).await?;
            let left = (more == More::Yes).then_some((writer, hold));
            Ok::<_, HistoryError>(Some((part, left)))
        });
        let first = stream::once(async { Ok(first) });
        Ok(Body::from_stream(first.chain(rest)))
    }

    async fn part(&mut self, hold: &Hold) -> Result<(Bytes, More), HistoryError> {
        if self.read.is_empty() && self.is_old() {
            self.read = self.history.page(self.left.start, READ_BYTES).await?.into();
        }
        let _turn = hold.turn().await;
        let mut part = Vec::with_capacity(PART);
        let more = self.write(&mut part)?;
        Ok((hold.attach(part), more))
    }

    /// Appends the next records, up to those that have to be read first.
    fn write(&mut self, part: &mut Vec<u8>) -> Result<More, HistoryError> {
        let json = self.format == Format::Json;
        let mut first = !std::mem::replace(&mut self.begun, true);
        if json && first {
            part.extend_from_slice(b"{\"draws\":[");
        }
        while part.len() < PART / 2 {
            if self.left.is_empty() {
                if json {
                    let next = self.next.map_or("null".to_owned(), |next| next.to_string());
                    part.extend_from_slice(format!("],\"next\":{next}}}").as_bytes());
                }
                return Ok(More::No);
            }
            let (record, read) = match self.read.pop_front() {
                None if self.is_old() => return Ok(More::Yes),
                None => (self.ledger.get(self.left.start).cloned(), false),
                read => (read, true),
            };
            // The chain may have changed since the others were read: then the answer must not look whole.
            let follows = |record: &Arc<Record>| self.before.is_none() || record.previous == self.before;
            let record = record.filter(follows).ok_or(HistoryError::Gone(self.left.start))?;
            if json && !std::mem::take(&mut first) {
                part.push(b',');
            }
            // Texts and numbers, to memory: this does not fail.
            let _ = serde_json::to_writer(&mut *part, &record);
            if !json {
                part.push(b'\n');
            }
            // What is in memory is one view.
            self.before = read.then_some(record.hash);
            self.left.start += 1;
        }
        Ok(More::Yes)
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
        let mut records: Vec<Arc<Record>> = Vec::new();
        for round in 1..=300 {
            let previous = records.last().map(|before| before.hash);
            records.push(Arc::new(record(round, previous)));
        }
        let ledger = Arc::new(LedgerSnapshot {
            recent: records.clone().into(),
            ..unopened(Condition::Writable)
        });
        for (shown, next) in [(0..0, None), (3..4, Some(5)), (0..300, None)] {
            let rounds = shown.start as u64 + 1..shown.end as u64 + 1;
            let parts = |format| {
                let mut writer = PageWriter::new(format, ledger.clone(), History::none(), rounds.clone(), next);
                let mut parts = Vec::new();
                loop {
                    let mut part = Vec::new();
                    let more = writer.write(&mut part).unwrap();
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

    fn record(round: u64, previous: Option<Hash>) -> Record {
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
            previous,
            contributions: Vec::new(),
            missing: Vec::new(),
        };
        draft.seal()
    }
}
