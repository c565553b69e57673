//! Members and electors of client-go that stand for one Lease, and what can happen to them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::elector::{self, Elector, Standing};
use crate::harness::{self, Member, free_base, until};
use crate::history::{self, History};
use crate::party::{Left, Party, Process};
use crate::set::{Dns, SERVICE};
use crate::spans::{self, Side, Span};

/// Of the members: duration, renew deadline, retry.
pub const MEMBERS: [Duration; 3] = [Duration::from_secs(4), Duration::from_secs(3), Duration::from_secs(1)];
/// Of the electors. The duration isn't the members': each has to wait for the other's. A leader of client-go gives up
/// `RetryPeriod + RenewDeadline` after its last renewal, so that sum has to be less than the duration; and it is more than the
/// members' duration, so that a member that took its own for theirs would lead too soon.
pub const ELECTORS: [Duration; 3] = [Duration::from_secs(6), Duration::from_secs(4), Duration::from_secs(1)];

/// What a busy machine may add to any time.
pub const SLACK: Duration = Duration::from_secs(2);

/// The longest that a process of `side` may believe to lead after the last renewal it sent.
pub fn belief(side: Side) -> Duration {
    match side {
        Side::Members => MEMBERS[1],
        Side::Electors => ELECTORS[1] + ELECTORS[2],
    }
}

/// How long others have to wait after a renewal of `side`.
pub fn duration(side: Side) -> Duration {
    match side {
        Side::Members => MEMBERS[0],
        Side::Electors => ELECTORS[0],
    }
}

/// How late `side` may look: members watch, and client-go looks every `RetryPeriod`, to which it adds up to 1.2 times as much.
pub fn look(side: Side) -> Duration {
    match side {
        Side::Members => Duration::ZERO,
        Side::Electors => ELECTORS[2] * 22 / 10,
    }
}

pub struct Contest {
    kubeconfig: String,
    pub history: History,
    directory: tempfile::TempDir,
    dns: Dns,
    bases: Vec<u16>,
    pub parties: Vec<Party>,
    left: Vec<Left>,
    electors: u32,
}

impl Contest {
    /// A Lease that nobody holds, and so many members, which are the voters.
    pub fn of(members: u16) -> Contest {
        static LEASES: AtomicU32 = AtomicU32::new(0);
        let kubeconfig = std::env::var("KUBECONFIG").unwrap_or_default();
        assert!(
            !kubeconfig.is_empty(),
            "KUBECONFIG is not set: it names the file that says how to reach the cluster to test on"
        );
        // It may take minutes, which nobody should wait in the middle.
        elector::program();
        let number = LEASES.fetch_add(1, Ordering::SeqCst);
        let lease = format!("random-generator-interop-{}-{number}", std::process::id());
        let dns = Dns::start();
        let bases: Vec<u16> = (0..members).map(|_| free_base()).collect();
        let published: Vec<_> = (0..members).zip(bases.iter().copied()).collect();
        dns.publish(&published);
        Contest {
            history: History::begin(&kubeconfig, &lease),
            kubeconfig,
            directory: tempfile::tempdir().unwrap(),
            dns,
            bases,
            parties: Vec::new(),
            left: Vec::new(),
            electors: 0,
        }
    }

    fn volume(&self, ordinal: u16) -> PathBuf {
        self.directory.path().join(format!("rg-{ordinal}"))
    }

    pub fn start_member(&mut self, ordinal: u16) {
        let [duration, deadline, retry] = MEMBERS.map(|time| format!("{}s", time.as_secs()));
        let (name, nameserver) = (format!("rg-{ordinal}"), self.dns.address.to_string());
        let voters = self.bases.len().to_string();
        let arguments = [
            ("--pod-name", &*name),
            ("--pod-namespace", &*self.history.namespace),
            ("--voters", &voters),
            ("--draw-schedule", "@every 2s"),
            ("--lease-store", "kubernetes"),
            ("--kubeconfig", &self.kubeconfig),
            ("--lease-name", &self.history.lease),
            ("--lease-duration", &duration),
            ("--lease-renew-deadline", &deadline),
            ("--lease-retry", &retry),
            ("--discovery-name", SERVICE),
            ("--discovery-nameserver", &nameserver),
            ("--discovery-interval", "500ms"),
            ("--log-format", "json"),
        ];
        let arguments: Vec<_> = arguments.into_iter().flat_map(|(key, value)| [key, value]).collect();
        let member = Member::start_at(self.bases[usize::from(ordinal)], &self.volume(ordinal), &arguments);
        let identity = spans::identity_of_member(&member.log());
        self.parties
            .push(Party::new(ordinal, identity, Process::Member(member)));
    }

    /// A new process has a new identity, as client-go asks for.
    pub fn start_elector(&mut self, number: u16, durations: [Duration; 3], releases: bool) {
        self.electors += 1;
        let identity = format!("elector-{number}_{}", self.electors);
        let elector = Elector::start(&Standing {
            kubeconfig: &self.kubeconfig,
            namespace: &self.history.namespace,
            lease: &self.history.lease,
            identity: &identity,
            durations,
            releases,
        });
        self.parties
            .push(Party::new(number, identity, Process::Elector(elector)));
    }

    pub fn member(&self, ordinal: u16) -> &Member {
        let mut members = self.parties.iter().filter(|party| party.number == ordinal);
        let found = members.find_map(|party| match &party.process {
            Process::Member(member) => Some(member),
            Process::Elector(_) => None,
        });
        found.expect("a running member")
    }

    /// The position of the party that leads, by its own report and by the Lease.
    pub fn until_led(&self) -> usize {
        until("a leader", || {
            let holder = self.history.newest().holder;
            self.parties
                .iter()
                .position(|party| party.identity == holder && party.leads())
        })
    }

    /// Everyone sees the same holder.
    pub fn until_agreed(&self) {
        until("one view of the holder", || {
            let holder = self.history.newest().holder;
            let mut views = self.parties.iter().map(Party::view);
            views.all(|view| view.is_some_and(|seen| seen == holder)).then_some(())
        });
    }

    /// When another than `former` began to lead, which it does later than `since`; and whose side it is on.
    pub fn successor(&self, former: &str, since: Timestamp) -> (Side, Timestamp) {
        until("a successor", || {
            let others = self.parties.iter().filter(|party| party.identity != former);
            let mut begun = others.flat_map(|party| party.terms().into_iter().map(|term| (party.side(), term.from)));
            begun.find(|(_, from)| *from > since)
        })
    }

    pub fn kill(&mut self, position: usize) {
        let left = self.parties.remove(position).kill();
        self.left.push(left);
    }

    pub fn end(&mut self, position: usize) {
        let left = self.parties.remove(position).end();
        self.left.push(left);
    }

    /// When a process that has ended reported the end of its last term.
    pub fn reported_end(&self, identity: &str) -> Timestamp {
        let left = self.left.iter().find(|left| left.identity == identity).unwrap();
        left.terms.last().unwrap().to.expect("an orderly end")
    }

    /// The chain as every member has it: whole, and verified.
    pub fn verify(&self) {
        let head = self.history.newest().record.expect("a draw");
        let round = serde_json::from_str::<serde_json::Value>(&head).unwrap()["round"]
            .as_u64()
            .unwrap();
        for ordinal in (0..).take(self.bases.len()) {
            let member = self.member(ordinal);
            member.until_round(round);
            let verdict = harness::run(&["verify", &format!("http://127.0.0.1:{}", member.base)]);
            assert_eq!(verdict.code, Some(0), "{}{}", verdict.stdout, verdict.stderr);
        }
    }

    /// Ends what runs, and holds all that was reported against what stood in the Lease.
    pub fn check(mut self) {
        while let Some(party) = self.parties.pop() {
            self.left.push(party.end());
        }
        let versions = self.history.versions();
        history::check(&versions);
        let spans: Vec<Span> = self.left.iter().flat_map(|left| self.spans(left)).collect();
        eprintln!(
            "{} versions of the Lease, {} spans of leadership",
            versions.len(),
            spans.len()
        );
        spans::check(spans);
    }

    fn spans(&self, left: &Left) -> Vec<Span> {
        let side = Side::of(&left.identity).unwrap();
        spans::of(&left.identity, &left.terms, &left.struck, belief(side), |at| {
            self.history.last_renewal(&left.identity, at)
        })
    }
}
