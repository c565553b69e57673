//! Integers that a draw decides: the vectors in `tests/derived`, and both verifiers on questions of all kinds.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use random_generator::record::Record;
use random_generator::record::integers::Question;

use crate::both::{Asked, python_integers, root};
use crate::builder::{eventful, lines, short};

/// None where the list has no such draw, or one without output.
fn rust_integers(records: &[Record], asked: &Asked) -> Option<Vec<i64>> {
    let record = records.iter().find(|record| record.round == asked.round)?;
    let question = Question::new(asked.min, asked.max, asked.count, asked.unique).unwrap();
    question.of(record).map(|integers| integers.values)
}

/// Of the list `good.jsonl`.
fn questions() -> Vec<Asked> {
    let asked = |round, min, max, count, unique| Asked {
        round,
        min,
        max,
        count,
        unique,
    };
    vec![
        asked(2, 1, 6, 10, false),
        asked(3, 1, 6, 10, false),
        asked(2, 1, 200, 3, true),
        asked(2, 1, 200, 5, true),
        asked(2, 1, 200, 5, false),
        asked(2, 2, 201, 5, true),
        asked(2, 1, 10, 10, true),
        asked(4, 0, 0, 3, false),
        asked(4, -5, 5, 11, true),
        asked(5, i64::MIN, i64::MAX, 9, false),
        asked(5, i64::MIN, i64::MAX, 9, true),
        // So wide that a quarter of all words, and a half, is passed over.
        asked(6, i64::MIN, 1 << 62, 12, false),
        asked(6, i64::MIN, 0, 12, true),
        asked(15, 9_223_372_036_854_775_806, i64::MAX, 2, true),
        // Nobody revealed anything in the first of these, and the others aren't there.
        asked(1, 1, 6, 1, false),
        asked(14, 1, 6, 1, false),
        asked(16, 1, 6, 1, false),
    ]
}

#[test]
fn the_derived_integers_on_disk_are_what_both_verifiers_derive() {
    let records = eventful();
    let mut table = String::from("list\tround\tmin\tmax\tcount\tunique\tvalues\n");
    for asked in questions() {
        let Asked {
            round,
            min,
            max,
            count,
            unique,
        } = asked;
        let values = match rust_integers(&records, &asked) {
            Some(values) => values.iter().map(i64::to_string).collect::<Vec<_>>().join(" "),
            None => "drawn".into(),
        };
        writeln!(table, "good.jsonl\t{round}\t{min}\t{max}\t{count}\t{unique}\t{values}").unwrap();
    }
    let path = root().join("tests/derived/integers.tsv");
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("integers.tsv");
    fs::write(&fresh, &table).unwrap();
    assert!(
        kept == table,
        "if what is derived was meant to change: cp {} {}",
        fresh.display(),
        path.display()
    );

    let list = fs::read(root().join("tests/vectors/good.jsonl")).unwrap();
    let expected = kept.lines().skip(1).map(|row| match row.rsplit('\t').next().unwrap() {
        "drawn" => None,
        values => Some(values.split(' ').map(|value| value.parse().unwrap()).collect()),
    });
    assert!(python_integers(&list, &questions()).into_iter().eq(expected));
}

/// A range with its ends in order, as often narrow as wide.
fn question() -> impl Strategy<Value = Asked> {
    let narrow = (any::<i64>(), 0..300_i64).prop_map(|(min, size)| (min, min.saturating_add(size)));
    let wide = (any::<i64>(), any::<i64>()).prop_map(|(one, other)| (one.min(other), one.max(other)));
    (1..=4_u64, prop_oneof![narrow, wide], 1..300_u64, any::<bool>()).prop_map(|(round, (min, max), count, unique)| {
        let most = if unique {
            max.abs_diff(min).saturating_add(1)
        } else {
            count
        };
        let count = count.min(most);
        Asked {
            round,
            min,
            max,
            count,
            unique,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]

    #[test]
    fn both_verifiers_derive_the_same_from_any_question(asked in prop::collection::vec(question(), 40)) {
        let records = short();
        let python = python_integers(&lines(&records), &asked);
        for (asked, python) in asked.iter().zip(python) {
            prop_assert_eq!(rust_integers(&records, asked), python, "{:?}", asked);
        }
    }
}
