//! What a listener allows its clients, and the process its listeners.

use std::time::Duration;

/// What a listener allows its clients. See [`Limits::public`] for the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. Near it, the longest idle ones are closed; at it, a new one gets 503 and is closed.
    pub connections: usize,
    /// Bytes of a request's line and headers; more is 431. Headers are also at most 100 in number (hyper's default, which
    /// keeps them on the stack).
    pub header_bytes: usize,
    /// From the first byte of a request to the end of its headers; more is closed.
    pub header_time: Duration,
    /// Between requests, and before the first; more is closed.
    pub idle_time: Duration,
    /// How long the client may take nothing of a response; more is closed.
    pub write_stall: Duration,
    /// At shutdown, how long a connection with nothing in flight may take to close.
    pub closing_grace: Duration,
    /// At shutdown, how long requests in flight may take; more is cut.
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

    /// As [`Limits::public`], with 1,024 connections: about as many members as one DNS message lists.
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

    /// These limits where only so many files may be open (see [`raise_open_files_limit`]): a quarter is left for databases,
    /// DNS and the other listeners.
    pub fn within(self, open_files: u64) -> Limits {
        let most = usize::try_from(open_files / 4 * 3).unwrap_or(usize::MAX).max(1);
        Limits {
            connections: self.connections.min(most),
            ..self
        }
    }

    /// What streams of draws are allowed, on a listener with these limits.
    pub fn streams(&self) -> StreamLimits {
        StreamLimits {
            open: (self.connections / 8).clamp(1, 1_024),
            heartbeat: Duration::from_secs(15),
            fetching: Duration::from_secs(5),
        }
    }

    /// How many connections give way at once: looking for the longest idle costs a walk over all.
    pub(crate) fn batch(&self) -> usize {
        (self.connections / 32).max(1)
    }
}

/// What is allowed of `/draws/stream`. See [`Limits::streams`] for the defaults.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Streams at once, an eighth of the connections and at most 1,024: a stream is never idle, so it doesn't give way, and a
    /// slow one holds some 50 KiB besides what the system buffers. One more gets 503.
    pub open: usize,
    /// After so long without an event a comment is sent: it shows both ends that the other is there, and keeps proxies from
    /// closing what seems idle.
    pub heartbeat: Duration,
    /// How long rounds that peers may still have are waited for before they are told as a gap, from when the last of them came.
    pub fetching: Duration,
}

/// Lets this process open as many files as the system allows it (setrlimit(2)): the usual soft limit, 1,024, is less than
/// the connections we promise. Returns what it may open now. Called once, before the listeners start.
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
    fn connections_leave_descriptors_to_the_rest_of_the_member() {
        assert_eq!(Limits::public().within(1_024).connections, 768);
        assert_eq!(Limits::public().within(u64::MAX).connections, 16_384);
    }
}
