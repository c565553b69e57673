//! Faults that take more than one step: what only a network that splits at the worst moment can show, or a set that moves to other
//! ordinals. Four seeds of eight have one.

use rand::RngExt;
use random_generator::lease::LeaseObject;
use random_generator::record::{Record, Voters};

use crate::faults::Fault;
use crate::world::{Plan, SECOND, World};

/// The split of the set between a change of voters and the loss of the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Begins with the next record that names other voters; the member that drew it may lose its volume then.
    Armed { new_volume: bool },
    /// The voters of one of the two records don't see the new one.
    Begun,
}

/// Of eight seeds, the one in which the voters move and the next holder has a new volume.
const NEW_VOLUME: u64 = 3;

impl Plan {
    /// Enough members for voters that have nobody in common.
    pub fn widen(&mut self, seed: u64) {
        if seed % 8 == NEW_VOLUME {
            self.members = 5;
            self.voters = self.voters.count.min(3).into();
        }
    }
}

impl World {
    pub fn plan_splits(&mut self, seed: u64) {
        let last = self.plan.faults_until / 2;
        match seed % 8 {
            2 => {
                let mut at = 5 * SECOND;
                while at < self.plan.faults_until {
                    self.schedule_fault(at, Fault::ReplaceLease);
                    at += self.rng.random_range(5 * SECOND..20 * SECOND);
                }
            }
            4 if self.plan.members > 1 => {
                self.moving = true;
                let at = self.rng.random_range(5 * SECOND..last);
                self.schedule_fault(at, Fault::Move);
            }
            6 => {
                let at = self.rng.random_range(8 * SECOND..last);
                self.schedule_fault(at, Fault::SplitAtChange { new_volume: false });
                self.schedule_fault(at, Fault::ChangeVoters);
            }
            NEW_VOLUME => {
                self.moving = true;
                let at = self.rng.random_range(8 * SECOND..last);
                self.schedule_fault(at, Fault::SplitAtChange { new_volume: true });
                self.schedule_fault(at, Fault::MoveVoters);
            }
            _ => {}
        }
    }

    /// The set moves to another start ordinal: the upper half of its members become the voters.
    pub fn move_voters(&mut self) {
        let first = self.plan.members / 2;
        let count = self.plan.members - first;
        self.plan.voters = Voters { first, count };
        self.restart_all();
    }

    /// The lower half leave for good, once the three newest records name the others as voters, and these have them: the newest
    /// may be lost with the Lease, and the draw after the one before it needs the voters of both.
    pub fn leave(&mut self) {
        let mut finals: Vec<_> = self.oracle.finals.values().collect();
        finals.sort_by_key(|record| (record.fence, record.round));
        let moved = |record: &Record| {
            let has = |ordinal: u16| self.volumes[usize::from(ordinal)].records.contains_key(&record.hash);
            record.voters == self.plan.voters && record.voters.ordinals().all(has)
        };
        if finals.iter().rev().take(3).filter(|record| moved(record)).count() < 3 {
            return self.schedule_fault(self.t + 5 * SECOND, Fault::Leave);
        }
        self.left = self.plan.voters.first;
        for id in 0..self.processes.len() {
            if self.processes[id].alive && self.processes[id].ordinal < self.left {
                self.met("left for good", id);
                self.kill(id);
            }
        }
        let left = self.left;
        self.published.retain(|ordinal| *ordinal >= left);
        self.publish_members();
    }

    /// While the holder can't reach the store, the Lease is deleted and created again.
    pub fn replace_lease(&mut self) {
        let Some(id) = (0..self.processes.len()).find(|id| self.processes[*id].leads(self.t)) else {
            return;
        };
        self.met("lease replaced", id);
        self.processes[id].cut_store = true;
        let healed = self.t + self.rng.random_range(SECOND..15 * SECOND);
        self.schedule_fault(healed, Fault::Heal(id));
        self.oracle.lease_lost(&self.volumes, self.t);
        self.store.delete();
        self.tell_watchers();
        let created = self.t + self.rng.random_range(SECOND / 10..2 * SECOND);
        self.schedule_fault(created, Fault::CreateLease);
    }

    /// The Lease's record has changed. At a change of voters, those that have a vote in one record alone stop hearing of anything,
    /// and later only they are left.
    pub fn record_moved(&mut self, before: &LeaseObject, after: &LeaseObject, by: usize) {
        let voters = |object: &LeaseObject| object.payload.valid().map(|record| record.voters);
        let (Some(old), Some(new)) = (voters(before), voters(after)) else {
            return;
        };
        let Some(Split::Armed { new_volume }) = self.split.filter(|_| old != new && self.t < self.plan.faults_until)
        else {
            return;
        };
        self.split = Some(Split::Begun);
        // A majority of the voters before, of whom the voters of the new record need none.
        let leaving = old.ordinals().filter(|ordinal| !new.contains(*ordinal)).count();
        let deaf = |ordinal: u16| old.contains(ordinal) && (!old.is_majority(leaving) || !new.contains(ordinal));
        for id in 0..self.processes.len() {
            if id != by && self.processes[id].alive && deaf(self.processes[id].ordinal) {
                self.met("deaf to a change of N", id);
                self.cut(id);
            }
        }
        let mut at = self.t + self.rng.random_range(5 * SECOND..25 * SECOND);
        if new_volume {
            self.schedule_fault(self.t + SECOND / 100, Fault::NewVolume(by));
            at += self.plan.duration.as_micros() as u64;
        }
        self.schedule_fault(at, Fault::TurnOver);
    }

    /// This process loses its volume, and takes the lease again before any other that hears of it.
    pub fn lead_with_new_volume(&mut self, id: usize) {
        let ordinal = self.processes[id].ordinal;
        if !self.processes[id].alive {
            return;
        }
        self.met("lost its volume after a change of N", id);
        self.kill(id);
        self.wipe(ordinal);
        self.schedule_fault(self.t + SECOND / 10, Fault::Return(ordinal));
        let expired = self.t + self.plan.duration.as_micros() as u64;
        for other in 0..self.processes.len() {
            let process = &mut self.processes[other];
            if process.alive && !process.cut_store {
                process.paused = true;
                let at = expired + self.rng.random_range(SECOND / 2..2 * SECOND);
                self.schedule_fault(at, Fault::Resume(other));
            }
        }
    }

    /// The Lease is lost. Those that were deaf hear again; the others don't, for a while.
    pub fn turn_over(&mut self) {
        for id in 0..self.processes.len() {
            let deaf = self.processes[id].cut_store && self.processes[id].cut_peers;
            if deaf {
                self.schedule_fault(self.t, Fault::Heal(id));
            } else if self.processes[id].alive {
                self.cut(id);
                let healed = self.t + self.rng.random_range(20 * SECOND..40 * SECOND);
                self.schedule_fault(healed, Fault::Heal(id));
            }
        }
        self.delete_lease();
    }

    fn cut(&mut self, id: usize) {
        self.processes[id].cut_store = true;
        self.processes[id].cut_peers = true;
    }
}
