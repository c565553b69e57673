//! Where the spans of this member's work are sent, if anywhere.

use prometheus_client::registry::Registry;

use super::stages::Stages;
use crate::config::Config;
use crate::identity::Identity;
use crate::trace::Spans;

#[cfg(feature = "otlp")]
pub(super) fn start(config: &Config, identity: &Identity, registry: &mut Registry, stages: &mut Stages) -> Spans {
    use crate::otlp::{self, Resource};

    let Some(collector) = &config.collector else {
        return Spans::default();
    };
    let resource = Resource {
        namespace: identity.name.set.clone(),
        instance: identity.lease(),
        version: super::VERSION,
    };
    match otlp::new(&collector.url, &resource, registry) {
        Ok((spans, exporter)) => {
            stages.support.spawn("otlp", |stop| exporter.run(stop));
            spans
        }
        Err(error) => {
            tracing::warn!(error, "no spans are sent: a variable of OpenTelemetry is wrong");
            Spans::default()
        }
    }
}

/// [`Config`] has refused a collector.
#[cfg(not(feature = "otlp"))]
pub(super) fn start(_: &Config, _: &Identity, _: &mut Registry, _: &mut Stages) -> Spans {
    Spans::default()
}
