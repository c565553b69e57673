//! Implements the interfaces that HTTP defines with the parts' handles, so that neither side knows the other.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::report::Reporter;
use crate::config;
use crate::draw::ledger::task::{LedgerHandle, RestoreError};
use crate::draw::task::Restart;
use crate::generator::ids::{self, IdsError};
use crate::generator::random::{self, EntropyError};
use crate::http::admin::{self, Done, Maintenance};
use crate::http::public::entry::{Entry, JournalSink, JournalUnavailable};
use crate::http::public::ids::{IdSource, IdsUnavailable};
use crate::http::public::numbers::NumberSource;
use crate::journal::{self, JournalHandle, JournalState};
use crate::peer::listener::{Declined, PeerService};
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal, ReportAnswer};
use crate::record::{Hash, Record};
use crate::server::problem::Problem;
use crate::telemetry::LogControl;

/// `Retry-After` of a 503: volumes are tried again about as often.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The same, for what an operator asks.
const ADMIN_RETRY: Duration = Duration::from_secs(1);
const RESTART_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn durability(given: config::Durability) -> journal::Durability {
    match given {
        config::Durability::None => journal::Durability::None,
        config::Durability::Crash => journal::Durability::Crash,
        config::Durability::Power => journal::Durability::Power,
    }
}

#[derive(Clone, Debug)]
pub(super) struct JournalService(pub JournalHandle);

impl JournalSink for JournalService {
    async fn record(&self, entry: Entry<'_>) -> Result<(), JournalUnavailable> {
        let entry = journal::Entry {
            time: entry.at,
            request: entry.request_id.to_owned(),
            duration: entry.duration,
            method: match (entry.method, entry.path) {
                // No allocation for the most frequent request.
                ("GET", "/") => "GET /".into(),
                (method, path) => format!("{method} {path}").into(),
            },
            // The journal truncates longer parameters anyway; this keeps them out of its queue.
            parameters: journal::truncate(entry.query).to_owned(),
            count: entry.count,
            value: entry.value.map(i64::from),
        };
        self.0.record(entry).await.map_err(|error| JournalUnavailable {
            reason: error.to_string(),
            retry_after: RETRY_AFTER,
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct IdService(pub ids::IdSource);

impl IdSource for IdService {
    async fn take(&self, count: usize) -> Result<Vec<u64>, IdsUnavailable> {
        let taken = self.0.take(u32::try_from(count).unwrap_or(u32::MAX)).await;
        taken.map_err(|error| IdsUnavailable {
            reason: error.to_string(),
            retry_after: match error {
                IdsError::NoOrdinal | IdsError::Exhausted | IdsError::TooMany => None,
                IdsError::TooFast | IdsError::Floor(_) | IdsError::Timeout | IdsError::Stopped => Some(RETRY_AFTER),
            },
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RandomNumbers;

/// What peers ask for.
#[derive(Clone, Debug)]
pub(super) struct PeerAnswers {
    /// None for a member without ordinal.
    pub ledger: Option<LedgerHandle>,
    pub reporter: Reporter,
}

impl PeerAnswers {
    fn ledger(&self) -> Result<&LedgerHandle, Declined> {
        self.ledger.as_ref().ok_or_else(|| {
            Declined::Refused(Refusal::Ledger {
                detail: "a member without ordinal has none".to_owned(),
            })
        })
    }
}

impl PeerService for PeerAnswers {
    async fn keep(&self, request: KeepRequest) -> Result<KeepAnswer, Declined> {
        Ok(self.ledger()?.keep(Arc::new(request)).await?)
    }

    async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Declined> {
        Ok(self.ledger()?.heads(Arc::new(request)).await?)
    }

    async fn records(&self, hash: Hash, count: usize) -> Result<Vec<Arc<Record>>, Declined> {
        self.ledger()?.records(hash, count).await.map_err(|_| Declined::Busy)
    }

    fn report(&self) -> ReportAnswer {
        self.reporter.answer()
    }
}

/// What the admin listener works with.
#[derive(Debug)]
pub(super) struct Operator {
    /// None for a member without ordinal, which has no ledger.
    pub ledger: Option<LedgerHandle>,
    pub restarts: Option<mpsc::Sender<Restart>>,
    pub journal: JournalHandle,
    pub log: LogControl,
    pub shutdown: mpsc::Sender<()>,
}

fn no_ledger() -> Problem {
    Problem::conflict("a member without ordinal has no ledger")
}

impl Maintenance for Operator {
    fn shut_down(&self) {
        // If the queue is full, a shutdown is already requested.
        let _ = self.shutdown.try_send(());
    }

    fn log_level(&self) -> String {
        self.log.get()
    }

    fn set_log_level(&self, filter: &str) -> Result<(), Problem> {
        let set = self.log.set(filter);
        set.map_err(|error| Problem::malformed(error.to_string()))
    }

    fn journal(&self) -> admin::Journal {
        let (condition, detail) = match &*self.journal.state().borrow() {
            JournalState::Starting => ("starting", None),
            JournalState::Working => ("working", None),
            JournalState::Degraded {
                journalling, reason, ..
            } => (if *journalling { "tight" } else { "failed" }, Some(reason.to_string())),
        };
        let (rows, bytes) = self.journal.size();
        admin::Journal {
            condition,
            detail,
            rows,
            bytes,
            max_bytes: self.journal.max_bytes(),
        }
    }

    async fn restore_ledger(&self) -> Done {
        let ledger = self.ledger.as_ref().ok_or_else(no_ledger)?;
        match ledger.restore().await {
            Ok(aside) => Ok(format!(
                "the corrupt ledger was renamed to {}; a new one fills from the peers",
                aside.display()
            )),
            Err(error @ RestoreError::Sound) => Err(Problem::conflict(error.to_string())),
            Err(error) => Err(Problem::unavailable(error.to_string(), ADMIN_RETRY)),
        }
    }

    async fn restart_ledger(&self) -> Done {
        let busy = || Problem::unavailable("the conductor is busy: try again", ADMIN_RETRY);
        let (reply, answer) = oneshot::channel();
        let restarts = self.restarts.as_ref().ok_or_else(no_ledger)?;
        restarts.try_send(reply).map_err(|_| busy())?;
        let Ok(Ok(restarted)) = timeout(RESTART_WITHIN, answer).await else {
            return Err(busy());
        };
        restarted.map_err(|error| Problem::conflict(error.to_string()))?;
        Ok("a new chain begins with the next slot; the old one is set aside".to_owned())
    }
}

impl NumberSource for RandomNumbers {
    fn draw<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, EntropyError> {
        random::draw(make)
    }
}
