//! The journal's thread: commits all entries in the queue together, and recovers from failures.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep};

use super::batches::{Answered, Batch};
use super::lag::Lag;
use super::metrics::JournalMetrics;
use super::rows;
use super::store::{self, BATCH_BYTES, Store, StoreError};
use super::{Durability, JournalConfig, JournalError, JournalState, Message, aside};
use crate::backoff::Backoff;
use crate::clock::{Boot, Clock};
use crate::database::DatabaseError;
use crate::identity::{Space, volume_space};

/// How often a batch is retried after deleting rows. Each round frees more pages than a batch needs.
const ROUNDS: u32 = 4;
/// How often the volume is measured while nothing is committed: others fill it too.
const MEASURING: Duration = Duration::from_secs(2);

pub struct Writer {
    config: JournalConfig,
    clock: Clock,
    metrics: JournalMetrics,
    publisher: watch::Sender<JournalState>,
    /// Of the volume, published on change.
    space: watch::Sender<Option<Space>>,
    lag: Lag,
    answers: mpsc::Sender<Answered>,
    store: Option<Store>,
    /// After a failure: when to try again.
    retry: Option<Pin<Box<Sleep>>>,
    backoff: Backoff,
    /// When the sizes were last measured.
    measured: Option<Boot>,
}

impl Writer {
    pub fn new(
        config: JournalConfig,
        clock: Clock,
        metrics: JournalMetrics,
        publisher: watch::Sender<JournalState>,
        space: watch::Sender<Option<Space>>,
        lag: Lag,
        answers: mpsc::Sender<Answered>,
    ) -> Writer {
        Writer {
            config,
            clock,
            metrics,
            publisher,
            space,
            lag,
            answers,
            store: None,
            retry: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            measured: None,
        }
    }

    /// Runs until the collector has ended, and its last batch is committed.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        self.recover();
        loop {
            tokio::select! {
                biased;
                () = wait(&mut self.retry), if self.retry.is_some() => self.recover(),
                batch = batches.recv() => match batch {
                    Some(Batch { messages, busy }) => {
                        self.commit(messages);
                        drop(busy);
                    }
                    None => return,
                },
                () = sleep(MEASURING) => self.measure(),
            }
        }
    }

    /// Opens the database if it isn't open, and uses the whole share again if it can.
    fn recover(&mut self) {
        self.retry = None;
        let untested = matches!(
            &*self.publisher.borrow(),
            JournalState::Starting | JournalState::Degraded { journalling: false, .. }
        );
        let result = self.open().and_then(|store| {
            let whole = store.regain()?;
            if untested {
                if !whole {
                    store.make_room()?;
                }
                // Opening works even if writing doesn't.
                store.probe()?;
            }
            if store.is_pinned() {
                store.bound_log()?;
            }
            Ok((whole, store.is_pinned()))
        });
        match result {
            Ok((true, false)) => self.publish(JournalState::Working),
            Ok((true, true)) => self.degrade_to_growing_log(),
            Ok((false, _)) => self.degrade_to_remaining_space(),
            Err(error) => {
                self.fail(error);
            }
        }
        self.measure();
    }

    fn open(&mut self) -> Result<&mut Store, StoreError> {
        if self.store.is_none() {
            let opened = match self.try_open() {
                Err(StoreError::Database(DatabaseError::Corrupt { detail, .. })) => {
                    self.set_aside(&detail)?;
                    self.try_open()
                }
                result => result,
            };
            self.store = Some(opened?);
        }
        self.store
            .as_mut()
            .ok_or_else(|| StoreError::Replaced(self.config.path.clone()))
    }

    fn try_open(&self) -> Result<Store, StoreError> {
        let JournalConfig {
            path,
            durability,
            max_bytes,
            ..
        } = &self.config;
        Store::open(path, *durability, *max_bytes)
    }

    fn set_aside(&mut self, detail: &str) -> Result<(), StoreError> {
        if let Some(store) = self.store.take() {
            store.abandon();
        }
        let path = &self.config.path;
        let moved = aside::move_aside(path, self.clock.wall())
            .and_then(|moved| aside::limit(path, self.config.max_bytes).map(|_| moved))
            .map_err(|source| StoreError::Io {
                path: path.clone(),
                source,
            })?;
        self.metrics.corruptions.inc();
        tracing::error!(path = %path.display(), moved = %moved.display(), detail, "the journal is corrupt: moved it aside and started a new one");
        Ok(())
    }

    fn commit(&mut self, batch: Vec<Message>) {
        let mut messages = batch.into_iter().peekable();
        while messages.peek().is_some() {
            let mut bytes = 0;
            let mut part = Vec::new();
            while let Some(message) = messages.next_if(|_| bytes < BATCH_BYTES) {
                bytes += rows::size(&message.entry);
                part.push(message);
            }
            self.commit_part(part);
        }
        self.measure();
    }

    fn commit_part(&mut self, part: Vec<Message>) {
        let result = match &*self.publisher.borrow() {
            // Don't touch the volume before the next attempt.
            JournalState::Degraded {
                journalling: false,
                reason,
                ..
            } => Err(Arc::clone(reason)),
            _ => Ok(()),
        };
        let result = result.and_then(|()| self.append(&part).map_err(|error| self.fail(error)));
        match &result {
            Ok(()) => {
                if self.retry.is_none() {
                    self.backoff.reset();
                }
                self.metrics.commits.inc();
                self.metrics.rows_per_commit.observe(part.len() as f64);
                let lag = part.first().map(|first| self.clock.boot().since(first.sent));
                if let Some(lag) = lag {
                    self.metrics.lag.observe(lag.as_secs_f64());
                }
                self.lag.end(lag);
            }
            Err(_) => {
                self.metrics.dropped_for("volume", part.len() as u64);
                self.lag.end(None);
            }
        }
        // Without durability nobody waits.
        if self.config.durability == Durability::None {
            return;
        }
        let answered = Answered {
            messages: part,
            result: result.map_err(JournalError::Volume),
        };
        if let Err(TrySendError::Full(answered) | TrySendError::Closed(answered)) = self.answers.try_send(answered) {
            answered.reply();
        }
    }

    /// Commits a batch. Makes room and replaces a corrupt database if necessary, a bounded number of times.
    fn append(&mut self, part: &[Message]) -> Result<(), StoreError> {
        if let Some(first) = part.first() {
            self.lag.begin(first.sent);
        }
        let entries: Vec<_> = part.iter().map(|message| &message.entry).collect();
        let mut is_replaced = false;
        for round in 0.. {
            let store = self.open()?;
            let error = match store.append(&entries) {
                Ok(()) => break,
                Err(error) => error,
            };
            match &error {
                StoreError::Database(DatabaseError::Full { .. }) if round < ROUNDS => {
                    // Rows larger than those before reach the end of the share; the volume may be full at any time.
                    if store.at_limit()? && store.trim().is_ok() {
                        continue;
                    }
                    store.make_room()?;
                    self.degrade_to_remaining_space();
                }
                StoreError::Database(DatabaseError::Corrupt { detail, .. }) if !is_replaced => {
                    is_replaced = true;
                    self.set_aside(detail)?;
                }
                StoreError::Replaced(path) if !is_replaced => {
                    is_replaced = true;
                    tracing::error!(path = %path.display(), "the journal was deleted while in use: started a new one");
                    if let Some(store) = self.store.take() {
                        store.abandon();
                    }
                }
                _ => return Err(error),
            }
        }
        if self.store.as_ref().is_some_and(Store::is_pinned) && *self.publisher.borrow() == JournalState::Working {
            self.degrade_to_growing_log();
        }
        // The batch is committed: a failure from here on concerns the next one.
        let after = match &mut self.store {
            Some(store) => store.keep_headroom(),
            None => Ok(()),
        };
        match after {
            Ok(()) => {}
            Err(StoreError::Database(DatabaseError::Full { .. })) => {
                if self.store.as_mut().is_some_and(|store| store.make_room().is_ok()) {
                    self.degrade_to_remaining_space();
                }
            }
            Err(StoreError::Database(DatabaseError::Corrupt { detail, .. })) => {
                self.set_aside(&detail)?;
                // Acknowledged entries must be in the new journal.
                self.open()?.append(&entries)?;
            }
            Err(error) => {
                self.fail(error);
            }
        }
        Ok(())
    }

    fn degrade_to_remaining_space(&mut self) {
        self.degrade(format!(
            "the volume of {} is full: the journal drops its oldest entries early",
            self.config.path.display()
        ));
    }

    fn degrade_to_growing_log(&mut self) {
        self.degrade(format!(
            "{}: its log grows while a reader keeps a transaction open, up to the journal's share; end that reader",
            self.config.path.display()
        ));
    }

    /// Entries are stored all the same.
    fn degrade(&mut self, reason: String) {
        self.publish(JournalState::Degraded {
            journalling: true,
            full: false,
            reason: reason.into(),
        });
        if self.retry.is_none() {
            self.retry = Some(Box::pin(tokio::time::sleep(self.backoff.next_wait())));
        }
    }

    /// Closes the database until the next attempt; on a full volume it stays open, so that the space of its index stays reserved
    /// and others can read it.
    fn fail(&mut self, error: StoreError) -> Arc<str> {
        let full = matches!(error, StoreError::Database(DatabaseError::Full { .. }));
        if !full && let Some(store) = self.store.take() {
            store.abandon();
        }
        let reason: Arc<str> = error.to_string().into();
        self.publish(JournalState::Degraded {
            journalling: false,
            full,
            reason: Arc::clone(&reason),
        });
        self.retry = Some(Box::pin(tokio::time::sleep(self.backoff.next_wait())));
        reason
    }

    fn publish(&self, state: JournalState) {
        self.metrics.working.set(i64::from(state == JournalState::Working));
        self.publisher.send_if_modified(|current| {
            if *current == state {
                return false;
            }
            match (&current, &state) {
                (
                    _,
                    JournalState::Degraded {
                        journalling, reason, ..
                    },
                ) => {
                    tracing::warn!(journalling, %reason, "the journal is degraded");
                }
                (JournalState::Degraded { .. }, _) => {
                    self.metrics.recoveries.inc();
                    tracing::info!("the journal works again");
                }
                _ => {}
            }
            *current = state;
            true
        });
    }

    fn measure(&mut self) {
        let metrics = &self.metrics;
        if let Some(store) = &self.store {
            let (oldest, newest) = store.range().unwrap_or((0, 0));
            metrics.rows.set(store.rows().cast_signed());
            metrics.oldest_row.set(oldest);
            metrics.newest_row.set(newest);
        }
        // Not at every commit: system calls are a good part of a small one.
        let now = self.clock.boot();
        if self
            .measured
            .is_none_or(|at| now.since(at) >= Duration::from_millis(250))
        {
            self.measured = Some(now);
            metrics.bytes.set(store::bytes(&self.config.path).cast_signed());
            if let Some(Ok(fill)) = self.store.as_ref().map(Store::fill) {
                metrics.fill.set(fill);
            }
            let space = self.config.path.parent().and_then(|volume| volume_space(volume).ok());
            self.space.send_if_modified(|current| {
                let changed = *current != space;
                *current = space;
                changed
            });
        }
    }
}

async fn wait(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.as_mut().await,
        None => std::future::pending().await,
    }
}
