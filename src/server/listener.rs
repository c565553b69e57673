//! Accepts and serves the connections of one listener within its [`Limits`], and drains them when asked to stop.
//!
//! `axum::serve` is not used: it bounds neither the time for headers nor the number of connections, and its drain waits for
//! clients that never finish.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use prometheus_client::metrics::gauge::Gauge;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::activity::Activity;
use super::connection;
use super::cut::Cut;
use super::limits::Limits;
use super::metrics::HttpMetrics;
use super::routes::Paths;
use crate::clock::Clock;
use crate::listen::Sockets;
use crate::shutdown::Signal;

#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("a bug in the {listener} listener: {panic}")]
    Panicked { listener: &'static str, panic: String },
}

/// Bound sockets, and what they serve.
#[derive(Debug)]
pub struct Listener {
    /// For metrics and logs: `public`, `peer`, `admin`, `metrics`.
    pub name: &'static str,
    pub sockets: Sockets,
    pub paths: Paths,
    pub limits: Limits,
    pub clock: Clock,
    pub metrics: HttpMetrics,
    /// From this on each answer is the last one of its connection, and says so.
    pub closing: Signal,
}

/// Bytes that the kernel takes before it has sent those before.
const UNSENT: u32 = 16 * 1024;
/// Bytes that the kernel takes from a client before the member reads them.
const RECEIVED: usize = 32 * 1024;

/// Sent to a client when every connection has a request in flight.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\n\
retry-after: 1\r\n\
connection: close\r\n\
content-length: 160\r\n\
\r\n\
{\"type\":\"urn:random-generator:problem:unavailable\",\"title\":\"Temporarily unavailable\",\"status\":503,\
\"detail\":\"all connections that this member allows are in use\"}";

/// How hyper serves each connection.
pub(super) fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(8 * 1024) + 16 * 1024)
        // connection.rs bounds the time for headers too, with one timer for all its deadlines.
        .header_read_timeout(None);
    builder
}

impl Listener {
    /// Serves until `stop`, then drains: stops accepting, closes idle connections, and cuts the rest after
    /// `limits.drain_time`. Every connection has ended when this returns.
    pub async fn run(self, mut stop: Signal) -> Result<(), ListenerError> {
        let Listener {
            name,
            sockets,
            paths,
            limits,
            clock,
            metrics,
            closing,
        } = self;
        let mut connections = Connections {
            name,
            builder: builder(&limits),
            limits: Arc::new(limits),
            paths,
            gauge: metrics.connections(name),
            clock,
            metrics,
            closing,
            tasks: JoinSet::new(),
            activities: HashMap::new(),
            giving_way: 0,
        };
        let result = connections.accept(&sockets, &mut stop).await;
        drop(sockets);
        connections.drain().await;
        result
    }
}

/// Bounds what the kernel buffers for a connection: it counts as the container's memory, and grows to megabytes for a client that
/// doesn't read. Only what isn't sent yet is bounded, so a fast client stays fast however far away. Requests are small.
fn bound_kernel_memory(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_recv_buffer_size(RECEIVED)
}

struct Connections {
    name: &'static str,
    limits: Arc<Limits>,
    builder: http1::Builder,
    paths: Paths,
    clock: Clock,
    metrics: HttpMetrics,
    closing: Signal,
    gauge: Gauge,
    tasks: JoinSet<Option<Cut>>,
    activities: HashMap<Id, Arc<Activity>>,
    /// How many were asked to close and are still open.
    giving_way: usize,
}

impl Connections {
    async fn accept(&mut self, sockets: &Sockets, stop: &mut Signal) -> Result<(), ListenerError> {
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                Some(ended) = self.tasks.join_next_with_id() => self.count_end(ended)?,
                accepted = sockets.accept() => match accepted {
                    Ok((stream, _)) => {
                        failing = false;
                        self.admit(stream);
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(listener = self.name, %error, "can't accept connections");
                        }
                        // Out of descriptors or memory (accept(2)): close idle connections, and don't spin meanwhile. A
                        // connection reset before it was accepted costs the same short wait.
                        self.give_way();
                        tokio::select! {
                            biased;
                            () = stop.requested() => return Ok(()),
                            () = tokio::time::sleep(Duration::from_millis(50)) => {}
                        }
                    }
                },
            }
        }
    }

    fn admit(&mut self, stream: TcpStream) {
        if self.tasks.len() >= self.limits.connections {
            // Best effort: it fits into an empty socket buffer.
            let _ = stream.try_write(FULL);
            self.metrics.connection_cut(self.name, "full");
            return;
        }
        if self.tasks.len().saturating_sub(self.giving_way) >= self.limits.connections - self.limits.batch() {
            self.give_way();
        }
        // Otherwise a small response waits for the acknowledgement of the one before. Fails only on a dead socket.
        let _ = stream.set_nodelay(true).and_then(|()| bound_kernel_memory(&stream));
        let activity = Activity::new(self.clock.clone());
        let (builder, paths) = (self.builder.clone(), self.paths.clone());
        let (limits, shared, closing) = (self.limits.clone(), activity.clone(), self.closing.clone());
        let task = self
            .tasks
            .spawn(async move { connection::serve(stream, &builder, paths, shared, &limits, closing).await });
        self.activities.insert(task.id(), activity);
        self.gauge.inc();
    }

    /// Asks the connections that have been idle longest to close.
    fn give_way(&mut self) {
        let mut idle: Vec<_> = self
            .activities
            .values()
            .filter(|activity| !activity.giving_way.load(Ordering::Relaxed))
            .filter_map(|activity| activity.idle_since().map(|since| (since, activity)))
            .collect();
        let batch = self.limits.batch().min(idle.len());
        if batch == 0 {
            return;
        }
        idle.select_nth_unstable_by_key(batch - 1, |(since, _)| *since);
        for (_, activity) in idle.iter().take(batch) {
            activity.giving_way.store(true, Ordering::Relaxed);
            activity.ask_to_close();
        }
        self.giving_way += batch;
    }

    fn count_end(&mut self, ended: Result<(Id, Option<Cut>), tokio::task::JoinError>) -> Result<(), ListenerError> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        self.gauge.dec();
        if let Some(activity) = self.activities.remove(&id)
            && activity.giving_way.load(Ordering::Relaxed)
        {
            self.giving_way = self.giving_way.saturating_sub(1);
        }
        match ended {
            Ok((_, Some(cut))) => self.metrics.connection_cut(self.name, cut.name()),
            Ok((_, None)) => {}
            Err(error) if error.is_panic() => {
                return Err(ListenerError::Panicked {
                    listener: self.name,
                    panic: error.to_string(),
                });
            }
            Err(_) => self.metrics.connection_cut(self.name, "drain"),
        }
        Ok(())
    }

    async fn drain(&mut self) {
        let deadline = Instant::now() + self.limits.drain_time;
        for activity in self.activities.values() {
            activity.ask_to_close();
        }
        while let Ok(Some(ended)) = timeout_at(deadline, self.tasks.join_next_with_id()).await {
            self.log_panic(ended);
        }
        let late = self.tasks.len();
        if late > 0 {
            tracing::warn!(
                listener = self.name,
                connections = late,
                "connections cut at the drain limit"
            );
        }
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.log_panic(ended);
        }
    }

    fn log_panic(&mut self, ended: Result<(Id, Option<Cut>), tokio::task::JoinError>) {
        if let Err(error) = self.count_end(ended) {
            tracing::error!(%error, "a connection's task failed while draining");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_to_one_connection_too_many_is_complete() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], 503);
    }
}
