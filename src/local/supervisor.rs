//! Runs a set of member processes, from the first start to the last exit.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dns::{DnsError, DnsServer};
use super::layout::{Claim, ClusterError, Layout};
use super::observer::Observer;
use super::output::{Event, Output};
use super::process::{CommandFor, MemberProcess};
use super::zone::{Published, Zone};
use crate::clock::Clock;
use crate::shutdown::{self, Signal};

/// Events waiting for a slow reader.
const EVENTS: usize = 256;
/// How long a reader may take to read the last lines.
const LAST_LINES: Duration = Duration::from_millis(300);

/// A set that is ready to start: the directory is claimed, the ports are free, DNS listens.
pub struct Supervisor {
    layout: Layout,
    set: String,
    clock: Clock,
    stop_limit: Duration,
    dns: DnsServer,
    claim: Claim,
}

impl Supervisor {
    /// `service` is the governing Service's name, `SERVICE.NAMESPACE.svc.ZONE`; `stop_limit` is what a member gets from
    /// SIGTERM to SIGKILL.
    pub async fn prepare(
        layout: Layout,
        set: &str,
        service: &str,
        clock: Clock,
        stop_limit: Duration,
    ) -> Result<Supervisor, ClusterError> {
        let zone = Zone::new(service).map_err(DnsError::from)?;
        let claim = layout.claim()?;
        let members: Vec<Published> = layout.members.iter().map(|place| place.published()).collect();
        zone.publish(&members).await;
        let dns = DnsServer::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Arc::new(zone)).await?;
        Ok(Supervisor {
            layout,
            set: set.to_owned(),
            clock,
            stop_limit,
            dns,
            claim,
        })
    }

    /// The DNS server that the members use.
    pub fn nameserver(&self) -> SocketAddr {
        self.dns.address()
    }

    /// Runs the set until `stop`, then stops the members together, and DNS after them; `kill` kills them at once.
    pub async fn run(
        self,
        command: CommandFor,
        mut output: Output,
        mut stop: Signal,
        kill: Signal,
    ) -> Result<(), ClusterError> {
        let (events, mut received) = mpsc::channel::<Event>(EVENTS);
        let mut printer = JoinSet::new();
        printer.spawn(async move {
            while let Some(event) = received.recv().await {
                // The set continues without a reader.
                let _ = output.write(&event);
            }
        });

        let (stop_dns, dns_stop) = shutdown::stage();
        let mut dns = JoinSet::new();
        dns.spawn(self.dns.run(dns_stop));

        let mut processes = JoinSet::new();
        for place in &self.layout.members {
            let process = MemberProcess {
                place: place.clone(),
                command: command.clone(),
                events: events.clone(),
                clock: self.clock.clone(),
                stop_limit: self.stop_limit,
                stop: stop.clone(),
                kill: kill.clone(),
            };
            processes.spawn(process.run());
        }
        let observer = Observer::new(&self.set, self.layout.members.clone().into(), events.clone());
        let mut observing = JoinSet::new();
        observing.spawn(observer.run(stop.clone()));
        drop(events);

        // Without DNS the members would keep their last list for ever: better to stop.
        let dns_failed = tokio::select! {
            biased;
            () = stop.requested() => None,
            ended = dns.join_next() => ended,
        };
        if let Some(ended) = dns_failed {
            processes.shutdown().await;
            observing.shutdown().await;
            return Ok(ended??);
        }
        while let Some(ended) = processes.join_next().await {
            ended?;
        }
        while let Some(ended) = observing.join_next().await {
            ended?;
        }
        stop_dns.pull();
        while let Some(ended) = dns.join_next().await {
            ended??;
        }
        // Its queue is closed now, so it ends unless the reader stopped reading.
        if let Ok(Some(ended)) = timeout(LAST_LINES, printer.join_next()).await {
            ended?;
        }
        drop(self.claim);
        Ok(())
    }
}
