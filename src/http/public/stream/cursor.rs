//! One stream's position in the chain, and the events that follow: a function of the ledger's snapshot, so that a test can try
//! every snapshot that there may be.

use std::fmt::Write;
use std::sync::Arc;

use crate::draw::ledger::LedgerSnapshot;
use crate::record::Record;

/// Bytes of events handed to a connection at once: more are written only when these are gone. A record has at most 64 KiB, and
/// is never split.
const PAGE: usize = 16 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Events(String),
    /// Nothing until the ledger changes.
    Nothing,
    /// Records before this round, the oldest here, are being fetched from the peers.
    Fetching(u64),
}

#[derive(Debug)]
pub(super) struct Cursor {
    /// The round to send next.
    next: u64,
    /// The chain at the time of the last event: it contains every record that was sent.
    sent: Arc<[Arc<Record>]>,
    /// The chain was empty when the reader connected, and no event was sent since.
    began_empty: bool,
}

impl Cursor {
    /// Begins with `next`, by default with the next draw. Also returns the event before all others: its id is the round before
    /// the first, so that a reader who is cut off before the first draw misses nothing. It has data, because some clients forget
    /// the id of an event without.
    pub fn new(next: Option<u64>, ledger: &LedgerSnapshot) -> (Cursor, String) {
        let newest = ledger.head().map(|head| head.round);
        let after = newest.map_or(1, |newest| newest + 1);
        let next = next.unwrap_or(after);
        let mut text = format!("id: {}\n", next - 1);
        event(&mut text, "position", format_args!("{{\"next\":{next}}}"));
        if next > after {
            ahead(&mut text, next, ledger.head());
        }
        let cursor = Cursor {
            next,
            sent: ledger.recent.clone(),
            began_empty: newest.is_none(),
        };
        (cursor, text)
    }

    /// The next events. `patient` waits for records that may still be fetched; otherwise they are a gap.
    pub fn take(&mut self, ledger: &LedgerSnapshot, patient: bool) -> Next {
        let chain = &ledger.recent;
        let (Some(oldest), Some(newest)) = (chain.first(), chain.last()) else {
            return Next::Nothing;
        };
        let diverged = self.first_difference(chain);
        let next = diverged.unwrap_or(self.next);
        // A member that didn't see the Lease for a while gets the newest record first, and then the others backwards.
        let incomplete = next < oldest.round || diverged == Some(oldest.round);
        if incomplete && patient && ledger.wanted.is_some() {
            return Next::Fetching(oldest.round);
        }
        let mut text = String::new();
        // Otherwise the reader of a longer chain would wait for ever, though this chain is a different one.
        if std::mem::take(&mut self.began_empty) && next > newest.round + 1 {
            ahead(&mut text, next, Some(newest));
        }
        if diverged.is_some() {
            let chain = newest.chain;
            event(
                &mut text,
                "chain",
                format_args!("{{\"chain\":\"{chain}\",\"from\":{next}}}"),
            );
        }
        if next < oldest.round {
            let oldest = oldest.round;
            event(
                &mut text,
                "gap",
                format_args!("{{\"from\":{next},\"oldest\":{oldest}}}"),
            );
        }
        self.next = next.max(oldest.round);
        let start = chain.partition_point(|record| record.round < self.next);
        for record in chain.iter().skip(start) {
            if text.len() >= PAGE {
                break;
            }
            // Writing to a String does not fail.
            let _ = writeln!(text, "id: {}", record.round);
            event(&mut text, "draw", format_args!("{}", record.canonical()));
            self.next = record.round + 1;
        }
        // A chain that is shorter than what was sent says nothing about it.
        if newest.round + 1 >= self.next {
            self.sent = chain.clone();
        }
        match text.is_empty() {
            true => Next::Nothing,
            false => Next::Events(text),
        }
    }

    /// The first round at which the chain differs from what was sent: a person started a new chain, or the Lease continued without
    /// some records, which were set aside. Never while the Lease exists, and the volumes of a majority.
    fn first_difference(&self, chain: &[Arc<Record>]) -> Option<u64> {
        let (sent, newest) = (self.sent.last()?, chain.last()?);
        if sent.chain != newest.chain {
            return chain.first().map(|oldest| oldest.round);
        }
        let to = sent.round.min(self.next - 1);
        let differs = |record: &&Arc<Record>| at(&self.sent, record.round).is_some_and(|sent| sent.hash != record.hash);
        // Records are linked by their hashes: if the last ones are equal, so are all before.
        at(chain, to.min(newest.round)).filter(differs)?;
        chain
            .iter()
            .take_while(|record| record.round <= to)
            .find(differs)
            .map(|record| record.round)
    }
}

fn at(chain: &[Arc<Record>], round: u64) -> Option<&Arc<Record>> {
    let place = round.checked_sub(chain.first()?.round)?;
    chain.get(usize::try_from(place).ok()?)
}

/// The requested round is after the next draw: this member is behind, or its chain is a different one, as `chain` shows.
fn ahead(text: &mut String, from: u64, newest: Option<&Arc<Record>>) {
    let (round, chain) = match newest {
        Some(newest) => (newest.round.to_string(), format!("\"{}\"", newest.chain)),
        None => ("null".to_owned(), "null".to_owned()),
    };
    event(
        text,
        "ahead",
        format_args!("{{\"from\":{from},\"newest\":{round},\"chain\":{chain}}}"),
    );
}

/// Writes an event with its data, which is one line.
fn event(text: &mut String, name: &str, data: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = write!(text, "event: {name}\ndata: {data}\n\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draw::ledger::Condition;
    use crate::draw::ledger::task::unopened;
    use crate::record::{Draft, Hex, Slot};

    const ROUNDS: u64 = 200;

    fn records() -> Vec<Arc<Record>> {
        let mut records: Vec<Arc<Record>> = Vec::new();
        for round in 1..=ROUNDS {
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
                previous: records.last().map(|record| record.hash),
                contributions: Vec::new(),
                missing: Vec::new(),
            };
            records.push(Arc::new(draft.seal()));
        }
        records
    }

    /// What a ledger does between two looks of a stream.
    #[derive(Clone, Debug)]
    enum Step {
        Draw(u64),
        Prune(u64),
        /// So many are drawn unseen, and the newest alone is known then.
        Miss(u64),
        Fetch(u64),
        Look {
            patient: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1..4_u64).prop_map(Step::Draw),
            1 => (1..20_u64).prop_map(Step::Prune),
            1 => (1..9_u64).prop_map(Step::Miss),
            3 => (1..9_u64).prop_map(Step::Fetch),
            4 => prop::bool::weighted(0.9).prop_map(|patient| Step::Look { patient }),
        ]
    }

    /// Takes all events, and checks that each draw comes once and in order, and that only a gap that can't be filled is left out.
    fn take(cursor: &mut Cursor, ledger: &LedgerSnapshot, patient: bool, next: &mut u64) -> Result<(), TestCaseError> {
        while let Next::Events(text) = cursor.take(ledger, patient) {
            prop_assert!(text.len() < PAGE + 2_000);
            for event in text.split_terminator("\n\n") {
                let data = event.split("data: ").nth(1).unwrap();
                let data: serde_json::Value = serde_json::from_str(data).unwrap();
                if event.starts_with("event: gap\n") {
                    prop_assert_eq!(data["from"].as_u64(), Some(*next));
                    prop_assert!(data["oldest"].as_u64() > Some(*next));
                    prop_assert!(!patient || ledger.wanted.is_none(), "a gap too early");
                    *next = data["oldest"].as_u64().unwrap();
                } else {
                    let begins = format!("id: {next}\nevent: draw\n");
                    prop_assert!(event.starts_with(&begins), "{event} where {next} belongs");
                    prop_assert_eq!(data["round"].as_u64(), Some(*next));
                    *next += 1;
                }
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn no_draw_is_sent_twice_out_of_order_or_left_out_silently(
            from in prop::option::of(1..30_u64), steps in prop::collection::vec(step(), 1..60),
        ) {
            let records = records();
            let (mut oldest, mut newest, mut kept) = (1, 1, 1);
            let snapshot = |oldest: u64, newest: u64, kept: u64| LedgerSnapshot {
                recent: records[oldest as usize - 1..newest as usize].into(),
                wanted: (oldest > kept).then_some(records[oldest as usize - 1].previous).flatten(),
                ..unopened(Condition::Writable)
            };
            let begins = snapshot(oldest, newest, kept);
            let (mut cursor, _) = Cursor::new(from, &begins);
            let mut next = from.unwrap_or(newest + 1);
            for step in steps {
                match step {
                    Step::Draw(count) => newest = (newest + count).min(ROUNDS),
                    Step::Prune(count) => {
                        kept = (kept + count).min(newest);
                        oldest = oldest.max(kept);
                    }
                    Step::Miss(count) => {
                        newest = (newest + count).min(ROUNDS);
                        oldest = newest;
                    }
                    Step::Fetch(count) => oldest = oldest.saturating_sub(count).max(kept),
                    Step::Look { patient } => take(&mut cursor, &snapshot(oldest, newest, kept), patient, &mut next)?,
                }
            }
            // In the end everything that is kept is here, and is sent.
            take(&mut cursor, &snapshot(kept, newest, kept), true, &mut next)?;
            prop_assert!(next > newest || from > Some(newest), "{next} of {newest}");
        }
    }
}
