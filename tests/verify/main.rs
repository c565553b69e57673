#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

//! The two verifiers, in Rust and in Python, on vectors, on every changed byte, and on random chains.

mod both;
mod builder;
mod commands;
mod derived;
mod long;
mod member;
#[path = "../memory/mod.rs"]
mod memory;
mod random;
mod service;
mod texts;
mod vectors;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use both::{Case, Verdict, python, root, rust, summary};
use builder::{eventful, lines, short};

#[test]
fn the_vectors_on_disk_are_what_the_builder_makes() {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).unwrap();
    let mut index = String::from("list\thead\trule\tline\n");
    for vector in vectors::all() {
        fs::write(fresh.join(format!("{}.jsonl", vector.name)), &vector.list).unwrap();
        let head = vector.head.as_deref().unwrap_or("-");
        writeln!(index, "{}.jsonl\t{head}\t{}\t{}", vector.name, vector.rule, vector.line).unwrap();
    }
    fs::write(fresh.join("expected.tsv"), index).unwrap();
    let listed = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let (made, kept) = (listed(&fresh), listed(&root().join("tests/vectors")));
    let changed: Vec<_> = made
        .iter()
        .filter(|file| !kept.contains(file))
        .map(|(name, _)| name)
        .collect();
    assert!(
        made == kept,
        "{changed:?} differ; if the format was meant to change: rm -r tests/vectors && cp -r {} tests/vectors",
        fresh.display()
    );
}

#[test]
fn both_verifiers_find_in_each_vector_the_rule_that_it_breaks() {
    let index = fs::read_to_string(root().join("tests/vectors/expected.tsv")).unwrap();
    let (mut cases, mut expected) = (Vec::new(), Vec::new());
    for row in index.lines().skip(1) {
        let [file, head, rule, line] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let list = fs::read(root().join("tests/vectors").join(file)).unwrap();
        let head = Some(head.to_owned()).filter(|head| head != "-");
        cases.push(Case { list, head });
        expected.push((
            file,
            Verdict {
                rule: rule.into(),
                line: line.parse().unwrap(),
            },
        ));
    }
    assert!(cases.len() > 100);
    for (((file, verdict), case), python) in expected.iter().zip(&cases).zip(python(&cases)) {
        assert_eq!(rust(case), *verdict, "{file} in Rust");
        assert_eq!(python, *verdict, "{file} in Python");
    }
}

#[test]
fn the_verifier_in_python_is_short_enough_to_be_read_at_one_sitting() {
    let source = fs::read_to_string(root().join("verify_draws.py")).unwrap();
    assert!(source.lines().count() < 150);
}

#[test]
fn every_rule_has_a_vector() {
    let rules = "form schedule slot previous missed order reveal majority output hash set chain round fence head empty";
    let vectors = vectors::all();
    for rule in rules.split(' ') {
        assert!(vectors.iter().any(|vector| vector.rule == rule), "{rule}");
    }
}

#[test]
fn the_summary_counts_what_the_list_says() {
    let records = eventful();
    let whole = summary(&lines(&records), None).unwrap();
    assert_eq!(
        (whole.from_round, whole.to_round, whole.records, whole.outputs),
        (1, 15, 15, 13)
    );
    assert_eq!(whole.missed, 2 + 1 + 3 + 100_000);
    assert_eq!(whole.head, records[14].hash);
    let tail = summary(&lines(&records[4..]), None).unwrap();
    assert_eq!((tail.from_round, tail.records, tail.missed), (5, 11, 1 + 3 + 100_000));
}

/// Every list that is one changed, one added or one lost byte away from a good one.
fn neighbours(list: &[u8], values: impl Fn(u8) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut neighbours = Vec::new();
    for position in 0..list.len() {
        for value in values(list[position]) {
            let mut changed = list.to_vec();
            changed[position] = value;
            neighbours.extend(Some(changed).filter(|changed| changed != list));
        }
        let mut shorter = list.to_vec();
        shorter.remove(position);
        neighbours.push(shorter);
        let mut longer = list.to_vec();
        longer.insert(position, list[position]);
        neighbours.push(longer);
    }
    neighbours
}

#[test]
fn no_byte_of_a_chain_can_change_unseen_by_the_verifier_in_rust() {
    let list = lines(&short());
    let values = |byte: u8| vec![byte ^ 1, byte ^ 0x20, byte ^ 0x80, b'0', b'f', b' ', b'\n', b'"', 0];
    let neighbours = neighbours(&list, values);
    assert!(neighbours.len() > 9 * list.len());
    for changed in neighbours {
        assert!(
            summary(&changed, None).is_err(),
            "{}",
            String::from_utf8_lossy(&changed)
        );
    }
}

#[test]
fn no_byte_of_a_chain_can_change_unseen_by_the_verifier_in_python() {
    let list = lines(&short());
    let neighbours = neighbours(&list, |byte| vec![byte ^ 1]);
    let cases: Vec<Case> = neighbours.into_iter().map(|list| Case { list, head: None }).collect();
    for (case, verdict) in cases.iter().zip(python(&cases)) {
        assert_ne!(verdict.rule, "verified", "{}", String::from_utf8_lossy(&case.list));
        assert_eq!(verdict.line, rust(case).line, "{}", String::from_utf8_lossy(&case.list));
    }
}

#[test]
fn a_cut_tail_is_noticed_with_the_head_that_was_seen() {
    let records = eventful();
    let head = records.last().unwrap().hash.to_string();
    let mut cases = Vec::new();
    for kept in 1..records.len() {
        let list = lines(&records[..kept]);
        assert!(summary(&list, None).is_ok());
        cases.push(Case {
            list,
            head: Some(head.clone()),
        });
    }
    for (case, verdict) in cases.iter().zip(python(&cases)) {
        assert_eq!(rust(case).rule, "head");
        assert_eq!(verdict.rule, "head");
    }
}
