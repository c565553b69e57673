//! Sends finished pieces of work to a collector: OTLP/HTTP in its JSON encoding (<https://opentelemetry.io/docs/specs/otlp/>,
//! opentelemetry-proto 1.x), built with the feature `otlp`.
//!
//! Written here and not taken from the SDK: that would bring a second HTTP client, protobuf and threads of its own, for what
//! is one POST of one document. A span is offered to a bounded queue and lost when that is full, so nothing waits for a
//! collector; lost ones are counted.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::config::Collector;
use crate::shutdown::Signal;
use crate::dial::dial;
use crate::trace::{Finished, Kind, Spans};

/// Spans that wait to be sent; more are lost.
const QUEUE: usize = 2048;
/// Spans in one request.
const BATCH: usize = 512;
/// A batch waits so long for more, from its first.
const GATHER: Duration = Duration::from_secs(1);
/// One request to the collector, its answer included.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// What is left when the member stops.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What became of spans, as numbers.
#[derive(Clone, Debug, Default)]
struct OtlpMetrics {
    sent: Counter,
    lost: Family<Reason, Counter>,
}

impl OtlpMetrics {
    fn register(registry: &mut Registry) -> OtlpMetrics {
        let metrics = OtlpMetrics::default();
        registry.register("otlp_spans_sent", "Spans that the collector took", metrics.sent.clone());
        registry.register(
            "otlp_spans_lost",
            "Spans that were not sent: the queue was full, or the collector did not take them",
            metrics.lost.clone(),
        );
        for reason in ["queue", "collector"] {
            drop(metrics.lost(reason));
        }
        metrics
    }

    fn lost(&self, reason: &'static str) -> Counter {
        self.lost.get_or_create_owned(&Reason { reason })
    }
}

/// Who the spans are of.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The set.
    pub namespace: String,
    /// The lease identity: another with each process.
    pub instance: String,
    pub version: &'static str,
}

/// The task that sends.
pub struct Exporter {
    collector: Collector,
    resource: Resource,
    queue: mpsc::Receiver<Finished>,
    metrics: OtlpMetrics,
    /// What went wrong last, told once.
    trouble: Option<String>,
}

/// Where spans are offered, and what sends them.
pub fn new(collector: Collector, resource: Resource, registry: &mut Registry) -> (Spans, Exporter) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let metrics = OtlpMetrics::register(registry);
    let spans = Spans::to(sender, metrics.lost("queue"));
    let exporter = Exporter {
        collector,
        resource,
        queue,
        metrics,
        trouble: None,
    };
    (spans, exporter)
}

impl Exporter {
    /// Sends until asked to stop, and then what is left, within 2 s.
    pub async fn run(mut self, mut stop: Signal) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                taken = self.queue.recv_many(&mut batch, BATCH) => if taken == 0 { return },
            }
            // A draw's spans come together, a busy member's fill the batch.
            let mut gathered = std::pin::pin!(sleep(GATHER));
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                tokio::select! {
                    biased;
                    () = stop.requested() => break,
                    () = &mut gathered => break,
                    taken = self.queue.recv_many(&mut batch, room) => if taken == 0 { break },
                }
            }
            self.send(std::mem::take(&mut batch), SEND_WITHIN).await;
        }
        self.queue.close();
        while let Ok(span) = self.queue.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch, FLUSH_WITHIN).await;
        }
    }

    async fn send(&mut self, batch: Vec<Finished>, within: Duration) {
        let spans = batch.len() as u64;
        let body = self.document(&batch).to_string();
        let sent = timeout(within, post(&self.collector, body.into())).await;
        let trouble = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(format!("no answer within {within:?}")),
        };
        match &trouble {
            None => self.metrics.sent.inc_by(spans),
            Some(_) => self.metrics.lost("collector").inc_by(spans),
        };
        match (&self.trouble, &trouble) {
            (None, Some(error)) => {
                tracing::warn!(
                    collector = self.collector.authority,
                    error,
                    "spans can't be sent, and are lost"
                );
            }
            (Some(_), None) => tracing::info!(collector = self.collector.authority, "spans are sent again"),
            _ => {}
        }
        self.trouble = trouble;
    }

    /// An `ExportTraceServiceRequest`.
    fn document(&self, batch: &[Finished]) -> Value {
        let Resource {
            namespace,
            instance,
            version,
        } = &self.resource;
        let attributes = [
            ("service.name", "random-generator"),
            ("service.namespace", namespace.as_str()),
            ("service.instance.id", instance.as_str()),
            ("service.version", version),
        ];
        let attributes: Vec<Value> = attributes
            .iter()
            .map(|(key, value)| attribute(key, &Value::from(*value)))
            .collect();
        let spans: Vec<Value> = batch.iter().map(span).collect();
        json!({ "resourceSpans": [{
            "resource": { "attributes": attributes },
            "scopeSpans": [{ "scope": { "name": "random-generator", "version": version }, "spans": spans }],
        }]})
    }
}

fn span(span: &Finished) -> Value {
    let context = &span.context;
    let nanoseconds = |wall: crate::clock::Wall| wall.0.saturating_mul(1_000).to_string();
    let mut value = json!({
        "traceId": hex::encode(context.trace),
        "spanId": hex::encode(context.span),
        "name": span.name,
        "kind": match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        },
        "startTimeUnixNano": nanoseconds(span.began),
        "endTimeUnixNano": nanoseconds(span.ended.max(span.began)),
        "attributes": span.attributes.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>(),
        "status": if span.failed { json!({ "code": 2 }) } else { json!({}) },
    });
    if let Some(parent) = context.parent {
        value["parentSpanId"] = hex::encode(parent).into();
    }
    if let Some(state) = &context.state {
        value["traceState"] = (**state).into();
    }
    value
}

/// 64-bit integers are text, as in all JSON of protobuf.
fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bool(is) => json!({ "boolValue": is }),
        other => json!({ "intValue": other.to_string() }),
    };
    json!({ "key": key, "value": value })
}

/// On a connection of its own: there is one a second at most. The caller bounds the time.
async fn post(collector: &Collector, body: Bytes) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = dial(&collector.authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| text(&error))?;
    let request = Request::post(&collector.path)
        .header(header::HOST, &collector.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| text(&error))?;
    let asked = async move {
        let response = sender.send_request(request).await.map_err(|error| text(&error))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        // The answer of a 200 may say that some spans were refused; they are gone either way.
        drop(answer);
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("status {}", status.as_u16())),
        }
    };
    // The connection ends with its sender, which `asked` owns.
    let (answer, _) = tokio::join!(asked, connection);
    answer
}
