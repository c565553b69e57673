//! Divides the journal's share of the volume into pages of the database, a log of bounded length, and the ballast.

use super::ballast::BALLAST_BYTES;
use super::log_index::{self, FRAME};
use crate::database::PAGE;

/// The most pages that a transaction adds to the log: a batch with its page splits, or one round of deleting.
pub const TRANSACTION_PAGES: u64 = 64;
/// With what is added until the log is emptied, its index stays within the region that is reserved when it is opened.
const MAX_LOG_PAGES: u64 = 3_584;

/// How the share is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub max_pages: u64,
    /// Pages in the log that its file keeps.
    pub log_pages: u64,
    /// Pages in the log at which a checkpoint begins. The others are for what is committed while it runs.
    pub checkpoint_at: u64,
    /// Beyond it the writer waits until the log is empty.
    pub log_bytes: u64,
}

impl Budget {
    /// `max_bytes` is at least [`super::MIN_BYTES`].
    pub fn new(max_bytes: u64) -> Budget {
        // A longer log is emptied less often.
        let log_pages = match max_bytes / u64::from(PAGE) {
            pages @ ..8_192 => (pages / 16).max(64),
            pages => (pages / 8).min(MAX_LOG_PAGES),
        };
        let log_bytes = (log_pages + 2 * TRANSACTION_PAGES) * FRAME;
        let database = max_bytes.saturating_sub(log_bytes + log_index::size(log_bytes) + BALLAST_BYTES);
        Budget {
            max_pages: database / u64::from(PAGE),
            log_pages,
            checkpoint_at: log_pages / 4 * 3,
            log_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_log_within_its_bound_is_the_one_reserved_at_the_start() {
        for megabytes in [2, 8, 31, 32, 64, 112, 123, 200, 1 << 20] {
            let budget = Budget::new(megabytes << 20);
            let most = budget.log_bytes + TRANSACTION_PAGES * FRAME;
            assert_eq!(log_index::size(most), log_index::size(0), "{megabytes} MiB");
            assert!(budget.log_bytes < (megabytes << 20) / 2, "{megabytes} MiB");
        }
    }
}
