//! A process that stands for the Lease: a member, or an elector of client-go. Both are struck and asked in the same way.

use std::fs;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};

use crate::elector::{self, Elector};
use crate::harness::{Member, until};
use crate::spans::{self, Side, Term};

pub enum Process {
    Member(Member),
    Elector(Elector),
}

pub struct Party {
    /// Of its side, from 0: a member's ordinal.
    pub number: u16,
    pub identity: String,
    pub process: Process,
    /// When it was stopped or killed: from then on it could not report in time.
    pub struck: Vec<Timestamp>,
}

/// What a party that has ended leaves.
pub struct Left {
    pub identity: String,
    pub terms: Vec<Term>,
    pub struck: Vec<Timestamp>,
}

impl Party {
    pub fn new(number: u16, identity: String, process: Process) -> Party {
        Party {
            number,
            identity,
            process,
            struck: Vec::new(),
        }
    }

    pub fn side(&self) -> Side {
        match self.process {
            Process::Member(_) => Side::Members,
            Process::Elector(_) => Side::Electors,
        }
    }

    pub fn terms(&self) -> Vec<Term> {
        match &self.process {
            Process::Member(member) => spans::of_member(&member.log()),
            Process::Elector(elector) => spans::of_elector(&elector.events()),
        }
    }

    /// By its own report.
    pub fn leads(&self) -> bool {
        self.terms().last().is_some_and(|term| term.to.is_none())
    }

    /// Who holds the Lease, as it sees it.
    pub fn view(&self) -> Option<String> {
        match &self.process {
            Process::Member(member) => member.json("/leader")["holder"].as_str().map(str::to_owned),
            Process::Elector(elector) => spans::last_observed(&elector.events()),
        }
    }

    fn pid(&self) -> Pid {
        match &self.process {
            Process::Member(member) => member.pid(),
            Process::Elector(elector) => elector.pid(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGSTOP, and until all of its threads stand still.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        until("a process that stands still", || {
            let mut states = fs::read_dir(&tasks).unwrap().map(|task| {
                let status = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
                // After the name in parentheses, which may hold anything.
                status.rsplit_once(") ").unwrap().1.starts_with('T')
            });
            states.all(|stopped| stopped).then_some(())
        });
        self.struck.push(Timestamp::now());
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Left {
        self.signal(Signal::KILL);
        let identity = self.identity.clone();
        let (struck, terms) = match self.process {
            Process::Member(member) => {
                let (_, log) = member.ended();
                (Timestamp::now(), spans::of_member(&log))
            }
            Process::Elector(elector) => {
                let (events, log) = elector.ended();
                elector::check_log(&log);
                (Timestamp::now(), spans::of_elector(&events))
            }
        };
        self.struck.push(struck);
        Left {
            identity,
            terms,
            struck: self.struck,
        }
    }

    /// SIGTERM, and its orderly end.
    pub fn end(self) -> Left {
        self.signal(Signal::TERM);
        let terms = match self.process {
            Process::Member(member) => {
                let (code, log) = member.ended();
                assert_eq!(code, Some(0), "{log}");
                spans::of_member(&log)
            }
            Process::Elector(elector) => {
                let (events, log) = elector.ended();
                elector::check_log(&log);
                spans::of_elector(&events)
            }
        };
        Left {
            identity: self.identity,
            terms,
            struck: self.struck,
        }
    }
}
