//! Work as spans of OpenTelemetry, by way of tracing-opentelemetry; built with the feature `otlp`.

use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState};
use serde_json::Value;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Kind, TraceContext};

/// Begins a span, and says where in its trace it is.
pub(super) fn begin(
    collector: &tracing::Dispatch,
    kind: Kind,
    parent: Option<&TraceContext>,
    name: &str,
) -> (tracing::Span, TraceContext) {
    let kind = match kind {
        Kind::Internal => "internal",
        Kind::Server => "server",
        Kind::Client => "client",
    };
    let span = tracing::dispatcher::with_default(
        collector,
        || tracing::error_span!(parent: None, "work", otel.kind = kind, otel.name = name),
    );
    if let Some(parent) = parent {
        // It fails for a span that is begun already, or is of another subscriber.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote(parent)));
    }
    let context = span.context();
    let begun = context.span();
    let begun = begun.span_context();
    let state = Some(begun.trace_state().header()).filter(|state| !state.is_empty());
    let context = TraceContext {
        trace: begun.trace_id().to_bytes(),
        span: begun.span_id().to_bytes(),
        parent: parent.map(|parent| parent.span),
        sampled: begun.is_sampled(),
        state: state.map(Into::into),
    };
    (span, context)
}

fn remote(parent: &TraceContext) -> SpanContext {
    let flags = TraceFlags::new(u8::from(parent.sampled));
    let state = parent
        .state
        .as_deref()
        .and_then(|state| TraceState::from_str(state).ok());
    SpanContext::new(
        TraceId::from_bytes(parent.trace),
        SpanId::from_bytes(parent.span),
        flags,
        true,
        state.unwrap_or_default(),
    )
}

/// Ends a span that was begun here.
pub(super) fn end(span: tracing::Span, failed: bool, attributes: impl FnOnce() -> Vec<(&'static str, Value)>) {
    if span.is_none() {
        return;
    }
    for (key, value) in attributes() {
        match value {
            Value::String(text) => span.set_attribute(key, text),
            other => span.set_attribute(key, other.as_i64().unwrap_or_default()),
        }
    }
    if failed {
        span.set_status(Status::error(""));
    }
}
