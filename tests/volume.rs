#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
//! A volume has one owner: one process at a time, always the same set and ordinal. Who comes wrong is told so in one line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use random_generator::clock::Clock;
use random_generator::identity::{Facts, Identity, Volume, VolumeError};

fn identity(pod_name: &str, namespace: &str) -> Identity {
    Identity::new(Facts {
        pod_name: pod_name.parse().unwrap(),
        namespace: namespace.into(),
        ..Facts::default()
    })
    .unwrap()
}

fn claim(dir: &Path, pod_name: &str) -> Result<Volume, VolumeError> {
    Volume::claim(dir, &identity(pod_name, "default"), &Clock::system())
}

/// One line that names the volume; returns the exit code.
fn told(dir: &Path, error: &VolumeError) -> u8 {
    let text = error.to_string();
    assert!(text.contains(dir.to_str().unwrap()), "{text}");
    assert!(!text.contains('\n') && text.contains(';'), "{text}");
    error.exit() as u8
}

#[test]
fn a_new_volume_is_made_private_and_marked() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("deep/rg-2");
    let volume = claim(&dir, "rg-2").unwrap();
    assert_eq!(fs::metadata(volume.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    let mark: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("owner.json")).unwrap()).unwrap();
    assert_eq!(
        (&mark["set"], &mark["namespace"], &mark["ordinal"], &mark["schema"]),
        (&"rg".into(), &"default".into(), &2.into(), &1.into())
    );
    assert!(mark["created"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
}

#[test]
fn the_owner_comes_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    drop(claim(dir.path(), "rg-2").unwrap());
    let mark = fs::read(dir.path().join("owner.json")).unwrap();
    drop(claim(dir.path(), "rg-2").unwrap());
    assert_eq!(fs::read(dir.path().join("owner.json")).unwrap(), mark);
}

#[test]
fn a_volume_in_use_is_tried_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let first = claim(dir.path(), "rg-2").unwrap();
    assert_eq!(told(dir.path(), &claim(dir.path(), "rg-2").unwrap_err()), 75);
    drop(first);
    claim(dir.path(), "rg-2").unwrap();
}

#[test]
fn a_volume_of_another_owner_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(claim(dir.path(), "rg-2").unwrap());
    for (name, namespace) in [
        ("rg-1", "default"),
        ("other-2", "default"),
        ("rg-2", "elsewhere"),
        ("rg", "default"),
    ] {
        let error = Volume::claim(dir.path(), &identity(name, namespace), &Clock::system()).unwrap_err();
        assert_eq!(told(dir.path(), &error), 78);
        assert!(error.to_string().contains("rg-2 in namespace default"), "{error}");
        assert!(
            error.to_string().contains(&format!("{name} in namespace {namespace}")),
            "{error}"
        );
    }
}

#[test]
fn a_volume_of_a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("owner.json"), r#"{"schema": 2, "who": "knows"}"#).unwrap();
    let error = claim(dir.path(), "rg-2").unwrap_err();
    assert_eq!(told(dir.path(), &error), 78);
    assert!(error.to_string().contains("schema 2"), "{error}");
}

#[test]
fn a_mark_that_cannot_be_read_is_a_persons_affair() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "{", "null", r#"{"schema":1,"set":"rg"}"#] {
        fs::write(dir.path().join("owner.json"), text).unwrap();
        assert_eq!(told(dir.path(), &claim(dir.path(), "rg-2").unwrap_err()), 78);
        assert_eq!(fs::read_to_string(dir.path().join("owner.json")).unwrap(), text);
    }
}

#[test]
fn a_crash_while_the_mark_is_made_leaves_a_new_volume() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("owner.json.new"), "{\"set\":").unwrap();
    drop(claim(dir.path(), "rg-2").unwrap());
    claim(dir.path(), "rg-2").unwrap();
}

#[test]
fn a_path_that_cannot_be_a_volume_is_an_io_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below")] {
        assert_eq!(told(&dir, &claim(&dir, "rg-2").unwrap_err()), 74);
    }
}
