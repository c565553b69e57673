//! The rules between records of a chain, and the verifier of a list of records: `docs/protocol.md`, 1.3.

use std::io::BufRead;

use serde::Serialize;

use super::schedule::LastSchedule;
use super::secrets::commitment;
use super::{ChainId, Hash, Record, RecordError, Rule, no_majority};

/// A record that doesn't follow the one before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("round {round}: {rule}: {detail}")]
pub struct ChainError {
    /// The later record's round.
    pub round: u64,
    pub rule: Rule,
    pub detail: String,
}

/// Checks `next` against the record just before it. Both are valid by themselves ([`Record::parse`]).
///
/// # Errors
/// The first rule broken, in the order of `docs/protocol.md`, 1.3.
pub fn follows(previous: &Record, next: &Record) -> Result<(), ChainError> {
    follows_with(previous, next, &mut LastSchedule::default())
}

/// The same, of one record after another.
fn follows_with(previous: &Record, next: &Record, schedules: &mut LastSchedule) -> Result<(), ChainError> {
    check(previous, next, schedules).map_err(|(rule, detail)| ChainError {
        round: next.round,
        rule,
        detail,
    })
}

fn check(previous: &Record, next: &Record, schedules: &mut LastSchedule) -> Result<(), (Rule, String)> {
    if next.set != previous.set {
        return Err((Rule::Set, format!("{} after {}", next.set, previous.set)));
    }
    if next.chain != previous.chain {
        return Err((Rule::Chain, format!("{} after {}", next.chain, previous.chain)));
    }
    if next.round != previous.round + 1 {
        return Err((Rule::Round, format!("it comes after round {}", previous.round)));
    }
    if next.previous != Some(previous.hash) {
        return Err((Rule::Previous, format!("the record before has hash {}", previous.hash)));
    }
    if next.slot <= previous.slot {
        return Err((Rule::Slot, format!("{} is not later than {}", next.slot, previous.slot)));
    }
    let schedule = schedules
        .read(&next.schedule)
        .map_err(|error| (Rule::Schedule, format!("{error}")))?;
    let missed = schedule.missed_between(previous.slot, next.slot);
    if next.missed != missed {
        let detail = format!(
            "it says {}, and {missed} lie between {} and {}",
            next.missed, previous.slot, next.slot
        );
        return Err((Rule::Missed, detail));
    }
    let least = previous.fence + u64::from(next.holder != previous.holder);
    if next.fence < least {
        return Err((Rule::Fence, format!("{} where at least {least} belongs", next.fence)));
    }
    for contribution in &next.contributions {
        let Some(reveal) = &contribution.reveal else { continue };
        let committed = previous
            .contribution(contribution.ordinal)
            .map(|before| before.next_commitment);
        if committed != Some(commitment(contribution.ordinal, reveal)) {
            let detail = format!(
                "{}'s does not open a commitment of the record before",
                contribution.member
            );
            return Err((Rule::Reveal, detail));
        }
    }
    if !next.has_majority_of(previous.voters) {
        return Err((
            Rule::Majority,
            no_majority(previous.voters, "the voters of the record before"),
        ));
    }
    Ok(())
}

/// Verifies a chain record by record, in constant memory.
#[derive(Debug, Default)]
pub struct Verifier {
    lines: u64,
    first: Option<Record>,
    missed: u64,
    outputs: u64,
    last: Option<Record>,
    schedules: LastSchedule,
}

/// What a verifier verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub set: String,
    pub chain: ChainId,
    /// The first round of the list; earlier records were not verified.
    pub from_round: u64,
    pub to_round: u64,
    pub records: u64,
    pub outputs: u64,
    /// Missed slots between the first record and the last.
    pub missed: u64,
    pub head: Hash,
}

/// Where a list stops being a chain, and the rule that it breaks there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("line {line}: {error}")]
    Record { line: u64, error: RecordError },
    #[error("line {line}: {error}")]
    Chain { line: u64, error: ChainError },
    #[error("round {round}: head: the last record is {found}, not {expected}")]
    Head { round: u64, found: Hash, expected: Hash },
    #[error("empty: there is no record")]
    Empty,
    #[error("round {round}: drawn: there is no record of it here that has an output")]
    Drawn { round: u64 },
}

impl VerifyError {
    pub fn rule(&self) -> Rule {
        match self {
            VerifyError::Record { error, .. } => error.rule,
            VerifyError::Chain { error, .. } => error.rule,
            VerifyError::Head { .. } => Rule::Head,
            VerifyError::Empty => Rule::Empty,
            VerifyError::Drawn { .. } => Rule::Drawn,
        }
    }

    /// The round of the record that breaks the rule, if it could be read.
    pub fn round(&self) -> Option<u64> {
        match self {
            VerifyError::Record { error, .. } => error.round,
            VerifyError::Chain { error, .. } => Some(error.round),
            VerifyError::Head { round, .. } | VerifyError::Drawn { round } => Some(*round),
            VerifyError::Empty => None,
        }
    }

    /// The line of the list, from 1.
    pub fn line(&self) -> Option<u64> {
        match self {
            VerifyError::Record { line, .. } | VerifyError::Chain { line, .. } => Some(*line),
            VerifyError::Head { .. } | VerifyError::Empty | VerifyError::Drawn { .. } => None,
        }
    }

    /// The same after so many more lines.
    fn after(mut self, lines: u64) -> VerifyError {
        if let VerifyError::Record { line, .. } | VerifyError::Chain { line, .. } = &mut self {
            *line += lines;
        }
        self
    }
}

/// What was verified of a part of a list.
#[derive(Debug)]
pub struct Part {
    /// Of the records before the broken one.
    verified: Verifier,
    broken: Option<VerifyError>,
}

impl Verifier {
    pub fn new() -> Verifier {
        Verifier::default()
    }

    /// Takes the next line with its line feed, without which the list was truncated. After an error the verifier can't be used any
    /// further.
    ///
    /// # Errors
    /// The first rule that the record breaks.
    pub fn push_line(&mut self, line: &[u8]) -> Result<&Record, VerifyError> {
        self.lines += 1;
        let line_number = self.lines;
        let failed = |error| VerifyError::Record {
            line: line_number,
            error,
        };
        let form = |detail: &str| {
            failed(RecordError {
                round: None,
                rule: Rule::Form,
                detail: detail.into(),
            })
        };
        let line = line
            .strip_suffix(b"\n")
            .ok_or_else(|| form("it does not end with a line feed"))?;
        let text = std::str::from_utf8(line).map_err(|_| form("it is not UTF-8"))?;
        let record = Record::parse_with(text, &mut self.schedules).map_err(failed)?;
        self.accept(record)
    }

    /// Takes the next record, which is valid by itself.
    ///
    /// # Errors
    /// The first rule that it breaks with the record before.
    pub fn push(&mut self, record: Record) -> Result<&Record, VerifyError> {
        self.lines += 1;
        self.accept(record)
    }

    fn accept(&mut self, record: Record) -> Result<&Record, VerifyError> {
        match &self.last {
            Some(last) => {
                let line = self.lines;
                follows_with(last, &record, &mut self.schedules).map_err(|error| VerifyError::Chain { line, error })?;
                // Can't overflow: no slot is counted twice, and there are fewer than 2^38.
                self.missed += record.missed;
            }
            None => self.first = Some(record.clone()),
        }
        self.outputs += u64::from(record.output.is_some());
        Ok(self.last.insert(record))
    }

    /// Verifies a part of a list, which may begin anywhere, up to its first broken record; calls `observe` for each record before that.
    pub fn verify_part(lines: &[u8], mut observe: impl FnMut(&Record)) -> Part {
        let mut verified = Verifier::new();
        let mut rest = lines;
        while !rest.is_empty() {
            // This searches many bytes at once, as `split_inclusive` doesn't. A slice has no errors.
            let length = { rest }.skip_until(b'\n').unwrap_or(rest.len());
            let (line, after) = rest.split_at(length);
            rest = after;
            match verified.push_line(line) {
                Ok(record) => observe(record),
                Err(broken) => {
                    let broken = Some(broken);
                    return Part { verified, broken };
                }
            }
        }
        Part { verified, broken: None }
    }

    /// Takes the next part of the list. Parts may be verified at the same time, and are joined in order: then the result is that
    /// of [`Verifier::push_line`] for each line.
    ///
    /// # Errors
    /// The first rule that the part breaks, by itself or with the record before it.
    pub fn join(&mut self, part: Part) -> Result<(), VerifyError> {
        let Part { verified, broken } = part;
        let before = self.lines;
        if let Some(first) = verified.first {
            match &self.last {
                Some(last) => {
                    let line = before + 1;
                    follows_with(last, &first, &mut self.schedules)
                        .map_err(|error| VerifyError::Chain { line, error })?;
                    self.missed += first.missed;
                }
                None => self.first = Some(first),
            }
            self.last = verified.last;
        }
        self.lines += verified.lines;
        self.missed += verified.missed;
        self.outputs += verified.outputs;
        broken.map_or(Ok(()), |error| Err(error.after(before)))
    }

    /// The last record that was accepted.
    pub fn last(&self) -> Option<&Record> {
        self.last.as_ref()
    }

    /// The summary. With `head`, the last record must have that hash, which detects a truncated list.
    ///
    /// # Errors
    /// `head` or `empty`.
    pub fn finish(self, head: Option<Hash>) -> Result<Summary, VerifyError> {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Err(VerifyError::Empty);
        };
        if let Some(expected) = head.filter(|head| *head != last.hash) {
            return Err(VerifyError::Head {
                round: last.round,
                found: last.hash,
                expected,
            });
        }
        Ok(Summary {
            set: last.set,
            chain: last.chain,
            from_round: first.round,
            to_round: last.round,
            records: self.lines,
            outputs: self.outputs,
            missed: self.missed,
            head: last.hash,
        })
    }
}
