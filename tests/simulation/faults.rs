//! What goes wrong, when, and how it is mended.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use random_generator::lease::{Head, LeaseObject};
use random_generator::record::Voters;

use crate::oracle::Verdict;
use crate::process::Volume;
use crate::splits::Split;
use crate::world::{Plan, World, pick};

const SECOND: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Pause,
    Resume(usize),
    Kill,
    /// The process's volume is lost with it.
    KillAndWipe,
    Return(u16),
    /// A second process of an ordinal takes over its volume while the first goes on.
    Double,
    ScaleAway,
    CutStore,
    CutPeers,
    Heal(usize),
    DeleteLease,
    CreateLease,
    /// An older state comes back, as from a backup.
    SetBack,
    DamageRecord,
    /// Somebody adds a label.
    Label,
    StepClock,
    /// N is changed, and every member restarted one after the other, as a rollout does.
    ChangeVoters,
    Restart(u16),
    FillVolume,
    FreeVolume(u16),
    /// The Lease is deleted and created again while its holder can't reach the store.
    ReplaceLease,
    /// At the next change of voters in the Lease the set splits, and then loses the Lease.
    SplitAtChange {
        new_volume: bool,
    },
    NewVolume(usize),
    TurnOver,
    /// The set moves to another start ordinal, and the old members leave.
    Move,
    MoveVoters,
    Leave,
    /// Somebody is asked to stop, and ends.
    Stop,
    End(usize),
}

impl Plan {
    pub fn random(rng: &mut StdRng) -> Plan {
        let members = rng.random_range(1..=5);
        let voters = if rng.random_ratio(1, 4) {
            rng.random_range(1..=members)
        } else {
            members
        };
        let (duration, renew_deadline, retry) = match rng.random_range(0..3) {
            0 => (15_000, 10_000, 2_000),
            1 => (6_000, 4_000, 800),
            _ => (3_000, 2_000, 400),
        };
        let schedule = ["@every 2s", "@every 5s", "@every 10s"][rng.random_range(0..3)];
        Plan {
            members,
            voters: voters.into(),
            duration: Duration::from_millis(duration),
            renew_deadline: Duration::from_millis(renew_deadline),
            retry: Duration::from_millis(retry),
            schedule: schedule.parse().unwrap(),
            faults_until: rng.random_range(40..90) * SECOND,
            noise: [0, 5, 20, 60][rng.random_range(0..4)],
        }
    }
}

impl World {
    /// Strews faults over the time that the plan leaves for them. A seed has few kinds of them, so that each gets its turn.
    pub fn plan_faults(&mut self) {
        const KINDS: [Fault; 15] = [
            Fault::Pause,
            Fault::Kill,
            Fault::KillAndWipe,
            Fault::Double,
            Fault::ScaleAway,
            Fault::CutStore,
            Fault::CutPeers,
            Fault::DeleteLease,
            Fault::SetBack,
            Fault::DamageRecord,
            Fault::Label,
            Fault::StepClock,
            Fault::FillVolume,
            Fault::ChangeVoters,
            Fault::Pause,
        ];
        let kinds: Vec<Fault> = (0..self.rng.random_range(1..=5))
            .filter_map(|_| pick(&mut self.rng, &KINDS))
            .collect();
        let mut at = self.rng.random_range(2..15) * SECOND;
        while at < self.plan.faults_until {
            if let Some(fault) = pick(&mut self.rng, &kinds) {
                self.schedule_fault(at, fault);
            }
            at += self.rng.random_range(SECOND / 2..20 * SECOND);
        }
    }

    /// Somebody alive; the holder more often than not.
    fn victim(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.processes.len())
            .filter(|id| self.processes[*id].alive && !self.processes[*id].paused)
            .collect();
        let leading: Vec<usize> = alive
            .iter()
            .copied()
            .filter(|id| self.processes[*id].leads(self.t))
            .collect();
        match self.rng.random_ratio(3, 5) && !leading.is_empty() {
            true => pick(&mut self.rng, &leading),
            false => pick(&mut self.rng, &alive),
        }
    }

    fn later(&mut self, least: u64, most: u64) -> u64 {
        self.t + self.rng.random_range(least * SECOND..most * SECOND)
    }

    pub fn fault(&mut self, fault: Fault) -> Verdict {
        self.note(|| format!("fault: {fault:?}"));
        match fault {
            Fault::Resume(id) => self.resume_if_paused(id),
            Fault::Return(ordinal) => self.come_back(ordinal),
            Fault::End(id) => self.end(id)?,
            Fault::Stop => {
                if let Some(id) = self.victim() {
                    self.stop(id)?;
                }
            }
            Fault::Heal(id) => {
                self.processes[id].cut_store = false;
                self.processes[id].cut_peers = false;
                self.processes[id].disturbed_at = self.t;
            }
            Fault::CreateLease => {
                if self.store.object.is_none() {
                    self.store.create();
                    self.tell_watchers();
                }
            }
            Fault::FreeVolume(ordinal) => self.free(ordinal),
            Fault::ChangeVoters => self.change_voters(),
            Fault::Restart(ordinal) => {
                let running = self.current[usize::from(ordinal)].filter(|id| self.processes[*id].alive);
                if let Some(id) = running {
                    self.met("restarted with another N", id);
                    self.die_and_return(id);
                }
            }
            Fault::ReplaceLease => self.replace_lease(),
            Fault::SplitAtChange { new_volume } => self.split = Some(Split::Armed { new_volume }),
            Fault::NewVolume(id) if self.t < self.plan.faults_until => self.lead_with_new_volume(id),
            Fault::TurnOver if self.t < self.plan.faults_until => self.turn_over(),
            Fault::Move => {
                self.move_voters();
                self.schedule_fault(self.t + 5 * SECOND, Fault::Leave);
            }
            Fault::MoveVoters => self.move_voters(),
            Fault::Leave if self.t < self.plan.faults_until => self.leave(),
            Fault::DeleteLease => self.delete_lease(),
            Fault::SetBack => self.set_back(),
            Fault::DamageRecord => self.damage(),
            Fault::Label => {
                if let Some(object) = self.store.object.clone() {
                    self.store.set(LeaseObject::clone(&object));
                    self.tell_watchers();
                }
            }
            _ => {
                if let Some(id) = self.victim() {
                    self.strike(fault, id);
                }
            }
        }
        Ok(())
    }

    /// A fault that meets one process.
    fn strike(&mut self, fault: Fault, id: usize) {
        let ordinal = self.processes[id].ordinal;
        match fault {
            Fault::Pause => {
                self.met("paused", id);
                self.processes[id].paused = true;
                let at = self.later(1, 25);
                self.schedule_fault(at, Fault::Resume(id));
            }
            Fault::Kill => {
                self.met("killed", id);
                self.die_and_return(id);
            }
            Fault::KillAndWipe => {
                self.met("killed and wiped", id);
                self.kill(id);
                // Those that could give a new volume the chain may have left.
                if self.left == 0 {
                    self.wipe(ordinal);
                }
                let at = self.later(1, 10);
                self.schedule_fault(at, Fault::Return(ordinal));
            }
            Fault::Double => {
                self.met("doubled", id);
                self.start(ordinal);
                let at = self.later(5, 30);
                self.schedule_fault(at, Fault::Heal(id));
            }
            Fault::ScaleAway => {
                self.met("scaled away", id);
                self.kill(id);
                self.published.retain(|published| *published != ordinal);
                self.publish_members();
                let at = self.later(5, 40);
                self.schedule_fault(at, Fault::Return(ordinal));
            }
            Fault::CutStore => {
                self.met("cut from the store", id);
                self.processes[id].cut_store = true;
                let at = self.later(1, 30);
                self.schedule_fault(at, Fault::Heal(id));
            }
            Fault::CutPeers => {
                self.met("cut from its peers", id);
                self.processes[id].cut_peers = true;
                let at = self.later(1, 30);
                self.schedule_fault(at, Fault::Heal(id));
            }
            Fault::StepClock => {
                self.met("clock stepped", id);
                self.processes[id].wall_offset = self.rng.random_range(-20_000_000..20_000_000);
            }
            Fault::FillVolume => {
                self.met("volume filled", id);
                self.volumes[usize::from(ordinal)].full = true;
                let at = self.later(2, 30);
                self.schedule_fault(at, Fault::FreeVolume(ordinal));
            }
            _ => {}
        }
    }

    fn change_voters(&mut self) {
        if self.moving {
            return;
        }
        let count = self.rng.random_range(1..=self.plan.members);
        let first = match self.ranges {
            true => self.rng.random_range(0..=self.plan.members - count),
            false => 0,
        };
        self.plan.voters = Voters { first, count };
        self.restart_all();
    }

    pub fn restart_all(&mut self) {
        let mut at = self.t;
        for ordinal in (0..self.plan.members).rev() {
            self.schedule_fault(at, Fault::Restart(ordinal));
            at += self.rng.random_range(SECOND..8 * SECOND);
        }
    }

    /// kill -9, and a restart soon after, on the same volume.
    pub fn die_and_return(&mut self, id: usize) {
        let ordinal = self.processes[id].ordinal;
        self.kill(id);
        let at = self.t + self.rng.random_range(SECOND / 10..8 * SECOND);
        self.schedule_fault(at, Fault::Return(ordinal));
    }

    pub fn wipe(&mut self, ordinal: u16) {
        self.oracle.wiped.insert(ordinal);
        self.volumes[usize::from(ordinal)] = Volume::new(self.rng.random());
    }

    fn resume_if_paused(&mut self, id: usize) {
        if self.processes[id].paused {
            self.resume(id);
        }
    }

    fn come_back(&mut self, ordinal: u16) {
        if ordinal < self.left {
            return;
        }
        let running = self.current[usize::from(ordinal)].is_some_and(|id| self.processes[id].alive);
        if !running {
            self.start(ordinal);
        }
        if !self.published.contains(&ordinal) {
            self.published.push(ordinal);
            self.published.sort_unstable();
            self.publish_members();
        }
    }

    fn free(&mut self, ordinal: u16) {
        self.volumes[usize::from(ordinal)].full = false;
        if let Some(id) = self.current[usize::from(ordinal)] {
            self.stand(id);
        }
    }

    fn lease_lost(&mut self, how: &'static str) {
        self.oracle.lease_lost(&self.volumes, self.t);
        if let Some(id) = (0..self.processes.len()).find(|id| self.processes[*id].leads(self.t)) {
            self.met(how, id);
        }
    }

    pub fn delete_lease(&mut self) {
        self.lease_lost("lease deleted");
        self.store.delete();
        self.tell_watchers();
        let at = self.t + self.rng.random_range(0..20 * SECOND);
        self.schedule_fault(at, Fault::CreateLease);
    }

    fn set_back(&mut self) {
        let history = self.store.history.clone();
        let Some(present) = self.store.object.clone() else {
            return;
        };
        if let Some(older) = pick(&mut self.rng, &(0..history.len()).collect::<Vec<_>>()).map(|i| history[i].clone()) {
            self.lease_lost("lease set back");
            // A restored backup is the same object; one re-applied from a file is a new one.
            let uid = if self.rng.random() {
                present.uid.clone()
            } else {
                format!("{}-again-{}", present.uid, self.t)
            };
            self.store.set(LeaseObject {
                uid,
                ..LeaseObject::clone(&older)
            });
            self.tell_watchers();
        }
    }

    fn damage(&mut self) {
        if let Some(object) = self.store.object.clone() {
            self.lease_lost("record damaged");
            self.store.set(LeaseObject {
                payload: Head::Invalid(Arc::from("{}")),
                ..LeaseObject::clone(&object)
            });
            self.tell_watchers();
        }
    }

    /// Ends every fault: one process an ordinal, all published, nothing cut, paused or full.
    pub fn heal(&mut self) {
        for id in 0..self.processes.len() {
            let process = &mut self.processes[id];
            process.cut_store = false;
            process.cut_peers = false;
            process.disturbed_at = self.t;
            process.wall_offset = process.wall_offset.clamp(-1_500_000, 1_500_000);
            let ordinal = process.ordinal;
            if self.processes[id].alive && self.current[usize::from(ordinal)] != Some(id) {
                self.kill(id);
            }
            self.resume_if_paused(id);
        }
        if self.store.object.is_none() {
            self.store.create();
        }
        for ordinal in 0..self.plan.members {
            self.free(ordinal);
            self.come_back(ordinal);
        }
        self.tell_watchers();
    }
}
