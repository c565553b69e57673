//! The directory lease store against real files, threads and processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod damage;
#[path = "../lease_writes/mod.rs"]
mod lease_writes;
mod processes;
#[path = "../small_disk/mod.rs"]
mod small_disk;
#[path = "../waiting/mod.rs"]
mod waiting;
mod watches;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use lease_election::directory::{DirectoryLeaseError, DirectoryLeaseStore};
use lease_election::{LeaseChange, LeaseSpec, LeaseStore, WriteOutcome};
use random_generator::lease::{Head, LeaseObject, annotations};
use random_generator::record::{Contribution, Draft, Hex, Record, Slot};
use random_generator::shutdown;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use lease_writes::{change, written};
use waiting::PATIENCE;

struct Opened {
    store: DirectoryLeaseStore<Record>,
    trigger: shutdown::Trigger,
    tasks: JoinSet<Result<(), DirectoryLeaseError>>,
}

impl Opened {
    async fn at(path: &Path) -> Opened {
        let (store, task) = DirectoryLeaseStore::open(path.to_owned(), annotations()).await.unwrap();
        let (trigger, mut signal) = shutdown::stage();
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(async move { signal.requested().await }));
        Opened { store, trigger, tasks }
    }

    async fn read(&self) -> Arc<LeaseObject> {
        self.store.read().await.unwrap().expect("a Lease")
    }

    async fn close(mut self) {
        self.trigger.pull();
        timeout(PATIENCE, self.tasks.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

fn record() -> Record {
    Draft {
        set: "rg".to_owned(),
        chain: Hex([7; 16]),
        round: 1,
        schedule: "@every 1m".to_owned(),
        slot: Slot(1_800_000_000),
        missed: 0,
        holder: "rg-0_u-n".to_owned(),
        fence: 3,
        voters: 1.into(),
        previous: None,
        contributions: vec![Contribution {
            member: "rg-0".to_owned(),
            next_commitment: Hex([9; 32]),
            ordinal: 0,
            reveal: None,
        }],
        missing: vec![],
    }
    .seal()
}

/// The file that a person would look at: the only one with this ending.
fn json_file(directory: &Path) -> PathBuf {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files = entries.map(|entry| entry.unwrap().path());
    files
        .find(|path| path.extension().is_some_and(|ending| ending == "json"))
        .unwrap()
}

/// Changes the Lease by hand, with neither lock nor version.
fn edit(directory: &Path, change: impl FnOnce(&mut Value)) {
    let path = json_file(directory);
    let mut object = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut object);
    std::fs::write(path, object.to_string()).unwrap();
}

/// As `cp -r` does.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

const CHILD: &str = "DIRECTORY_LEASE_TEST_CHILD";

#[allow(clippy::disallowed_methods)] // the argument of a child process that a test harness starts
fn child_argument() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

fn child(path: &Path, test: &str) -> Child {
    child_command(path, test).spawn().unwrap()
}

fn child_command(path: &Path, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lease_has_neither_holder_nor_annotations() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease")).await;
    let object = opened.read().await;
    assert_eq!(object.spec, LeaseSpec::default());
    assert_eq!((object.fence, &object.payload), (0, &Head::Absent));
    assert!(object.version > 0);
    assert_eq!(object.uid.len(), 36);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_by_another_process_view_and_by_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let (one, two) = (Opened::at(&path).await, Opened::at(&path).await);
    edit(&path, |object| {
        object["metadata"]["labels"] = json!({"app": "rg"});
        object["metadata"]["annotations"] = json!({"example.com/note": "keep me"});
        object["spec"]["ofTheFuture"] = json!([1]);
    });
    let time: jiff::Timestamp = "2026-11-21T05:38:34.5Z".parse().unwrap();
    let wanted = LeaseChange {
        spec: LeaseSpec {
            holder: Some("rg-0_u-n".to_owned()),
            duration_seconds: Some(15),
            acquire_time: Some(time),
            renew_time: Some(time),
            transitions: 4,
        },
        fence: 3,
        payload: Head::Valid(Arc::new(record())),
    };
    let before = one.read().await;
    let after = written(one.store.write(&before, &wanted).await);
    assert_eq!(after, two.read().await);
    assert_eq!(
        (&after.spec, after.fence, &after.payload),
        (&wanted.spec, 3, &wanted.payload)
    );
    assert_eq!(after.uid, before.uid);
    let text = std::fs::read_to_string(json_file(&path)).unwrap();
    assert!(text.lines().count() > 15, "for people to read: {text}");
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&object["apiVersion"], &object["kind"]),
        (&json!("coordination.k8s.io/v1"), &json!("Lease"))
    );
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    assert_eq!(metadata["uid"], json!(after.uid));
    assert_eq!(metadata["resourceVersion"], json!(after.version.to_string()));
    assert_eq!(metadata["labels"]["app"], "rg");
    assert_eq!(metadata["annotations"]["example.com/note"], "keep me");
    assert_eq!(metadata["annotations"]["random-generator/fence"], "3");
    assert_eq!(metadata["annotations"]["random-generator/record"], record().canonical());
    assert_eq!(spec["holderIdentity"], "rg-0_u-n");
    assert_eq!(spec["renewTime"], "2026-11-21T05:38:34.500000Z");
    assert_eq!(spec["ofTheFuture"], json!([1]));
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_or_a_field_damaged_by_hand_is_reported_and_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    edit(&path, |object| {
        object["spec"] = json!({"leaseDurationSeconds": -1, "renewTime": "noon"});
        object["metadata"]["annotations"] = json!({"random-generator/fence": "many", "random-generator/record": "{}"});
    });
    let object = opened.read().await;
    assert_eq!(object.payload, Head::Invalid("{}".into()));
    assert_eq!(
        (object.fence, object.spec.duration_seconds, object.spec.renew_time),
        (0, None, None)
    );
    let after = written(opened.store.write(&object, &change("rg-0_u-n", 8)).await);
    assert_eq!((after.fence, &after.payload), (8, &Head::Absent));
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_on_one_version_exactly_one_wins() {
    const WRITERS: u64 = 6;
    const EACH: u64 = 12;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let path = path.clone();
        writers.spawn(async move {
            let opened = Opened::at(&path).await;
            let mut won = Vec::new();
            while (won.len() as u64) < EACH {
                let base = opened.read().await;
                match opened
                    .store
                    .write(&base, &change(&format!("rg-{writer}_u-n"), base.fence + 1))
                    .await
                {
                    WriteOutcome::Written(object) => {
                        assert_eq!(object.version, base.version + 1);
                        won.push((object.version, object.fence));
                    }
                    WriteOutcome::Conflict => {}
                    other => panic!("{other:?}"),
                }
            }
            opened.close().await;
            won
        });
    }
    let mut all = BTreeMap::new();
    while let Some(won) = timeout(PATIENCE, writers.join_next()).await.unwrap() {
        for (version, fence) in won.unwrap() {
            assert_eq!(all.insert(version, fence), None, "two writers won version {version}");
        }
    }
    let fences: Vec<u64> = all.values().copied().collect();
    assert_eq!(
        fences,
        (1..=WRITERS * EACH).collect::<Vec<_>>(),
        "each write was based on the one before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_an_old_version_or_another_uid_conflicts_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened::at(&dir.path().join("lease")).await;
    let first = opened.read().await;
    let second = written(opened.store.write(&first, &change("a", 1)).await);
    assert_eq!(
        opened.store.write(&first, &change("b", 2)).await,
        WriteOutcome::Conflict
    );
    let other = LeaseObject {
        uid: "another".to_owned(),
        ..(*second).clone()
    };
    assert_eq!(
        opened.store.write(&other, &change("b", 2)).await,
        WriteOutcome::Conflict
    );
    assert_eq!(opened.read().await, second);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_directory_reads_as_absent_and_is_created_again_by_exactly_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let (one, two) = (Opened::at(&path).await, Opened::at(&path).await);
    for _ in 0..20 {
        let old = one.read().await;
        assert_eq!(two.read().await, old);
        std::fs::remove_dir_all(&path).unwrap();
        let (a, b) = tokio::join!(one.store.read(), two.store.read());
        let absences = [&a, &b].into_iter().filter(|found| **found == Ok(None)).count();
        assert!(absences >= 1, "{a:?} {b:?}");
        let new = one.read().await;
        assert_ne!(new.uid, old.uid);
        assert_eq!(new.spec, LeaseSpec::default());
        assert_eq!(two.read().await, new, "one Lease for both");
        assert_eq!(two.store.write(&old, &change("stale", 9)).await, WriteOutcome::Conflict);
        written(two.store.write(&new, &change("rg-1_u-n", 1)).await);
    }
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_never_makes_a_lease() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    let object = opened.read().await;
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(
        opened.store.write(&object, &change("a", 1)).await,
        WriteOutcome::Conflict
    );
    assert!(!path.exists());
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_directory_is_a_deleted_lease_and_versions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    let old = written(opened.store.write(&*opened.read().await, &change("a", 1)).await);
    for entry in std::fs::read_dir(&path).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(opened.store.write(&old, &change("a", 1)).await, WriteOutcome::Conflict);
    assert_eq!(opened.store.read().await, Ok(None));
    let new = opened.read().await;
    assert_ne!(new.uid, old.uid);
    assert!(new.version > old.version);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_killed_writers_left_behind_is_not_read_and_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let opened = Opened::at(&path).await;
    let mut object = opened.read().await;
    // Of the next version, whole and torn, and of the one that is there.
    let whole = std::fs::read_to_string(json_file(&path)).unwrap();
    let (next, now) = (object.version + 1, object.version);
    for (name, text) in [
        (
            format!("{next}-00000000000000aa.json"),
            whole.replace("\"spec\": {}", "\"spec\": {\"holderIdentity\": \"killed\"}"),
        ),
        (format!("{next}-00000000000000ab.json"), "{\"kind".to_owned()),
        (format!("{now}-00000000000000ac.json"), whole.clone()),
        (format!("{now}-00000000000000ad.spare"), whole),
    ] {
        std::fs::write(path.join(name), text).unwrap();
    }
    assert_eq!(opened.read().await, object);
    for fence in 1..4 {
        object = written(opened.store.write(&object, &change("a", fence)).await);
    }
    assert_eq!(opened.read().await, object);
    let left = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let mut endings: Vec<_> = left.map(|path| path.extension().unwrap().to_owned()).collect();
    endings.sort();
    assert_eq!(endings, ["current", "json", "spare"]);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_put_back_is_read_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let backup = dir.path().join("backup");
    let opened = Opened::at(&path).await;
    let old = written(opened.store.write(&*opened.read().await, &change("a", 1)).await);
    for rename in [true, false] {
        copy(&path, &backup);
        let new = written(opened.store.write(&old, &change("b", 2)).await);
        std::fs::rename(&path, dir.path().join(format!("away-{rename}"))).unwrap();
        if rename {
            std::fs::rename(&backup, &path).unwrap();
        } else {
            copy(&backup, &path);
        }
        assert_eq!(opened.store.write(&new, &change("c", 3)).await, WriteOutcome::Conflict);
        assert_eq!(opened.read().await, old);
    }
    opened.close().await;
}
