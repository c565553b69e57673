//! The holder's work under one fence and head: when a recovery, a collection and a commit begin and end.

use std::sync::Arc;

use rand::{Rng, RngExt};

use super::collection::Collection;
use super::recovery::{Found, Recovery};
use super::{Action, Conductor, NewChain, Obstacle};
use crate::clock::Now;
use crate::lease::{CommitRequest, Head, LeaseSnapshot};
use crate::peer::message::{HeadsRequest, MOST_PASSED_OVER, VERSION};
use crate::record::{Hex, Record};

/// The holder's current work.
pub(super) enum Work {
    Idle,
    Collecting(Collection),
    Committing {
        ticket: u64,
        record: Arc<Record>,
        restoring: bool,
        replaces: (u64, Head),
    },
    Recovering(Recovery),
}

impl Conductor {
    /// Drops work that began under another fence or head.
    pub(super) fn drop_outdated(&mut self, fence: u64, head: &Head) {
        let valid = match &self.work {
            Work::Collecting(collection) => collection.fence == fence && collection.base == *head,
            Work::Recovering(recovery) => recovery.fence == fence && recovery.base == *head,
            Work::Idle | Work::Committing { .. } => true,
        };
        if !valid {
            self.work = Work::Idle;
        }
    }

    /// Whether the Lease has no record, or a member has a newer one than the Lease has even now.
    fn must_recover(&self, head: &Head, lease: &LeaseSnapshot) -> bool {
        let is_behind = self.newer.as_ref().is_some_and(|newer| {
            let is_newer = head.valid().is_none_or(|head| newer.record.age() > head.age());
            is_newer && lease.confirmed_at.is_some_and(|confirmed| confirmed > newer.at)
        });
        let head_known = head.valid().is_some() || self.new_chain.is_some();
        let restart = self.new_chain.is_some_and(|new| new.restart);
        !restart && (!head_known || is_behind)
    }

    /// Starts a recovery if one is needed, else the draw of the pending slot.
    pub(super) fn begin(&mut self, now: Now, fence: u64, head: &Head, lease: &LeaseSnapshot) {
        if self.must_recover(head, lease) {
            let reported = self.newer.as_ref().map(|newer| newer.record.clone());
            self.work = Work::Recovering(Recovery::new(
                &self.config.set,
                fence,
                head.clone(),
                self.newest.clone(),
                reported,
                self.config.voters,
            ));
            return;
        }
        let Some(pending) = &self.pending else {
            return;
        };
        let new_chain = self.new_chain.map(|new| (new.id, new.restart));
        let collection = Collection::new(&self.config, fence, head, new_chain, pending.slot)
            .passing_over(&self.passed_over)
            .beginning(now.boot, self.config.deadline(pending.slot), &self.published);
        self.work = Work::Collecting(collection);
    }

    pub(super) fn advance_collection(&mut self, now: Now, head: &Head) {
        let Work::Collecting(collection) = &mut self.work else {
            return;
        };
        collection.publish(&self.published);
        collection.find_previous(&self.chain);
        for ordinal in collection.to_ask(now.boot) {
            self.asks += 1;
            let request = collection.request(ordinal, &self.config);
            collection.asked(ordinal, self.asks, now.boot);
            self.actions.push(Action::Keep {
                ask: self.asks,
                ordinal,
                request,
            });
        }
        if let Some(missing) = collection.lacks_majority(self.config.voters) {
            self.set_obstacle(Obstacle::NoMajority { missing });
        } else if let Some(missing) = collection.lacks_previous() {
            self.set_obstacle(Obstacle::NoPrevious { missing });
        } else if collection.is_ripe(now.boot) {
            let (record, fence) = (Arc::new(collection.record(&self.config)), collection.fence);
            self.commit(record, fence, head, false);
        }
    }

    pub(super) fn advance_recovery(&mut self, now: Now, head: &Head, rng: &mut impl Rng) {
        let Work::Recovering(recovery) = &mut self.work else {
            return;
        };
        for ordinal in recovery.to_ask(now.boot, &self.published) {
            self.asks += 1;
            recovery.asked(ordinal, self.asks, now.boot);
            self.actions.push(Action::Heads {
                ask: self.asks,
                ordinal,
                request: Arc::new(HeadsRequest {
                    version: VERSION,
                    set: self.config.set.clone(),
                    from: self.config.member(),
                    holder: self.config.identity.clone(),
                    fence: recovery.fence,
                }),
            });
        }
        let fence = recovery.fence;
        match recovery.found() {
            Found::Missing(missing) => {
                if let Some(report) = recovery.waiting(missing, &self.published) {
                    self.actions.push(Action::Report(report));
                }
                self.set_obstacle(Obstacle::Recovering);
            }
            Found::Nothing => {
                self.new_chain = Some(NewChain {
                    id: Hex(rng.random()),
                    restart: false,
                });
                self.work = Work::Idle;
            }
            Found::Newest(record) => {
                for hash in recovery.passed_over(&record) {
                    self.passed_over.retain(|known| *known != hash);
                    self.passed_over.push(hash);
                }
                let beyond = self.passed_over.len().saturating_sub(MOST_PASSED_OVER);
                self.passed_over.drain(..beyond);
                self.newer = None;
                if head.valid().is_some_and(|head| head.age() >= record.age()) {
                    self.work = Work::Idle;
                    return;
                }
                self.commit(record, fence, head, true);
            }
        }
    }

    fn commit(&mut self, record: Arc<Record>, fence: u64, head: &Head, restoring: bool) {
        self.asks += 1;
        self.work = Work::Committing {
            ticket: self.asks,
            record: record.clone(),
            restoring,
            replaces: (fence, head.clone()),
        };
        self.actions.push(Action::Commit(CommitRequest {
            ticket: self.asks,
            payload: record,
            base: head.clone(),
            fence,
        }));
    }
}
