//! Processes that are killed while they commit.

use super::*;

/// Not a test of its own: the process that other tests kill.
#[test]
fn child_commits_until_killed() {
    let Some(path) = child_argument() else { return };
    let (mut storage, stored) = open(&path).unwrap();
    let mut kept = stored.records;
    kept.sort_by_key(|record| record.round);
    for round in kept.last().map_or(0, |record| record.round) + 1.. {
        commit_pruning(&mut storage, &mut kept, record(round, 3)).unwrap();
        println!("acknowledged {round}");
    }
}

/// Not a test of its own: the process that another test lets crash.
#[test]
fn child_dies_within_a_transaction() {
    let Some(path) = child_argument() else { return };
    let db = rusqlite::Connection::open(path).unwrap();
    db.pragma_update_and_check(None, "journal_mode", "persist", |_| Ok(()))
        .unwrap();
    db.execute_batch("BEGIN IMMEDIATE; UPDATE ledger SET fence = 999, seed = zeroblob(32); DELETE FROM records")
        .unwrap();
    db.cache_flush().unwrap();
    std::process::abort();
}

/// Kills a committing process after it has said so often that a commit is done; the last round that it acknowledged.
fn kill_while_committing(path: &Path, commits: u64) -> u64 {
    let mut child = child("crashes::child_commits_until_killed", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let round = |line: String| {
        line.strip_prefix("acknowledged ")
            .and_then(|round| round.parse::<u64>().ok())
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .split(b'\n')
        .map_while(|line| {
            let line = line.ok()?;
            Some(String::from_utf8_lossy(&line).into_owned())
        });
    let mut last = 0;
    for _ in 0..commits {
        last = lines.by_ref().find_map(round).expect("the child commits");
    }
    child.kill().unwrap();
    let rest = lines.filter_map(round).last();
    child.wait().unwrap();
    rest.unwrap_or(last)
}

#[test]
fn a_process_killed_while_it_commits_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    for turn in 0..12 {
        let acknowledged = kill_while_committing(&path, 20 + turn);
        let (_, stored) = open(&path).unwrap();
        let rounds: Vec<u64> = {
            let mut rounds: Vec<u64> = stored.records.iter().map(|record| record.round).collect();
            rounds.sort_unstable();
            rounds
        };
        let last = *rounds.last().unwrap();
        assert!(
            last >= acknowledged && last <= acknowledged + 1,
            "{last} after {acknowledged}"
        );
        assert_eq!(rounds, (1..=last).collect::<Vec<_>>());
        // All parts of one commit, or none.
        assert_eq!(stored.promise, Some(promise(last)));
        let head: Hash = record(last, 3).hash;
        assert_eq!(stored.head, Some(head));
    }
}
