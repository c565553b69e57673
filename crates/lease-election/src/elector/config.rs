//! The elector's identity and times, checked once.

use std::time::Duration;

/// Renewals are this much apart at most: `retry` plus its jitter.
const JITTER: f64 = 1.2;

/// Who stands for election, and how fast. The three times are client-go's LeaseDuration, RenewDeadline and RetryPeriod.
#[derive(Clone, Debug)]
pub struct ElectorConfig {
    pub(crate) identity: String,
    pub(crate) duration: Duration,
    pub(crate) renew_deadline: Duration,
    pub(crate) retry: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the identity is empty")]
    NoIdentity,
    #[error("the lease duration is {0:?}: it must be whole seconds, and at least 1 s")]
    Duration(Duration),
    #[error("the lease duration is {duration:?}: it must be longer than the renew deadline, {renew_deadline:?}")]
    RenewDeadline {
        duration: Duration,
        renew_deadline: Duration,
    },
    #[error("the renew deadline is {renew_deadline:?}: it must be longer than 1.2 × the retry time, {retry:?}")]
    Retry { renew_deadline: Duration, retry: Duration },
}

impl ElectorConfig {
    /// - `identity` names this process. No other process may ever have the same one: use the Pod's name, its UID, and a random
    ///   part that is new with each start.
    /// - `duration`: other processes wait this long before they take over a lease that is not renewed. Whole seconds.
    /// - `renew_deadline`: this process leads at most this long after it sent its last successful renewal.
    /// - `retry`: time between attempts to acquire or renew, ± 20 %.
    ///
    /// # Errors
    /// `duration` > `renew_deadline` > 1.2 × `retry` doesn't hold, as client-go demands it too.
    pub fn new(
        identity: impl Into<String>,
        duration: Duration,
        renew_deadline: Duration,
        retry: Duration,
    ) -> Result<ElectorConfig, ConfigError> {
        let identity = identity.into();
        if identity.is_empty() {
            return Err(ConfigError::NoIdentity);
        }
        if duration.is_zero() || duration.subsec_nanos() > 0 {
            return Err(ConfigError::Duration(duration));
        }
        if duration <= renew_deadline {
            return Err(ConfigError::RenewDeadline {
                duration,
                renew_deadline,
            });
        }
        if retry.is_zero() || renew_deadline <= retry.mul_f64(JITTER) {
            return Err(ConfigError::Retry { renew_deadline, retry });
        }
        Ok(ElectorConfig {
            identity,
            duration,
            renew_deadline,
            retry,
        })
    }

    /// With the times of Kubernetes' own components: 15 s, 10 s and 2 s.
    ///
    /// # Errors
    /// `identity` is empty.
    pub fn with_default_times(identity: impl Into<String>) -> Result<ElectorConfig, ConfigError> {
        let seconds = Duration::from_secs;
        ElectorConfig::new(identity, seconds(15), seconds(10), seconds(2))
    }
}
