//! One stream's position in the chain, and the events that follow: a function of the ledger's snapshot, so that a test can try
//! every snapshot that there may be.

use std::fmt::Write;
use std::sync::Arc;

use crate::draw::ledger::LedgerSnapshot;
use crate::record::{Hash, Record};

/// Bytes of events handed to a connection at once: more are written only when these are gone. A record has at most 64 KiB, and
/// is never split.
pub(super) const PAGE: usize = 16 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Events(String),
    /// Nothing until the ledger changes.
    Nothing,
    /// The next is of this round, which is not a recent one: see [`Cursor::take_older`].
    Older(u64),
    /// Records before this round, the oldest here, are being fetched from the peers.
    Fetching(u64),
}

/// What came of records before the recent ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Older {
    Events(String),
    /// They don't follow what was sent: [`Cursor::take`] reports another chain.
    Parted,
    /// They are no longer kept, or of another chain.
    Gone,
}

#[derive(Debug)]
pub(super) struct Cursor {
    /// The round to send next.
    next: u64,
    /// The newest records at the time of the last event: those that were sent are among them, or before them.
    sent: Arc<[Arc<Record>]>,
    /// The last record sent.
    last: Option<(u64, Hash)>,
    /// Older records of the chain don't follow the last one sent.
    has_parted: bool,
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
            last: None,
            has_parted: false,
            began_empty: newest.is_none(),
        };
        (cursor, text)
    }

    /// The next events. `patient` waits for records that may still be fetched; otherwise they are a gap.
    pub fn take(&mut self, ledger: &LedgerSnapshot, patient: bool) -> Next {
        let chain = &ledger.recent;
        let (Some(oldest), Some(recent), Some(newest)) = (ledger.oldest(), chain.first(), chain.last()) else {
            return Next::Nothing;
        };
        let diverged = self.first_difference(ledger);
        let next = diverged.unwrap_or(self.next);
        // A member that didn't see the Lease for a while gets the newest record first, and then the others backwards.
        let incomplete = next < oldest || diverged == Some(oldest);
        if incomplete && patient && ledger.wanted.is_some() {
            return Next::Fetching(oldest);
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
        if next < oldest {
            event(
                &mut text,
                "gap",
                format_args!("{{\"from\":{next},\"oldest\":{oldest}}}"),
            );
        }
        if diverged.is_some() || next < oldest {
            self.last = None;
            self.has_parted = false;
        }
        self.next = next.max(oldest);
        if self.next < recent.round {
            self.sent = chain.clone();
            return match text.is_empty() {
                true => Next::Older(self.next),
                false => Next::Events(text),
            };
        }
        let start = chain.partition_point(|record| record.round < self.next);
        for record in chain.iter().skip(start) {
            if text.len() >= PAGE {
                break;
            }
            self.send(record, &mut text);
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

    /// The events of records before the recent ones, ascending.
    pub fn take_older(&mut self, records: &[Arc<Record>]) -> Older {
        let mut text = String::new();
        for record in records {
            let follows = self.last.is_none_or(|(_, before)| record.previous == Some(before));
            if record.round != self.next || !follows {
                self.has_parted = true;
                break;
            }
            self.send(record, &mut text);
        }
        match text.is_empty() && self.has_parted {
            true => Older::Parted,
            false => Older::Events(text),
        }
    }

    fn send(&mut self, record: &Record, text: &mut String) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "id: {}", record.round);
        event(text, "draw", format_args!("{}", record.canonical()));
        self.next = record.round + 1;
        self.last = Some((record.round, record.hash));
    }

    /// The first round at which the chain differs from what was sent: a person started a new chain, or the Lease continued without
    /// some records, which were set aside. Never while the Lease exists, and the volumes of a majority.
    fn first_difference(&self, ledger: &LedgerSnapshot) -> Option<u64> {
        let chain = &ledger.recent;
        let (sent, newest) = (self.sent.last()?, chain.last()?);
        // Of older records it isn't known where both chains part.
        if sent.chain != newest.chain || self.has_parted {
            return ledger.oldest();
        }
        let to = sent.round.min(self.next - 1);
        let differs = |record: &&Arc<Record>| at(&self.sent, record.round).is_some_and(|sent| sent.hash != record.hash);
        // The last one sent is no longer a recent one: whatever follows it now, it isn't known where both chains part.
        let follows = |(round, hash): (u64, Hash)| ledger.get(round + 1).is_none_or(|next| next.previous == Some(hash));
        if !self.last.is_none_or(follows) && at(chain, to).is_none() {
            return ledger.oldest();
        }
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
    /// Records in memory besides the head.
    const RECENT: u64 = 7;

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
    fn take(
        cursor: &mut Cursor,
        all: &[Arc<Record>],
        ledger: &LedgerSnapshot,
        patient: bool,
        next: &mut u64,
    ) -> Result<(), TestCaseError> {
        loop {
            let text = match cursor.take(ledger, patient) {
                Next::Events(text) => text,
                Next::Older(round) => {
                    let page = all.iter().filter(|record| record.round >= round).take(3).cloned();
                    prop_assert!(ledger.oldest() <= Some(round) && ledger.get(round).is_none());
                    match cursor.take_older(&page.collect::<Vec<_>>()) {
                        Older::Events(text) => text,
                        other => return Err(TestCaseError::fail(format!("{other:?}"))),
                    }
                }
                Next::Nothing | Next::Fetching(_) => break,
            };
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

    #[test]
    fn of_a_page_that_leaves_the_chain_what_comes_before_is_sent() {
        let all = records();
        let mut cursor = Cursor {
            next: 1,
            sent: Arc::default(),
            last: None,
            has_parted: false,
            began_empty: false,
        };
        let page = [all[0].clone(), all[1].clone(), all[3].clone()];
        let Older::Events(text) = cursor.take_older(&page) else {
            panic!("nothing is sent")
        };
        assert_eq!(text.matches("event: draw").count(), 2, "{text}");
        assert_eq!((cursor.next, cursor.take_older(&page[2..])), (3, Older::Parted));
    }

    proptest! {
        #[test]
        fn no_draw_is_sent_twice_out_of_order_or_left_out_silently(
            from in prop::option::of(1..30_u64), steps in prop::collection::vec(step(), 1..60),
        ) {
            let records = records();
            let (mut oldest, mut newest, mut kept) = (1, 1, 1);
            let recent = |oldest: u64, newest: u64| oldest.max(newest.saturating_sub(RECENT));
            let snapshot = |oldest: u64, newest: u64, kept: u64| LedgerSnapshot {
                recent: records[recent(oldest, newest) as usize - 1..newest as usize].into(),
                below: recent(oldest, newest) - oldest,
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
                    Step::Look { patient } => take(&mut cursor, &records, &snapshot(oldest, newest, kept), patient, &mut next)?,
                }
            }
            // In the end everything that is kept is here, and is sent.
            take(&mut cursor, &records, &snapshot(kept, newest, kept), true, &mut next)?;
            prop_assert!(next > newest || from > Some(newest), "{next} of {newest}");
        }
    }
}
