//! The compare-and-swap under a scheduler: several processes share one directory. One at a time runs, from one system
//! call to the next. A seed decides who runs, who is stopped for how long, and who is killed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rand::rngs::StdRng;
use rand::seq::{IteratorRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::versions::LeaseDirectory;
use crate::payload::{Annotations, Stored};
use crate::store::{LeaseChange, LeaseObject, LeaseSpec, WriteOutcome};

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// A process's end of the scheduler.
struct Turn {
    paused: SyncSender<()>,
    go: Receiver<()>,
}

struct Killed;

/// Waits for the scheduler, in a thread that has one. A process that is killed never returns from here.
pub(super) fn pause() {
    TURN.with_borrow(|turn| {
        if let Some(turn) = turn
            && (turn.paused.send(()).is_err() || turn.go.recv().is_err())
        {
            resume_unwind(Box::new(Killed));
        }
    });
}

struct Process {
    paused: Receiver<()>,
    go: SyncSender<()>,
    /// Steps of others until it may run again: a stopped process.
    stopped: u32,
    thread: JoinHandle<()>,
}

impl Process {
    fn start(work: impl FnOnce() + Send + 'static) -> Process {
        let (paused, seen) = sync_channel(0);
        let (go, turn) = sync_channel(0);
        let thread = thread::spawn(move || {
            TURN.set(Some(Turn { paused, go: turn }));
            pause();
            work();
            TURN.set(None);
        });
        seen.recv().unwrap();
        Process {
            paused: seen,
            go,
            stopped: 0,
            thread,
        }
    }

    /// False when it has ended.
    fn step(&self) -> bool {
        self.go.send(()).is_ok() && self.paused.recv().is_ok()
    }

    fn join(self) {
        drop((self.go, self.paused));
        if let Err(panic) = self.thread.join()
            && !panic.is::<Killed>()
        {
            resume_unwind(panic);
        }
    }
}

/// Everything that any process learned of the Lease.
#[derive(Default)]
struct History {
    /// The first version of each uid. The fence counts the writes after it.
    first: BTreeMap<String, u64>,
    /// The holder of each version of each uid.
    states: BTreeMap<(String, u64), String>,
    /// The newest version that anyone knew, by uid.
    known: BTreeMap<String, u64>,
    /// Holders whose writes did not happen, as the store said.
    failed: BTreeSet<String>,
    written: BTreeSet<(String, u64)>,
}

impl History {
    fn note(&mut self, object: &LeaseObject<()>) {
        let holder = object.spec.holder.clone().unwrap_or_default();
        assert!(!self.failed.contains(&holder), "a write that was refused: {object:?}");
        let first = *self
            .first
            .entry(object.uid.clone())
            .or_insert(object.version - object.fence);
        assert_eq!(object.fence, object.version - first, "a lost update: {object:?}");
        let key = (object.uid.clone(), object.version);
        let before = self.states.entry(key).or_insert_with(|| holder.clone());
        assert_eq!(*before, holder, "two states of one version");
        let known = self.known.entry(object.uid.clone()).or_default();
        *known = object.version.max(*known);
    }
}

fn open(path: &Path) -> LeaseDirectory<()> {
    LeaseDirectory::new(path.to_owned(), Annotations::with_prefix("example.com"))
}

/// Reads and writes by turns. `history` is locked only between steps.
fn process(path: PathBuf, name: String, turns: u32, history: &Mutex<History>) {
    let mut directory = open(&path);
    for turn in 0..turns {
        let known = history.lock().unwrap().known.clone();
        // An error or an absence is a person's removal in progress.
        let Ok(Some(base)) = directory.read() else { continue };
        {
            let mut history = history.lock().unwrap();
            history.note(&base);
            let floor = known.get(&base.uid).copied().unwrap_or(0);
            assert!(base.version >= floor, "read {} after {floor} was known", base.version);
        }
        let holder = format!("{name}.{turn}");
        let change = LeaseChange {
            spec: LeaseSpec {
                holder: Some(holder.clone()),
                ..LeaseSpec::default()
            },
            fence: base.fence + 1,
            payload: Stored::Absent,
        };
        let outcome = directory.write(&base, &change);
        let mut history = history.lock().unwrap();
        match outcome {
            WriteOutcome::Written(object) => {
                assert_eq!((&object.uid, object.version), (&base.uid, base.version + 1));
                assert!(
                    history.written.insert((object.uid.clone(), object.version)),
                    "two winners"
                );
                history.note(&object);
            }
            WriteOutcome::Conflict | WriteOutcome::Failed(_) => {
                let seen = history.states.values().any(|seen| *seen == holder);
                assert!(!seen, "{holder} was refused, and seen");
                history.failed.insert(holder);
            }
            WriteOutcome::Unknown(_) => {}
        }
    }
}

/// `rm -r`: in any order, and again until it succeeds.
fn remove(path: &Path, rng: &mut StdRng) {
    for _ in 0..20 {
        pause();
        let Ok(entries) = fs::read_dir(path) else { return };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.shuffle(rng);
        for file in files {
            pause();
            let _ = fs::remove_file(file);
        }
        pause();
        if fs::remove_dir(path).is_ok() {
            return;
        }
    }
}

/// Runs three processes, and perhaps a person who removes the directory. Returns how many writes won.
fn run(seed: u64, removed: bool) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("lease");
    // Made by a process of before.
    open(&path).read().unwrap();
    let history = Arc::new(Mutex::new(History::default()));
    let mut processes: Vec<Process> = (0..3)
        .map(|n| {
            let (path, history) = (path.clone(), Arc::clone(&history));
            Process::start(move || process(path, format!("p{n}"), 4, &history))
        })
        .collect();
    if removed {
        let (path, mut rng) = (path.clone(), StdRng::seed_from_u64(!seed));
        processes.push(Process::start(move || remove(&path, &mut rng)));
    }
    let mut ended = Vec::new();
    while !processes.is_empty() {
        let awake = (0..processes.len())
            .filter(|&n| processes[n].stopped == 0)
            .choose(&mut rng);
        for process in &mut processes {
            process.stopped = process.stopped.saturating_sub(1);
        }
        let Some(n) = awake else { continue };
        // Mostly short; some outlast all that the others do.
        if rng.random_ratio(1, 4) {
            processes[n].stopped = 1 << rng.random_range(0..9);
        }
        if rng.random_ratio(1, 200) || !processes[n].step() {
            ended.push(processes.swap_remove(n));
        }
    }
    ended.into_iter().for_each(Process::join);
    // What stopped and killed processes left behind must not block anyone.
    let mut directory = open(&path);
    if removed {
        remove(&path, &mut rng);
        directory.read().unwrap();
    }
    // The second write removes what was prepared beside the first.
    for _ in 0..2 {
        let base = directory.read().unwrap().unwrap();
        let change = LeaseChange {
            spec: LeaseSpec::default(),
            fence: base.fence + 1,
            payload: Stored::Absent,
        };
        assert!(matches!(directory.write(&base, &change), WriteOutcome::Written(_)));
    }
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3, "left behind: {seed}");
    history.lock().unwrap().written.len()
}

#[test]
fn of_processes_stopped_between_any_two_steps_none_wins_a_stale_write() {
    let won: usize = (0..1_000).map(|seed| run(seed, false)).sum();
    eprintln!("{won} writes won");
    assert!(won > 5_000, "{won}");
}

#[test]
fn a_directory_removed_file_by_file_brings_no_old_version_back() {
    let won: usize = (0..300).map(|seed| run(seed, true)).sum();
    eprintln!("{won} writes won");
    assert!(won > 300, "{won}");
}
