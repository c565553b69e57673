//! The watch of one Lease, by hand: kube's own begins with a list, which a Role on one name refuses.
//!
//! A GET, then a watch from its version; an end or an error resumes from the last version told, bookmarks included; a
//! version that the API server has forgotten (410) begins with a GET again. Silence has a bound, since a connection that died
//! without a word looks like a Lease that doesn't change; and a read that shows a newer version than the watch tells it too.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::exchange::{Exchange, Lines, Opened};
use super::object;
use super::refusal::{Place, is_absence};
use crate::payload::{Annotations, Payload};
use crate::store::{StoreError, WatchEvent};
use hyper::{Method, StatusCode};

/// A bookmark comes about once a minute when nothing changes.
const SILENCE: Duration = Duration::from_secs(90);
/// A version that was read must come by the watch within this.
const LAG: Duration = Duration::from_secs(5);
/// How long the API server is asked to keep a watch, at random between these: members' watches don't end together.
const LIFE: std::ops::RangeInclusive<u64> = 300..=600;
const BACKOFF: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A watch that stood so long was none that failed.
const STOOD: Duration = Duration::from_secs(10);
/// The present state, and changes from then on: for a Lease that is absent, and so has no version.
const ANY_VERSION: &str = "0";

/// What a watch needs of the store.
pub(super) struct Watch<'a, P> {
    pub exchange: &'a Exchange,
    pub place: &'a Place,
    /// Paths of the Lease, and of all in its namespace.
    pub item: &'a str,
    pub collection: &'a str,
    /// The greatest version that reads and writes have shown, for as long as the store lives.
    pub seen: watch::Receiver<u64>,
    /// Why it may not watch, for as long as it may not.
    pub trouble: &'a watch::Sender<Option<StoreError>>,
    pub annotations: &'a Annotations,
    pub events: mpsc::Sender<WatchEvent<P>>,
}

/// Why one watch ended.
enum Ended {
    /// In its time, or because it lagged: resumed at once from the last version told.
    Resume,
    /// The version is too old, or unknown.
    Forgotten,
    Failed,
    /// Nobody listens any more.
    Unheard,
}

impl<P: Payload> Watch<'_, P> {
    /// Runs until nobody listens.
    pub async fn run(mut self) {
        let (events, mut failures) = (self.events.clone(), 0);
        let all = async {
            let mut position = None;
            loop {
                let began = Instant::now();
                let ended = self.once(&mut position).await;
                match ended {
                    Ended::Unheard => return,
                    Ended::Forgotten => position = None,
                    Ended::Resume | Ended::Failed => {}
                }
                let stood = began.elapsed() >= STOOD;
                failures = if stood { 0 } else { failures + 1 };
                if !(stood && matches!(ended, Ended::Resume)) {
                    sleep(backoff(failures)).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = events.closed() => {}
            () = all => {}
        }
    }

    async fn once(&mut self, position: &mut Option<String>) -> Ended {
        let from = match position {
            Some(version) => version.clone(),
            None => match self.start().await {
                Ok(version) => position.insert(version).clone(),
                Err(ended) => return ended,
            },
        };
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&fieldSelector=metadata.name%3D{}&timeoutSeconds={}&resourceVersion={from}",
            self.collection,
            self.place.name,
            rand::random_range(LIFE),
        );
        let mut lines = match self.exchange.watch(&path).await {
            Ok(Opened::Lines(lines)) => lines,
            Ok(Opened::Refused(answer)) if answer.status == StatusCode::GONE => return Ended::Forgotten,
            Ok(Opened::Refused(answer)) => {
                self.note(Some(self.place.refusal("watch", &answer)));
                return Ended::Failed;
            }
            Err(failure) => {
                tracing::debug!(error = %StoreError::from(failure), "the Lease can't be watched");
                return Ended::Failed;
            }
        };
        self.note(None);
        self.exchange.metrics().watching(true);
        let ended = self.follow(&mut lines, position).await;
        self.exchange.metrics().watching(false);
        ended
    }

    /// The present state, told and as the version to watch from.
    async fn start(&self) -> Result<String, Ended> {
        match self.exchange.call(&Method::GET, self.item, Vec::new()).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                let object = object::read(&answer.body, self.annotations).map_err(|_| Ended::Failed)?;
                let version = object.version.to_string();
                self.tell(WatchEvent::Seen(object.into())).await?;
                Ok(version)
            }
            Ok(answer) if is_absence(&answer) => {
                self.tell(WatchEvent::Gone).await?;
                Ok(ANY_VERSION.to_owned())
            }
            // The elector's own reads tell what is wrong.
            Ok(_) | Err(_) => Err(Ended::Failed),
        }
    }

    async fn follow(&mut self, lines: &mut Lines, position: &mut Option<String>) -> Ended {
        let mut quiet_until = Instant::now() + SILENCE;
        let mut lagging = None;
        loop {
            let told = position.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0);
            // 0 is said of no object: after a start without one nothing is known to be missing.
            let behind = told > 0 && *self.seen.borrow_and_update() > told;
            lagging = behind.then(|| lagging.unwrap_or_else(|| Instant::now() + LAG));
            let until = lagging.map_or(quiet_until, |lag| lag.min(quiet_until));
            let line = tokio::select! {
                biased;
                line = timeout_at(until, lines.next()) => line,
                Ok(()) = self.seen.changed() => continue,
            };
            let line = match line {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => return Ended::Resume,
                Ok(Err(error)) => {
                    tracing::debug!(error, "the watch of the Lease was cut off");
                    return Ended::Failed;
                }
                Err(_) => {
                    tracing::info!(behind, "the watch of the Lease fell silent: it is begun anew");
                    return Ended::Resume;
                }
            };
            quiet_until = Instant::now() + SILENCE;
            match self.take(&line, position).await {
                Ok(()) => {}
                Err(ended) => return ended,
            }
        }
    }

    async fn take(&self, line: &[u8], position: &mut Option<String>) -> Result<(), Ended> {
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            return Err(Ended::Failed);
        };
        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
        match event.get("type").and_then(Value::as_str) {
            Some("ADDED" | "MODIFIED") => {
                let object = object::from_value(object, self.annotations).map_err(|_| Ended::Failed)?;
                *position = Some(object.version.to_string());
                self.tell(WatchEvent::Seen(object.into())).await
            }
            Some("DELETED") => {
                *position = Some(version_of(&object)?);
                self.tell(WatchEvent::Gone).await
            }
            Some("BOOKMARK") => {
                *position = Some(version_of(&object)?);
                Ok(())
            }
            Some("ERROR") if object.get("code").and_then(Value::as_u64) == Some(410) => Err(Ended::Forgotten),
            _ => Err(Ended::Failed),
        }
    }

    async fn tell(&self, event: WatchEvent<P>) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended::Unheard)
    }

    fn note(&self, trouble: Option<StoreError>) {
        // Whether the API server can be reached is told by reads; only what a watch alone meets is told here.
        let trouble = trouble.filter(|trouble| matches!(trouble, StoreError::Refused(_)));
        self.trouble.send_if_modified(|told| {
            let changed = *told != trouble;
            *told = trouble;
            changed
        });
    }
}

fn version_of(object: &Value) -> Result<String, Ended> {
    let found = object
        .get("metadata")
        .and_then(|metadata| metadata.get("resourceVersion"));
    let version = object::version(found).map_err(|_| Ended::Failed)?;
    Ok(version.to_string())
}

/// 0.5 s, 1 s, 2 s, … at most 10 s, ± 20 %.
fn backoff(failures: u32) -> Duration {
    let wait = BACKOFF * 2_u32.pow(failures.saturating_sub(1).min(5));
    wait.min(BACKOFF_MAX).mul_f64(rand::random_range(0.8..1.2))
}
