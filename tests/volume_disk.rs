#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
//! What becomes of a volume's lock and mark when its file system is full or read-only.
//!
//! Apart from `volume.rs`, and one test after the other: making a file system starts processes, and a process that is being
//! started holds every lock of this one until it has become `mount`. A volume that was just let go would seem in use.

mod small_disk;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use random_generator::clock::Clock;
use random_generator::identity::{Facts, Identity, Volume, VolumeError};
use small_disk::SmallDisk;

static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AFTER_THE_OTHER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn claim(dir: &Path, pod_name: &str) -> Result<Volume, VolumeError> {
    let facts = Facts {
        pod_name: pod_name.parse().unwrap(),
        namespace: "default".into(),
        ..Facts::default()
    };
    Volume::claim(dir, &Identity::new(facts).unwrap(), &Clock::system())
}

/// The exit code of a claim that names the volume it can't use.
fn refused(dir: &Path, pod_name: &str) -> u8 {
    let error = claim(dir, pod_name).unwrap_err();
    assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    error.exit() as u8
}

#[test]
fn a_full_disk_stops_a_new_volume_and_not_one_that_is_marked() {
    let _alone = alone();
    let disk = SmallDisk::new(10);
    let (old, new) = (disk.path().join("rg-0"), disk.path().join("rg-1"));
    drop(claim(&old, "rg-0").unwrap());
    disk.fill();
    drop(claim(&old, "rg-0").unwrap());
    assert_eq!(refused(&new, "rg-1"), 74);
    disk.free();
    claim(&new, "rg-1").unwrap();
}

#[test]
fn a_read_only_volume_is_an_io_error() {
    let _alone = alone();
    let disk = SmallDisk::new(10);
    drop(claim(&disk.path(), "rg-0").unwrap());
    disk.remount("ro");
    assert_eq!(refused(&disk.path(), "rg-0"), 74);
}

#[test]
fn a_volume_knows_its_space_and_whether_it_is_a_mount() {
    let _alone = alone();
    let disk = SmallDisk::new(10);
    let volume = claim(&disk.path(), "rg-0").unwrap();
    let before = volume.space().unwrap();
    assert!(volume.is_mount().unwrap());
    assert!(
        (5 << 20..10 << 20).contains(&before.total) && before.free <= before.total,
        "{before:?}"
    );
    disk.fill();
    assert!(volume.space().unwrap().free < 64 * 1024);

    let dir = tempfile::tempdir().unwrap();
    assert!(!claim(&dir.path().join("rg-0"), "rg-0").unwrap().is_mount().unwrap());
}
