//! A real file system of 10 MiB that others fill under a whole member: numbers as the durability mode says, draws as ever,
//! and all of it back by itself when there is space.

use std::process::Command;
use std::time::Duration;

use random_generator::clock::Clock;

use crate::harness::{Member, Reply, run_command, until, volume};
use crate::small_disk::SmallDisk;

const DRAWS: [&str; 2] = ["--draw-schedule", "@every 1s"];

/// A number, or a refusal that says when to come back.
fn number(member: &Member, target: &str) -> Reply {
    let reply = member.get(target).unwrap();
    match reply.status {
        200 => {}
        503 => {
            assert!(reply.header("retry-after").is_some(), "{target}: {:?}", reply.headers);
            assert_eq!(
                reply.header("content-type"),
                Some("application/problem+json"),
                "{target}"
            );
        }
        status => panic!("{target}: {status} {}", reply.text()),
    }
    reply
}

fn goes_on(member: &Member, target: &str) {
    until(target, || (member.get(target).unwrap().status == 200).then_some(()));
}

/// Others take every block that comes free, until the journal says so.
fn filled(disk: &SmallDisk, member: &Member) {
    until("journal degraded", || {
        disk.fill();
        for _ in 0..200 {
            number(member, "/");
        }
        member.degraded("journal")
    });
}

fn draws_go_on(member: &Member) {
    let round = member.round();
    member.until_round(round + 3);
}

#[test]
fn a_disk_that_fills_costs_journalling_and_never_draws_or_readiness() {
    for numbers in [0, 50, 3_000] {
        let disk = SmallDisk::new(10);
        let member = Member::start(&disk.path(), &DRAWS);
        member.until_round(1);
        for _ in 0..numbers {
            assert_eq!(number(&member, "/").status, 200);
        }
        goes_on(&member, "/ids");
        filled(&disk, &member);
        let status = member.readyz();
        assert_eq!(
            (status.status, &status.json()["ready"]),
            (200, &true.into()),
            "{}",
            status.text()
        );
        for target in ["/", "/integers?count=3", "/bytes?count=9", "/ids"] {
            number(&member, target);
        }
        draws_go_on(&member);
        assert_eq!(member.degraded("ledger"), None);
        disk.fill();
        draws_go_on(&member);

        disk.free();
        member.until_well();
        for target in ["/", "/ids"] {
            goes_on(&member, target);
        }
        assert_eq!(member.get("/draws/1").unwrap().status, 200);
        member.stop();
    }
}

#[test]
fn without_durability_every_number_is_served_from_a_full_disk() {
    let disk = SmallDisk::new(10);
    let member = Member::start(&disk.path(), &["--durability", "none"]);
    until("journal degraded", || {
        disk.fill();
        for _ in 0..500 {
            assert_eq!(member.get("/").unwrap().status, 200);
        }
        member.degraded("journal")
    });
    disk.free();
    member.until_well();
    member.stop();
}

#[test]
fn a_member_that_starts_on_a_full_disk_serves_draws_and_recovers() {
    let disk = SmallDisk::new(10);
    let member = Member::start(&disk.path(), &DRAWS);
    member.until_round(1);
    member.stop();
    disk.fill();
    let member = Member::start(&disk.path(), &DRAWS);
    draws_go_on(&member);
    for target in ["/", "/ids"] {
        number(&member, target);
    }
    disk.free();
    member.until_well();
    goes_on(&member, "/");
    goes_on(&member, "/ids");
    // Killed on a full disk, it starts on it again.
    disk.fill();
    for _ in 0..100 {
        number(&member, "/");
    }
    member.kill();
    let member = Member::start(&disk.path(), &DRAWS);
    draws_go_on(&member);
    disk.free();
    member.until_well();
    goes_on(&member, "/");
    member.stop();
}

#[test]
fn a_volume_with_no_space_from_the_first_is_reported_and_heals_where_it_can() {
    let disk = SmallDisk::new(10);
    disk.fill();
    let base = crate::harness::free_base();
    let refused = run_command(crate::harness::program().args(Member::arguments(base, &disk.path(), &[])));
    assert_eq!(refused.code, Some(74), "{refused:?}");
    let line = refused.line();
    assert!(
        line.contains(disk.path().to_str().unwrap()) && line.contains("No space left"),
        "{line}"
    );

    // Its mark is there and nothing else: it serves, says what it lacks, and draws once there is space.
    disk.free();
    Member::start(&disk.path(), &DRAWS).stop();
    for name in [
        "ledger.db",
        "ledger.db-journal",
        "journal.db",
        "journal.db.ballast",
        "ids.floor",
    ] {
        let _ = std::fs::remove_file(disk.path().join(name));
    }
    disk.fill();
    let member = Member::start(&disk.path(), &DRAWS);
    member.until_degraded("ledger", "no space left for the ledger");
    assert_eq!(member.readyz().status, 200);
    assert_eq!(number(&member, "/").status, 503);
    assert_eq!(number(&member, "/ids").status, 503);
    assert_eq!(member.get("/draws/latest").unwrap().status, 503);
    disk.free();
    member.until_round(1);
    member.until_well();
    goes_on(&member, "/");
    goes_on(&member, "/ids");
    member.stop();
}

/// A start takes a tenth of this, and a machine may be busy.
#[test]
fn a_member_is_ready_as_soon_as_its_journal_is_open() {
    let (_dir, volume) = volume();
    let clock = Clock::system();
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let began = clock.boot();
            let member = Member::start(&volume, &[]);
            let took = clock.boot().since(began);
            member.stop();
            took
        })
        .collect();
    times.sort();
    // Readiness looks at everything each 250 ms.
    assert!(times[4] < Duration::from_millis(250), "{times:?}");
}

/// As after a rollout with wrong permissions: root may write every file, but not an immutable one.
#[test]
fn a_member_is_ready_once_its_journal_could_be_written_and_a_sequence_needs_none() {
    let disk = SmallDisk::new(10);
    Member::start(&disk.path(), &[]).stop();
    let journal = disk.path().join("journal.db");
    let make_immutable = |how: &str| {
        let done = Command::new("chattr").arg(how).arg(&journal).status().unwrap();
        assert!(done.success());
    };
    make_immutable("+i");
    let member = Member::start_unready(&disk.path(), &[]);
    let reason = until("degraded", || member.degraded("journal"));
    assert!(reason.contains(journal.to_str().unwrap()), "{reason}");
    let ready = member.readyz();
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("\"journal\":false"), "{}", ready.text());
    assert_eq!(member.get("/").unwrap().status, 503);
    assert_eq!(member.get("/sequence?seed=42").unwrap().status, 200);
    // It doesn't wait for the journal.
    member.stop();
    Member::start(&disk.path(), &["--durability", "none"]).stop();
    let member = Member::start_unready(&disk.path(), &[]);
    until("degraded", || member.degraded("journal"));
    make_immutable("-i");
    until("ready", || (member.readyz().status == 200).then_some(()));
    member.until_well();
    assert_eq!(member.get("/").unwrap().status, 200);
    // Later trouble only degrades.
    make_immutable("+i");
    assert_eq!(member.readyz().status, 200);
    make_immutable("-i");
    member.stop();
}
