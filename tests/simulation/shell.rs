//! What the tasks around the state machines do, for one simulated process: feeds them events and carries out their actions.

use std::sync::Arc;

use lease_election::{WatchEvent, WriteOutcome, elector};
use rand::RngExt;
use random_generator::clock::Boot;
use random_generator::draw::conductor;
use random_generator::draw::ledger::{Condition, LedgerSnapshot, Write};
use random_generator::lease::LeaseSnapshot;
use random_generator::record::Record;

use crate::happening::{Ask, Call, Happening, Input};
use crate::oracle::Verdict;
use crate::trace;
use crate::world::{SECOND, World, pick};

/// Wake-ups of a process in a second; a few dozen are usual.
const MOST_WAKES: u64 = 500;

impl World {
    pub fn wake(&mut self, id: usize) -> Verdict {
        if !self.processes[id].alive || self.processes[id].paused {
            return Ok(());
        }
        let second = self.t / SECOND;
        let process = &mut self.processes[id];
        let (in_second, wakes) = process.wakes;
        process.wakes = (second, if in_second == second { wakes + 1 } else { 1 });
        if wakes > MOST_WAKES {
            return Err(format!(
                "{} is awake all the time: a wake-up is asked for that nothing comes of",
                process.identity
            ));
        }
        self.elector(id, elector::Event::Tick)?;
        self.conductor(id, conductor::Event::Tick)
    }

    pub fn input(&mut self, id: usize, input: Input) -> Verdict {
        if !self.processes[id].alive {
            return Ok(());
        }
        if self.processes[id].paused {
            self.held.entry(id).or_default().push(input);
            return Ok(());
        }
        match input {
            Input::Elector(event) => self.elector(id, event),
            Input::Conductor(event) => self.conductor(id, event),
            Input::LookUp => {
                let published = self.published.clone().into();
                self.conductor(id, conductor::Event::Published(published))
            }
            Input::LeaseChanged => match self.processes[id].lease.clone() {
                Some(snapshot) => self.lease_changed(id, snapshot),
                None => Ok(()),
            },
            Input::Asked { from, ask, message } => self.asked(id, from, ask, message),
            Input::Answered { ask, ordinal, answer } => self.answered(id, ask, ordinal, answer),
        }
    }

    pub fn elector(&mut self, id: usize, event: elector::Event<Record>) -> Verdict {
        let process = &mut self.processes[id];
        let now = process.now(self.t);
        let view = match &event {
            elector::Event::Read {
                result: Ok(Some(object)),
                ..
            }
            | elector::Event::Watched(WatchEvent::Seen(object))
            | elector::Event::Wrote {
                outcome: WriteOutcome::Written(object),
                ..
            } => Some(object.clone()),
            _ => None,
        };
        let quiet = matches!(event, elector::Event::Tick);
        let actions = process.elector.step(now, event.clone(), &mut process.rng);
        if !quiet {
            self.note(|| format!("p{id} elector: {}", trace::event(&event)));
        }
        if let Some(view) = view {
            self.processes[id].saw(&view, self.t);
        }
        for action in actions {
            match action {
                elector::Action::Read { op } => self.call(id, op, Call::Read),
                elector::Action::Write { op, base, change } => {
                    if change.payload != base.payload {
                        self.oracle
                            .conducts(&self.processes[id], self.t, self.plan.renew_deadline, 0)?;
                    }
                    self.processes[id].sent(op, now.boot);
                    self.note(|| {
                        format!(
                            "p{id} writes v{} {:?} fence {}",
                            base.version, change.spec.holder, change.fence
                        )
                    });
                    self.call(id, op, Call::Write { base, change });
                }
                elector::Action::Publish(snapshot) => {
                    self.processes[id].watch_lease(snapshot);
                    self.leads_alone(id)?;
                    self.within(id, Input::LeaseChanged);
                }
                elector::Action::Commit { ticket, outcome } => {
                    self.within(id, Input::Conductor(conductor::Event::Committed { ticket, outcome }));
                }
                elector::Action::Resigned => return self.resigned(id),
            }
        }
        let wake = self.processes[id].elector.wake_at();
        self.wake_later(id, wake);
        Ok(())
    }

    pub fn conductor(&mut self, id: usize, event: conductor::Event) -> Verdict {
        let process = &mut self.processes[id];
        let now = process.now(self.t);
        let actions = process.conductor.step(now, event, &mut process.rng);
        for action in actions {
            match action {
                conductor::Action::Keep { ask, ordinal, request } => {
                    self.oracle
                        .conducts(&self.processes[id], self.t, self.plan.renew_deadline, 1_000)?;
                    self.ask(id, ask, ordinal, Ask::Keep(request));
                }
                conductor::Action::Heads { ask, ordinal, request } => self.ask(id, ask, ordinal, Ask::Heads(request)),
                conductor::Action::Commit(request) => {
                    self.note(|| {
                        format!(
                            "p{id} commits round {} slot {}",
                            request.payload.round, request.payload.slot
                        )
                    });
                    self.within(id, Input::Elector(elector::Event::Commit(request)));
                }
                conductor::Action::Floor(fence) => {
                    self.within(id, Input::Elector(elector::Event::RequireFenceAbove(fence)))
                }
                conductor::Action::Look => self.within(id, Input::Elector(elector::Event::Refresh)),
                conductor::Action::StayOut(time) => self.within(id, Input::Elector(elector::Event::StayOut(time))),
                conductor::Action::Report(report) => {
                    self.note(|| format!("p{id} reports {}", trace::report(&report)));
                    self.oracle.said(&self.processes[id], &report)?;
                }
            }
        }
        let wake = self.processes[id].conductor.wake_at(now);
        self.wake_later(id, wake);
        Ok(())
    }

    fn wake_later(&mut self, id: usize, wake: Option<Boot>) {
        if let Some(wake) = wake {
            let at = self.processes[id].when(wake).max(self.t + 1);
            // One wake-up a process is enough as long as it isn't later than this one.
            let process = &mut self.processes[id];
            if process
                .elector_wake
                .is_none_or(|planned| planned <= self.t || planned > at)
            {
                process.elector_wake = Some(at);
                self.schedule(at, Happening::Wake { to: id });
            }
        }
    }

    /// From one task of a process to another.
    fn within(&mut self, to: usize, input: Input) {
        let at = self.t + self.rng.random_range(0..500);
        self.schedule(at, Happening::Input { to, input });
    }

    pub fn stand(&mut self, id: usize) {
        self.within(id, Input::Elector(elector::Event::Stand(true)));
    }

    // ----- ledger

    /// Conductor and ledger watch the elector each for itself: either may be first.
    fn lease_changed(&mut self, id: usize, snapshot: LeaseSnapshot) -> Verdict {
        let head = snapshot.payload().cloned();
        let event = conductor::Event::Lease(Arc::new(snapshot));
        match self.rng.random() {
            true => {
                self.conductor(id, event)?;
                self.follow(id, head)
            }
            false => {
                self.follow(id, head)?;
                if !self.processes[id].alive {
                    return Ok(());
                }
                self.conductor(id, event)
            }
        }
    }

    fn follow(&mut self, id: usize, head: Option<Arc<Record>>) -> Verdict {
        if let Some(record) = head {
            let writes = self.processes[id].ledger.seen(&record);
            if !writes.is_empty() {
                if self.store_in_ledger(id, &writes)? {
                    self.show(id)?;
                }
                return Ok(());
            }
        }
        match self.processes[id].asked_for.is_some() {
            true => self.show(id),
            false => Ok(()),
        }
    }

    /// Makes writes durable and then true; false when the volume is full, or the process dies on the way.
    pub fn store_in_ledger(&mut self, id: usize, writes: &[Write]) -> Result<bool, String> {
        let ordinal = usize::from(self.processes[id].ordinal);
        if self.processes[id].detached || self.volumes[ordinal].full {
            self.within(id, Input::Elector(elector::Event::Stand(false)));
            return Ok(false);
        }
        if self.noisy(4) {
            self.met("dies before a write", id);
            self.die_and_return(id);
            return Ok(false);
        }
        self.volumes[ordinal].apply(writes);
        if self.noisy(4) {
            self.met("dies after a write", id);
            self.die_and_return(id);
            return Ok(false);
        }
        let process = &mut self.processes[id];
        writes.iter().for_each(|write| process.ledger.apply(write));
        self.recall(id);
        Ok(true)
    }

    /// Joins what the volume has below the chain to it, some at a time.
    fn recall(&mut self, id: usize) {
        let process = &mut self.processes[id];
        let volume = &mut self.volumes[usize::from(process.ordinal)];
        while let Some(wanted) = process
            .ledger
            .wanted()
            .filter(|wanted| volume.records.contains_key(wanted))
        {
            let writes = process.ledger.recall(volume.ancestors(&wanted, 2));
            volume.apply(&writes);
            writes.iter().for_each(|write| process.ledger.apply(write));
        }
    }

    /// What readers of this member see now.
    pub fn show(&mut self, id: usize) -> Verdict {
        let snapshot = self.processes[id].ledger.snapshot(Condition::Writable);
        let process = &self.processes[id];
        let ordinal = process.ordinal;
        let volume = &self.volumes[usize::from(ordinal)];
        // Without its volume it knows only what is in its memory.
        let chain = match process.detached || volume.seed != *process.ledger.seed() {
            true => Ok(snapshot.recent.to_vec()),
            false => volume.chain(&snapshot),
        };
        let chain = chain.map_err(|error| format!("rg-{ordinal}: {error}"))?;
        self.oracle.shows(ordinal, &self.processes[id].reported, &chain)?;
        self.processes[id].reported = chain;
        self.fetch(id, &snapshot);
        self.conductor(id, conductor::Event::Ledger(Arc::new(snapshot)))
    }

    /// Asks a peer for older records, at most once in two seconds.
    fn fetch(&mut self, id: usize, snapshot: &LedgerSnapshot) {
        let process = &mut self.processes[id];
        let Some(wanted) = snapshot.wanted else {
            process.asked_for = None;
            return;
        };
        if process
            .asked_for
            .is_some_and(|(hash, at)| hash == wanted && self.t < at + 2 * SECOND)
        {
            return;
        }
        process.asked_for = Some((wanted, self.t));
        if let Some(ordinal) = pick(&mut self.rng, &self.published) {
            self.ask(id, 0, ordinal, Ask::Records(wanted));
        }
    }

    // ----- chance
}
