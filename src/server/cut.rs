//! Why a member ends a connection.

/// How a connection ended, if the member ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Idle,
    /// The request's headers took too long.
    HalfSent,
    /// The client stopped reading.
    Stalled,
    /// The client reads a stream more slowly than events come.
    SlowStream,
    /// Closed when asked to, after the response in flight if there was one.
    Asked,
}

impl Cut {
    pub(crate) const ALL: [Cut; 5] = [Cut::Idle, Cut::HalfSent, Cut::Stalled, Cut::SlowStream, Cut::Asked];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Cut::Idle => "idle",
            Cut::HalfSent => "half_sent",
            Cut::Stalled => "stalled",
            Cut::SlowStream => "slow_stream",
            Cut::Asked => "asked",
        }
    }
}
