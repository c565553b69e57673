//! Selects the members from the SRV records of a DNS answer. It does no I/O: the same answer always gives the same list.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::identity::MemberName;

/// The highest ordinal: an id has ten bits for it.
const LAST_ORDINAL: u16 = 1023;

/// One SRV record (RFC 2782). The order of the fields is the order of preference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub priority: u16,
    /// Higher is better.
    pub weight: Reverse<u16>,
    /// The target in lower case, without its trailing dot.
    pub host: String,
    pub port: u16,
}

/// The chosen record for each ordinal, and what is wrong with the answer.
#[derive(Debug, Default)]
pub struct Members {
    pub by_ordinal: BTreeMap<u16, Record>,
    pub trouble: Trouble,
}

/// What is wrong with an answer. It shows only a few examples of each kind, so 500 wrong names still give a short text.
#[derive(Debug, Default)]
pub struct Trouble {
    foreign: Examples,
    duplicate: Examples,
    no_address: Examples,
}

#[derive(Debug, Default)]
struct Examples {
    count: usize,
    text: String,
}

impl Examples {
    const SHOWN: usize = 3;

    fn push(&mut self, example: &str) {
        if self.count < Self::SHOWN {
            if self.count > 0 {
                self.text.push_str(", ");
            }
            self.text.push_str(example);
        }
        self.count += 1;
    }

    fn describe(&self, into: &mut String, singular: &str, plural: &str) {
        if self.count == 0 {
            return;
        }
        if !into.is_empty() {
            into.push_str("; ");
        }
        let what = if self.count == 1 { singular } else { plural };
        let more = if self.count > Self::SHOWN { ", …" } else { "" };
        // Writing to a String can't fail.
        let _ = write!(into, "{} {what}: {}{more}", self.count, self.text);
    }
}

impl Trouble {
    pub fn no_address(&mut self, host: &str, reason: &str) {
        self.no_address.push(&format!("{host} ({reason})"));
    }

    /// One line, or None when all is well.
    pub fn line(&self, set: &str) -> Option<Arc<str>> {
        let mut line = String::new();
        self.foreign.describe(
            &mut line,
            &format!("published name is not one of {set}-0 to {set}-{LAST_ORDINAL} and is left out"),
            &format!("published names are not among {set}-0 to {set}-{LAST_ORDINAL} and are left out"),
        );
        self.duplicate.describe(
            &mut line,
            "ordinal is published at more than one host or port; the first by priority, weight and name is used",
            "ordinals are published at more than one host or port; the first by priority, weight and name is used",
        );
        self.no_address
            .describe(&mut line, "member has no address", "members have no address");
        (!line.is_empty()).then(|| line.into())
    }
}

/// Chooses one record for each ordinal. If several differ in host or port, the first by priority, weight (RFC 2782), name
/// and port wins. So every member makes the same choice, whatever the order of the answer.
pub fn members(records: impl IntoIterator<Item = Record>, set: &str) -> Members {
    let mut members = Members::default();
    let mut records: Vec<Record> = records.into_iter().collect();
    records.sort_unstable();
    // Records with the same host and port don't conflict, whatever their priority and weight.
    for record in records {
        let Some(ordinal) = ordinal_of(&record.host, set) else {
            members.trouble.foreign.push(&format!("{:?}", record.host));
            continue;
        };
        match members.by_ordinal.get(&ordinal) {
            None => {
                members.by_ordinal.insert(ordinal, record);
            }
            Some(first) if first.host == record.host && first.port == record.port => {}
            Some(_) => {
                let name = MemberName {
                    set: set.to_owned(),
                    ordinal: Some(ordinal),
                };
                members
                    .trouble
                    .duplicate
                    .push(&format!("{name} also at {:?} port {}", record.host, record.port));
            }
        }
    }
    members
}

/// The ordinal when the host's first label is `<set>-<ordinal>` as a StatefulSet writes it (no leading zeros).
fn ordinal_of(host: &str, set: &str) -> Option<u16> {
    let label = host.split('.').next()?;
    let digits = label.strip_prefix(set)?.strip_prefix('-')?;
    let is_canonical = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    let ordinal: u16 = digits.parse().ok()?;
    (is_canonical && ordinal <= LAST_ORDINAL).then_some(ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(host: &str, port: u16) -> Record {
        Record {
            priority: 0,
            weight: Reverse(100),
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn only_names_that_a_statefulset_would_give_are_members() {
        for (host, ordinal) in [("rg-0", 0), ("rg-7.x.y", 7), ("rg-1023.x", 1023)] {
            assert_eq!(ordinal_of(host, "rg"), Some(ordinal), "{host}");
        }
        for host in [
            "rg-1024.x",
            "rg-01",
            "rg-",
            "rg",
            "rg-+1",
            "rg-1a",
            "web-1.x",
            "rgx-1",
            "rg-99999",
            "x-rg-1",
            "",
        ] {
            assert_eq!(ordinal_of(host, "rg"), None, "{host}");
        }
        assert_eq!(ordinal_of("my-set-3.x", "my-set"), Some(3));
    }

    #[test]
    fn the_choice_between_two_places_does_not_depend_on_their_order() {
        let preferred = Record {
            priority: 0,
            weight: Reverse(200),
            ..record("rg-1.z", 9)
        };
        let all = [
            record("rg-1.b", 2),
            record("rg-1.a", 3),
            record("rg-1.a", 1),
            preferred.clone(),
        ];
        for turn in 0..all.len() {
            let mut turned = all.to_vec();
            turned.rotate_left(turn);
            let members = members(turned, "rg");
            assert_eq!(members.by_ordinal[&1], preferred);
            let line = members.trouble.line("rg").unwrap();
            assert!(
                line.contains("3 ordinals are published at more than one host or port"),
                "{line}"
            );
            assert!(line.contains("rg-1 also at \"rg-1.a\" port 1"), "{line}");
        }
    }

    #[test]
    fn the_same_record_twice_is_fine() {
        let lighter = Record {
            weight: Reverse(1),
            ..record("rg-1.a", 1)
        };
        let members = members([record("rg-1.a", 1), record("rg-1.a", 1), lighter], "rg");
        assert_eq!(members.by_ordinal.len(), 1);
        assert!(members.trouble.line("rg").is_none());
    }

    #[test]
    fn five_hundred_wrong_names_give_one_short_line() {
        let members = members((0..500).map(|n| record(&format!("web-{n}.example"), 1)), "rg");
        assert!(members.by_ordinal.is_empty());
        let line = members.trouble.line("rg").unwrap();
        assert!(
            line.starts_with("500 published names are not among rg-0 to rg-1023"),
            "{line}"
        );
        assert!(line.len() < 300, "{line}");
    }
}
