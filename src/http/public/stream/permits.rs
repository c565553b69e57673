//! How many streams of draws may be open at once.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::register;
use crate::server::limits::StreamLimits;
use crate::server::problem::Problem;

/// When all streams are in use, one may be free again soon.
const FULL_RETRY: Duration = Duration::from_secs(5);

/// The open streams of this member.
#[derive(Debug)]
pub struct Streams {
    places: Arc<Semaphore>,
    limits: StreamLimits,
    open: Gauge,
}

impl Streams {
    pub fn register(registry: &mut Registry, limits: StreamLimits) -> Streams {
        let help = "Open streams of draws; those cut for a slow reader count as connections cut with `slow_stream`";
        Streams {
            places: Arc::new(Semaphore::new(limits.open)),
            limits,
            open: register(registry, "http_draw_streams", help),
        }
    }

    pub fn limits(&self) -> StreamLimits {
        self.limits
    }

    pub(super) fn open(&self) -> Result<Open, Problem> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            let detail = format!(
                "all {} streams of draws that this member allows are in use",
                self.limits.open
            );
            Problem::unavailable(detail, FULL_RETRY)
        })?;
        self.open.inc();
        Ok(Open {
            _place: place,
            open: self.open.clone(),
        })
    }
}

/// The permit of one stream.
pub(super) struct Open {
    _place: OwnedSemaphorePermit,
    open: Gauge,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.dec();
    }
}
