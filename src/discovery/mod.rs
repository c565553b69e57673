//! Discovery: SRV records of the governing Service become a watch of immutable peer lists.
//!
//! [`Discovery::run`] looks up `_peer._tcp.<governing Service>.` every few seconds and when asked to. `lookup` is the
//! only place that speaks DNS; `answer` decides, without any I/O, which records are members and what is told of the rest.

mod answer;
mod lookup;
mod metrics;
pub mod service;

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

use lookup::{Found, Lookup};
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
    /// Never empty: a target that gives no address isn't published.
    pub addresses: Vec<IpAddr>,
    pub is_self: bool,
}

impl Peer {
    /// Where its peer port is, by each of its addresses.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.addresses
            .iter()
            .map(|address| SocketAddr::new(*address, self.peer_port))
            .collect()
    }
}

/// Who is published, by ascending ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerList {
    pub peers: Vec<Peer>,
    /// When an answer last gave this list (NXDOMAIN and empty answers count; a timeout or SERVFAIL doesn't).
    /// None before the first answer.
    pub resolved_at: Option<(Boot, Wall)>,
    /// The last look-up failed, and the list is the one from before.
    pub stale: bool,
    /// Why it failed, or what of the answer could not be used (a name that doesn't fit, too many members).
    pub trouble: Option<Arc<str>>,
}

impl PeerList {
    /// Equal in all that readers must react to: everything but the time of the answer.
    fn says_the_same(&self, other: &PeerList) -> bool {
        self.peers == other.peers
            && self.stale == other.stale
            && self.trouble == other.trouble
            && self.resolved_at.is_some() == other.resolved_at.is_some()
    }
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nameservers {
    /// Those of /etc/resolv.conf. Its search list and ndots don't matter: the name asked for is absolute.
    ResolvConf,
    /// These, by UDP and TCP at the same port. Never empty.
    At(Vec<SocketAddr>),
}

impl From<Vec<SocketAddr>> for Nameservers {
    /// Those named, or where none is, those of /etc/resolv.conf.
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
    /// None: this member is alone, and the list is itself.
    pub governing: Option<String>,
    pub nameservers: Nameservers,
    /// Whose set the names must fit, and which of them is this member.
    pub member: MemberName,
    /// Where this member itself listens for its peers: what the list says when it is alone.
    pub peer_port: u16,
    /// From one look-up to the next, ± 20 %.
    pub interval: Duration,
    /// Bound of one attempt of one query. There are at most two attempts, and a whole look-up is given up after
    /// three times this.
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

/// Look-ups that follow each other faster than this gain nothing, and would be a load on DNS.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The task that looks up. Not started until [`run`](Discovery::run).
#[derive(Debug)]
pub struct Discovery {
    source: Source,
    member: MemberName,
    interval: Duration,
    limit: Duration,
    clock: Clock,
    metrics: DiscoveryMetrics,
    published: watch::Sender<Arc<PeerList>>,
    asked: watch::Receiver<u64>,
    done: watch::Sender<u64>,
}

#[derive(Debug)]
enum Source {
    Alone,
    Dns(Box<Lookup>),
}

/// What the other parts hold. Clones see the same list.
#[derive(Clone, Debug)]
pub struct DiscoveryHandle {
    peers: watch::Receiver<Arc<PeerList>>,
    asked: watch::Sender<u64>,
    done: watch::Receiver<u64>,
    limit: Duration,
}

impl DiscoveryHandle {
    /// The list. `changed()` fires only when something other than `resolved_at` changed; `borrow()` always has the
    /// newest `resolved_at`, because the value is also replaced without waking anyone. (A second watch for the time
    /// would let a reader pair one look-up's time with another's list.)
    pub fn peers(&self) -> watch::Receiver<Arc<PeerList>> {
        self.peers.clone()
    }

    /// Asks for a look-up that begins after this call, and returns the list once it ended, or as it is when that took
    /// longer than a look-up may. Callers that ask while one is under way share the next. Cancel-safe.
    pub async fn refresh(&self) -> Arc<PeerList> {
        let mut ticket = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            ticket = *asked;
        });
        let mut done = self.done.clone();
        // One under way may have to end first, hence twice the limit. Neither a timeout nor a stopped task is an error
        // here: the list says how old it is.
        let _ = timeout(
            self.limit * 2 + SHORTEST_INTERVAL,
            done.wait_for(|done| *done >= ticket),
        )
        .await;
        self.peers.borrow().clone()
    }
}

impl Discovery {
    pub fn new(
        config: DiscoveryConfig,
        clock: Clock,
        metrics: DiscoveryMetrics,
    ) -> Result<(Discovery, DiscoveryHandle), DiscoveryError> {
        let limit = config.timeout * 3;
        let (source, first) = match &config.governing {
            None => (Source::Alone, alone(&config, &clock)),
            Some(governing) => {
                let name = srv_name(governing)?;
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
        let (asked, asked_here) = watch::channel(0);
        let (done_here, done) = watch::channel(0);
        let discovery = Discovery {
            source,
            member: config.member,
            interval: config.interval.max(SHORTEST_INTERVAL),
            limit,
            clock,
            metrics,
            published,
            asked: asked_here,
            done: done_here,
        };
        Ok((
            discovery,
            DiscoveryHandle {
                peers,
                asked,
                done,
                limit,
            },
        ))
    }

    /// Looks up at once, then every interval and when asked, until `stop`.
    pub async fn run(mut self, mut stop: Signal) -> Result<(), DiscoveryError> {
        loop {
            let ticket = *self.asked.borrow_and_update();
            let began = Instant::now();
            tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                () = self.tick() => {}
            }
            self.done.send_replace(ticket);

            // Members that started together must not ask together for ever.
            let share: f64 = rand::rng().random_range(0.8..1.2);
            let next = began + self.interval.mul_f64(share);
            tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                () = sleep_until(next) => {}
                // With every handle gone nobody can ask any more: only the interval is left.
                () = asked(&mut self.asked) => tokio::select! {
                    biased;
                    () = stop.requested() => return Ok(()),
                    () = sleep_until(began + SHORTEST_INTERVAL) => {}
                },
            }
        }
    }

    /// One look-up, and what it changes.
    async fn tick(&mut self) {
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
                    Err(_) => Found::timeout(self.limit),
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
        tell(&before, &now);
        let changed = !now.says_the_same(&before);
        self.published.send_if_modified(|list| {
            *list = Arc::new(now);
            changed
        });
    }
}

async fn asked(asked: &mut watch::Receiver<u64>) {
    if asked.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One line on each change.
fn tell(before: &PeerList, now: &PeerList) {
    let names = |list: &PeerList| list.peers.iter().map(|peer| peer.ordinal).collect::<Vec<_>>();
    if names(before) != names(now) || before.resolved_at.is_some() != now.resolved_at.is_some() {
        tracing::info!(ordinals = ?names(now), "peers published by DNS");
    }
    match (&before.trouble, &now.trouble) {
        (old, Some(trouble)) if old.as_ref() != Some(trouble) => {
            tracing::warn!(stale = now.stale, "discovery: {trouble}")
        }
        (Some(_), None) => tracing::info!("discovery: all is well again"),
        _ => {}
    }
}

/// Only itself, as no DNS is there to say otherwise. A name without ordinal is in no list.
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

/// `_peer._tcp.` before the Service's name, absolute, so that no search domain is ever tried.
fn srv_name(governing: &str) -> Result<Name, DiscoveryError> {
    let wrong = |reason: String| DiscoveryError::Name {
        name: governing.to_owned(),
        reason,
    };
    let bare = governing.strip_suffix('.').unwrap_or(governing);
    if bare.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    let mut name = Name::from_ascii(format!("_peer._tcp.{bare}")).map_err(|error| wrong(error.to_string()))?;
    name.set_fqdn(true);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_asked_for_is_absolute_with_or_without_the_dot() {
        for given in ["rg.default.svc.cluster.local", "rg.default.svc.cluster.local."] {
            let name = srv_name(given).unwrap();
            assert!(name.is_fqdn());
            assert_eq!(name.to_ascii(), "_peer._tcp.rg.default.svc.cluster.local.");
        }
        for wrong in ["", ".", "a..b", &"x".repeat(64), &"abcdefg.".repeat(40)] {
            assert!(srv_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
