//! How what a set sends grows with its members.

use std::time::Duration;

use serde_json::json;

use crate::traffic::Traffic;
use crate::world::{Plan, SECOND, World};

const SEED: u64 = 1;
const PERIOD: u64 = 10 * SECOND;
const DRAWS: u64 = 6;
/// The most members that vote, and the most that contribute to a draw.
const MOST_VOTERS: u16 = 32;

/// What `members` send while they draw, once they have begun.
fn measure(members: u16) -> Traffic {
    let plan = Plan {
        members,
        voters: members.min(MOST_VOTERS).into(),
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry: Duration::from_secs(2),
        schedule: "@every 10s".parse().unwrap(),
        faults_until: 0,
        noise: 0,
    };
    let mut world = World::calm(plan, SEED);
    world.traffic.in_bytes = true;
    let began = 60 * SECOND;
    world.run_until(began).unwrap();
    let (drawn, before) = (world.oracle.drawn, world.traffic);
    world.run_until(began + DRAWS * PERIOD).unwrap();
    assert_eq!(
        world.oracle.drawn,
        drawn + DRAWS,
        "{members} members: each slot is drawn"
    );
    world.traffic.since(&before)
}

/// `make growth` names the sizes, and reads the lines.
#[test]
fn what_a_set_sends_grows_no_faster_than_its_members() {
    let sizes = std::env::var("RANDOM_GENERATOR_SIZES").unwrap_or("3,9,32,96".to_owned());
    let sizes: Vec<u16> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    let measured: Vec<(f64, Traffic)> = sizes.iter().map(|size| (f64::from(*size), measure(*size))).collect();
    for (members, traffic) in &measured {
        println!(
            "{}",
            json!({
                "members": members,
                "messages": traffic.questions as f64 / DRAWS as f64,
                "bytes": traffic.bytes as f64 / DRAWS as f64,
                "requests_per_second": (traffic.reads + traffic.writes) as f64 * SECOND as f64 / (DRAWS * PERIOD) as f64,
                "writes_per_second": traffic.writes as f64 * SECOND as f64 / (DRAWS * PERIOD) as f64,
            })
        );
    }
    for ((fewer, before), (more, after)) in measured.iter().zip(&measured[1..]) {
        let times = more / fewer;
        let grown = |what: fn(&Traffic) -> u64| what(after) as f64 / what(before) as f64;
        // The holder asks all others: one fewer than there are.
        assert!(
            grown(|traffic| traffic.questions) <= 1.05 * (more - 1.0) / (fewer - 1.0),
            "questions, {fewer} to {more}"
        );
        assert!(
            grown(|traffic| traffic.reads + traffic.writes) <= 1.05 * times,
            "requests, {fewer} to {more}"
        );
    }
}
