//! The rules of a record by itself: `docs/protocol.md`, 1.2 and 1.3.

use std::fmt;

use serde::Serialize;

use super::{
    Contribution, MAX_CONTRIBUTIONS, MAX_INTEGER, MAX_MISSED, MAX_MISSING, MAX_ORDINAL, Record, Voters, output, schema,
};
use crate::record::schedule::LastSchedule;

/// The longest canonical JSON of a record; readers of lines give up beyond it.
pub const MAX_TEXT: usize = 64 * 1024;
/// A set's name and an ordinal of up to ten digits make a Pod's name, which is a label of 63 characters.
pub const MAX_SET: usize = 52;
const MAX_HOLDER: usize = 253;

/// Whether a record may name this holder: printable ASCII without space, `"` and `\`.
pub fn is_holder(identity: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    (1..=MAX_HOLDER).contains(&identity.len()) && identity.bytes().all(allowed)
}

/// The rules of a chain, named as in `docs/protocol.md`, 1.3. Every verifier reports the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Canonical JSON of exactly a record's members, each of its type and within its bounds.
    Form,
    Schedule,
    Slot,
    Previous,
    Missed,
    Order,
    Reveal,
    Majority,
    Output,
    Hash,
    Set,
    Chain,
    Round,
    Fence,
    /// The last record isn't the expected one.
    Head,
    /// There is no record.
    Empty,
    /// The round to derive integers from is missing, or has no output.
    Drawn,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Rule::Form => "form",
            Rule::Schedule => "schedule",
            Rule::Slot => "slot",
            Rule::Previous => "previous",
            Rule::Missed => "missed",
            Rule::Order => "order",
            Rule::Reveal => "reveal",
            Rule::Majority => "majority",
            Rule::Output => "output",
            Rule::Hash => "hash",
            Rule::Set => "set",
            Rule::Chain => "chain",
            Rule::Round => "round",
            Rule::Fence => "fence",
            Rule::Head => "head",
            Rule::Empty => "empty",
            Rule::Drawn => "drawn",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not a record, or a record that breaks a rule by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{rule}: {detail}", place(*round))]
pub struct RecordError {
    /// The record's round; none if it could not be read.
    pub round: Option<u64>,
    pub rule: Rule,
    pub detail: String,
}

fn place(round: Option<u64>) -> String {
    round.map(|round| format!("round {round}: ")).unwrap_or_default()
}

impl Record {
    /// Reads one record and checks it by itself: canonical form, types and bounds, slot, order of its lists, a majority of its own
    /// voters, output and hash.
    ///
    /// # Errors
    /// The first rule broken, in the order of `docs/protocol.md`, 1.3.
    pub fn parse(text: &str) -> Result<Record, RecordError> {
        Record::parse_with(text, &mut LastSchedule::default())
    }

    /// The same, of one record after another.
    pub(super) fn parse_with(text: &str, schedules: &mut LastSchedule) -> Result<Record, RecordError> {
        let form = |round, detail| RecordError {
            round,
            rule: Rule::Form,
            detail,
        };
        if text.len() > MAX_TEXT {
            return Err(form(None, format!("it is longer than {MAX_TEXT} bytes")));
        }
        let record: Record = serde_json::from_str(text).map_err(|error| form(None, error.to_string()))?;
        if !record.is_canonical(text) {
            let detail = "it is not in canonical form (RFC 8785: sorted members, no white space)".into();
            return Err(form(Some(record.round), detail));
        }
        record.check_as(text, schedules)?;
        Ok(record)
    }

    /// Checks this record by itself, except its canonical form: for a record inside another message.
    ///
    /// # Errors
    /// The first rule broken, in the order of `docs/protocol.md`, 1.3.
    pub fn check(&self) -> Result<(), RecordError> {
        self.check_as(&self.canonical(), &mut LastSchedule::default())
    }

    /// Checks it; `canonical` is its canonical JSON.
    fn check_as(&self, canonical: &str, schedules: &mut LastSchedule) -> Result<(), RecordError> {
        self.check_rules(canonical, schedules)
            .map_err(|(rule, detail)| RecordError {
                round: Some(self.round),
                rule,
                detail,
            })
    }

    fn check_rules(&self, canonical: &str, schedules: &mut LastSchedule) -> Result<(), (Rule, String)> {
        self.check_bounds().map_err(|detail| (Rule::Form, detail))?;
        self.check_slot(schedules)?;
        if self.previous.is_none() != (self.round == 1) {
            return Err((Rule::Previous, "it is null in round 1 and nowhere else".into()));
        }
        if self.round == 1 && self.missed != 0 {
            return Err((Rule::Missed, "round 1 has no slot before it to count from".into()));
        }
        self.check_order().map_err(|detail| (Rule::Order, detail))?;
        let revealed = self.contributions.iter().find(|c| c.reveal.is_some());
        if let (1, Some(contribution)) = (self.round, revealed) {
            let detail = format!(
                "{} reveals in round 1, which nothing was committed to",
                contribution.member
            );
            return Err((Rule::Reveal, detail));
        }
        if !self.has_majority_of(self.voters) {
            return Err((Rule::Majority, no_majority(self.voters, "its voters")));
        }
        if self.output != output(&self.chain, self.round, &self.contributions) {
            return Err((Rule::Output, "it does not follow from the reveals".into()));
        }
        if self.hash != Record::hash_of(canonical) {
            return Err((Rule::Hash, "it is not the hash of this record".into()));
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), String> {
        within("schema", self.schema, schema(self.voters), schema(self.voters))?;
        within("round", self.round, 1, MAX_INTEGER)?;
        within("missed", self.missed, 0, MAX_MISSED)?;
        within("fence", self.fence, 1, MAX_INTEGER)?;
        within("voters", self.voters.count.into(), 1, MAX_CONTRIBUTIONS as u64)?;
        if !self.voters.is_valid() {
            return Err(format!("voters: {} go beyond ordinal {MAX_ORDINAL}", self.voters));
        }
        within(
            "contributions",
            self.contributions.len() as u64,
            0,
            MAX_CONTRIBUTIONS as u64,
        )?;
        within("missing", self.missing.len() as u64, 0, MAX_MISSING as u64)?;
        let in_set = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=MAX_SET).contains(&self.set.len()) || !self.set.bytes().all(in_set) {
            return Err(format!("set: expected 1 to {MAX_SET} of a-z, 0-9 and -"));
        }
        if !is_holder(&self.holder) {
            return Err(format!("holder: expected 1 to {MAX_HOLDER} printable ASCII characters"));
        }
        for contribution in &self.contributions {
            within("ordinal", contribution.ordinal.into(), 0, MAX_ORDINAL.into())?;
            let Contribution { member, ordinal, .. } = contribution;
            if !is_member(member, &self.set, *ordinal) {
                return Err(format!(
                    "member: {member:?} is not ordinal {ordinal} of the set {}",
                    self.set
                ));
            }
        }
        for missing in &self.missing {
            within("ordinal", missing.ordinal.into(), 0, MAX_ORDINAL.into())?;
        }
        Ok(())
    }

    fn check_slot(&self, schedules: &mut LastSchedule) -> Result<(), (Rule, String)> {
        let schedule = schedules
            .read(&self.schedule)
            .map_err(|error| (Rule::Schedule, format!("{error}")))?;
        if schedule.as_str() != self.schedule {
            return Err((
                Rule::Schedule,
                format!("expected {:?}, with single spaces", schedule.as_str()),
            ));
        }
        if !schedule.contains(self.slot) {
            return Err((
                Rule::Slot,
                format!("{} is no instant of {:?}", self.slot, self.schedule),
            ));
        }
        Ok(())
    }

    fn check_order(&self) -> Result<(), String> {
        if !self.contributions.is_sorted_by(|a, b| a.ordinal < b.ordinal) {
            return Err("contributions are not by ascending ordinal".into());
        }
        if !self.missing.is_sorted_by(|a, b| a.ordinal < b.ordinal) {
            return Err("missing is not by ascending ordinal".into());
        }
        match self.missing.iter().find(|m| self.contribution(m.ordinal).is_some()) {
            Some(both) => Err(format!("ordinal {} contributed and is missing", both.ordinal)),
            None => Ok(()),
        }
    }

    /// Whether more than half of these voters contributed.
    pub fn has_majority_of(&self, voters: Voters) -> bool {
        let voted = self.contributions.iter().filter(|c| voters.contains(c.ordinal));
        voters.is_majority(voted.count())
    }
}

/// Whether the name is `set` + `-` + `ordinal`.
fn is_member(name: &str, set: &str, ordinal: u16) -> bool {
    let digits = name.strip_prefix(set).and_then(|rest| rest.strip_prefix('-'));
    // What else Rust reads as a number is not how it is written.
    let digits = digits.filter(|digits| *digits == "0" || !digits.starts_with(['0', '+']));
    digits.is_some_and(|digits| digits.parse() == Ok(ordinal))
}

pub(super) fn no_majority(voters: Voters, whose: &str) -> String {
    format!(
        "fewer than {} of {whose} ({}) contributed",
        voters.count / 2 + 1,
        voters.describe()
    )
}

fn within(name: &str, value: u64, least: u64, greatest: u64) -> Result<(), String> {
    if (least..=greatest).contains(&value) {
        return Ok(());
    }
    Err(format!("{name}: {value} is not within {least} to {greatest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_after_its_set_and_its_ordinal_without_leading_zeros() {
        for (name, is) in [
            ("r-g-7", true),
            ("r-g-07", false),
            ("r-g-+7", false),
            ("r-g-70", false),
            ("r-g-", false),
            ("r-g7", false),
            ("g-7", false),
            ("r-g-7 ", false),
        ] {
            assert_eq!(is_member(name, "r-g", 7), is, "{name}");
        }
        assert!(is_member("r-g-0", "r-g", 0) && !is_member("r-g-00", "r-g", 0));
        assert!(is_member("r-g-1023", "r-g", 1023));
    }
}
