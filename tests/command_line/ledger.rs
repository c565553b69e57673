//! `ledger` on the volumes of members that run, that have ended, and that were damaged.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::grown::grow;
use crate::harness::{Member, PATIENCE, run};
use crate::listener::closed;
use crate::memory::most_memory;

#[test]
fn a_ledger_is_checked_while_its_member_draws_and_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &["--draw-schedule", "@every 1s"]);
    member.until_round(2);
    let at = volume.to_str().unwrap();
    let live = run(&["ledger", "check", at]);
    assert_eq!((live.code, live.stderr.as_str()), (Some(0), ""));
    assert!(
        live.stdout.starts_with("verified: set rg, chain ") && live.stdout.contains("rounds 1 to "),
        "{}",
        live.stdout
    );
    assert!(
        live.stdout.contains("\npromised to no fence below 1\n"),
        "{}",
        live.stdout
    );
    let round = member.round();
    member.until_round(round + 2);
    member.stop();
    let file = volume.join("ledger.db");
    let before = fs::read(&file).unwrap();
    let stopped = run(&["ledger", "check", file.to_str().unwrap(), "--json"]);
    let found: Value = serde_json::from_str(&stopped.stdout).unwrap();
    assert!(found["chain"]["to_round"].as_u64().unwrap() >= round + 2, "{found}");
    assert_eq!(
        (&found["others"], &found["aside"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    assert_eq!(fs::read(&file).unwrap(), before, "it was written to");
}

#[test]
fn a_ledger_that_was_changed_by_hand_is_reported_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("rg-0");
    let member = Member::start(&volume, &["--draw-schedule", "@every 1s"]);
    member.until_round(2);
    member.stop();
    let file = volume.join("ledger.db");
    let mut bytes = fs::read(&file).unwrap();
    let text = b"\"missed\":0";
    let at = bytes.windows(text.len()).position(|part| part == text).unwrap();
    bytes[at + text.len() - 1] = b'1';
    fs::write(&file, &bytes).unwrap();
    let changed = run(&["ledger", "check", volume.to_str().unwrap()]);
    assert_eq!((changed.code, changed.stdout.as_str()), (Some(65), ""));
    assert!(
        changed.line().contains("ledger.db: the ledger is damaged"),
        "{}",
        changed.line()
    );
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_volume_without_a_ledger_and_a_member_that_is_away_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let none = run(&["ledger", "check", dir.path().to_str().unwrap()]);
    assert_eq!(none.code, Some(74), "{}", none.stderr);
    assert!(none.line().contains("ledger.db"), "{}", none.line());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(run(&["ledger", "restore", "--admin", &closed()]).code, Some(75));
    let unconfirmed = run(&["ledger", "restart", "--admin", &closed()]);
    assert!(
        unconfirmed.code == Some(64) && unconfirmed.line().contains("--yes"),
        "{}",
        unconfirmed.line()
    );
}

#[test]
fn a_sound_ledger_has_nothing_to_restore() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &[]);
    let sound = run(&["ledger", "restore", "--admin", &member.admin_url()]);
    assert_eq!(sound.code, Some(64), "{}", sound.stderr);
    assert!(sound.line().contains("nothing to restore"), "{}", sound.line());
}

/// Makes a ledger of that many rounds, of one member, in a file that has just enough space.
fn grown(volume: &Path, rounds: u64) {
    grow(&volume.join("ledger.db"), rounds, 1, (2 << 20) + 1_500 * rounds);
}

#[test]
fn a_ledger_of_any_length_is_checked_in_the_same_memory() {
    let [few, many] = [600, 9_000].map(|rounds| {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        grown(dir.path(), rounds);
        let found = run(&["ledger", "check", dir.path().to_str().unwrap()]);
        assert!(
            found
                .stdout
                .contains(&format!("rounds 1 to {rounds}: {rounds} records, ")),
            "{found:?}"
        );
        let mut check = Command::new(env!("CARGO_BIN_EXE_random-generator"));
        most_memory(check.args(["ledger", "check"]).arg(dir.path()), PATIENCE)
    });
    assert!(many * 10 <= few * 12, "{few} KiB for 600 records, {many} KiB for 9,000");
}
