//! What an answer, a view or a silence means: L1, L6, L7, L10, L11.

use std::sync::Arc;

use rand::Rng;

use super::sight::Sight;
use super::{CommitOutcome, Elector, Kind, Sent, Term, fence_of, jittered};
use crate::clock::{Boot, Now};
use crate::lease::{Head, LeaseObject, LeaseTrouble, StoreError, WriteOutcome};
use crate::record::Record;

impl Elector {
    pub(super) fn on_read(
        &mut self,
        op: u64,
        result: Result<Option<Arc<LeaseObject>>, StoreError>,
        now: Now,
        rng: &mut impl Rng,
    ) {
        let Some((_, sent)) = self.reading.take_if(|(reading, _)| *reading == op) else {
            return;
        };
        match result {
            Ok(found) => {
                self.read_failures = 0;
                self.next_read = now.boot + jittered(self.config.duration, rng);
                // L1: a read that was sent before the newest view came can't contradict it.
                let newer = self.sight.as_ref().is_none_or(|sight| sent > sight.accepted_at);
                let undecided = self.undecided_by(found.as_deref(), sent);
                match found {
                    Some(object) if newer || self.sight.as_ref().is_some_and(|s| not_older(&object, &s.object)) => {
                        self.accept(object, now);
                    }
                    None if newer => self.accept_absence(now),
                    _ => self.look_now(now.boot),
                }
                if undecided {
                    self.leave_undecided();
                }
                if self.must_read.is_some_and(|since| sent >= since) {
                    self.must_read = None;
                }
                if self.doubt.is_some() || self.must_read.is_some() {
                    self.next_read = now.boot;
                }
            }
            Err(error) => {
                self.read_failures = self.read_failures.saturating_add(1);
                let backoff = self.config.retry * 2u32.pow(self.read_failures.min(4) - 1);
                self.next_read = now.boot + jittered(backoff.min(self.config.duration), rng);
                self.trouble = Some(LeaseTrouble::Store(error));
            }
        }
    }

    pub(super) fn on_watched(&mut self, object: Arc<LeaseObject>, now: Now) {
        match &self.sight {
            Some(sight) if not_older(&object, &sight.object) => self.accept(object, now),
            Some(sight) if sight.object.uid == object.uid => {}
            // Another uid, or the first view of all: watches lag, a read tells. Leading on in doubt is not worth it.
            _ => {
                self.term = None;
                self.look_now(now.boot);
            }
        }
    }

    pub(super) fn on_wrote(&mut self, op: u64, outcome: WriteOutcome, now: Now, rng: &mut impl Rng) {
        let Some(sent) = self.writing.take_if(|sent| sent.op == op) else {
            return;
        };
        match outcome {
            WriteOutcome::Written(object) => {
                self.trouble = None;
                self.write_trouble = None;
                self.happened(sent, now);
                if self.sight.as_ref().is_some_and(|s| not_older(&object, &s.object)) {
                    self.accept(object, now);
                }
            }
            WriteOutcome::Conflict => {
                self.write_trouble = None;
                self.look_now(now.boot);
                self.did_not_happen(sent.kind);
            }
            WriteOutcome::Failed(error) => {
                self.write_trouble = Some(error);
                self.next_write = now.boot + jittered(self.config.retry, rng);
                self.did_not_happen(sent.kind);
            }
            WriteOutcome::Unknown(detail) => {
                self.trouble = Some(LeaseTrouble::Store(StoreError::Unreachable(detail)));
                self.doubt = Some((sent, now.boot));
                self.look_now(now.boot);
            }
        }
    }

    /// Takes a view as the present one, and draws the consequences for the term and for a write in doubt.
    fn accept(&mut self, object: Arc<LeaseObject>, now: Now) {
        self.confirmed_at = Some(now.boot);
        self.trouble = None;
        if object
            .spec
            .held_by()
            .is_some_and(|holder| holder != self.config.identity)
        {
            // Nothing is to be written while another holds it.
            self.write_trouble = None;
        }
        let freed = |sight: &Sight| sight.object.spec.held_by().is_some() && object.spec.held_by().is_none();
        if self.term.is_none() && self.sight.as_ref().is_some_and(freed) {
            // Whoever lost a race a moment ago may run in this one.
            self.next_write = now.boot;
        }
        match &mut self.sight {
            Some(sight) if sight.object.uid == object.uid => sight.update(object.clone(), now.boot),
            _ => self.sight = Some(Sight::first(object.clone(), self.known_uid.as_deref(), now.boot)),
        }
        self.seen_fence = self.seen_fence.max(fence_of(&object));
        self.known_uid = Some(object.uid.clone());
        if let Some((sent, since)) = self.doubt.take() {
            self.settle(sent, since, &object, now);
        }
        if self.term.as_ref().is_some_and(|term| !self.is_of_term(term, &object)) {
            self.term = None;
        }
    }

    fn accept_absence(&mut self, now: Now) {
        self.confirmed_at = Some(now.boot);
        self.trouble = Some(LeaseTrouble::Absent);
        self.sight = None;
        self.term = None;
        self.next_read = now.boot + self.config.retry;
        self.leave_undecided();
    }

    /// L7: a leader goes on only under a view that it wrote itself.
    fn is_of_term(&self, term: &Term, object: &LeaseObject) -> bool {
        let on_its_way = self.writing.as_ref().or(self.doubt.as_ref().map(|(sent, _)| sent));
        object.uid == term.uid
            && object.spec.held_by() == Some(self.config.identity.as_str())
            && object.fence == term.fence
            && (object.head == term.head || on_its_way.is_some_and(|sent| sent.change.head == object.head))
    }

    /// L10: whether a write in doubt happened, as far as this view tells.
    fn settle(&mut self, sent: Sent, since: Boot, object: &LeaseObject, now: Now) {
        let same = object.uid == sent.base.uid && object.version == sent.base.version;
        if same {
            // A read sent later than `since` decides; this view may be older.
            self.doubt = Some((sent, since));
        } else if happened_in(&sent, object) {
            self.happened(sent, now);
        } else if let (Kind::Commit { ticket }, Head::Record(record)) = (sent.kind, &sent.change.head) {
            match absent_in(record, &sent.base, object) {
                true => self.tell(ticket, CommitOutcome::NotDone),
                false => self.tell(ticket, CommitOutcome::Undecided),
            }
        } else {
            self.did_not_happen(sent.kind);
        }
    }

    /// True when a read that was sent after the answer was given up shows the version that the write was based on.
    fn undecided_by(&self, found: Option<&LeaseObject>, sent: Boot) -> bool {
        let (Some((write, since)), Some(object)) = (&self.doubt, found) else {
            return false;
        };
        sent >= *since && object.uid == write.base.uid && object.version == write.base.version
    }

    /// The next write on the same version decides: either lands first, never both.
    fn leave_undecided(&mut self) {
        if let Some((sent, _)) = self.doubt.take()
            && let Kind::Commit { ticket } = sent.kind
        {
            self.tell(ticket, CommitOutcome::Undecided);
        }
    }

    /// A write of mine happened. Leadership is counted from when it was sent.
    fn happened(&mut self, sent: Sent, now: Now) {
        let until = sent.at + self.config.renew_deadline;
        match sent.kind {
            Kind::Acquire => {
                if now.boot < until && self.floor < sent.change.fence && !self.resigning {
                    self.term = Some(Term {
                        uid: sent.base.uid.clone(),
                        fence: sent.change.fence,
                        until,
                        renewed: sent.at,
                        head: sent.change.head.clone(),
                    });
                }
                // A view that came before this answer may be another's already.
                let seen = self.sight.as_ref().map(|sight| sight.object.clone());
                if let (Some(term), Some(object)) = (self.term.take(), seen) {
                    let as_written = object.uid == sent.base.uid && object.version <= sent.base.version;
                    if as_written || self.is_of_term(&term, &object) {
                        self.term = Some(term);
                    }
                }
            }
            Kind::Renew | Kind::Commit { .. } => {
                if let Some(term) = self.term.as_mut().filter(|term| term.fence == sent.change.fence) {
                    term.until = term.until.max(until);
                    term.renewed = term.renewed.max(sent.at);
                    term.head = sent.change.head.clone();
                }
                if let Kind::Commit { ticket } = sent.kind {
                    self.tell(ticket, CommitOutcome::Final);
                }
            }
            Kind::Release => self.term = None,
        }
    }

    fn did_not_happen(&mut self, kind: Kind) {
        if let Kind::Commit { ticket } = kind {
            self.tell(ticket, CommitOutcome::NotDone);
        }
    }
}

/// The same version of the same object, or a later one.
fn not_older(object: &LeaseObject, than: &LeaseObject) -> bool {
    object.uid == than.uid && object.version >= than.version
}

/// The write stands in this view, or stood in one before it.
fn happened_in(sent: &Sent, object: &LeaseObject) -> bool {
    if object.uid != sent.base.uid {
        return false;
    }
    if let (Kind::Commit { .. }, Head::Record(record)) = (sent.kind, &sent.change.head) {
        let Some(head) = object.head.record() else {
            return false;
        };
        return head.hash == record.hash || head.previous == Some(record.hash);
    }
    object.spec.holder == sent.change.spec.holder && object.spec.renew_time == sent.change.spec.renew_time
}

/// The record certainly never was the Lease's: since the version it was meant for, the head stayed, or another came
/// in its place. Of another Lease, or one set back, nothing can be said.
fn absent_in(record: &Record, base: &LeaseObject, object: &LeaseObject) -> bool {
    let since = object.uid == base.uid && object.version > base.version;
    let elsewhere =
        |head: &Arc<Record>| head.chain == record.chain && (record.round..=record.round + 1).contains(&head.round);
    since && (object.head == base.head || object.head.record().is_some_and(elsewhere))
}
