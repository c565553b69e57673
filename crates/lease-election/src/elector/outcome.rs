//! What an answer or a watched change means for the view, the term and a write in doubt: L1, L6, L7, L10, L11.

use std::sync::Arc;

use rand::Rng;

use super::view::LeaseView;
use super::{CommitOutcome, Elector, PendingWrite, Purpose, Term, fence_of, jittered};
use crate::clock::{Boot, Now};
use crate::leadership::LeaseTrouble;
use crate::payload::{Payload, Stored};
use crate::store::{LeaseObject, StoreError, WriteOutcome};

impl<P: Payload> Elector<P> {
    pub(super) fn on_read(
        &mut self,
        op: u64,
        result: Result<Option<Arc<LeaseObject<P>>>, StoreError>,
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
                // L1: a read that was sent before the newest view came may be older than it.
                let newer = self.view.as_ref().is_none_or(|view| sent > view.accepted_at);
                let undecided = self.undecided_by(found.as_deref(), sent);
                match found {
                    Some(object) if newer || self.view.as_ref().is_some_and(|s| not_older(&object, &s.object)) => {
                        self.accept(object, now);
                    }
                    None if newer => self.accept_absence(now),
                    _ => self.require_read(now.boot),
                }
                if undecided {
                    self.end_doubt();
                }
                if self.must_read.is_some_and(|since| sent >= since) {
                    self.must_read = None;
                }
                if self.in_doubt.is_some() || self.must_read.is_some() {
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

    pub(super) fn on_watched(&mut self, object: Arc<LeaseObject<P>>, now: Now) {
        match &self.view {
            Some(view) if not_older(&object, &view.object) => self.accept(object, now),
            Some(view) if view.object.uid == object.uid => {}
            // Another uid, or the first view at all. Watches lag: the read decides. Don't lead while that is open.
            _ => {
                self.term = None;
                self.require_read(now.boot);
            }
        }
    }

    pub(super) fn on_wrote(&mut self, op: u64, outcome: WriteOutcome<P>, now: Now, rng: &mut impl Rng) {
        let Some(sent) = self.writing.take_if(|sent| sent.op == op) else {
            return;
        };
        match outcome {
            WriteOutcome::Written(object) => {
                self.trouble = None;
                self.write_trouble = None;
                self.apply_written(sent, now);
                if self.view.as_ref().is_some_and(|s| not_older(&object, &s.object)) {
                    self.accept(object, now);
                }
            }
            WriteOutcome::Conflict => {
                self.write_trouble = None;
                self.require_read(now.boot);
                self.apply_not_written(sent.purpose);
            }
            WriteOutcome::Failed(error) => {
                self.write_trouble = Some(error);
                self.next_write = now.boot + jittered(self.config.retry, rng);
                self.apply_not_written(sent.purpose);
            }
            WriteOutcome::Unknown(detail) => {
                self.trouble = Some(LeaseTrouble::Store(StoreError::Unreachable(detail)));
                self.in_doubt = Some((sent, now.boot));
                self.require_read(now.boot);
            }
        }
    }

    /// Takes a view as the present one, and decides what it means for the term and for a write in doubt.
    fn accept(&mut self, object: Arc<LeaseObject<P>>, now: Now) {
        self.confirmed_at = Some(now.boot);
        self.trouble = None;
        if object
            .spec
            .held_by()
            .is_some_and(|holder| holder != self.config.identity)
        {
            // While another process holds the lease there is nothing to write.
            self.write_trouble = None;
        }
        let freed = |view: &LeaseView<P>| view.object.spec.held_by().is_some() && object.spec.held_by().is_none();
        if self.term.is_none() && self.view.as_ref().is_some_and(freed) {
            // The retry time of an earlier attempt must not delay this one.
            self.next_write = now.boot;
        }
        match &mut self.view {
            Some(view) if view.object.uid == object.uid => view.update(object.clone(), now.boot),
            _ => self.view = Some(LeaseView::first(object.clone(), self.known_uid.as_deref(), now.boot)),
        }
        self.seen_fence = self.seen_fence.max(fence_of(&object));
        self.known_uid = Some(object.uid.clone());
        if let Some((sent, since)) = self.in_doubt.take() {
            self.resolve_doubt(sent, since, &object, now);
        }
        if self
            .term
            .as_ref()
            .is_some_and(|term| !self.continues_term(term, &object))
        {
            self.term = None;
        }
    }

    fn accept_absence(&mut self, now: Now) {
        self.confirmed_at = Some(now.boot);
        self.trouble = Some(LeaseTrouble::Absent);
        self.view = None;
        self.term = None;
        self.next_read = now.boot + self.config.retry;
        self.end_doubt();
    }

    /// L7: a leader continues only under a view that it wrote itself.
    fn continues_term(&self, term: &Term<P>, object: &LeaseObject<P>) -> bool {
        let on_its_way = self.writing.as_ref().or(self.in_doubt.as_ref().map(|(sent, _)| sent));
        object.uid == term.uid
            && object.spec.held_by() == Some(self.config.identity.as_str())
            && object.fence == term.fence
            && (object.payload == term.payload || on_its_way.is_some_and(|sent| sent.change.payload == object.payload))
    }

    /// L10: whether a write in doubt happened, as far as this view shows.
    fn resolve_doubt(&mut self, sent: PendingWrite<P>, since: Boot, object: &LeaseObject<P>, now: Now) {
        let same = object.uid == sent.base.uid && object.version == sent.base.version;
        if same {
            // A read sent later than `since` decides; this view may be older.
            self.in_doubt = Some((sent, since));
        } else if shows_write(&sent, object) {
            self.apply_written(sent, now);
        } else if let (Purpose::Commit { ticket }, Stored::Valid(payload)) = (sent.purpose, &sent.change.payload) {
            match rules_out(&**payload, &sent.base, object) {
                true => self.finish_commit(ticket, CommitOutcome::NotCommitted),
                false => self.finish_commit(ticket, CommitOutcome::Undecided),
            }
        } else {
            self.apply_not_written(sent.purpose);
        }
    }

    /// True when a read that was sent after the answer was given up shows the version that the write was based on.
    fn undecided_by(&self, found: Option<&LeaseObject<P>>, sent: Boot) -> bool {
        let (Some((write, since)), Some(object)) = (&self.in_doubt, found) else {
            return false;
        };
        sent >= *since && object.uid == write.base.uid && object.version == write.base.version
    }

    /// Stops waiting: the next write on the same version decides, since only one of the two can land.
    fn end_doubt(&mut self) {
        if let Some((sent, _)) = self.in_doubt.take()
            && let Purpose::Commit { ticket } = sent.purpose
        {
            self.finish_commit(ticket, CommitOutcome::Undecided);
        }
    }

    /// L6: a write of this process happened. Leadership is counted from when it was sent.
    fn apply_written(&mut self, sent: PendingWrite<P>, now: Now) {
        let renew_deadline = sent.sent_at + self.config.renew_deadline;
        match sent.purpose {
            Purpose::Acquire => {
                if now.boot < renew_deadline {
                    self.term = Some(Term {
                        uid: sent.base.uid.clone(),
                        fence: sent.change.fence,
                        renew_deadline,
                        renewed: sent.sent_at,
                        payload: sent.change.payload.clone(),
                    });
                }
                // A view that came before this answer may already show another holder.
                let seen = self.view.as_ref().map(|view| view.object.clone());
                if let (Some(term), Some(object)) = (self.term.take(), seen) {
                    let as_written = object.uid == sent.base.uid && object.version <= sent.base.version;
                    if as_written || self.continues_term(&term, &object) {
                        self.term = Some(term);
                    }
                }
            }
            Purpose::Renew | Purpose::Commit { .. } => {
                if let Some(term) = self.term.as_mut().filter(|term| term.fence == sent.change.fence) {
                    term.renew_deadline = term.renew_deadline.max(renew_deadline);
                    term.renewed = term.renewed.max(sent.sent_at);
                    term.payload = sent.change.payload.clone();
                }
                if let Purpose::Commit { ticket } = sent.purpose {
                    self.finish_commit(ticket, CommitOutcome::Committed);
                }
            }
            Purpose::Release => self.term = None,
        }
    }

    fn apply_not_written(&mut self, purpose: Purpose) {
        if let Purpose::Commit { ticket } = purpose {
            self.finish_commit(ticket, CommitOutcome::NotCommitted);
        }
    }
}

/// The same version of the same object, or a later one.
fn not_older<P>(object: &LeaseObject<P>, than: &LeaseObject<P>) -> bool {
    object.uid == than.uid && object.version >= than.version
}

/// Whether this view shows that the write happened: now, or directly before.
fn shows_write<P: Payload>(write: &PendingWrite<P>, object: &LeaseObject<P>) -> bool {
    if object.uid != write.base.uid {
        return false;
    }
    if let (Purpose::Commit { .. }, Stored::Valid(payload)) = (write.purpose, &write.change.payload) {
        let found = object.payload.valid();
        return found.is_some_and(|found| found == payload || found.directly_follows(payload));
    }
    object.spec.holder == write.change.spec.holder && object.spec.renew_time == write.change.spec.renew_time
}

/// Whether this view shows that `payload` never was in the Lease: since the version it was meant for, the payload stayed, or
/// another came in its place. Of another Lease, or one restored from a backup, nothing can be said.
fn rules_out<P: Payload>(payload: &P, base: &LeaseObject<P>, object: &LeaseObject<P>) -> bool {
    let since = object.uid == base.uid && object.version > base.version;
    let excluded = object.payload.valid().is_some_and(|found| found.excludes(payload));
    since && (object.payload == base.payload || excluded)
}
