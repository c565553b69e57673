//! Why draws stopped, found out from metrics and logs alone: each section of docs/operating.md, with real members broken as it
//! says. What the page names is read from the page.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Member, ask, until};
use crate::on_kubernetes::OnKubernetes;
use crate::page;
use crate::set::Set;
use crate::small_disk::SmallDisk;

/// What a section of the page names.
struct Section {
    metrics: Vec<String>,
    /// Each line by the words that stand in it.
    log: Vec<Vec<String>>,
}

impl Section {
    fn read(title: &str) -> Section {
        let page = page::read("operating.md");
        let (_, section) = page
            .split_once(&format!("\n## {title}\n"))
            .unwrap_or_else(|| panic!("no section {title}"));
        let section = section.split("\n## ").next().unwrap();
        let line = |name: &str| {
            let begins = format!("- {name}: ");
            section
                .lines()
                .find_map(|line| line.strip_prefix(&begins))
                .unwrap_or_else(|| panic!("{title} has no {name}"))
        };
        let quoted = |text: &str| {
            text.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        Section {
            metrics: quoted(line("metrics")),
            log: line("log").split("; ").map(quoted).collect(),
        }
    }

    /// How often each line was logged by all of these.
    fn lines(&self, members: &[&Member]) -> Vec<usize> {
        let logs: String = members.iter().map(|member| member.log()).collect();
        let count = |words: &Vec<String>| {
            let named = |line: &&str| words.iter().all(|word| line.contains(word.as_str()));
            logs.lines().filter(named).count()
        };
        self.log.iter().map(count).collect()
    }

    /// The greatest of each metric.
    fn values(&self, members: &[&Member]) -> Vec<f64> {
        let texts: Vec<String> = members
            .iter()
            .map(|member| ask(member.base + 3, "GET", "/metrics", &[], b"").unwrap().text())
            .collect();
        let value = |metric: &String| {
            let lines = texts.iter().flat_map(|text| text.lines());
            let values = lines.filter_map(|line| line.strip_prefix(metric.as_str())?.strip_prefix(' ')?.parse().ok());
            values
                .max_by(f64::total_cmp)
                .unwrap_or_else(|| panic!("nobody has {metric}"))
        };
        self.metrics.iter().map(value).collect()
    }

    /// Each metric grows, at some time, and each line is logged, once `fault` has happened, by the members that still answer.
    fn is_shown(&self, before: (Vec<f64>, Vec<usize>), members: &[&Member]) {
        for (place, metric) in self.metrics.iter().enumerate() {
            until(metric, || (self.values(members)[place] > before.0[place]).then_some(()));
        }
        for (place, words) in self.log.iter().enumerate() {
            until(&words.join(" … "), || {
                (self.lines(members)[place] > before.1[place]).then_some(())
            });
        }
    }
}

fn all(set: &Set) -> Vec<&Member> {
    set.members.iter().flatten().collect()
}

fn stop(set: &Set, ordinals: &[u16]) {
    ordinals
        .iter()
        .for_each(|ordinal| set.member(*ordinal).signal(Signal::STOP));
}

#[test]
fn a_majority_that_does_not_answer_is_found_out_from_metrics_and_logs() {
    let section = Section::read("A majority of the voters does not answer");
    let set = Set::start(3, &[]);
    let holder = set.holder();
    let alone = [set.member(holder)];
    let before = (section.values(&alone), section.lines(&alone));
    let others: Vec<u16> = (0..3).filter(|ordinal| *ordinal != holder).collect();
    stop(&set, &others);
    section.is_shown(before, &alone);
    others
        .iter()
        .for_each(|ordinal| set.member(*ordinal).signal(Signal::CONT));
    let round = alone[0].round();
    alone[0].until_round(round + 2);
}

#[test]
fn a_holder_that_is_cut_off_is_found_out_from_metrics_and_logs() {
    let section = Section::read("The holder is cut off");
    let set = Set::start(3, &[]);
    let holder = set.holder();
    let others: Vec<&Member> = (0..3)
        .filter(|ordinal| *ordinal != holder)
        .map(|ordinal| set.member(ordinal))
        .collect();
    let before = (section.values(&others), section.lines(&others));
    let frozen = set.member(holder);
    frozen.signal(Signal::STOP);
    let round = others[0].round();
    section.is_shown(before, &others);
    others[0].until_round(round + 2);
    frozen.signal(Signal::CONT);
    until("its own line", || frozen.log().contains("lost the lease").then_some(()));
}

#[test]
fn an_api_server_that_is_gone_is_found_out_from_metrics_and_logs() {
    let section = Section::read("The lease store can't be reached");
    let set = OnKubernetes::start();
    set.server.create("uid-1");
    set.member.until_round(1);
    // It reported, a moment ago, that there was no Lease.
    let degraded = "random_generator_degraded{source=\"lease\"}";
    until("it is well", || (set.member.metric(degraded) == 0.0).then_some(()));
    let before = (section.values(&[&set.member]), section.lines(&[&set.member]));
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    set.say_it_is_at(&closed.to_string());
    section.is_shown(before, &[&set.member]);
    assert_eq!(set.member.metric("random_generator_lease_leading"), 0.0);
    set.say_it_is_at(&set.server.address.to_string());
    let round = set.member.round();
    set.member.until_round(round + 2);
}

#[test]
fn a_lease_that_was_deleted_is_found_out_from_metrics_and_logs() {
    let section = Section::read("There is no Lease");
    let set = OnKubernetes::start();
    set.server.create("uid-1");
    set.member.until_round(1);
    // It reported, a moment ago, that there was no Lease.
    let degraded = "random_generator_degraded{source=\"lease\"}";
    until("it is well", || (set.member.metric(degraded) == 0.0).then_some(()));
    let before = (section.values(&[&set.member]), section.lines(&[&set.member]));
    set.server.delete();
    section.is_shown(before, &[&set.member]);
    set.server.create("uid-2");
    let round = set.member.round();
    set.member.until_round(round + 2);
}

#[test]
fn a_lease_directory_that_cannot_be_used_is_found_out_from_metrics_and_logs() {
    let section = Section::read("The lease store can't be used");
    let set = Set::start(3, &[]);
    let before = (section.values(&all(&set)), section.lines(&all(&set)));
    let (there, away) = (
        set.lease_directory().parent().unwrap().to_owned(),
        set.dir.path().join("away"),
    );
    fs::rename(&there, &away).unwrap();
    section.is_shown(before, &all(&set));
    fs::rename(&away, &there).unwrap();
    let round = set.member(0).round();
    set.member(0).until_round(round + 2);
}

#[test]
fn a_full_disk_is_found_out_from_metrics_and_logs() {
    let section = Section::read("The disk is full");
    let disk = SmallDisk::new(10);
    let draws = ["--draw-schedule", "@every 1s"];
    // Its mark is there and nothing else: what others left of the disk is too little for a ledger.
    let member = Member::start(&disk.path(), &draws);
    member.until_round(1);
    let before = (section.values(&[&member]), vec![0; section.log.len()]);
    assert_eq!(section.lines(&[&member]), before.1);
    member.stop();
    for name in [
        "ledger.db",
        "ledger.db-journal",
        "journal.db",
        "journal.db.ballast",
        "ids.floor",
    ] {
        let _ = fs::remove_file(disk.path().join(name));
    }
    disk.fill();
    let member = Member::start(&disk.path(), &draws);
    section.is_shown(before, &[&member]);
    until("no journalling", || {
        (member.metric("random_generator_journal_working") == 0.0).then_some(())
    });
    assert_eq!(member.metric("random_generator_lease_leading"), 0.0);
    disk.free();
    member.until_round(1);
}

#[test]
fn dns_that_is_gone_is_found_out_from_metrics_and_logs() {
    let section = Section::read("DNS is gone");
    let mut set = Set::start(3, &[]);
    let before = (section.values(&all(&set)), section.lines(&all(&set)));
    set.dns.falls_silent();
    // Draws go on with the list that there is; those who start know nobody.
    for ordinal in 0..3 {
        set.take(ordinal).stop();
    }
    for ordinal in 0..3 {
        set.start_member(ordinal, &[]);
    }
    let before = (vec![0.0; before.0.len()], before.1);
    section.is_shown(before, &all(&set));
    set.dns.answers();
    let round = set.member(0).round();
    set.member(0).until_round(round + 2);
}
