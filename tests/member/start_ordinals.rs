//! Members whose ordinals don't begin with 0.

use std::collections::BTreeMap;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Member, free_base, run, until, volume};
use crate::set::{Dns, SERVICE};

struct Ordinals {
    dir: TempDir,
    dns: Dns,
    bases: BTreeMap<u16, u16>,
    members: BTreeMap<u16, Member>,
}

impl Ordinals {
    fn new() -> Ordinals {
        Ordinals {
            dir: tempfile::tempdir().unwrap(),
            dns: Dns::start(),
            bases: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    fn publish(&mut self, ordinals: std::ops::Range<u16>) {
        for ordinal in ordinals.clone() {
            self.bases.entry(ordinal).or_insert_with(free_base);
        }
        let published: Vec<_> = ordinals.map(|ordinal| (ordinal, self.bases[&ordinal])).collect();
        self.dns.publish(&published);
    }

    /// Starts a published member, in place of the one that ran.
    fn start(&mut self, ordinal: u16, voters: &str) {
        if let Some(before) = self.members.remove(&ordinal) {
            before.stop();
        }
        let lease = self.dir.path().join("lease");
        let (name, nameserver) = (format!("rg-{ordinal}"), self.dns.address.to_string());
        let arguments = [
            ("--pod-name", name.as_str()),
            ("--discovery-name", SERVICE),
            ("--discovery-nameserver", &nameserver),
            ("--discovery-interval", "500ms"),
            ("--lease-directory", lease.to_str().unwrap()),
            ("--lease-duration", "2s"),
            ("--draw-schedule", "@every 1s"),
            ("--voters", voters),
        ];
        let arguments: Vec<&str> = arguments.into_iter().flat_map(|(key, value)| [key, value]).collect();
        let member = Member::start_at(self.bases[&ordinal], &self.dir.path().join(&name), &arguments);
        self.members.insert(ordinal, member);
    }
}

#[test]
fn a_lone_member_draws_whatever_its_ordinal() {
    let (_directory, volume) = volume();
    let member = Member::start(&volume, &["--pod-name", "rg-5", "--draw-schedule", "@every 1s"]);
    member.until_round(2);
    let draw = member.json("/draws/latest");
    assert_eq!((&draw["schema"], &draw["voters"]), (&json!(2), &json!("5-5")));
    member.until_well();
    member.stop();
}

#[test]
fn ordinals_that_do_not_fit_the_voters_are_reported_with_both_and_without_advice_of_a_new_chain() {
    let mut set = Ordinals::new();
    set.publish(5..8);
    for ordinal in 5..8 {
        set.start(ordinal, "3");
    }
    let text = set.members[&6].until_degraded("peers", "--voters is 3");
    assert!(text.contains(&format!("under _peer._tcp.{SERVICE}.")), "{text}");
    assert!(
        text.contains("ordinals are 5-7") && text.contains("0 of 3 voters"),
        "{text}"
    );
    let holder = until("a holder", || {
        set.members.values().find(|member| member.degraded("draw").is_some())
    });
    let text = holder.until_degraded("draw", "a first chain needs every voter");
    assert!(
        !text.contains("restart") && text.contains("ordinal 0, ordinal 1, ordinal 2"),
        "{text}"
    );
    // Holders stand aside in turn.
    let refused = until("a holder that refuses", || {
        let mut all = set.members.values();
        all.find_map(|member| {
            let refused = run(&["ledger", "restart", "--yes", "--admin", &member.admin_url()]);
            assert_eq!(refused.code, Some(64), "{refused:?}");
            refused
                .stderr
                .contains("needs a majority of the voters")
                .then_some(refused)
        })
    });
    assert!(refused.line().contains("ordinals are 5-7"), "{refused:?}");

    for ordinal in 5..8 {
        set.start(ordinal, "5-7");
    }
    let member = &set.members[&5];
    member.until_round(2);
    assert_eq!(member.json("/draws/latest")["voters"], json!("5-7"));
    member.until_well();
}

#[test]
fn a_set_that_moves_from_start_0_to_start_3_keeps_its_chain() {
    let mut set = Ordinals::new();
    set.publish(0..3);
    for ordinal in 0..3 {
        set.start(ordinal, "3");
    }
    set.members[&0].until_round(2);
    let chain = set.members[&0].json("/draws/latest")["chain"].clone();
    set.publish(0..6);
    for ordinal in 3..6 {
        set.start(ordinal, "3");
    }
    for ordinal in (0..6).rev() {
        set.start(ordinal, "3-5");
    }
    let newest = |set: &Ordinals| set.members[&3].json("/draws/latest");
    let first = until("a record that names the new voters", || {
        Some(newest(&set)).filter(|draw| draw["voters"] == json!("3-5"))
    });
    let round = first["round"].as_u64().unwrap();
    set.members[&3].until_round(round + 1);
    set.publish(3..6);
    for ordinal in 0..3 {
        set.members.remove(&ordinal).unwrap().stop();
    }
    let round = set.members[&3].round();
    set.members[&3].until_round(round + 3);
    assert_eq!(newest(&set)["chain"], chain);
    set.members[&3].until_well();
    let url = format!("http://127.0.0.1:{}", set.bases[&3]);
    let verified = run(&["verify", &url]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
}
