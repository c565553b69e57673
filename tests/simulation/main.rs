//! A seeded simulation of one to five members: the real elector, conductor, contributor and ledger, over a lease store and a
//! peer network that lose, double, delay and reorder; with processes that are paused, killed, doubled and wiped; with a Lease
//! that is deleted, set back and damaged; with clocks that drift and step. An oracle checks every step.
//!
//! `RANDOM_GENERATOR_SEEDS=n` runs n seeds, from `RANDOM_GENERATOR_FIRST_SEED` on; `RANDOM_GENERATOR_SEED=s` replays one and prints its trace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by panicking
#![allow(clippy::disallowed_methods)] // the number of seeds comes from the environment, and runs are timed

mod faults;
mod growth;
mod happening;
mod network;
mod oracle;
mod process;
mod shell;
mod splits;
mod stops;
mod store;
mod trace;
mod traffic;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::oracle::Verdict;
use crate::world::World;

const SECOND: u64 = 1_000_000;
/// After the last fault, so many lease durations and schedule periods until a record must have been drawn.
const PATIENCE: u64 = 70 * SECOND;
/// A run names so many seeds that break, and then stops.
const MOST_BROKEN: u64 = 8;

struct Run {
    drawn: u64,
    restored: u64,
    met: BTreeMap<(&'static str, &'static str), u64>,
}

/// Runs one seed to its end.
fn run(world: &mut World) -> Verdict {
    world.run_until(world.plan.faults_until)?;
    world.heal();
    // Time to heal: leases expire, those that stay out return.
    world.run_until(world.plan.faults_until + PATIENCE)?;
    let before = world.oracle.drawn;
    world.run_until(world.plan.faults_until + PATIENCE + 20 * SECOND)?;
    if world.oracle.drawn == before {
        return Err("no progress: nothing was drawn though every fault has ended".to_owned());
    }
    // Every member follows the Lease's chain: none sticks to a fork.
    let head = world
        .store
        .object
        .as_ref()
        .and_then(|object| object.payload.valid().cloned());
    let Some(head) = head else {
        return Err("the Lease has no record at the end".to_owned());
    };
    for process in world.processes.iter().filter(|process| process.alive) {
        let last = process.reported.last();
        let near = last.is_some_and(|last| last.chain == head.chain && last.round + 3 >= head.round);
        if !near {
            return Err(format!(
                "{} stays at {last:?}, and the Lease is at round {}",
                process.identity, head.round
            ));
        }
    }
    Ok(())
}

fn try_seed(seed: u64) -> Result<Run, String> {
    let mut world = World::new(seed, false);
    match run(&mut world) {
        Ok(()) => Ok(Run {
            drawn: world.oracle.drawn,
            restored: world.oracle.restored,
            met: world.met,
        }),
        Err(broken) => Err(broken),
    }
}

/// Runs a seed again, and prints how it came to its end.
fn replay(seed: u64) -> Verdict {
    let mut world = World::new(seed, true);
    let verdict = run(&mut world);
    println!(
        "seed {seed}: {} members, {} voters, lease {:?}, schedule {}, noise {}",
        world.plan.members, world.plan.voters, world.plan.duration, world.plan.schedule, world.plan.noise
    );
    let trace = world.trace.take().unwrap_or_default();
    let skipped = trace
        .len()
        .saturating_sub(number("RANDOM_GENERATOR_TRACE").unwrap_or(150) as usize);
    println!("… {skipped} lines before (RANDOM_GENERATOR_TRACE=n prints n)");
    trace.iter().skip(skipped).for_each(|line| println!("{line}"));
    if let Err(broken) = &verdict {
        println!("seed {seed} broke: {broken}");
    }
    verdict
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("RANDOM_GENERATOR_SEED") {
        replay(seed).unwrap();
        return;
    }
    let seeds = number("RANDOM_GENERATOR_SEEDS").unwrap_or(1000);
    let first = number("RANDOM_GENERATOR_FIRST_SEED").unwrap_or(0);
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(0);
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let worker = || {
            let mut total = Run {
                drawn: 0,
                restored: 0,
                met: BTreeMap::new(),
            };
            let mut broken = Vec::new();
            loop {
                if failed.load(Ordering::Relaxed) >= MOST_BROKEN {
                    return (total, broken);
                }
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds {
                    return (total, broken);
                }
                match try_seed(seed) {
                    Ok(run) => {
                        total.drawn += run.drawn;
                        total.restored += run.restored;
                        run.met
                            .into_iter()
                            .for_each(|(key, n)| *total.met.entry(key).or_default() += n);
                    }
                    Err(error) => {
                        broken.push((seed, error));
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let mut met: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    let (mut drawn, mut restored, mut broken) = (0, 0, Vec::new());
    for (total, failed) in results {
        drawn += total.drawn;
        restored += total.restored;
        broken.extend(failed);
        total
            .met
            .into_iter()
            .for_each(|((fault, state), n)| *met.entry(fault).or_default().entry(state).or_default() += n);
    }
    let tried = next.into_inner().min(first + seeds) - first;
    println!(
        "{tried} seeds in {:.1?}: {drawn} records drawn, {restored} heads restored",
        started.elapsed()
    );
    print_met(&met);
    broken.sort();
    for (seed, error) in &broken {
        println!("seed {seed}: {error}");
    }
    if let Some((seed, error)) = broken.first() {
        let again = replay(*seed);
        assert_eq!(again.as_ref().err(), Some(error), "seed {seed} doesn't replay");
        panic!("seed {seed}: {error}");
    }
}

fn print_met(met: &BTreeMap<&str, BTreeMap<&str, u64>>) {
    let states = ["down", "following", "idle", "collecting", "committing", "recovering"];
    println!(
        "{:<26}{}",
        "fault met state",
        states.map(|state| format!("{state:>12}")).concat()
    );
    for (fault, by_state) in met {
        let counts = states.map(|state| format!("{:>12}", by_state.get(state).copied().unwrap_or(0)));
        println!("{fault:<26}{}", counts.concat());
    }
}
