//! The test vectors in `tests/vectors`: lists that verify, and lists that break one rule each.

use random_generator::record::{Hex, Missing, Reason, Record, Slot};

use crate::builder::{Builder, Round, eventful, lines, moved, reseal, short};
use crate::texts;

pub struct Vector {
    pub name: &'static str,
    /// `verified`, or the rule that is broken.
    pub rule: &'static str,
    /// The line that breaks it; 0 when it is none or all.
    pub line: u64,
    pub head: Option<String>,
    pub list: Vec<u8>,
}

pub fn all() -> Vec<Vector> {
    let mut vectors = good();
    vectors.extend(broken_records());
    vectors.extend(texts::broken());
    vectors
}

fn good() -> Vec<Vector> {
    let (records, brief) = (eventful(), short());
    let head = |record: &Record| Some(record.hash.to_string());
    let vector = |name, rule, records: &[Record], head| Vector {
        name,
        rule,
        line: 0,
        head,
        list: lines(records),
    };
    vec![
        vector("good", "verified", &records, None),
        vector("good-with-head", "verified", &records, head(&records[14])),
        vector("good-from-round-5", "verified", &records[4..], None),
        vector("good-with-ranges-of-voters", "verified", &moved(), None),
        vector("good-one-record", "verified", &brief[..1], None),
        vector("head-of-a-cut-tail", "head", &brief[..2], head(&brief[2])),
        vector("head-of-another-round", "head", &brief, head(&brief[1])),
        vector("empty", "empty", &[], None),
    ]
}

/// Changes one record and makes output and hash true again, so that only the rule is broken.
fn resealed(name: &'static str, rule: &'static str, index: usize, change: fn(&mut Record)) -> Vector {
    let mut records = eventful();
    records.truncate(index + 1);
    change(&mut records[index]);
    records[index] = reseal(records[index].clone());
    let (line, list) = (index as u64 + 1, lines(&records));
    Vector {
        name,
        rule,
        line,
        head: None,
        list,
    }
}

fn broken_records() -> Vec<Vector> {
    let at = resealed;
    let list = |name, rule, line, records: &[Record]| Vector {
        name,
        rule,
        line,
        head: None,
        list: lines(records),
    };
    let all = eventful();
    let swapped = [all[0].clone(), all[2].clone(), all[1].clone()];
    let mut vectors = vec![
        at("schema-2", "form", 1, |r| r.schema = 2),
        at("round-0", "form", 0, |r| r.round = 0),
        at("round-beyond-2-53", "form", 0, |r| r.round = 1 << 53),
        at("fence-0", "form", 0, |r| r.fence = 0),
        at("fence-beyond-2-53", "form", 1, |r| r.fence = 1 << 53),
        at("voters-0", "form", 0, |r| r.voters = 0.into()),
        at("voters-33", "form", 0, |r| r.voters = 33.into()),
        at("missed-beyond-the-limit", "form", 12, |r| r.missed = 100_001),
        at("set-of-53-characters", "form", 0, |r| r.set = "a".repeat(53)),
        at("set-in-capitals", "form", 0, |r| r.set = "RG".into()),
        at("set-of-nothing", "form", 0, |r| r.set = String::new()),
        at("holder-of-nothing", "form", 0, |r| r.holder = String::new()),
        at("holder-with-a-space", "form", 0, |r| r.holder = "rg-0 uid".into()),
        at("holder-with-a-quote", "form", 0, |r| r.holder = "rg-0\"uid".into()),
        at("holder-beyond-ascii", "form", 0, |r| r.holder = "rg-0_é".into()),
        at("holder-of-254-characters", "form", 0, |r| r.holder = "h".repeat(254)),
        at("member-of-another-ordinal", "form", 1, |r| {
            r.contributions[1].member = "rg-2".into()
        }),
        at("member-of-another-set", "form", 1, |r| {
            r.contributions[1].member = "rh-1".into()
        }),
        at("ordinal-1024", "form", 0, |r| r.missing = missing(&[1024])),
        at("missing-65", "form", 0, |r| {
            r.missing = missing(&(100..165).collect::<Vec<_>>())
        }),
        at("contributions-33", "form", 0, |r| {
            let one = r.contributions[0].clone();
            r.contributions = (0..33)
                .map(|n| {
                    let mut c = one.clone();
                    (c.ordinal, c.member) = (n, format!("rg-{n}"));
                    c
                })
                .collect();
        }),
        at("schedule-with-names", "schedule", 0, |r| {
            r.schedule = "0 0 * * MON".into()
        }),
        at("schedule-with-two-spaces", "schedule", 0, |r| {
            r.schedule = "@every  10s".into()
        }),
        at("schedule-with-a-space-behind", "schedule", 0, |r| {
            r.schedule = "@every 10s ".into()
        }),
        at("schedule-with-a-leading-zero", "schedule", 0, |r| {
            r.schedule = "@every 010s".into()
        }),
        at("schedule-longer-than-a-day", "schedule", 0, |r| {
            r.schedule = "@every 25h".into()
        }),
        at("schedule-with-six-fields", "schedule", 0, |r| {
            r.schedule = "0 * * * * *".into()
        }),
        at("schedule-out-of-range", "schedule", 0, |r| {
            r.schedule = "60 * * * *".into()
        }),
        at("schedule-backwards", "schedule", 0, |r| {
            r.schedule = "5-1 * * * *".into()
        }),
        at("schedule-with-step-0", "schedule", 0, |r| {
            r.schedule = "*/0 * * * *".into()
        }),
        at("schedule-with-a-step-of-one-number", "schedule", 0, |r| {
            r.schedule = "5/10 * * * *".into()
        }),
        at("schedule-with-a-star-in-a-list", "schedule", 0, |r| {
            r.schedule = "*,5 * * * *".into()
        }),
        at("schedule-with-an-empty-item", "schedule", 0, |r| {
            r.schedule = "0,,5 * * * *".into()
        }),
        at("schedule-with-other-digits", "schedule", 0, |r| {
            r.schedule = "٣ * * * *".into()
        }),
        at("schedule-of-no-day", "schedule", 0, |r| {
            r.schedule = "0 0 30 2 *".into()
        }),
        at("schedule-of-257-characters", "schedule", 0, |r| {
            r.schedule = format!("{}00 * * * *", "0,".repeat(124) + "0")
        }),
        at("schedule-of-nothing", "schedule", 0, |r| r.schedule = String::new()),
        at("slot-between-two-slots", "slot", 1, |r| r.slot = Slot(r.slot.0 + 1)),
        at("slot-not-on-the-day", "slot", 10, |r| r.slot = Slot(r.slot.0 + 86_400)),
        at("slot-with-seconds", "slot", 9, |r| r.slot = Slot(r.slot.0 + 10)),
        at("slot-of-the-record-before", "slot", 1, |r| r.slot = Slot(r.slot.0 - 10)),
        at("slot-earlier", "slot", 1, |r| r.slot = Slot(r.slot.0 - 20)),
        at("previous-in-round-1", "previous", 0, |r| {
            r.previous = Some(Hex([7; 32]))
        }),
        at("previous-null", "previous", 1, |r| r.previous = None),
        at("previous-of-another", "previous", 1, |r| {
            r.previous = Some(Hex([7; 32]))
        }),
        at("missed-in-round-1", "missed", 0, |r| r.missed = 1),
        at("missed-one-less", "missed", 3, |r| r.missed -= 1),
        at("missed-one-more", "missed", 1, |r| r.missed += 1),
        at("missed-by-cron", "missed", 10, |r| r.missed += 1),
        at("missed-not-at-the-limit", "missed", 12, |r| r.missed = 99_999),
        at("order-of-contributions", "order", 1, |r| r.contributions.reverse()),
        at("order-with-an-ordinal-twice", "order", 0, |r| {
            r.contributions[1] = r.contributions[0].clone()
        }),
        at("order-of-missing", "order", 0, |r| r.missing = missing(&[9, 8])),
        at("order-with-an-ordinal-missing-twice", "order", 0, |r| {
            r.missing = missing(&[8, 8])
        }),
        at("order-with-an-ordinal-in-both-lists", "order", 0, |r| {
            r.missing = missing(&[2])
        }),
        at("reveal-in-round-1", "reveal", 0, |r| {
            r.contributions[0].reveal = Some(Hex([7; 32]))
        }),
        at("reveal-that-opens-nothing", "reveal", 1, |r| {
            r.contributions[0].reveal = Some(Hex([7; 32]))
        }),
        at("reveal-without-commitment", "reveal", 2, |r| {
            r.contributions[3].reveal = Some(Hex([7; 32]))
        }),
        at("reveal-of-another", "reveal", 1, |r| {
            r.contributions[0].reveal = r.contributions[1].reveal
        }),
        at("majority-of-its-voters", "majority", 1, |r| r.contributions.truncate(1)),
        at("majority-is-more-than-half", "majority", 0, |r| {
            r.voters = 4.into();
            r.contributions.truncate(2)
        }),
        at("majority-of-members-that-are-no-voters", "majority", 2, |r| {
            r.contributions.drain(1..3);
        }),
        at("majority-of-the-voters-before", "majority", 7, |r| {
            r.voters = 3.into();
            r.contributions.truncate(2)
        }),
        at("set-changed", "set", 1, |r| {
            r.set = "rh".into();
            r.contributions
                .iter_mut()
                .for_each(|c| c.member = format!("rh-{}", c.ordinal));
        }),
        at("chain-changed", "chain", 1, |r| r.chain = Hex([7; 16])),
        at("round-skipped", "round", 1, |r| r.round += 1),
        at("fence-less", "fence", 4, |r| {
            (r.fence, r.holder) = (1, "rg-2_uid-00000002".into())
        }),
        at("fence-of-another-holder", "fence", 1, |r| {
            r.holder = "rg-1_uid-00000001".into()
        }),
        list("record-left-out", "round", 2, &[all[0].clone(), all[2].clone()]),
        list("records-swapped", "round", 2, &swapped),
        list("record-twice", "round", 2, &[all[0].clone(), all[0].clone()]),
    ];
    vectors.extend(broken_ranges());
    vectors.extend(broken_seals());
    vectors.push(fork());
    vectors
}

fn missing(ordinals: &[u16]) -> Vec<Missing> {
    ordinals
        .iter()
        .map(|&ordinal| Missing {
            ordinal,
            reason: Reason::Timeout,
        })
        .collect()
}

/// Voters that are a range.
fn broken_ranges() -> Vec<Vector> {
    let at = |name, rule, index: usize, change: fn(&mut Record)| {
        let mut records = moved();
        records.truncate(index + 1);
        change(&mut records[index]);
        records[index] = reseal(records[index].clone());
        Vector {
            name,
            rule,
            line: index as u64 + 1,
            head: None,
            list: lines(&records),
        }
    };
    vec![
        at("schema-1-with-a-range", "form", 3, |r| r.schema = 1),
        at("voters-0-in-a-range", "form", 3, |r| {
            (r.voters.first, r.voters.count) = (3, 0)
        }),
        at("voters-33-in-a-range", "form", 3, |r| r.voters.count = 33),
        at("voters-beyond-ordinal-1023", "form", 3, |r| r.voters.first = 1022),
        at("majority-below-a-range", "majority", 5, |r| {
            r.contributions.drain(1..3);
        }),
        at("majority-of-a-range-before", "majority", 7, |r| {
            (r.voters.first, r.voters.count) = (4, 1);
            r.contributions.retain(|c| c.ordinal == 4)
        }),
        at("majority-of-a-number-before", "majority", 3, |r| {
            r.contributions.retain(|c| c.ordinal > 3)
        }),
    ]
}

/// Output and hash that aren't made true again.
fn broken_seals() -> Vec<Vector> {
    let with = |name, rule, change: fn(&mut Record)| {
        let mut records = short();
        change(&mut records[1]);
        Vector {
            name,
            rule,
            line: 2,
            head: None,
            list: lines(&records),
        }
    };
    vec![
        with("hash-of-another", "hash", |r| r.hash = Hex([7; 32])),
        with("hash-of-what-it-was", "hash", |r| r.fence = 2),
        with("output-of-another", "output", |r| {
            r.output = Some(Hex([7; 64]));
            r.hash = r.computed_hash();
        }),
        with("output-null", "output", |r| {
            r.output = None;
            r.hash = r.computed_hash();
        }),
        with("output-without-a-reveal", "output", |r| {
            r.contributions[0].reveal = None;
            r.hash = r.computed_hash();
        }),
    ]
}

/// A record that follows another record of the same round.
fn fork() -> Vector {
    let (records, mut other) = (short(), Builder::new());
    other.draw(Round::default());
    other.draw(Round {
        missing: vec![(4, Reason::Timeout)],
        ..Round::default()
    });
    let list = lines(&[records[0].clone(), other.records[1].clone(), records[2].clone()]);
    Vector {
        name: "previous-of-a-fork",
        rule: "previous",
        line: 3,
        head: None,
        list,
    }
}
