//! A directory that can't be used: the error names it, and says what to do.

use std::path::Path;
use std::sync::Arc;

use lease_election::directory::DirectoryLeaseStore;
use lease_election::{LeaseStore, StoreError, WriteOutcome};
use random_generator::record::Record;

use crate::lease_writes::{change, written};
use crate::small_disk::SmallDisk;
use crate::{Head, LeaseObject, Opened, annotations, json_file};

fn refused<T: std::fmt::Debug>(found: Result<T, StoreError>) -> String {
    match found {
        Err(StoreError::Refused(text)) => text,
        other => panic!("expected Refused, got {other:?}"),
    }
}

async fn refused_write(opened: &Opened, base: &LeaseObject) -> String {
    match opened.store.write(base, &change("a", 1)).await {
        WriteOutcome::Failed(error) => refused(Err::<(), _>(error)),
        other => panic!("expected Failed, got {other:?}"),
    }
}

/// What the start of a member fails with.
async fn unusable(path: &Path) -> String {
    let opened = DirectoryLeaseStore::<Record>::open(path.to_owned(), annotations()).await;
    let error = opened.unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_lease_is_reported_and_left_as_it_is_until_a_person_moves_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    let base = opened.read().await;
    let file = json_file(&path);
    for (garbage, says) in [
        ("x".repeat(9_000), "not JSON"),
        (
            r#"{"kind": "ConfigMap", "metadata": {}}"#.to_owned(),
            "not a Lease, but ConfigMap",
        ),
    ] {
        std::fs::write(&file, &garbage).unwrap();
        let text = refused(opened.store.read().await);
        let file_name = file.file_name().unwrap().to_str().unwrap();
        assert!(text.contains("lease is damaged") && text.contains("move"), "{text}");
        assert!(text.contains(says) && text.contains(file_name), "{text}");
        assert_eq!(refused_write(&opened, &base).await, text);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), garbage);
    }
    std::fs::rename(&path, dir.path().join("away")).unwrap();
    assert_eq!(opened.store.read().await, Ok(None));
    assert_ne!(opened.read().await.uid, base.uid);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_other_files_and_no_lease_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    let opened = Opened::at(&path).await;
    let text = refused(opened.store.read().await);
    assert!(text.contains("does not hold a whole Lease"), "{text}");
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_lost_its_marker_or_its_file_is_damaged_and_never_an_older_one() {
    for ending in ["current", "json"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let opened = Opened::at(&path).await;
        let mut object = opened.read().await;
        for fence in 1..4 {
            object = written(opened.store.write(&object, &change("a", fence)).await);
        }
        for entry in std::fs::read_dir(&path).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().unwrap() == ending {
                std::fs::remove_file(file).unwrap();
            }
        }
        refused(opened.store.read().await);
        refused_write(&opened, &object).await;
        opened.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_can_never_hold_a_lease_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = unusable(&dir.path().join("none/lease")).await;
    assert!(error.contains("the directory above it must exist"), "{error}");
    let file = dir.path().join("lease.db");
    std::fs::write(&file, "SQLite format 3").unwrap();
    let error = unusable(&file.join("lease")).await;
    assert!(
        error.contains("lease.db is not a directory; name a path in a directory"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "SQLite format 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_place_of_the_directory_is_reported_until_it_is_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    std::fs::write(&path, "mine").unwrap();
    let opened = Opened::at(&path).await;
    let text = refused(opened.store.read().await);
    assert!(
        text.contains("Not a directory (os error 20); move away what is there"),
        "{text}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    std::fs::rename(&path, dir.path().join("away")).unwrap();
    assert_eq!(opened.store.read().await, Ok(None));
    let object = opened.read().await;
    // The same while it runs.
    std::fs::rename(&path, dir.path().join("lease-away")).unwrap();
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(refused(opened.store.read().await), text);
    assert_eq!(refused_write(&opened, &object).await, text);
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(dir.path().join("lease-away"), &path).unwrap();
    assert_eq!(opened.read().await, object);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_of_a_version_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    let object = opened.read().await;
    std::fs::write(path.join("9-junk.current"), "").unwrap();
    let text = refused(opened.store.read().await);
    assert!(
        text.contains("9-junk.current names a version without its file 9-junk.json") && text.contains("move it away"),
        "{text}"
    );
    std::fs::remove_file(path.join("9-junk.current")).unwrap();
    assert_eq!(opened.read().await, object);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_point_is_refused_and_a_directory_inside_it_is_not() {
    let disk = SmallDisk::new(10);
    std::fs::remove_dir(disk.path().join("lost+found")).unwrap();
    let opened = Opened::at(&disk.path()).await;
    let text = refused(opened.store.read().await);
    assert!(text.contains("mount point: name a directory inside it"), "{text}");
    opened.close().await;
    let opened = Opened::at(&disk.path().join("lease")).await;
    opened.read().await;
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_system_is_read_and_refuses_writes_until_it_is_writable() {
    let disk = SmallDisk::new(10);
    let path = disk.path().join("lease");
    let opened = Opened::at(&path).await;
    let object = opened.read().await;
    disk.remount("ro");
    assert_eq!(opened.read().await, object);
    let text = refused_write(&opened, &object).await;
    assert!(
        text.contains(path.to_str().unwrap()) && text.contains("Read-only"),
        "{text}"
    );
    let another = Opened::at(&disk.path().join("another")).await;
    for text in [text, refused(another.store.read().await)] {
        assert!(text.contains("remount its file system as writable"), "{text}");
    }
    disk.remount("rw");
    assert_eq!(another.store.read().await, Ok(None));
    another.read().await;
    another.close().await;
    written(opened.store.write(&object, &change("a", 1)).await);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_no_write_but_one_that_needs_more_space_and_that_one_says_so() {
    let disk = SmallDisk::new(10);
    let path = disk.path().join("lease");
    let opened = Opened::at(&path).await;
    let mut object = opened.read().await;
    disk.fill();
    for fence in 1..50 {
        let mut larger = change("a", fence);
        larger.payload = Head::Invalid(Arc::from("x".repeat(200 * fence as usize)));
        object = written(opened.store.write(&object, &larger).await);
    }
    let mut large = change("a", 50);
    large.payload = Head::Invalid(Arc::from("x".repeat(20_000)));
    match opened.store.write(&object, &large).await {
        WriteOutcome::Failed(StoreError::Unreachable(text)) => {
            assert!(
                text.contains(path.to_str().unwrap()) && text.contains("free space"),
                "{text}"
            );
        }
        other => panic!("expected Failed, got {other:?}"),
    }
    assert_eq!(opened.read().await, object);
    // It gave back what it took.
    object = written(opened.store.write(&object, &change("a", 50)).await);
    disk.free();
    large.fence = 51;
    written(opened.store.write(&object, &large).await);
    opened.close().await;
}
