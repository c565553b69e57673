//! Sends the spans of finished work to a collector by OTLP over HTTP; built with the feature `otlp`.
//!
//! The SDK of OpenTelemetry batches, encodes and retries, on a thread of its own; what is ours is the client, the counting and
//! the bound at the end. The SDK reads the standard variables by itself (OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME,
//! OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_…): they are the one part of the environment that `config` doesn't.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{ResourceDetector, SdkProvidedResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing_subscriber::layer::SubscriberExt;

use crate::client::{Client, Limits};
use crate::shutdown::{self, Signal};
use crate::trace::Spans;

/// Spans that wait to be sent; more are lost.
const QUEUE: usize = 2048;
/// What is on its way and what is left when the member stops, together.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// Of one request to the collector.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(3),
    exchange: Duration::from_secs(5),
    body: 64 * 1024,
    idle: Duration::from_secs(30),
    repeat: true,
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

/// Joins the SDK's thread.
pub struct Exporter {
    provider: SdkTracerProvider,
    give_up: shutdown::Trigger,
}

/// Where work is begun whose spans go to `endpoint`, and what ends the sending.
///
/// # Errors
/// In the operator's words: a standard variable that the SDK can't use.
pub fn new(endpoint: &str, resource: &Resource, registry: &mut Registry) -> Result<(Spans, Exporter), String> {
    build(endpoint, resource, &OtlpMetrics::register(registry))
}

fn build(endpoint: &str, resource: &Resource, metrics: &OtlpMetrics) -> Result<(Spans, Exporter), String> {
    let (give_up, given_up) = shutdown::stage();
    let transport = Transport {
        client: Client::new(LIMITS),
        runtime: Handle::current(),
        given_up,
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(transport)
        .with_retry_policy(RetryPolicy::disabled())
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpJson)
        .with_timeout(LIMITS.exchange)
        .build()
        .map_err(|error| error.to_string())?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter = Counted {
        exporter,
        waiting: waiting.clone(),
        metrics: metrics.clone(),
        failing: AtomicBool::new(false),
    };
    let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
    let processor = Bounded {
        batches: BatchSpanProcessor::builder(exporter).with_batch_config(batches).build(),
        waiting,
        full: metrics.lost("queue"),
    };
    let provider = SdkTracerProvider::builder()
        .with_resource(described(resource))
        .with_span_processor(processor)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_tracer(provider.tracer("random-generator"));
    let subscriber = tracing_subscriber::Registry::default().with(layer);
    Ok((Spans::to(subscriber.into()), Exporter { provider, give_up }))
}

/// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over what we say.
fn described(resource: &Resource) -> opentelemetry_sdk::Resource {
    let mut attributes = vec![
        KeyValue::new("service.namespace", resource.namespace.clone()),
        KeyValue::new("service.instance.id", resource.instance.clone()),
        KeyValue::new("service.version", resource.version),
    ];
    let name = SdkProvidedResourceDetector.detect().get(&"service.name".into());
    // Of one that nobody named it says "unknown_service:" and the program.
    let named = name.filter(|name| !name.as_str().starts_with("unknown_service"));
    attributes.push(KeyValue::new(
        "service.name",
        named.unwrap_or_else(|| "random-generator".into()),
    ));
    opentelemetry_sdk::Resource::builder_empty()
        .with_attributes(attributes)
        .with_detector(Box::new(opentelemetry_sdk::resource::EnvResourceDetector::new()))
        .build()
}

impl Exporter {
    /// Waits until asked to stop, and then until what is left is sent, for 2 s.
    pub async fn run(self, mut stop: Signal) {
        stop.requested().await;
        let provider = self.provider;
        // It blocks its thread until the SDK's thread has ended; longer than what that can still wait for.
        let mut flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(2 * FLUSH_WITHIN));
        tokio::select! {
            biased;
            _ = &mut flushed => return,
            () = sleep(FLUSH_WITHIN) => self.give_up.pull(),
        }
        let _ = flushed.await;
    }
}

/// The one client, for the SDK's thread, which has no runtime.
#[derive(Debug)]
struct Transport {
    client: Client,
    runtime: Handle,
    given_up: Signal,
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, mut given_up) = (self.client.clone(), self.given_up.clone());
        let sent = self.runtime.spawn(async move {
            tokio::select! {
                biased;
                answer = client.send(request.map(Full::new)) => answer.map_err(HttpError::from),
                () = given_up.requested() => Err("no answer before the member's end".into()),
            }
        });
        sent.await?
    }
}

/// Counts what becomes of each batch, and says once that the collector doesn't take them.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    waiting: Arc<AtomicUsize>,
    metrics: OtlpMetrics,
    failing: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        match &exported {
            Ok(()) => self.metrics.sent.inc_by(spans as u64),
            Err(_) => self.metrics.lost("collector").inc_by(spans as u64),
        };
        let failed_before = self.failing.swap(exported.is_err(), Ordering::Relaxed);
        match &exported {
            Err(error) if !failed_before => tracing::warn!(%error, "spans can't be sent, and are lost"),
            Ok(()) if failed_before => tracing::info!("spans are sent again"),
            _ => {}
        }
        exported
    }

    fn set_resource(&mut self, resource: &opentelemetry_sdk::Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Counts the spans that find the queue full, which the SDK only logs.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    full: Counter,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.full.inc();
            return;
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &opentelemetry_sdk::Resource) {
        self.batches.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::Clock;
    use crate::trace::Kind;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_collector_that_never_answers_delays_the_end_by_two_seconds_whenever_it_comes() {
        for while_sending in [false, true] {
            let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
            let resource = Resource {
                namespace: "rg".into(),
                instance: "rg-0".into(),
                version: "0",
            };
            let metrics = OtlpMetrics::default();
            let (spans, exporter) = build(&endpoint, &resource, &metrics).unwrap();
            let finish = || spans.begin(Kind::Internal, None, || "draw".into()).end(false, Vec::new);
            finish();
            let mut held = None;
            if while_sending {
                held = silent.accept().await.ok();
                finish();
            }
            let (trigger, stop) = shutdown::stage();
            trigger.pull();
            let clock = Clock::system();
            let stopped = clock.boot();
            exporter.run(stop).await;
            let took = clock.boot().since(stopped);
            assert!(took < 2 * FLUSH_WITHIN, "{took:?}, sending: {while_sending}");
            assert_eq!(metrics.lost("collector").get(), 1 + u64::from(while_sending));
            drop(held);
        }
    }
}
