//! Pages under docs/ that are made from the program: compared with what is there, or written anew.

use std::fs;
use std::path::{Path, PathBuf};

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

pub fn read(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails when the page isn't `made`; with RANDOM_GENERATOR_UPDATE_DOCS=1 it is written instead.
#[allow(clippy::disallowed_methods)] // a switch for the person who runs the test
pub fn check(name: &str, made: &str) {
    if std::env::var_os("RANDOM_GENERATOR_UPDATE_DOCS").is_some() {
        fs::write(path(name), made).unwrap();
        return;
    }
    let there = read(name);
    let differs = there.lines().zip(made.lines()).find(|(there, made)| there != made);
    assert!(
        there == made,
        "docs/{name} is not what the program says: {differs:?}; `make docs` writes it anew"
    );
}

/// A cell of a table: one line, and no `|` of its own.
pub fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
