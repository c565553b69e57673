//! Discovery: SRV records of the governing Service become a watch of immutable peer lists.
//!
//! [`Discovery::run`] looks up `_peer._tcp.<governing Service>.` every few seconds. `lookup` speaks DNS; `answer` decides,
//! without I/O, which records are members, and describes the rest. `resolver` asks the nameservers.

mod answer;
mod lookup;
mod metrics;
mod resolver;
pub mod service;
mod zone;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock::{Boot, Clock, Wall};
use crate::identity::MemberName;
use crate::shutdown::Signal;

use lookup::Lookup;
pub use metrics::DiscoveryMetrics;

/// One published member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// First label of the SRV target: `rg-1`.
    pub name: String,
    pub ordinal: u16,
    /// The SRV target without its trailing dot.
    pub host: String,
    /// Port of the SRV record: the peer port.
    pub peer_port: u16,
    /// Never empty: a target without an address is left out.
    pub addresses: Vec<IpAddr>,
    pub is_self: bool,
}

impl Peer {
    /// Its peer port at each of its addresses.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.addresses
            .iter()
            .map(|address| SocketAddr::new(*address, self.peer_port))
            .collect()
    }
}

/// The published members, by ascending ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerList {
    pub peers: Vec<Peer>,
    /// When an answer last gave this list (NXDOMAIN and empty answers count; a timeout or SERVFAIL doesn't).
    /// None before the first answer.
    pub resolved_at: Option<(Boot, Wall)>,
    /// The last look-up failed, and this is the previous list.
    pub stale: bool,
    /// Why it failed, or what part of the answer was unusable (a name that doesn't fit, too many members).
    pub trouble: Option<Arc<str>>,
}

impl PeerList {
    /// Equal in everything that readers react to: all but the time of the answer.
    fn same_for_readers(&self, other: &PeerList) -> bool {
        self.peers == other.peers
            && self.stale == other.stale
            && self.trouble == other.trouble
            && self.resolved_at.is_some() == other.resolved_at.is_some()
    }
}

/// Which DNS servers to query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nameservers {
    /// Those of /etc/resolv.conf. Its search list and ndots don't matter: the name is absolute.
    ResolvConf,
    /// These, by UDP and TCP at the same port. Never empty.
    At(Vec<SocketAddr>),
}

impl From<Vec<SocketAddr>> for Nameservers {
    /// Those named, or those of /etc/resolv.conf if none is.
    fn from(named: Vec<SocketAddr>) -> Nameservers {
        match named.is_empty() {
            true => Nameservers::ResolvConf,
            false => Nameservers::At(named),
        }
    }
}

#[derive(Clone, Debug)]
pub struct DiscoveryConfig {
    /// DNS name of the governing Service, with or without trailing dot: `rg.default.svc.cluster.local`.
    /// None: this member is alone, and lists only itself.
    pub governing: Option<String>,
    pub nameservers: Nameservers,
    /// This member, whose set's names the targets must have.
    pub member: MemberName,
    /// This member's own peer port: the list has it when this member is alone.
    pub peer_port: u16,
    /// From one look-up to the next, ± 20 %.
    pub interval: Duration,
    /// Bound of one attempt at one query. There are at most two attempts, and a whole look-up is abandoned after three times
    /// this.
    pub timeout: Duration,
}

impl DiscoveryConfig {
    pub const INTERVAL: Duration = Duration::from_secs(3);
    pub const TIMEOUT: Duration = Duration::from_secs(2);
}

#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error(
        "the governing Service's name {name:?} is not a DNS name ({reason}): give one like rg.default.svc.cluster.local"
    )]
    Name { name: String, reason: String },
    #[error("no nameserver is given: name at least one, or leave the option out to use /etc/resolv.conf")]
    NoNameserver,
}

/// Faster look-ups gain nothing, and would load DNS.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The task that looks up. [`run`](Discovery::run) starts it.
#[derive(Debug)]
pub struct Discovery {
    source: Source,
    member: MemberName,
    interval: Duration,
    limit: Duration,
    clock: Clock,
    metrics: DiscoveryMetrics,
    published: watch::Sender<Arc<PeerList>>,
}

#[derive(Debug)]
enum Source {
    Alone,
    Dns(Box<Lookup>),
}

impl Discovery {
    /// Also returns the list for readers. Its `changed()` fires only when something other than `resolved_at` changed; its
    /// `borrow()` always has the newest `resolved_at`, because the value is also replaced without waking anyone.
    ///
    /// # Errors
    /// The governing Service's name is not a DNS name, or the list of nameservers is empty.
    pub fn new(
        config: DiscoveryConfig,
        clock: Clock,
        metrics: DiscoveryMetrics,
    ) -> Result<(Discovery, watch::Receiver<Arc<PeerList>>), DiscoveryError> {
        let (source, first) = match &config.governing {
            None => (Source::Alone, alone(&config, &clock)),
            Some(governing) => {
                let name = parse_srv_name(governing)?;
                if matches!(&config.nameservers, Nameservers::At(servers) if servers.is_empty()) {
                    return Err(DiscoveryError::NoNameserver);
                }
                let lookup = Box::new(Lookup::new(name, config.nameservers.clone(), config.timeout));
                let nothing_yet = PeerList {
                    peers: Vec::new(),
                    resolved_at: None,
                    stale: false,
                    trouble: None,
                };
                (Source::Dns(lookup), nothing_yet)
            }
        };
        metrics.publish(&first);
        let (published, peers) = watch::channel(Arc::new(first));
        let discovery = Discovery {
            source,
            member: config.member,
            interval: config.interval.max(SHORTEST_INTERVAL),
            limit: config.timeout * 3,
            clock,
            metrics,
            published,
        };
        Ok((discovery, peers))
    }

    /// Looks up at once, then every interval, until `stop`.
    pub async fn run(mut self, mut stop: Signal) {
        loop {
            // Members that started together must not ask together for ever.
            let share: f64 = rand::rng().random_range(0.8..1.2);
            let next = Instant::now() + self.interval.mul_f64(share);
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = self.tick() => {}
            }
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = sleep_until(next) => {}
            }
        }
    }

    /// Looks up once, and publishes what changed.
    pub async fn tick(&mut self) {
        let before = self.published.borrow().clone();
        let now = match &mut self.source {
            Source::Alone => {
                let now = self.clock.now();
                PeerList {
                    resolved_at: Some((now.boot, now.wall)),
                    ..PeerList::clone(&before)
                }
            }
            Source::Dns(lookup) => {
                let found = match timeout(self.limit, lookup.members(&self.member, &before)).await {
                    Ok(found) => found,
                    Err(_) => lookup.abandoned(self.limit),
                };
                self.metrics.count(found.outcome);
                let now = self.clock.now();
                match found.peers {
                    Some(peers) => PeerList {
                        peers,
                        resolved_at: Some((now.boot, now.wall)),
                        stale: false,
                        trouble: found.trouble,
                    },
                    None => PeerList {
                        peers: before.peers.clone(),
                        resolved_at: before.resolved_at,
                        stale: true,
                        trouble: found.trouble,
                    },
                }
            }
        };
        self.metrics.publish(&now);
        log_changes(&before, &now);
        let changed = !now.same_for_readers(&before);
        self.published.send_if_modified(|list| {
            *list = Arc::new(now);
            changed
        });
    }
}

/// Logs a line on each change.
fn log_changes(before: &PeerList, now: &PeerList) {
    let names = |list: &PeerList| list.peers.iter().map(|peer| peer.ordinal).collect::<Vec<_>>();
    if names(before) != names(now) || before.resolved_at.is_some() != now.resolved_at.is_some() {
        tracing::info!(ordinals = ?names(now), "peers published by DNS");
    }
    match (&before.trouble, &now.trouble) {
        (old, Some(trouble)) if old.as_ref() != Some(trouble) => {
            tracing::warn!(stale = now.stale, "discovery: {trouble}")
        }
        (Some(_), None) => tracing::info!("discovery recovered"),
        _ => {}
    }
}

/// The list of a member without DNS: itself, unless its name has no ordinal.
fn alone(config: &DiscoveryConfig, clock: &Clock) -> PeerList {
    let now = clock.now();
    let peers = config.member.ordinal.map(|ordinal| Peer {
        name: config.member.to_string(),
        ordinal,
        host: Ipv4Addr::LOCALHOST.to_string(),
        peer_port: config.peer_port,
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        is_self: true,
    });
    PeerList {
        peers: peers.into_iter().collect(),
        resolved_at: Some((now.boot, now.wall)),
        stale: false,
        trouble: None,
    }
}

/// What DNS is asked for: absolute, so that no search domain is tried.
pub fn srv_name(governing: &str) -> String {
    format!("_peer._tcp.{}.", governing.trim_end_matches('.'))
}

fn parse_srv_name(governing: &str) -> Result<Name, DiscoveryError> {
    let wrong = |reason: String| DiscoveryError::Name {
        name: governing.to_owned(),
        reason,
    };
    let bare = governing.strip_suffix('.').unwrap_or(governing);
    if bare.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    Name::from_ascii(srv_name(bare)).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_absolute_with_or_without_the_dot() {
        for given in ["rg.default.svc.cluster.local", "rg.default.svc.cluster.local."] {
            let name = parse_srv_name(given).unwrap();
            assert!(name.is_fqdn());
            assert_eq!(name.to_ascii(), "_peer._tcp.rg.default.svc.cluster.local.");
        }
        for wrong in ["", ".", "a..b", &"x".repeat(64), &"abcdefg.".repeat(40)] {
            assert!(parse_srv_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
