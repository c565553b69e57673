//! Checks arguments against each other and against their bounds.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use lease_election::kubernetes::Access;

use super::values::show_duration;
use super::{Collector, ConfigError, Draw, Lease, LeaseStore, LeaseStoreArg, ListenArgs, ServeArgs};
use crate::record::Voters;
use crate::record::schedule::Schedule;

/// No two listeners collide, except with port 0.
pub(super) fn listen(args: &ListenArgs) -> Result<(), ConfigError> {
    let listeners = [
        ("--public-listen", args.public_listen),
        ("--peer-listen", args.peer_listen),
        ("--admin-listen", args.admin_listen),
        ("--metrics-listen", args.metrics_listen),
    ];
    for (at, (first, address)) in listeners.iter().enumerate() {
        for (second, other) in listeners.iter().skip(at + 1) {
            if address.collides(other) {
                return Err(ConfigError::SameAddress {
                    first,
                    second,
                    address: *address,
                    other: *other,
                });
            }
        }
    }
    Ok(())
}

/// A build that can't export ignores OTEL_EXPORTER_OTLP_ENDPOINT, and every build ignores an unusable one: that variable is for
/// every program. A wrong argument is an error.
pub(super) fn collector(
    args: &ServeArgs,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Collector>, ConfigError> {
    let built = cfg!(feature = "otlp");
    if !built && args.log.otlp_endpoint.is_some() {
        return Err(ConfigError::NoOtlp);
    }
    let shared = || environment("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|_| built);
    let given = args.log.otlp_endpoint.clone();
    Ok(given.or_else(|| super::values::collector(&shared()?).ok()))
}

/// `ordinal` is this member's own.
pub(super) fn draw(args: &ServeArgs, ordinal: Option<u16>) -> Result<Draw, ConfigError> {
    let alone = args.discovery.discovery_name.is_none() && args.discovery.governing_service.is_none();
    let given = args.draw.voters;
    if alone && given.count > 1 {
        return Err(ConfigError::VotersAlone(given));
    }
    let voters = match ordinal {
        Some(first) if alone => Voters { first, count: 1 },
        _ => given,
    };
    let schedule = Schedule::from_crontab(&args.draw.draw_schedule)?;
    if let Some(deadline) = args.draw.draw_deadline {
        within("--draw-deadline", deadline, ms(100)..=s(3600))?;
        // The periods of a cron schedule vary: there, the next slot ends the one before.
        let even = schedule.to_string().starts_with("@every");
        if even && deadline > schedule.period_hint(0) {
            return Err(ConfigError::DeadlineBeyondPeriod { deadline, schedule });
        }
    }
    Ok(Draw {
        schedule,
        deadline: args.draw.draw_deadline,
        voters,
    })
}

/// Where Kubernetes mounts a Pod's token and the cluster's CA certificate.
const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn lease_store(
    args: &ServeArgs,
    set: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<LeaseStore, ConfigError> {
    let (store, others) = match args.lease.lease_store {
        LeaseStoreArg::Directory => (
            "directory",
            [
                ("--lease-name", args.lease.lease_name.is_some()),
                ("--kubeconfig", args.lease.kubeconfig.is_some()),
            ],
        ),
        LeaseStoreArg::Kubernetes => (
            "kubernetes",
            [("--lease-directory", args.lease.lease_directory.is_some()), ("", false)],
        ),
    };
    if let Some((argument, _)) = others.into_iter().find(|(_, given)| *given) {
        return Err(ConfigError::OtherStore { argument, store });
    }
    if args.lease.lease_store == LeaseStoreArg::Directory {
        let default = || args.volume.data_dir.join("lease");
        return Ok(LeaseStore::Directory(
            args.lease.lease_directory.clone().unwrap_or_else(default),
        ));
    }
    let access = match &args.lease.kubeconfig {
        Some(path) => Access::Kubeconfig(path.clone()),
        None => {
            let variable = |name| environment(name).filter(|value| !value.is_empty());
            let host = variable("KUBERNETES_SERVICE_HOST").ok_or(ConfigError::NoCluster)?;
            let port = variable("KUBERNETES_SERVICE_PORT").ok_or(ConfigError::NoCluster)?;
            let host = match host.parse::<IpAddr>() {
                Ok(IpAddr::V6(address)) => format!("[{address}]"),
                _ => host,
            };
            Access::InCluster {
                server: format!("https://{host}:{port}"),
                credentials: PathBuf::from(CREDENTIALS),
            }
        }
    };
    Ok(LeaseStore::Kubernetes {
        name: args.lease.lease_name.clone().unwrap_or_else(|| set.to_owned()),
        access,
    })
}

/// The checks of client-go's elector constructor, and one more: renewals are at least a second apart, so a shorter deadline would
/// pass before the first.
pub(super) fn lease(
    args: &ServeArgs,
    set: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Lease, ConfigError> {
    let duration = args.lease.lease_duration;
    within("--lease-duration", duration, s(2)..=s(3600))?;
    if duration.subsec_nanos() != 0 {
        return Err(ConfigError::LeaseFraction { duration });
    }
    let renew_deadline = args.lease.lease_renew_deadline.unwrap_or(duration * 2 / 3);
    let retry = args.lease.lease_retry.unwrap_or(duration * 2 / 15);
    if duration <= renew_deadline {
        return Err(ConfigError::RenewDeadlineTooLong {
            duration,
            renew_deadline,
        });
    }
    if renew_deadline <= s(1) {
        return Err(ConfigError::RenewDeadlineTooShort {
            duration,
            renew_deadline,
        });
    }
    within("--lease-retry", retry, ms(10)..=s(3600))?;
    if renew_deadline * 5 <= retry * 6 {
        return Err(ConfigError::RetryTooLong { renew_deadline, retry });
    }
    Ok(Lease {
        store: lease_store(args, set, environment)?,
        duration,
        renew_deadline,
        retry,
    })
}

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn within(
    argument: &'static str,
    value: Duration,
    range: RangeInclusive<Duration>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range {
        argument,
        value: show_duration(value),
        least: show_duration(*range.start()),
        most: show_duration(*range.end()),
    })
}

pub(super) fn size_within(
    argument: &'static str,
    value: u64,
    least: (&'static str, u64),
    most: (&'static str, u64),
) -> Result<(), ConfigError> {
    if (least.1..=most.1).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range {
        argument,
        value: format!("{value} bytes"),
        least: least.0.to_owned(),
        most: most.0.to_owned(),
    })
}
