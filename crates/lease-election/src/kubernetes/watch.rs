//! The watch of one Lease. kube's watcher starts with a list, which a Role on one name refuses; so this starts with a GET,
//! and watches from the version that it returned.
//!
//! A watch that ends or fails continues from the last version seen, bookmarks included. A version that the API server has
//! forgotten (410) means a GET again. Silence has a limit, because a dead connection looks like a Lease that doesn't change;
//! so has a read that returned a newer version than the watch did.

use kube::api::WatchParams;
use kube::client::Body;
use kube::core::WatchEvent as KubeEvent;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::pace::{self, Patience, Pause};
use super::stream::{EventError, Events};
use super::{Answer, KubernetesLeaseStore, describe};
use crate::object;
use crate::payload::Payload;
use crate::store::{LeaseObject, StoreError, WatchEvent};

/// Watches from the present state on: for a Lease that is absent, and so has no version.
const ANY_VERSION: &str = "0";
const GONE: u16 = 410;

pub(super) struct Watch<'a, P> {
    pub store: &'a KubernetesLeaseStore<P>,
    /// The highest version that reads and writes have seen.
    pub newest: watch::Receiver<u64>,
    pub events: mpsc::Sender<WatchEvent<P>>,
    /// The version to continue from; none before the first GET, or after a 410.
    pub position: Option<String>,
}

/// Why one watch ended.
#[derive(PartialEq)]
enum End {
    /// Its time was over, or it lagged.
    Resume,
    /// The API server has forgotten the version.
    Forgotten,
    Failed,
}

impl<P: Payload> Watch<'_, P> {
    /// Runs until the receiver of the events is dropped.
    pub async fn run(mut self) {
        let events = self.events.clone();
        tokio::select! {
            biased;
            () = events.closed() => {}
            () = self.repeat() => {}
        }
    }

    async fn repeat(&mut self) {
        let mut pause = Pause::default();
        loop {
            let started = Instant::now();
            let end = self.watch_once().await;
            if end == End::Forgotten {
                self.position = None;
            }
            if let Some(wait) = pause.after(started.elapsed(), end != End::Resume) {
                sleep(wait).await;
            }
        }
    }

    async fn watch_once(&mut self) -> End {
        if self.position.is_none()
            && let Err(end) = self.start().await
        {
            return end;
        }
        let from = self.position.as_deref().unwrap_or(ANY_VERSION);
        let parameters = WatchParams::default()
            .fields(&format!("metadata.name={}", self.store.place.name))
            .timeout(pace::life());
        let request = self.store.requests.watch(&parameters, from);
        let opened = self.store.send("WATCH", request, async |client, request| {
            let response = client.send(request.map(Body::from)).await?;
            if response.status().is_success() {
                return Ok((200, None, Ok(Events::new(response.into_body()))));
            }
            let (answer, retry_after) = Answer::read(response).await?;
            Ok((answer.code, retry_after, Err(answer)))
        });
        let events = match opened.await {
            Ok(Ok(events)) => events,
            Ok(Err(answer)) if answer.code == GONE => return End::Forgotten,
            Ok(Err(answer)) => {
                self.report(Some(self.store.place.refusal("watch", answer.code, &answer.message())));
                return End::Failed;
            }
            Err(failure) => {
                tracing::debug!(error = %StoreError::from(failure), "the Lease can't be watched");
                return End::Failed;
            }
        };
        self.report(None);
        self.store.metrics.set_watching(true);
        let end = self.follow(events).await;
        self.store.metrics.set_watching(false);
        end
    }

    /// Publishes the present state, and takes its version as the position.
    async fn start(&mut self) -> Result<(), End> {
        // A failure is reported by the elector's own reads.
        let answer = self.store.call("GET", self.store.read_request()).await;
        let answer = answer.map_err(|_| End::Failed)?;
        match answer.code {
            200 => self.see(answer.lease(&self.store.annotations)).await,
            404 if answer.says_absent() => {
                self.publish(ANY_VERSION.to_owned(), WatchEvent::Gone).await;
                Ok(())
            }
            _ => Err(End::Failed),
        }
    }

    async fn follow(&mut self, mut events: Events) -> End {
        let mut patience = Patience::new(Instant::now());
        loop {
            let position = self.position.as_ref();
            let reported = position.and_then(|version| version.parse().ok()).unwrap_or(0);
            patience.compare(*self.newest.borrow_and_update(), reported, Instant::now());
            let event = tokio::select! {
                biased;
                event = patience.wait(events.next()) => event,
                Ok(()) = self.newest.changed() => continue,
            };
            let taken = match event {
                Ok(Ok(Some(event))) => self.take(event).await,
                // Usual at the end of its time.
                Ok(Ok(None) | Err(EventError::CutOff(_))) => Err(End::Resume),
                Ok(Err(error)) => {
                    tracing::debug!(error = describe(&error), "the watch of the Lease failed");
                    Err(End::Failed)
                }
                Err(_) => {
                    let behind = patience.is_behind();
                    tracing::info!(behind, "the watch of the Lease went silent: restarting it");
                    Err(End::Resume)
                }
            };
            if let Err(end) = taken {
                return end;
            }
        }
    }

    async fn take(&mut self, event: KubeEvent<Value>) -> Result<(), End> {
        match event {
            KubeEvent::Added(object) | KubeEvent::Modified(object) => {
                self.see(object::parse(object, &self.store.annotations)).await
            }
            KubeEvent::Deleted(object) => {
                let version = object::version(object.pointer("/metadata/resourceVersion"));
                let version = version.map_err(|_| End::Failed)?.to_string();
                self.publish(version, WatchEvent::Gone).await;
                Ok(())
            }
            KubeEvent::Bookmark(bookmark) => {
                self.position = Some(bookmark.metadata.resource_version);
                Ok(())
            }
            KubeEvent::Error(status) if status.code == GONE => Err(End::Forgotten),
            KubeEvent::Error(_) => Err(End::Failed),
        }
    }

    async fn see(&mut self, object: Result<LeaseObject<P>, String>) -> Result<(), End> {
        let object = object.map_err(|_| End::Failed)?;
        self.publish(object.version.to_string(), WatchEvent::Seen(object.into()))
            .await;
        Ok(())
    }

    async fn publish(&mut self, position: String, event: WatchEvent<P>) {
        self.position = Some(position);
        // Without a receiver this watch is about to end.
        let _ = self.events.send(event).await;
    }

    /// Publishes why the Lease can't be watched. Reads report an API server that can't be reached.
    fn report(&self, trouble: Option<StoreError>) {
        let trouble = trouble.filter(|trouble| matches!(trouble, StoreError::Refused(_)));
        self.store.watch_trouble.send_if_modified(|published| {
            let changed = *published != trouble;
            *published = trouble;
            changed
        });
    }
}
