//! The ways to the lease store and between peers: what is lost, doubled, late or forged on them.

use std::cmp::Ordering;

use lease_election::{WatchEvent, WriteOutcome, elector};
use rand::RngExt;
use random_generator::draw::conductor::{self, AskError};
use random_generator::draw::ledger::Write;
use random_generator::lease::LeaseObject;
use random_generator::peer::message::{KeepAnswer, Refusal};

use crate::happening::{Answer, Ask, Call, Happening, Input};
use crate::oracle::Verdict;
use crate::process::Process;
use crate::store::Put;
use crate::trace;
use crate::world::{SECOND, World, elector_failure};

impl World {
    pub fn call(&mut self, from: usize, op: u64, call: Call) {
        let write = matches!(call, Call::Write { .. });
        self.traffic.count_request(write);
        let timeout = self.processes[from].when(self.processes[from].now(self.t).boot + self.plan.renew_deadline / 3);
        let lost = elector_failure(write, op);
        self.schedule(
            timeout,
            Happening::Input {
                to: from,
                input: Input::Elector(lost),
            },
        );
        if self.processes[from].cut_store {
            return;
        }
        if self.noisy(1) {
            self.met(if write { "write lost" } else { "read lost" }, from);
            return;
        }
        let mut delay = self.rng.random_range(200..6_000);
        if self.noisy(1) {
            self.met(if write { "late write" } else { "late read" }, from);
            delay = self.rng.random_range(SECOND / 2..8 * SECOND);
        }
        self.schedule(self.t + delay, Happening::StoreCall { from, op, call });
    }

    pub fn store_call(&mut self, from: usize, op: u64, call: Call) -> Verdict {
        let event = match call {
            Call::Read => elector::Event::Read {
                op,
                result: Ok(self.store.object.clone()),
            },
            Call::Write { base, change } => {
                let before = self.store.object.clone();
                let outcome = match self.store.put(&base, change) {
                    Put::Written(object) => {
                        self.note(|| format!("store by p{from}: {}", trace::view(&object)));
                        self.overlap(before.as_deref(), &object)?;
                        self.oracle
                            .written(before.as_deref(), &object, &self.processes[from], &self.volumes)?;
                        self.processes[from].succeeded(op);
                        if let Some(before) = &before {
                            self.record_moved(before, &object, from);
                        }
                        self.tell_watchers();
                        WriteOutcome::Written(object)
                    }
                    Put::Conflict => WriteOutcome::Conflict,
                };
                elector::Event::Wrote { op, outcome }
            }
        };
        if self.processes[from].cut_store {
            return Ok(());
        }
        if self.noisy(1) {
            self.met("answer lost", from);
            return Ok(());
        }
        let at = self.t + self.rng.random_range(200..6_000);
        self.schedule(
            at,
            Happening::Input {
                to: from,
                input: Input::Elector(event),
            },
        );
        Ok(())
    }

    /// Nobody may get the lease while another still believes in it, but for a lost Lease.
    fn overlap(&self, before: Option<&LeaseObject>, after: &LeaseObject) -> Verdict {
        let was = before.and_then(|before| before.spec.held_by());
        let Some(was) = was.filter(|was| Some(*was) != after.spec.held_by()) else {
            return Ok(());
        };
        let calm = self.oracle.lost_at == 0 || self.t > self.oracle.lost_at + 2 * self.plan.duration.as_micros() as u64;
        match self
            .processes
            .iter()
            .find(|process| process.identity == was && process.leads(self.t))
        {
            Some(process) if calm => Err(format!(
                "{:?} took the lease while {} led",
                after.spec.holder, process.identity
            )),
            _ => Ok(()),
        }
    }

    /// No two believe that they lead at the same instant, under whatever uid: but for one that never knew another Lease than the
    /// new one, and for a Lease that was set back under its own uid.
    pub fn leads_alone(&self, id: usize) -> Verdict {
        let process = &self.processes[id];
        if !process.leads(self.t) {
            return Ok(());
        }
        let calm = self.oracle.lost_at == 0 || self.t > self.oracle.lost_at + 2 * self.plan.duration.as_micros() as u64;
        let age = |process: &Process| {
            let uid = process.lease_uid();
            self.store
                .history
                .iter()
                .rposition(|object| Some(object.uid.as_str()) == uid)
        };
        let excused = |other: &Process| match age(process).cmp(&age(other)) {
            Ordering::Equal => !calm,
            Ordering::Greater => process.uids.len() == 1,
            Ordering::Less => other.uids.len() == 1,
        };
        let leads_too = |other: &&Process| other.identity != process.identity && other.leads(self.t);
        match self.processes.iter().filter(leads_too).find(|other| !excused(other)) {
            Some(other) => Err(format!(
                "{} believes that it leads, and so does {}",
                process.identity, other.identity
            )),
            None => Ok(()),
        }
    }

    /// Sends the present state to every watch; some of it gets lost or overtaken.
    pub fn tell_watchers(&mut self) {
        let event = match &self.store.object {
            Some(object) => WatchEvent::Seen(object.clone()),
            None => WatchEvent::Gone,
        };
        for to in 0..self.processes.len() {
            let process = &self.processes[to];
            if !process.alive || process.cut_store || self.noisy(2) {
                continue;
            }
            let mut delay = self.rng.random_range(200..10_000);
            if self.noisy(2) {
                self.met("late watch", to);
                delay = self.rng.random_range(SECOND / 2..5 * SECOND);
            }
            let input = Input::Elector(elector::Event::Watched(event.clone()));
            self.schedule(self.t + delay, Happening::Input { to, input });
        }
    }

    pub fn ask(&mut self, from: usize, ask: u64, ordinal: u16, message: Ask) {
        let failure = |error| match message {
            Ask::Keep(_) => Answer::Keep(Err(error)),
            Ask::Heads(_) => Answer::Heads(Err(error)),
            Ask::Records(hash) => Answer::Records(hash, Vec::new()),
        };
        let answered = |answer| Input::Answered { ask, ordinal, answer };
        let timeout = self.t + SECOND;
        let input = answered(failure(AskError::Timeout));
        self.schedule(timeout, Happening::Input { to: from, input });
        let to_self = self.processes[from].ordinal == ordinal;
        let target = if to_self {
            Some(from)
        } else {
            self.current.get(usize::from(ordinal)).copied().flatten()
        };
        let target = target.filter(|to| self.processes[*to].alive);
        let Some(to) = target else {
            let at = self.t + 500;
            let input = answered(failure(AskError::Unreachable));
            self.schedule(at, Happening::Input { to: from, input });
            return;
        };
        if !to_self && (self.processes[from].cut_peers || self.processes[to].cut_peers) {
            return;
        }
        if !to_self {
            self.traffic.count_question(&message);
        }
        for _ in 0..if self.noisy(1) { 2 } else { 1 } {
            if !to_self && self.noisy(1) {
                self.met("question lost", from);
                continue;
            }
            let at = self.t + self.peer_delay(to_self);
            let message = message.clone();
            self.schedule(
                at,
                Happening::Input {
                    to,
                    input: Input::Asked { from, ask, message },
                },
            );
        }
    }

    fn peer_delay(&mut self, to_self: bool) -> u64 {
        match (to_self, self.noisy(2)) {
            (true, _) => self.rng.random_range(10..500),
            (false, false) => self.rng.random_range(100..5_000),
            (false, true) => self.rng.random_range(SECOND / 20..6 * SECOND),
        }
    }

    pub fn asked(&mut self, id: usize, from: usize, ask: u64, message: Ask) -> Verdict {
        let process = &self.processes[id];
        let ordinal = process.ordinal;
        let wall = process.now(self.t).wall;
        let answer = match message {
            Ask::Keep(request) => {
                let kept = process.contributor.keep(&process.ledger, &request, wall);
                // What the volume has, though the memory hasn't, isn't stored again.
                let has = |write: &Write| matches!(write, Write::Record(record) if self.volumes[usize::from(ordinal)].has(record));
                let kept = kept.map(|(writes, answer)| {
                    let new: Vec<Write> = writes.into_iter().filter(|write| !has(write)).collect();
                    (new, answer)
                });
                let answer = match kept {
                    Ok((writes, answer)) if writes.is_empty() || self.store_in_ledger(id, &writes)? => {
                        self.show(id)?;
                        Ok(answer)
                    }
                    Ok(_) if !self.processes[id].alive => return Ok(()),
                    Ok(_) => Err(Refusal::Ledger { detail: "full".into() }),
                    Err(refusal) => Err(refusal),
                };
                if let Ok(Some(given)) = answer.as_ref().map(|answer| &answer.contribution) {
                    let seed = self.processes[id].ledger.seed().0;
                    self.oracle.given(ordinal, seed, &request, given)?;
                }
                self.note(|| {
                    format!(
                        "p{id} asked by p{from} for round {} slot {}: {}",
                        request.round,
                        request.slot,
                        trace::outcome(&answer)
                    )
                });
                Answer::Keep(self.forged(from, answer).map_err(AskError::Refused))
            }
            Ask::Heads(request) => {
                let answer = match process.contributor.heads(&process.ledger, &request) {
                    Ok((writes, answer)) if writes.is_empty() || self.store_in_ledger(id, &writes)? => Ok(answer),
                    Ok(_) if !self.processes[id].alive => return Ok(()),
                    Ok(_) => Err(Refusal::Ledger { detail: "full".into() }),
                    Err(refusal) => Err(refusal),
                };
                Answer::Heads(answer.map_err(AskError::Refused))
            }
            Ask::Records(hash) => {
                let volume = &self.volumes[usize::from(ordinal)];
                Answer::Records(hash, volume.ancestors(&hash, 64))
            }
        };
        let to_self = id == from;
        if !to_self {
            self.traffic.count_answer(&answer);
        }
        if !to_self && (self.processes[from].cut_peers || self.processes[id].cut_peers || self.noisy(1)) {
            return Ok(());
        }
        let at = self.t + self.peer_delay(to_self);
        self.schedule(
            at,
            Happening::Input {
                to: from,
                input: Input::Answered { ask, ordinal, answer },
            },
        );
        Ok(())
    }

    /// Now and then a member gives a reveal that nobody committed to.
    fn forged(&mut self, from: usize, mut answer: Result<KeepAnswer, Refusal>) -> Result<KeepAnswer, Refusal> {
        if let Ok(KeepAnswer {
            contribution: Some(given),
            ..
        }) = &mut answer
            && self.noisy(3)
        {
            self.met("forged reveal", from);
            given.reveal = Some(random_generator::record::Hex(self.rng.random()));
        }
        answer
    }

    pub fn answered(&mut self, id: usize, ask: u64, ordinal: u16, answer: Answer) -> Verdict {
        match answer {
            Answer::Keep(result) => self.conductor(id, conductor::Event::Kept { ask, ordinal, result }),
            Answer::Heads(result) => self.conductor(id, conductor::Event::Heads { ask, ordinal, result }),
            Answer::Records(asked, records) => {
                let writes = self.processes[id].ledger.fill(asked, &records);
                if !writes.is_empty() && !self.store_in_ledger(id, &writes)? {
                    return Ok(());
                }
                self.show(id)
            }
        }
    }
}
