#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
//! An ordinal never repeats an id: not across restarts, not after a crash between any two steps, not when the clock steps.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use random_generator::clock::{Boot, Clock, Now, Wall};
use random_generator::generator::ids::{self, IdSource, IdsConfig, IdsError, MAX_IDS, ReservationError, Reserver};
use random_generator::shutdown;
use tokio::task::JoinSet;

/// 2026-11-21T00:00:00Z, in milliseconds since the Unix epoch and since 2026.
const NOW_MS: i64 = 1_795_219_200_000;
const SINCE_2026_MS: u64 = 27_993_600_000;

fn at(boot_ms: u64, wall_ms: i64) -> Now {
    Now {
        boot: Boot(boot_ms * 1_000_000),
        wall: Wall(wall_ms * 1_000),
    }
}

fn start(dir: &Path, clock: &Clock) -> (IdSource, Reserver) {
    let config = IdsConfig {
        path: dir.join("ids.floor"),
        ordinal: Some(5),
        patience: Duration::from_secs(10),
    };
    ids::start(config, clock.clone()).unwrap()
}

fn ms(id: u64) -> u64 {
    id >> 22
}

async fn stop(reserver: Reserver) -> Result<(), ReservationError> {
    let (trigger, signal) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(reserver.run(signal));
    trigger.pull();
    tokio::time::timeout(Duration::from_secs(10), tasks.join_next())
        .await
        .expect("the thread does not stop")
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn an_id_tells_time_and_ordinal_and_grows() {
    let dir = tempfile::tempdir().unwrap();
    let (source, reserver) = start(dir.path(), &Clock::held(at(1_000, NOW_MS)));
    let ids = source.take(10_000).await.unwrap();
    assert_eq!(ids.len(), 10_000);
    assert_eq!(ms(ids[0]), SINCE_2026_MS);
    assert!(ids.iter().all(|id| (id >> 12) & 1_023 == 5));
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(source.take(0).await.unwrap(), Vec::<u64>::new());
    stop(reserver).await.unwrap();
    assert_eq!(
        source.take(100).await.map(|ids| ids.len()),
        Ok(100),
        "what is reserved already may still be given"
    );
}

#[tokio::test]
async fn a_member_without_ordinal_gives_no_ids() {
    let dir = tempfile::tempdir().unwrap();
    let config = IdsConfig {
        path: dir.path().join("ids.floor"),
        ordinal: None,
        patience: Duration::from_secs(10),
    };
    let (source, reserver) = ids::start(config, Clock::system()).unwrap();
    assert_eq!(source.take(1).await, Err(IdsError::NoOrdinal));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    stop(reserver).await.unwrap();
}

#[tokio::test]
async fn ids_taken_faster_than_time_run_ahead_only_up_to_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::held(at(1_000, NOW_MS));
    let (source, _reserver) = start(dir.path(), &clock);
    let mut seen = HashSet::new();
    let error = loop {
        match source.take(MAX_IDS / 8).await {
            Ok(ids) => seen.extend(ids),
            Err(error) => break error,
        }
    };
    assert_eq!(error, IdsError::TooFast);
    let last = seen.iter().copied().map(ms).max().unwrap();
    assert!(
        (SINCE_2026_MS + 900..=SINCE_2026_MS + 1_000).contains(&last),
        "{}",
        last - SINCE_2026_MS
    );
    // Time goes on, and so do the ids.
    clock.set(at(2_000, NOW_MS + 1_000));
    assert!(
        source
            .take(MAX_IDS / 8)
            .await
            .unwrap()
            .iter()
            .all(|id| seen.insert(*id))
    );
    assert_eq!(source.take(MAX_IDS + 1).await, Err(IdsError::TooMany));
}

#[tokio::test]
async fn a_clock_that_steps_back_neither_stops_nor_repeats_ids() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::held(at(1_000, NOW_MS));
    let (source, _reserver) = start(dir.path(), &clock);
    let mut last = source.take(1).await.unwrap()[0];
    for second in 1..20 {
        // A day back, and going on from there: ids go on at the pace of boot time.
        clock.set(at(1_000 + second * 1_000, NOW_MS - 86_400_000 + second as i64 * 1_000));
        let ids = source.take(MAX_IDS).await.unwrap();
        assert!(ids[0] > last, "after {second} s");
        last = *ids.last().unwrap();
    }
    assert!(ms(last) <= SINCE_2026_MS + 20_000);
}

#[tokio::test]
async fn clocks_that_no_id_can_express_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::held(at(1_000, NOW_MS));
    let (source, _reserver) = start(dir.path(), &clock);
    let before = source.take(1).await.unwrap()[0];
    for wall_ms in [0, -1, 4_102_444_800_000, i64::MAX / 1_000] {
        clock.set(at(1_000, wall_ms));
        let id = source.take(1).await.unwrap()[0];
        assert!(id > before && ms(id) <= SINCE_2026_MS + 1);
    }
}

#[tokio::test]
async fn tasks_that_take_at_once_never_get_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (source, reserver) = start(dir.path(), &Clock::system());
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let source = source.clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for count in 1..100 {
                ids.extend(source.take(count).await.unwrap());
            }
            ids
        });
    }
    let all: Vec<u64> = tasks.join_all().await.concat();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    assert_eq!(all.len(), 32 * 4_950);
    stop(reserver).await.unwrap();
}

#[tokio::test]
async fn a_floor_that_cannot_be_kept_is_an_error_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ids.floor");
    fs::write(&path, "not a floor").unwrap();
    let (source, _reserver) = start(dir.path(), &Clock::system());
    let error = source.take(1).await.unwrap_err();
    assert!(
        matches!(&error, IdsError::Floor(reason) if reason.contains("ids.floor")),
        "{error}"
    );
    assert!(source.trouble().is_some());
    assert_eq!(fs::read_to_string(&path).unwrap(), "not a floor");
    fs::remove_file(&path).unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        while source.take(1).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(source.trouble().is_none());
}

/// What happens to a member.
#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u32),
    /// So many milliseconds of boot time, and a step of the wall clock on top.
    Time(u64, i64),
    /// A new process on the same volume; boot time begins anew when the machine restarted.
    Restart {
        machine: bool,
    },
    /// A new process finds the files as they were at a synced moment with the next write torn after so many bytes.
    Torn(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_u32..200_000).prop_map(Step::Take),
        3 => (0_u64..5_000, prop_oneof![Just(0), -100_000_000_i64..100_000_000]).prop_map(|(ms, by)| Step::Time(ms, by)),
        2 => any::<bool>().prop_map(|machine| Step::Restart { machine }),
        1 => (0_usize..64).prop_map(Step::Torn),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_ids_only_grow(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live(steps));
    }
}

/// One ordinal's life. Every id is greater than all before, which is more than not repeating one.
async fn live(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ids.floor");
    let (mut boot_ms, mut wall_ms) = (5_000, NOW_MS);
    let mut clock = Clock::held(at(boot_ms, wall_ms));
    let mut member = Some(start(dir.path(), &clock));
    let mut last = 0;
    for step in steps {
        match step {
            Step::Take(count) => match member.as_ref().unwrap().0.take(count).await {
                Ok(ids) => {
                    assert!(ids[0] > last, "{} after {last}", ids[0]);
                    last = *ids.last().unwrap();
                }
                Err(error) => assert_eq!(error, IdsError::TooFast),
            },
            Step::Time(ms, by) => {
                boot_ms += ms;
                wall_ms += ms as i64 + by;
                clock.set(at(boot_ms, wall_ms));
            }
            Step::Restart { machine } => {
                // The process is gone at once: what it held in memory is lost, what it wrote is there.
                let (_, reserver) = member.take().unwrap();
                stop(reserver).await.unwrap();
                if machine {
                    boot_ms = 5_000;
                }
                clock = Clock::held(at(boot_ms, wall_ms));
                member = Some(start(dir.path(), &clock));
            }
            Step::Torn(bytes) => {
                let (_, reserver) = member.take().unwrap();
                stop(reserver).await.unwrap();
                if path.exists() {
                    tear(&path, bytes);
                }
                member = Some(start(dir.path(), &clock));
            }
        }
    }
}

/// Writes noise over the beginning of the slot that the next write goes to: the one torn before, or else the older one.
fn tear(path: &Path, bytes: usize) {
    let mut file = fs::read(path).unwrap();
    let sequence = |slot: usize| u64::from_be_bytes(*file[slot * 4_096 + 8..].first_chunk().unwrap());
    let torn = (0..2).find(|slot| file[slot * 4_096] == 0xa5);
    let next = torn.unwrap_or(usize::from(sequence(0) > sequence(1)));
    file[next * 4_096..next * 4_096 + bytes].fill(0xa5);
    fs::write(path, file).unwrap();
}
