//! Pieces of work that ended, for whoever collects them. Without the feature `otlp` nobody does, and none of it is built.

use super::TraceContext;
use crate::clock::Wall;

/// Which side of a question a piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal,
    Server,
    Client,
}

/// A piece of work that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub name: String,
    pub kind: Kind,
    pub context: TraceContext,
    pub began: Wall,
    pub ended: Wall,
    pub failed: bool,
    /// By the names of OpenTelemetry's semantic conventions, where they have one.
    pub attributes: Vec<(&'static str, serde_json::Value)>,
}

/// Where finished work is offered. Clones offer to the same queue; the default, to none.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    #[cfg(feature = "otlp")]
    queue: Option<(
        tokio::sync::mpsc::Sender<Finished>,
        prometheus_client::metrics::counter::Counter,
    )>,
}

impl Spans {
    /// To a queue; what doesn't fit is counted by `lost`.
    #[cfg(feature = "otlp")]
    pub fn to(queue: tokio::sync::mpsc::Sender<Finished>, lost: prometheus_client::metrics::counter::Counter) -> Spans {
        Spans {
            queue: Some((queue, lost)),
        }
    }

    /// Offers what `describe` makes of the work at hand, if somebody collects it and its trace is recorded. Never waits.
    #[inline]
    pub fn ended(&self, describe: impl FnOnce(TraceContext) -> Finished) {
        #[cfg(feature = "otlp")]
        if let Some((queue, lost)) = &self.queue
            && let Some(context) = super::current().filter(|context| context.sampled)
            && queue.try_send(describe(context)).is_err()
        {
            lost.inc();
        }
        #[cfg(not(feature = "otlp"))]
        drop(describe);
    }
}
