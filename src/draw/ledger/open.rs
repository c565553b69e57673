//! An open ledger: the file and the state machine over it, with room kept for the next commits.

use std::sync::Arc;

use super::logic::Ledger;
use super::storage::{Storage, StorageError};
use super::{Stored, Write};
use crate::record::Record;

/// Records are pruned when so much of the reserved space is used.
const FULL_PERCENT: u64 = 85;

pub(super) struct Open {
    pub(super) storage: Storage,
    pub(super) ledger: Ledger,
}

impl Open {
    pub(super) fn new(storage: Storage, stored: Stored) -> Open {
        Open {
            storage,
            ledger: Ledger::new(stored),
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

    /// Deletes the oldest tenth. False if nothing may be deleted.
    fn prune(&mut self) -> Result<bool, StorageError> {
        let writes = self.ledger.prune(self.ledger.len() * 9 / 10);
        if writes.is_empty() {
            return Ok(false);
        }
        self.commit(&writes)?;
        Ok(true)
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
