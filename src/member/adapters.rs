//! Fits the parts' handles to the interfaces that HTTP defines, so that neither side knows the other.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::DrawHandles;
use crate::config;
use crate::draw::ledger::task::{LedgerHandle, RestoreError};
use crate::generator::ids::{self, IdsError};
use crate::generator::random;
use crate::http::admin::{self, Action, AdminActions, AdminError};
use crate::http::public::giving::{Entry, JournalSink, JournalUnavailable};
use crate::http::public::ids::{IdSource, IdsUnavailable};
use crate::http::public::numbers::{NumberSource, NumbersUnavailable};
use crate::journal::{self, JournalHandle};
use crate::peer::listener::{Declined, PeerService};
use crate::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest, Refusal};
use crate::record::{Hash, Record};
use crate::telemetry::LogControl;

/// A client that got 503 may come back after so long: volumes are tried again about as often.
const RETRY_AFTER: Duration = Duration::from_secs(2);
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
                // Of what is asked most, no text is made.
                ("GET", "/") => "GET /".into(),
                (method, path) => format!("{method} {path}").into(),
            },
            // A row keeps no more, and the rest would wait in the queue for nothing.
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

/// The ledger as peers see it; of a member without ordinal, none.
#[derive(Clone, Debug)]
pub(super) struct PeerAnswers(pub Option<LedgerHandle>);

impl PeerAnswers {
    fn ledger(&self) -> Result<&LedgerHandle, Declined> {
        self.0.as_ref().ok_or_else(|| {
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
}

fn condition(handle: &journal::JournalHandle) -> admin::Journal {
    let (condition, detail) = match &*handle.state().borrow() {
        journal::JournalState::Starting => ("starting", None),
        journal::JournalState::Working => ("working", None),
        journal::JournalState::Degraded { journalling, reason } => {
            (if *journalling { "tight" } else { "failed" }, Some(reason.to_string()))
        }
    };
    let (rows, bytes) = handle.size();
    admin::Journal {
        condition,
        detail,
        rows,
        bytes,
        max_bytes: handle.max_bytes(),
    }
}

pub(super) fn admin_actions(
    draws: &Option<DrawHandles>,
    journal: journal::JournalHandle,
    log: LogControl,
    shutdown: mpsc::Sender<()>,
) -> AdminActions {
    let getting = log.clone();
    let no_ledger = || AdminError::Conflict("a member without ordinal has no ledger".to_owned());
    let ledger = draws.as_ref().map(|draws| draws.ledger.clone());
    let restarts = draws.as_ref().map(|draws| draws.restarts.clone());
    let ledger_restore: Action = Arc::new(move || {
        let ledger = ledger.clone();
        Box::pin(async move {
            let aside = ledger
                .ok_or_else(no_ledger)?
                .restore()
                .await
                .map_err(|error| match error {
                    RestoreError::Sound => AdminError::Conflict(error.to_string()),
                    RestoreError::Failed(_) | RestoreError::Busy(_) => AdminError::Failed(error.to_string()),
                })?;
            Ok(format!(
                "the corrupt ledger is kept as {}; a new one fills from the peers",
                aside.display()
            ))
        })
    });
    let ledger_restart: Action = Arc::new(move || {
        let restarts = restarts.clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let busy = || AdminError::Failed("the conductor is busy; try again".to_owned());
            restarts.ok_or_else(no_ledger)?.try_send(reply).map_err(|_| busy())?;
            let answer = timeout(RESTART_WITHIN, answer)
                .await
                .map_err(|_| busy())?
                .map_err(|_| busy())?;
            answer.map_err(|error| AdminError::Conflict(error.to_string()))?;
            Ok("a new chain begins with the next slot; the old one is set aside".to_owned())
        })
    });
    AdminActions {
        shutdown: Arc::new(move || {
            // A request that is under way already is as good as another.
            let _ = shutdown.try_send(());
        }),
        log_level: Arc::new(move || getting.get()),
        set_log_level: Arc::new(move |filter| log.set(filter).map_err(|error| AdminError::Invalid(error.to_string()))),
        journal: Arc::new(move || condition(&journal)),
        ledger_restore,
        ledger_restart,
    }
}

impl NumberSource for RandomNumbers {
    fn draw<T>(&self, make: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, NumbersUnavailable> {
        random::draw(make).map_err(|error| NumbersUnavailable(error.to_string()))
    }
}
