//! Processes that are asked to stop, as by SIGTERM: they give the lease back, and return later. One seed of seven has them.

use rand::RngExt;

use crate::faults::Fault;
use crate::oracle::Verdict;
use crate::world::{SECOND, World};
use lease_election::elector;

/// A write on its way, a read and the release; a round trip takes at most 12 ms.
const AT_ONCE: u64 = SECOND / 10;

impl World {
    pub fn plan_stops(&mut self, seed: u64) {
        if seed % 7 != 5 {
            return;
        }
        let mut at = self.rng.random_range(0..3 * SECOND);
        while at < self.plan.faults_until {
            self.schedule_fault(at, Fault::Stop);
            at += self.rng.random_range(SECOND..10 * SECOND);
        }
    }

    pub fn stop(&mut self, id: usize) -> Verdict {
        if self.processes[id].stopping.is_some() {
            return Ok(());
        }
        self.met("asked to stop", id);
        self.processes[id].stopping = Some(self.t);
        let patience = self.plan.renew_deadline.as_micros() as u64 * 2 / 3;
        self.schedule_fault(self.t + patience, Fault::End(id));
        self.elector(id, elector::Event::Resign)
    }

    /// It says that it holds no lease.
    pub fn resigned(&mut self, id: usize) -> Verdict {
        let holds = self
            .store
            .object
            .as_ref()
            .is_some_and(|object| object.spec.held_by() == Some(&self.processes[id].identity));
        if holds && self.undisturbed(id) {
            return Err(format!(
                "{} stops, and the lease is still its own",
                self.processes[id].identity
            ));
        }
        self.end(id)
    }

    /// Its time is over, or it has nothing to do any more.
    pub fn end(&mut self, id: usize) -> Verdict {
        let process = &self.processes[id];
        let Some(since) = process.stopping.filter(|_| process.alive) else {
            return Ok(());
        };
        if self.t > since + AT_ONCE && self.undisturbed(id) {
            return Err(format!(
                "{} took {} ms to give the lease back",
                process.identity,
                (self.t - since) / 1_000
            ));
        }
        self.die_and_return(id);
        Ok(())
    }

    /// Nothing has happened lately to its messages, to the process or to the Lease.
    fn undisturbed(&self, id: usize) -> bool {
        let process = &self.processes[id];
        let long = 2 * self.plan.duration.as_micros() as u64;
        let calm = |at: u64| at == 0 || self.t > at + long;
        self.plan.noise == 0
            && !process.cut_store
            && !process.paused
            && calm(process.disturbed_at)
            && calm(self.oracle.lost_at)
            && self.store.object.is_some()
    }
}
