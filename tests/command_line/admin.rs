//! `admin` against a real member's admin listener.

use crate::harness::{Member, run, until};
use crate::listener::{Listener, closed};

#[test]
fn the_log_level_is_shown_and_changed() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &[]);
    let at = member.admin_url();
    let level = || run(&["admin", "log-level", "--admin", &at]).stdout;
    assert_eq!(level(), "info\n");
    let set = run(&[
        "admin",
        "log-level",
        "warn,random_generator::draw=debug",
        "--admin",
        &at,
    ]);
    assert_eq!((set.code, set.stderr.as_str()), (Some(0), ""));
    assert!(level().contains("random_generator::draw=debug"), "{}", level());
    let wrong = run(&["admin", "log-level", "loud=very", "--admin", &at]);
    assert_eq!(wrong.code, Some(64), "{}", wrong.stderr);
}

#[test]
fn a_member_is_asked_to_end_and_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &[]);
    let asked = run(&["admin", "shutdown", "--admin", &member.admin_url()]);
    assert_eq!((asked.code, asked.stdout.as_str()), (Some(0), "shutting down\n"));
    let (code, log) = member.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn the_ledger_is_shown_to_people_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &["--draw-schedule", "@every 1s"]);
    member.until_round(2);
    let at = member.admin_url();
    let told = run(&["admin", "ledger", "--admin", &at]).stdout;
    assert!(
        told.starts_with("condition  writable\n") && told.contains("\nrounds     1 to "),
        "{told}"
    );
    let json = run(&["admin", "ledger", "--json", "--admin", &at]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["condition"], "writable");
}

#[test]
fn the_journal_is_shown_to_people_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(&dir.path().join("rg-0"), &["--journal-max", "4MiB"]);
    let at = member.admin_url();
    member.get("/").unwrap();
    let json: serde_json::Value = until("a row", || {
        let json = run(&["admin", "journal", "--json", "--admin", &at]).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        (json["rows"] == 1).then_some(json)
    });
    assert_eq!(
        (&json["condition"], &json["max_bytes"]),
        (&"working".into(), &4_194_304.into())
    );
    let told = run(&["admin", "journal", "--admin", &at]).stdout;
    let expected = "condition  working\nrows       1\nbytes      ";
    assert!(told.starts_with(expected) && told.ends_with(" of 4194304\n"), "{told}");
}

#[test]
fn a_listener_that_is_no_admin_listener_is_told_apart_from_one_that_is_away() {
    let away = run(&["admin", "shutdown", "--admin", &closed()]);
    assert_eq!(away.code, Some(75), "{}", away.stderr);
    let other = Listener::saying(200, "<html>");
    assert_eq!(run(&["admin", "shutdown", "--admin", &other.url()]).code, Some(65));
    let public = Listener::saying(404, r#"{"detail":"there is no such path"}"#);
    let ended = run(&["admin", "ledger", "--admin", &public.url()]);
    assert!(
        ended.code == Some(64) && ended.line().contains("there is no such path"),
        "{}",
        ended.line()
    );
    assert_eq!(run(&["admin"]).code, Some(64));
    assert_eq!(run(&["admin", "shutdwon"]).code, Some(64));
}
