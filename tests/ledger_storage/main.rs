//! The ledger's file, on real file systems: what it keeps, what it refuses, and that its space is its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use random_generator::clock::Clock;
use random_generator::draw::ledger::logic::{Ledger, WINDOW};
use random_generator::draw::ledger::storage::{DEFAULT_MAX_BYTES, InspectError, Storage, StorageConfig, StorageError};
use random_generator::draw::ledger::{Aside, Condition, LedgerSnapshot, MAX_ASIDE, Promise, Stored, Write};
use random_generator::record::{Contribution, Draft, Hash, Hex, Record, Slot};
use sha2::{Digest, Sha256};

mod chain;
mod commits;
mod conversion;
mod crashes;
mod damage;
mod opening;
#[path = "../small_disk/mod.rs"]
mod small_disk;
mod space;
#[path = "../waiting/mod.rs"]
mod waiting;

use small_disk::SmallDisk;

const SEED: [u8; 32] = [42; 32];
const SCHEMA_1_SEED: &str = "5e20854476326b031b84507c02b0163156f9fabc70c6b87c48f63004317801be";
const SCHEMA_1_HEAD: &str = "6825a65276705b0905dd8e5aea006bfb4518c33422cc887be29f0e59d3b908a3";

/// For what needs no disk: thousands of commits take their time in fsync.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn open(path: &Path) -> Result<(Storage, Stored), StorageError> {
    Storage::open(path, StorageConfig::default(), SEED)
}

/// A valid record that stands at the end of no chain in particular; `members` sets its size, 170 bytes each.
fn record(round: u64, members: u16) -> Arc<Record> {
    let previous = (round > 1).then_some(Hex([u8::try_from(round % 251).unwrap(); 32]));
    let record = Draft {
        set: "rg".to_owned(),
        chain: Hex([7; 16]),
        round,
        schedule: "@every 1m".to_owned(),
        slot: Slot(60 * i64::try_from(round).unwrap()),
        missed: 0,
        holder: "rg-0_0b1c3f3e-2e0c-4b3a-9f59-0d9fb4b2b0a1-5f0e".to_owned(),
        fence: 3,
        voters: members.into(),
        previous,
        contributions: (0..members)
            .map(|ordinal| Contribution {
                member: format!("rg-{ordinal}"),
                next_commitment: Hex([9; 32]),
                ordinal,
                reveal: (round > 1).then_some(Hex([8; 32])),
            })
            .collect(),
        missing: vec![],
    }
    .seal();
    Record::parse(&record.canonical()).expect("a record that any reader accepts");
    Arc::new(record)
}

/// A valid record of one member.
fn drawn_after(previous: Option<&Record>, chain: u8, fence: u64, slot: i64) -> Arc<Record> {
    let contribution = Contribution {
        member: "rg-0".to_owned(),
        next_commitment: Hex([9; 32]),
        ordinal: 0,
        reveal: None,
    };
    let draft = Draft {
        set: "rg".to_owned(),
        chain: Hex([chain; 16]),
        round: previous.map_or(1, |previous| previous.round + 1),
        schedule: "@every 1s".to_owned(),
        slot: Slot(slot),
        missed: previous.map_or(0, |previous| (slot - previous.slot.0 - 1) as u64),
        holder: "rg-0_uid-00000001".to_owned(),
        fence,
        voters: 1.into(),
        previous: previous.map(|previous| previous.hash),
        contributions: vec![contribution],
        missing: Vec::new(),
    };
    let record = draft.seal();
    record.check().unwrap();
    Arc::new(record)
}

fn aside(n: u64) -> Aside {
    let mut head = [0; 32];
    head[..8].copy_from_slice(&n.to_be_bytes());
    Aside {
        chain: Hex([6; 16]),
        head: Hex(head),
        from_round: n,
        to_round: n + 4,
    }
}

fn promise(fence: u64) -> Promise {
    Promise {
        fence,
        holder: format!("rg-1_u-{fence}"),
    }
}

/// In an order of its own.
fn sorted(mut stored: Stored) -> Stored {
    stored.records.sort_by_key(|record| record.hash);
    stored
}

fn empty() -> Stored {
    Stored {
        seed: random_generator::record::secrets::Seed(SEED),
        records: vec![],
        runs: vec![],
        head: None,
        promise: None,
        aside: vec![],
    }
}

fn size(path: &Path) -> u64 {
    let journal = path.with_file_name("ledger.db-journal");
    fs::metadata(path).unwrap().len() + fs::metadata(journal).unwrap().len()
}

/// What the ledger's owner does: the oldest go when there is no room. Returns what it pruned.
fn commit_pruning(storage: &mut Storage, kept: &mut Vec<Arc<Record>>, new: Arc<Record>) -> Result<(), StorageError> {
    let need = Storage::cost(new.canonical().len());
    let (mut freed, mut pruned) = (0, 0);
    while storage.used() + need > storage.capacity() + freed {
        freed += Storage::cost(kept[pruned].canonical().len());
        pruned += 1;
    }
    let prune = kept[..pruned].iter().map(|record| record.hash).collect();
    storage.commit(&[
        Write::Prune(prune),
        Write::Record(new.clone()),
        Write::Head(new.hash),
        Write::Promise(promise(new.round)),
    ])?;
    kept.drain(..pruned);
    kept.push(new);
    Ok(())
}

const CHILD: &str = "LEDGER_STORAGE_TEST_CHILD";

fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, path);
    command
}

#[allow(clippy::disallowed_methods)] // the argument of a child process that a test harness starts
fn child_argument() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}
