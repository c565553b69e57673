//! Pieces of work, for a collector that takes their spans. Without the feature `otlp` there is none, and a piece of work is
//! only its place in a trace.

use serde_json::Value;

use super::TraceContext;
#[cfg(feature = "otlp")]
use super::opentelemetry;

/// Which side of a request a piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal,
    Server,
    Client,
}

/// Begins pieces of work. The default sends them nowhere.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// Apart from the log's subscriber, so that no log filter decides what is sent.
    #[cfg(feature = "otlp")]
    collector: Option<tracing::Dispatch>,
}

/// A piece of work. Its span ends with [`end`](Work::end), or when this is dropped.
#[derive(Debug)]
pub struct Work {
    /// None until first needed: for the first work of a trace that no collector receives.
    pub context: Option<TraceContext>,
    #[cfg(feature = "otlp")]
    span: tracing::Span,
}

impl Spans {
    /// To a subscriber with a layer of tracing-opentelemetry.
    #[cfg(feature = "otlp")]
    pub fn to(collector: tracing::Dispatch) -> Spans {
        Spans {
            collector: Some(collector),
        }
    }

    /// Begins a piece of work, as a part of `parent`. Never waits.
    pub fn begin(&self, kind: Kind, parent: Option<&TraceContext>, name: impl FnOnce() -> String) -> Work {
        #[cfg(feature = "otlp")]
        if let Some(collector) = &self.collector {
            let (span, context) = opentelemetry::begin(collector, kind, parent, &name());
            return Work {
                context: Some(context),
                span,
            };
        }
        let _ = (kind, name);
        Work {
            context: parent.map(TraceContext::child),
            #[cfg(feature = "otlp")]
            span: tracing::Span::none(),
        }
    }
}

impl Work {
    /// Ends its span, with attributes by the names of OpenTelemetry's semantic conventions where they have one.
    pub fn end(&mut self, failed: bool, attributes: impl FnOnce() -> Vec<(&'static str, Value)>) {
        #[cfg(feature = "otlp")]
        opentelemetry::end(
            std::mem::replace(&mut self.span, tracing::Span::none()),
            failed,
            attributes,
        );
        #[cfg(not(feature = "otlp"))]
        let _ = (failed, attributes);
    }
}
