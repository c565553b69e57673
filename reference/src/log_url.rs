//! LOG_URL: one task posts each number there, from a bounded queue. No request waits for the sink, and lost numbers are counted;
//! the image failed the request instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri, header};
use random_generator::client::{Client, ClientError, Limits};
use random_generator::shutdown::Signal;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Numbers that wait to be posted; more are lost.
const QUEUE: usize = 1024;
/// All that is queued when the process ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// One number, connecting and the sink's answer included.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    exchange: Duration::from_secs(2),
    body: 64 * 1024,
    idle: Duration::from_secs(60),
    repeat: true,
};

/// Queues numbers. Clones share the queue.
#[derive(Clone)]
pub(super) struct LogUrl {
    queue: mpsc::Sender<Bytes>,
    lost: Arc<AtomicU64>,
}

impl LogUrl {
    /// None, with a warning, for anything but a URL of HTTP.
    pub(super) fn new(url: &str) -> Option<(LogUrl, Poster)> {
        let Some(sink) = parse(url) else {
            tracing::warn!(url, "LOG_URL is not an http:// or https:// URL: no number is posted");
            return None;
        };
        let (queue, waiting) = mpsc::channel(QUEUE);
        let log_url = LogUrl {
            queue,
            lost: Arc::default(),
        };
        let poster = Poster {
            sink,
            client: Client::new(LIMITS),
            waiting,
            lost: log_url.lost.clone(),
            is_failing: false,
        };
        Some((log_url, poster))
    }

    /// Queues a number, or counts it as lost.
    pub(super) fn post(&self, id: &str, number: i32, took: Duration) {
        let duration = took.as_nanos();
        // The id is a UUID of ours, so nothing needs an escape.
        let body = format!(r#"{{ "id": "{id}", "random": "{number}", "duration": "{duration}" }}"#);
        if self.queue.try_send(body.into()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Numbers that the sink did not get.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn parse(url: &str) -> Option<Uri> {
    let uri: Uri = url.trim().parse().ok()?;
    matches!(uri.scheme_str(), Some("http" | "https")).then_some(uri)
}

/// The task that posts.
pub(super) struct Poster {
    sink: Uri,
    client: Client,
    waiting: mpsc::Receiver<Bytes>,
    lost: Arc<AtomicU64>,
    /// The log says that the sink can't be reached.
    is_failing: bool,
}

impl Poster {
    /// Posts until stopped, and then all that is queued, within 2 s.
    pub(super) async fn run(mut self, mut stop: Signal) {
        loop {
            let next = tokio::select! {
                biased;
                () = stop.requested() => break,
                next = self.waiting.recv() => next,
            };
            match next {
                Some(body) => self.deliver(body).await,
                None => return,
            }
        }
        self.waiting.close();
        let rest = timeout(FLUSH_WITHIN, async {
            while let Some(body) = self.waiting.recv().await {
                self.deliver(body).await;
            }
        });
        let late = rest.await.is_err();
        let lost = self.lost.load(Ordering::Relaxed) + self.waiting.len() as u64;
        if late || lost > 0 {
            tracing::warn!(lost, "LOG_URL did not get all numbers");
        }
    }

    async fn deliver(&mut self, body: Bytes) {
        let posted = self.post(body).await;
        let sink = self.sink.host().unwrap_or_default();
        match &posted {
            Ok(()) if self.is_failing => tracing::info!(sink, "LOG_URL takes numbers again"),
            Err(error) if !self.is_failing => tracing::warn!(sink, error, "LOG_URL can't be reached: numbers are lost"),
            _ => {}
        }
        self.is_failing = posted.is_err();
        if posted.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ignores the sink's answer, as the image does.
    async fn post(&self, body: Bytes) -> Result<(), String> {
        let request = Request::post(&self.sink)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        match self.client.send(request).await {
            Ok(_) | Err(ClientError::Body(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_a_url_of_http() {
        for sink in [
            "http://user@localhost/log?a=b",
            "http://[::1]:9009",
            "https://localhost",
        ] {
            assert_eq!(parse(sink).map(|uri| uri.scheme().is_some()), Some(true), "{sink}");
        }
        for wrong in ["", "localhost:80", "ftp://localhost", "/path"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
