//! An open ledger: the file and the state machine over it, with room kept for the next commits.

use std::sync::Arc;

use super::logic::Ledger;
use super::storage::{Storage, StorageError};
use super::{Stored, Write};
use crate::record::{Hash, Record, Slot};

/// Records are pruned when so much of the reserved space is used.
const FULL_PERCENT: u64 = 85;
/// Records in one commit that prunes.
const PRUNED_AT_ONCE: usize = 128;
/// Records in one commit that joins what is on the volume already to the chain.
const RECALLED_AT_ONCE: usize = 64;

pub(super) struct Open {
    pub(super) storage: Storage,
    pub(super) ledger: Ledger,
    /// What the volume does not have of the chain.
    pub(super) missing: Option<Hash>,
    /// What was deleted last for its age: it isn't fetched again.
    pub(super) outdated: Option<Hash>,
}

impl Open {
    pub(super) fn new(storage: Storage, stored: Stored) -> Open {
        Open {
            storage,
            ledger: Ledger::new(stored),
            missing: None,
            outdated: None,
        }
    }

    /// Stores writes, then applies them.
    fn commit(&mut self, writes: &[Write]) -> Result<(), StorageError> {
        self.storage.commit(writes)?;
        writes.iter().for_each(|write| self.ledger.apply(write));
        Ok(())
    }

    /// As [`commit`](Open::commit). Without room for records that are larger than those before, it prunes first.
    pub(super) fn commit_making_room(&mut self, writes: &[Write]) -> Result<(), StorageError> {
        match self.commit(writes) {
            Err(StorageError::Full) if self.prune()? => self.commit(writes),
            done => done,
        }
    }

    /// Prunes before the next commits could run out of room.
    pub(super) fn keep_room(&mut self) -> Result<(), StorageError> {
        if self.percent_used() >= FULL_PERCENT {
            self.prune()?;
        }
        Ok(())
    }

    /// Deletes the oldest tenth, or of many as much as one commit should. False if nothing may be deleted.
    fn prune(&mut self) -> Result<bool, StorageError> {
        let tenth = usize::try_from(self.storage.len() / 10).unwrap_or(usize::MAX);
        let oldest = self.storage.oldest(tenth.clamp(1, PRUNED_AT_ONCE))?;
        let writes = self.ledger.prune(&oldest);
        if writes.is_empty() {
            return Ok(false);
        }
        self.commit(&writes)?;
        Ok(true)
    }

    /// Without the records that the volume has, though the memory hasn't.
    pub(super) fn without_stored(&self, mut writes: Vec<Write>) -> Result<Vec<Write>, StorageError> {
        let mut known = Vec::new();
        for write in &writes {
            known.push(matches!(write, Write::Record(record) if self.storage.has(&record.hash)?));
        }
        let mut known = known.into_iter();
        writes.retain(|_| known.next() != Some(true));
        Ok(writes)
    }

    /// Joins what the volume has below the chain: some of it. True if there may be more.
    pub(super) fn recall(&mut self) -> Result<bool, StorageError> {
        let wanted = self.ledger.wanted();
        let Some(hash) = wanted.filter(|_| wanted != self.missing) else {
            return Ok(false);
        };
        let records = self.storage.ancestors(&hash, RECALLED_AT_ONCE)?;
        let writes = self.ledger.recall(records);
        if writes.is_empty() {
            self.missing = wanted;
            return Ok(false);
        }
        self.commit(&writes)?;
        Ok(true)
    }

    /// Deletes some of the records whose slots are before `limit`.
    pub(super) fn prune_before(&mut self, limit: Slot) -> Result<(), StorageError> {
        // Nearly always there is nothing to do.
        if self.storage.oldest(1)?.iter().all(|old| old.slot >= limit) {
            return Ok(());
        }
        let mut old = self.storage.oldest(PRUNED_AT_ONCE)?;
        old.retain(|old| old.slot < limit);
        let writes = self.ledger.prune(&old);
        if !writes.is_empty() {
            let before = self.ledger.wanted();
            self.commit(&writes)?;
            if self.ledger.wanted() != before {
                self.outdated = self.ledger.wanted();
            }
        }
        Ok(())
    }

    /// As many of these records as fit the reserved space of one commit.
    pub(super) fn fitting<'a>(&self, records: &'a [Arc<Record>]) -> &'a [Arc<Record>] {
        let most = self.storage.largest_commit();
        let mut bytes = 0;
        let fits = records.iter().take_while(|record| {
            bytes += Storage::cost(record.canonical().len());
            bytes <= most
        });
        &records[..fits.count()]
    }

    pub(super) fn percent_used(&self) -> u64 {
        self.storage.used().saturating_mul(100) / self.storage.capacity().max(1)
    }
}
