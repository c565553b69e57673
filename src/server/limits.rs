//! What a listener allows its clients, and the process its listeners.

use std::time::Duration;

/// What a listener allows its clients. See [`Limits::public`] for the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections. Near the limit, the longest idle ones are closed; at it, a new one gets 503 and is closed.
    pub connections: usize,
    /// Bytes of a request's line and headers; more gets 431. There may be 100 headers (hyper's default, which keeps them on
    /// the stack).
    pub header_bytes: usize,
    /// From the first byte of a request to the end of its headers; then the connection is closed.
    pub header_time: Duration,
    /// Between requests, and before the first; then the connection is closed.
    pub idle_time: Duration,
    /// How long the client may stop reading a response; then the connection is closed.
    pub write_stall: Duration,
    /// At shutdown, how long a connection with nothing in flight may take to close.
    pub closing_grace: Duration,
    /// At shutdown, how long requests in flight may take; then they are cut.
    pub drain_time: Duration,
}

impl Limits {
    /// 16,384 connections, 16 KiB of headers within 10 s, 75 s idle, 20 s without reading, 10 s to drain.
    pub const fn public() -> Limits {
        Limits {
            connections: 16_384,
            header_bytes: 16 * 1024,
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            write_stall: Duration::from_secs(20),
            closing_grace: Duration::from_millis(200),
            drain_time: Duration::from_secs(10),
        }
    }

    /// As [`Limits::public`], with 1,024 connections: about the number of members that one DNS message lists.
    pub const fn peer() -> Limits {
        Limits {
            connections: 1_024,
            ..Limits::public()
        }
    }

    /// As [`Limits::public`], with 64 connections: for the admin and the metrics listener.
    pub const fn internal() -> Limits {
        Limits {
            connections: 64,
            ..Limits::public()
        }
    }

    /// These limits in a process that may open `open_files` (see [`raise_open_files_limit`]): a quarter is left for databases,
    /// DNS and the other listeners.
    pub fn within(self, open_files: u64) -> Limits {
        let most = usize::try_from(open_files / 4 * 3).unwrap_or(usize::MAX).max(1);
        Limits {
            connections: self.connections.min(most),
            ..self
        }
    }

    /// The limits of streams of draws, on a listener with these limits.
    pub fn streams(&self) -> StreamLimits {
        StreamLimits {
            open: (self.connections / 8).clamp(1, 1_024),
            heartbeat: Duration::from_secs(15),
            fetching: Duration::from_secs(5),
        }
    }

    /// How many connections are closed at once: finding the longest idle ones means looking at all.
    pub(crate) fn batch(&self) -> usize {
        (self.connections / 32).max(1)
    }
}

/// Limits of `/draws/stream`. See [`Limits::streams`] for the defaults.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Open streams: an eighth of the connections and at most 1,024, since a stream is never idle, so it never gives way, and a
    /// slow one holds some 50 KiB besides the system's buffers. One more gets 503.
    pub open: usize,
    /// After this long without an event a comment is sent: it shows both ends that the other is there, and keeps proxies from
    /// closing a connection that looks idle.
    pub heartbeat: Duration,
    /// How long to wait for rounds that peers may still have, from when the last one came, before reporting them as a gap.
    pub fetching: Duration,
}

/// Lets this process open as many files as the system allows (setrlimit(2)): the usual soft limit, 1,024, is below the
/// promised connections. Returns the new limit. Called once, before the listeners start.
pub fn raise_open_files_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(_) => limit,
    };
    now.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest_of_the_member() {
        assert_eq!(Limits::public().within(1_024).connections, 768);
        assert_eq!(Limits::public().within(u64::MAX).connections, 16_384);
    }
}
