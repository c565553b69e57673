//! Sends finished pieces of work to a collector: OTLP/HTTP in its JSON encoding (<https://opentelemetry.io/docs/specs/otlp/>,
//! opentelemetry-proto 1.x), built with the feature `otlp`.
//!
//! Written here and not taken from the SDK: that would bring a second HTTP client, protobuf and threads of its own, for what
//! is one POST of one document. A span is offered to a bounded queue and lost when that is full, so nothing waits for a
//! collector; lost ones are counted.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use hyper::{Request, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::client::{Client, Limits};
use crate::config::Collector;
use crate::shutdown::Signal;
use crate::trace::{Finished, Kind, Spans};

/// Spans that wait to be sent; more are lost.
const QUEUE: usize = 2048;
/// Spans in one request.
const BATCH: usize = 512;
/// A batch waits so long for more, from its first.
const GATHER: Duration = Duration::from_secs(1);
/// One request to the collector, its answer included.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// What is on its way and what is left when the member stops, together.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
const LIMITS: Limits = Limits {
    connect: SEND_WITHIN,
    exchange: SEND_WITHIN,
    body: 64 * 1024,
    idle: SEND_WITHIN,
    repeat: false,
};

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
    /// Sends until asked to stop, and then what is left, within 2 s of the request: what is on its way by then has no more.
    pub async fn run(mut self, mut stop: Signal) {
        let mut stopping = stop.clone();
        let over = async move {
            stopping.requested().await;
            sleep(FLUSH_WITHIN).await;
        };
        let over = over.boxed().shared();
        let mut batch = Vec::new();
        'serving: loop {
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
                    () = stop.requested() => break 'serving,
                    () = &mut gathered => break,
                    taken = self.queue.recv_many(&mut batch, room) => if taken == 0 { break },
                }
            }
            self.send(std::mem::take(&mut batch), over.clone()).await;
        }
        self.queue.close();
        while let Ok(span) = self.queue.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch, over).await;
        }
    }

    /// Gives up after [`SEND_WITHIN`], or when it is `over`.
    async fn send(&mut self, batch: Vec<Finished>, over: impl Future<Output = ()>) {
        let spans = batch.len() as u64;
        let body = self.document(&batch).to_string();
        let trouble = tokio::select! {
            biased;
            sent = timeout(SEND_WITHIN, post(&self.collector, body.into())) => match sent {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(format!("no answer within {SEND_WITHIN:?}")),
            },
            () = over => Some("no answer before the member's end".to_owned()),
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

async fn post(collector: &Collector, body: Bytes) -> Result<(), String> {
    let request = Request::post(format!("http://{}{}", collector.authority, collector.path))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let answer = Client::new(LIMITS)
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("status {}", status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::{Clock, Wall};
    use crate::shutdown;
    use crate::trace::TraceContext;

    fn finished() -> Finished {
        Finished {
            name: "draw".into(),
            kind: Kind::Internal,
            context: TraceContext::begin(),
            began: Wall(0),
            ended: Wall(1),
            failed: false,
            attributes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_collector_that_never_answers_delays_the_end_by_two_seconds_whenever_it_comes() {
        for while_sending in [false, true] {
            let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (sender, queue) = mpsc::channel(QUEUE);
            let metrics = OtlpMetrics::default();
            let exporter = Exporter {
                collector: Collector {
                    authority: silent.local_addr().unwrap().to_string(),
                    path: "/v1/traces".into(),
                },
                resource: Resource {
                    namespace: "rg".into(),
                    instance: "rg-0".into(),
                    version: "0",
                },
                queue,
                metrics: metrics.clone(),
                trouble: None,
            };
            let (trigger, stop) = shutdown::stage();
            let clock = Clock::system();
            let stopping = async {
                sender.send(finished()).await.unwrap();
                while sender.capacity() < QUEUE {
                    tokio::task::yield_now().await;
                }
                let mut held = None;
                if while_sending {
                    held = silent.accept().await.ok();
                    sender.send(finished()).await.unwrap();
                }
                trigger.pull();
                (clock.boot(), held)
            };
            let ((), (stopped, _held)) = tokio::join!(exporter.run(stop), stopping);
            let took = clock.boot().since(stopped);
            assert!(took < 2 * FLUSH_WITHIN, "{took:?}, sending: {while_sending}");
            assert_eq!(metrics.lost("collector").get(), 1 + u64::from(while_sending));
        }
    }
}
