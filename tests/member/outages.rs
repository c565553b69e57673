//! What a member depends on goes away and comes back: DNS, the lease directory. Numbers are served all the while.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use random_generator::clock::Clock;
use rustix::process::Signal;

use crate::harness::{Member, run, until, volume};
use crate::set::Set;

fn serves(member: &Member) {
    for target in ["/", "/integers?count=2", "/ids"] {
        let reply = member.get(target).unwrap();
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    }
}

/// As [`until`], while numbers are served without a gap.
fn serving_until<T>(member: &Member, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    until(what, || {
        serves(member);
        condition()
    })
}

#[test]
fn without_dns_numbers_and_draws_go_on_with_the_last_list_and_the_next_answer_heals() {
    let mut set = Set::start(3, &[]);
    set.dns.falls_silent();
    let member = set.member(0);
    serving_until(member, "peers degraded", || member.degraded("peers"));
    let peers = member.json("/peers");
    assert_eq!(
        (&peers["stale"], peers["peers"].as_array().unwrap().len()),
        (&true.into(), 3)
    );
    let round = member.round();
    serving_until(member, "draws by the last list", || {
        (member.round() > round + 3).then_some(())
    });
    assert_eq!(member.readyz().status, 200);
    set.dns.answers();
    let member = set.member(0);
    serving_until(member, "healed", || member.degraded("peers").is_none().then_some(()));
    assert_eq!(member.json("/peers")["stale"], false);
    member.until_well();
}

#[test]
fn a_member_that_starts_without_dns_serves_numbers_and_joins_when_it_answers() {
    let mut set = Set::prepared(2, &[]);
    set.dns.falls_silent();
    set.start_member(0, &[]);
    set.start_member(1, &[]);
    let member = set.member(0);
    let told = serving_until(member, "peers degraded", || member.degraded("peers"));
    assert!(!told.is_empty());
    assert_eq!((member.readyz().status, member.round()), (200, 0));
    set.dns.answers();
    set.member(0).until_round(2);
    set.member(1).until_well();
}

#[test]
fn a_lease_directory_that_is_removed_is_created_again_and_the_chain_goes_on() {
    let set = Set::start(3, &[]);
    let before = set.member(0).json("/draws/latest");
    for _ in 0..3 {
        fs::remove_dir_all(set.lease_directory()).unwrap();
        let member = set.member(1);
        let round = member.round();
        serving_until(member, "draws again", || (member.round() > round + 2).then_some(()));
    }
    let member = set.member(1);
    let latest = member.json("/draws/latest");
    assert_eq!(latest["chain"], before["chain"]);
    assert_eq!(member.json("/draws?limit=1")["draws"][0]["round"], 1);
    (0..3).for_each(|ordinal| set.member(ordinal).until_well());
    let verified = run(&["verify", &format!("http://127.0.0.1:{}", member.base)]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_lease_directory_that_goes_away_leaves_nobody_leading_until_it_is_back() {
    let set = Set::start(3, &[]);
    let (dir, away) = (
        set.lease_directory().parent().unwrap().to_owned(),
        set.dir.path().join("away"),
    );
    fs::rename(&dir, &away).unwrap();
    let member = set.member(1);
    let told = serving_until(member, "lease degraded", || member.degraded("lease"));
    assert!(told.contains(dir.to_str().unwrap()), "{told}");
    let leads = |ordinal| set.member(ordinal).json("/leader")["self"] == true;
    serving_until(member, "nobody leads", || (!(0..3).any(leads)).then_some(()));
    let round = member.round();
    let clock = Clock::system();
    let began = clock.boot();
    serving_until(member, "some slots", || {
        (clock.boot().since(began).as_secs() >= 3).then_some(())
    });
    assert_eq!(member.round(), round, "nothing is drawn without a Lease");
    assert_eq!(member.readyz().status, 200);
    assert!(
        member
            .get("/draws/latest")
            .unwrap()
            .header("random-generator-view-age-ms")
            .is_some()
    );
    fs::rename(&away, &dir).unwrap();
    serving_until(member, "draws again", || (member.round() > round + 3).then_some(()));
    (0..3).for_each(|ordinal| set.member(ordinal).until_well());
}

#[test]
fn a_member_that_starts_with_a_file_in_place_of_the_lease_directory_serves_and_draws_once_it_is_moved_away() {
    let (dir, volume) = volume();
    let lease = dir.path().join("lease");
    fs::write(&lease, "mine").unwrap();
    let arguments = [
        &["--lease-directory", lease.to_str().unwrap()][..],
        &["--draw-schedule", "@every 1s"],
    ]
    .concat();
    let member = Member::start(&volume, &arguments);
    let told = serving_until(&member, "lease degraded", || member.degraded("lease"));
    assert!(
        told.contains(lease.to_str().unwrap()) && told.contains("move away what is there"),
        "{told}"
    );
    assert_eq!((member.readyz().status, member.round()), (200, 0));
    fs::remove_file(&lease).unwrap();
    member.until_round(1);
    member.until_well();
}

#[test]
fn a_lease_that_is_garbage_is_reported_and_replacing_it_heals() {
    let set = Set::start(3, &[]);
    let directory = set.lease_directory();
    let (good, bad) = (set.dir.path().join("good"), set.dir.path().join("bad"));
    let names = |path: &Path| -> BTreeSet<_> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    until("a copy of one version", || {
        fs::create_dir(&good).unwrap();
        let before = names(&directory);
        let copied = before
            .iter()
            .all(|name| fs::copy(directory.join(name), good.join(name)).is_ok());
        if copied && names(&directory) == before {
            return Some(());
        }
        fs::remove_dir_all(&good).unwrap();
        None
    });
    let member = set.member(0);
    let garble = || {
        until("damaged", || {
            for name in names(&directory) {
                // Another version may have taken its place, which is then garbled.
                let _ = fs::write(directory.join(name), "garbage");
            }
            member.degraded("lease")
        })
    };
    let told = garble();
    assert!(
        told.contains("damaged") && told.contains(directory.to_str().unwrap()),
        "{told}"
    );
    until("nobody leads by its own word", || {
        (member.json("/leader")["self"] == false).then_some(())
    });
    until("the copy is in its place", || {
        // A member may create another one in between.
        let _ = fs::remove_dir_all(&bad);
        let _ = fs::rename(&directory, &bad);
        fs::rename(&good, &directory).ok()
    });
    let round = member.round();
    serving_until(member, "draws again", || (member.round() > round + 3).then_some(()));
    (0..3).for_each(|ordinal| set.member(ordinal).until_well());

    // As the message says: once it is moved away, another one is created.
    garble();
    fs::remove_dir_all(&directory).unwrap();
    let round = member.round();
    serving_until(member, "draws again", || (member.round() > round + 3).then_some(()));
    assert_eq!(member.json("/draws?limit=1")["draws"][0]["round"], 1);
}

#[test]
fn a_member_without_ordinal_misses_neither_peers_nor_a_majority() {
    let (_dir, volume) = volume();
    // Everything is looked at every 250 ms until the delay is over.
    let member = Member::start(&volume, &["--pod-name", "stateless", "--shutdown-delay", "2s"]);
    until("a list of peers", || {
        member.json("/peers")["resolved_at"].is_string().then_some(())
    });
    member.signal(Signal::TERM);
    let (code, log) = member.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("degraded"), "{log}");
    assert_eq!(log.matches("neither leads nor draws").count(), 1, "{log}");
}

#[test]
fn a_member_without_ordinal_refuses_ids_and_names_no_time_to_come_back() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &["--pod-name", "stateless"]);
    let reply = member.get("/ids").unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, None));
    assert!(reply.text().contains("no ordinal"), "{}", reply.text());
}
