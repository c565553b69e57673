//! Where one stream is in the chain, and what it tells next: a function of what the ledger reports, so that it can be tried with
//! whatever a ledger may report.

use std::fmt::Write;
use std::sync::Arc;

use crate::draw::ledger::LedgerSnapshot;
use crate::record::Record;

/// Bytes of events that are handed to a connection at once: more are made only when these have gone. A record has at most
/// 64 KiB, and comes whole.
const PAGE: usize = 16 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Events(String),
    /// Nothing until the ledger reports something else.
    Nothing,
    /// Records between what was told and this round, the oldest here, are being fetched from the peers.
    Fetching(u64),
}

#[derive(Debug)]
pub(super) struct Cursor {
    /// The round to tell next.
    next: u64,
    /// The chain that was reported when `next` became so: what was told is a part of it.
    told: Arc<[Arc<Record>]>,
    /// The reader was told that nothing has been drawn, and not yet how far the chain is that is here now.
    before_all: bool,
}

impl Cursor {
    /// Begins with `next`; without it with the next draw. Also gives what stands before all events: the round before the first
    /// as the last one, so that a reader who is cut off before the first event misses nothing either.
    pub fn new(next: Option<u64>, ledger: &LedgerSnapshot) -> (Cursor, String) {
        let newest = ledger.head().map(|head| head.round);
        let after = newest.map_or(1, |newest| newest + 1);
        let next = next.unwrap_or(after);
        let mut text = format!("id: {}\n\n", next - 1);
        if next > after {
            ahead(&mut text, next, ledger.head());
        }
        let cursor = Cursor {
            next,
            told: ledger.chain.clone(),
            before_all: newest.is_none(),
        };
        (cursor, text)
    }

    /// What comes next. `patient` waits for records that may still be fetched; otherwise they are a gap.
    pub fn take(&mut self, ledger: &LedgerSnapshot, patient: bool) -> Next {
        let chain = &ledger.chain;
        let (Some(oldest), Some(newest)) = (chain.first(), chain.last()) else {
            return Next::Nothing;
        };
        let parted = self.parted(chain);
        let next = parted.unwrap_or(self.next);
        // A member that saw nothing of the Lease for a while has the newest record first, and then the others down from it.
        let lacking = next < oldest.round || parted == Some(oldest.round);
        if lacking && patient && ledger.wanted.is_some() {
            return Next::Fetching(oldest.round);
        }
        let mut text = String::new();
        // A reader of a longer chain would wait for its round for ever without a word, though this chain is another.
        if std::mem::take(&mut self.before_all) && next > newest.round + 1 {
            ahead(&mut text, next, Some(newest));
        }
        if parted.is_some() {
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
        // A chain that doesn't reach as far as what was told says nothing of it.
        if newest.round + 1 >= self.next {
            self.told = chain.clone();
        }
        match text.is_empty() {
            true => Next::Nothing,
            false => Next::Events(text),
        }
    }

    /// The first round of what was told that the chain has otherwise: a person began a new chain, or the Lease went on without
    /// some records, which were set aside. Never while the Lease stands, and the volumes of a majority.
    fn parted(&self, chain: &[Arc<Record>]) -> Option<u64> {
        let (told, newest) = (self.told.last()?, chain.last()?);
        if told.chain != newest.chain {
            return chain.first().map(|oldest| oldest.round);
        }
        let to = told.round.min(self.next - 1);
        let differs = |record: &&Arc<Record>| at(&self.told, record.round).is_some_and(|told| told.hash != record.hash);
        // Records are linked by their hashes: where the last are the same, so are all before.
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

/// The round asked for comes after the next draw. Whether this member lags behind, or its chain is another than the reader had,
/// shows in the chain.
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

/// An event and its data, which is of one line.
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
                voters: 1,
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

    /// Takes all events there are, and checks that each draw comes once, in order, with none left out but by a gap that says so,
    /// and that is no gap which may still be filled.
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
        fn no_draw_is_told_twice_out_of_order_or_left_out_unsaid(
            from in prop::option::of(1..30_u64), steps in prop::collection::vec(step(), 1..60),
        ) {
            let records = records();
            let (mut oldest, mut newest, mut kept) = (1, 1, 1);
            let snapshot = |oldest: u64, newest: u64, kept: u64| LedgerSnapshot {
                chain: records[oldest as usize - 1..newest as usize].into(),
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
            // In the end all that is kept is here, and is told.
            take(&mut cursor, &snapshot(kept, newest, kept), true, &mut next)?;
            prop_assert!(next > newest || from > Some(newest), "{next} of {newest}");
        }
    }
}
