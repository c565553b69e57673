//! Damaged files: the journal is moved aside by itself, the ledger only by a person, and a chain that is lost with its
//! voters is begun anew only by one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Member, ask, garble, run, until, volume};
use crate::set::Set;

fn names(dir: &Path, part: &str) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(part)).collect()
}

/// The hashes of all records that a member reports, by round.
fn chain(member: &Member) -> Vec<(u64, String)> {
    let lines = member.get("/draws?format=jsonl").unwrap().text();
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let pair = |record: Value| {
        (
            record["round"].as_u64().unwrap(),
            record["hash"].as_str().unwrap().to_owned(),
        )
    };
    records.map(pair).collect()
}

#[test]
fn a_corrupt_journal_is_moved_aside_and_the_service_goes_on() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &[]);
    assert_eq!(member.get("/").unwrap().status, 200);
    member.stop();
    garble(&volume.join("journal.db"));
    let member = Member::start(&volume, &[]);
    for _ in 0..10 {
        assert_eq!(member.get("/").unwrap().status, 200);
    }
    assert_eq!(names(&volume, "journal.db.corrupt-").len(), 1);
    assert!(member.log().contains("journal.db.corrupt-"), "{}", member.log());
    let journal = rusqlite::Connection::open(volume.join("journal.db")).unwrap();
    let rows: i64 = journal
        .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 10);
    member.until_well();
    member.stop();
}

#[test]
fn a_journal_damaged_under_a_running_member_does_not_end_it() {
    let (_dir, volume) = volume();
    let member = Member::start(&volume, &[]);
    for _ in 0..10 {
        assert_eq!(member.get("/").unwrap().status, 200);
    }
    garble(&volume.join("journal.db"));
    garble(&volume.join("journal.db-wal"));
    for _ in 0..200 {
        let reply = member.get("/").unwrap();
        assert!(matches!(reply.status, 200 | 503), "{}", reply.status);
    }
    until("numbers", || (member.get("/").unwrap().status == 200).then_some(()));
    member.stop();
    let member = Member::start(&volume, &[]);
    assert_eq!(member.get("/").unwrap().status, 200);
    member.stop();
}

#[test]
fn a_corrupt_ledger_costs_this_members_draws_only_and_is_restored_from_its_peers() {
    let mut set = Set::start(3, &[]);
    set.member(0).until_round(5);
    let ordinal = set.holder();
    set.take(ordinal).stop();
    garble(&set.volume(ordinal).join("ledger.db"));
    set.start_member(ordinal, &[]);

    let member = set.member(ordinal);
    let told = member.until_degraded("ledger", "random-generator ledger restore");
    assert!(told.contains("takes no part in draws"), "{told}");
    assert_eq!(member.admin("/ledger")["condition"], "corrupt");
    for target in ["/", "/integers?count=3", "/ids"] {
        assert_eq!(member.get(target).unwrap().status, 200, "{target}");
    }
    // It doesn't say that nothing was drawn: it doesn't know.
    for target in ["/draws/latest", "/draws", "/draws/1"] {
        let reply = member.get(target).unwrap();
        assert_eq!(reply.status, 503, "{target}: {}", reply.text());
        assert!(reply.text().contains("ledger"), "{}", reply.text());
    }
    let other = (ordinal + 1) % 3;
    let before = set.member(other).round();
    set.member(other).until_round(before + 4);
    assert_ne!(set.holder(), ordinal, "it doesn't stand");
    let latest = set.member(other).json("/draws/latest");
    let missing = latest["missing"].as_array().unwrap();
    assert!(missing.iter().any(|missing| missing["ordinal"] == ordinal), "{latest}");
    assert!(
        !latest["contributions"]
            .to_string()
            .contains(&format!("\"rg-{ordinal}\""))
    );

    // A ledger that is not damaged is kept.
    let refused = run(&["ledger", "restore", "--admin", &set.member(other).admin_url()]);
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.line().contains("not damaged"), "{refused:?}");

    let member = set.member(ordinal);
    let restored = run(&["ledger", "restore", "--admin", &member.admin_url()]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let mut aside = names(&set.volume(ordinal), "ledger.db.corrupt-");
    aside.retain(|name| !name.ends_with("-journal"));
    assert_eq!(aside.len(), 1);
    until("the whole chain", || {
        let (here, there) = (chain(member), chain(set.member(other)));
        let whole = here.first()?.0 == 1 && here.last()?.0 > before + 4;
        let agree = here
            .iter()
            .all(|record| there.contains(record) || record.0 > there.last().unwrap().0);
        assert!(agree, "{here:?} {there:?}");
        whole.then_some(())
    });
    until("it contributes again", || {
        let latest = member.json("/draws/latest");
        latest["contributions"]
            .to_string()
            .contains(&format!("\"rg-{ordinal}\""))
            .then_some(())
    });
    member.until_well();
    let verified = run(&["verify", &format!("http://127.0.0.1:{}", member.base)]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_ledger_damaged_under_the_running_holder_makes_it_give_up_the_lease() {
    let set = Set::start(3, &[]);
    let ordinal = set.holder();
    let other = set.follower();
    garble(&set.volume(ordinal).join("ledger.db"));
    set.member(ordinal)
        .until_degraded("ledger", "random-generator ledger restore");
    until("another leads", || {
        let leader = set.member(other).json("/leader");
        let name = leader["member"].as_str()?;
        (name != format!("rg-{ordinal}")).then_some(())
    });
    let round = set.member(other).round();
    set.member(other).until_round(round + 3);
    assert_eq!(set.member(ordinal).get("/").unwrap().status, 200);
}

#[test]
fn a_chain_lost_with_its_voters_is_begun_again_by_a_person_and_the_old_one_is_kept() {
    let mut set = Set::start(3, &[]);
    set.member(2).until_round(4);
    for ordinal in 0..3 {
        set.take(ordinal).stop();
    }
    // The Lease is gone, two volumes are new, and the third has all that is left of the chain.
    fs::remove_dir_all(set.lease_directory()).unwrap();
    for ordinal in [0, 1] {
        fs::remove_dir_all(set.volume(ordinal)).unwrap();
        set.start_member(ordinal, &[]);
    }
    let holder = set.holder();
    let follower = 1 - holder;
    let told = set.member(holder).until_degraded("draw", "ledger restart");
    assert!(told.contains('2'), "it says who is missing: {told}");
    assert_eq!(set.member(holder).round(), 0, "nothing is drawn meanwhile");

    let admin = |ordinal| set.member(ordinal).admin_url();
    let unsure = run(&["ledger", "restart", "--admin", &admin(holder)]);
    assert_eq!(unsure.code, Some(64), "{unsure:?}");
    assert!(unsure.line().contains("--yes"), "{unsure:?}");
    let elsewhere = run(&["ledger", "restart", "--yes", "--admin", &admin(follower)]);
    assert_eq!(elsewhere.code, Some(64), "{elsewhere:?}");
    assert!(elsewhere.line().contains(&format!("rg-{holder}")), "{elsewhere:?}");
    let done = run(&["ledger", "restart", "--yes", "--admin", &admin(holder)]);
    assert_eq!(done.code, Some(0), "{done:?}");
    set.member(holder).until_round(3);
    let new = set.member(holder).json("/draws/1")["chain"].clone();

    set.start_member(2, &[]);
    let back = set.member(2);
    let aside = until("the old chain is set aside", || {
        let aside = back.admin("/ledger")["aside"].as_array().unwrap().clone();
        aside.first().cloned()
    });
    assert_ne!(aside["chain"], new);
    assert!(aside["to_round"].as_u64().unwrap() >= 4, "{aside}");
    assert_eq!(aside["from_round"], 1, "{aside}");
    until("it follows", || {
        (back.json("/draws/latest")["chain"] == new).then_some(())
    });
    let round = back.round();
    back.until_round(round + 3);
    let all: BTreeSet<_> = (0..3).flat_map(|ordinal| chain(set.member(ordinal))).collect();
    let rounds: BTreeSet<_> = all.iter().map(|(round, _)| *round).collect();
    assert_eq!(all.len(), rounds.len(), "one record a round: {all:?}");
    (0..3).for_each(|ordinal| set.member(ordinal).until_well());
    // The fence leapt ahead of anything that the third may have promised.
    assert!(back.json("/leader")["fence"].as_u64().unwrap() > 1 << 20);
    assert_eq!(
        ask(back.base + 2, "GET", "/ledger/restart", &[], b"").unwrap().status,
        405
    );
}
