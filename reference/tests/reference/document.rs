//! docs/reference.md against the tests that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &str) -> String {
    let mut open: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory)];
    let mut text = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

/// Names of the functions below a directory.
fn functions(directory: &str) -> BTreeSet<String> {
    let text = sources(directory);
    let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
    names.map(str::to_owned).collect()
}

/// Names of the functions marked as tests.
fn tests(directory: &str) -> BTreeSet<String> {
    let text = sources(directory);
    // Put together here, so that this file isn't one of its findings.
    let marked = text.split(concat!("#[", "test]\n")).skip(1);
    let names = marked.filter_map(|rest| rest.split_once("fn ")?.1.split('(').next());
    names.map(str::to_owned).collect()
}

#[test]
fn each_row_says_what_became_of_it_and_which_test_shows_it() {
    let page = include_str!("../../../docs/reference.md");
    let places = ["reference", "tests/e2e/reference", "tests/member"];
    let there: BTreeSet<String> = places.into_iter().flat_map(functions).collect();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| what "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 40, "{} rows", rows.len());
    let mut named = BTreeSet::new();
    for row in &rows {
        let [_, became, shown] = &row[..] else {
            panic!("{row:?}");
        };
        let known = ["same", "better", "left out"]
            .iter()
            .any(|word| became.starts_with(word));
        assert!(known, "{row:?}");
        let shown: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!shown.is_empty(), "{row:?}");
        for name in shown {
            assert!(there.contains(name), "there is no test {name}");
            named.insert(name.to_owned());
        }
    }
    let silent: Vec<_> = tests("reference/tests")
        .into_iter()
        .filter(|name| !named.contains(name))
        .collect();
    let own = ["each_row_says_what_became_of_it_and_which_test_shows_it"];
    assert_eq!(silent, own, "tests that no row names");
}
