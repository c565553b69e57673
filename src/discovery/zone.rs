//! Link-local nameservers, such as `fe80::1%eth0`: hickory 0.26 drops the zone index, without which the kernel knows no way to
//! them.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioRuntimeProvider};
use rustix::net::netdevice::name_to_index;

type Tokio = TokioRuntimeProvider;

/// The zone of each nameserver that has one. Of two servers with the same address in different zones, the first is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones(Arc<HashMap<Ipv6Addr, u32>>);

impl Zones {
    pub fn of(servers: &[SocketAddr]) -> Zones {
        let zones = servers.iter().filter_map(|server| match server {
            SocketAddr::V6(server) if server.scope_id() > 0 => Some((*server.ip(), server.scope_id())),
            _ => None,
        });
        Zones::first_of(zones)
    }

    /// Of the lines `nameserver ADDRESS%ZONE` in resolv.conf, and its text without zones. A zone is the name of an interface, or
    /// its index.
    pub fn split_off(resolv_conf: &str) -> (Zones, String) {
        let mut zones = Vec::new();
        let mut text = String::with_capacity(resolv_conf.len());
        for line in resolv_conf.lines() {
            let mut words = line.split_whitespace();
            let server = words.next().filter(|word| *word == "nameserver").and(words.next());
            match server.and_then(|server| server.split_once('%')) {
                Some((address, zone)) => {
                    zones.extend(address.parse().ok().zip(index_of(zone)));
                    text += &format!("nameserver {address}");
                }
                None => text += line,
            }
            text.push('\n');
        }
        (Zones::first_of(zones), text)
    }

    fn first_of(zones: impl IntoIterator<Item = (Ipv6Addr, u32)>) -> Zones {
        let mut first = HashMap::new();
        for (address, zone) in zones {
            first.entry(address).or_insert(zone);
        }
        Zones(first.into())
    }

    fn add_to(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V6(mut address) => {
                if let Some(zone) = self.0.get(address.ip()) {
                    address.set_scope_id(*zone);
                }
                address.into()
            }
            other => other,
        }
    }
}

fn index_of(zone: &str) -> Option<u32> {
    let index = || name_to_index(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?, zone).ok();
    zone.parse().ok().or_else(index)
}

/// Tokio's sockets, which reach nameservers in their zones.
#[derive(Clone)]
pub(super) struct Network {
    pub tokio: Tokio,
    pub zones: Zones,
}

type Opening<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for Network {
    type Handle = <Tokio as RuntimeProvider>::Handle;
    type Timer = <Tokio as RuntimeProvider>::Timer;
    type Udp = Udp;
    type Tcp = <Tokio as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.tokio.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        from: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        self.tokio.connect_tcp(self.zones.add_to(server), from, timeout)
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Opening<Udp> {
        let (bound, zones) = (self.tokio.bind_udp(local, server), self.zones.clone());
        Box::pin(async move {
            let socket = bound.await?;
            Ok(Udp { socket, zones })
        })
    }
}

pub(super) struct Udp {
    socket: <Tokio as RuntimeProvider>::Udp,
    zones: Zones,
}

impl DnsUdpSocket for Udp {
    type Time = <<Tokio as RuntimeProvider>::Udp as DnsUdpSocket>::Time;

    fn poll_recv_from(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        DnsUdpSocket::poll_recv_from(&self.socket, context, buffer)
    }

    fn poll_send_to(&self, context: &mut Context<'_>, bytes: &[u8], server: SocketAddr) -> Poll<io::Result<usize>> {
        DnsUdpSocket::poll_send_to(&self.socket, context, bytes, self.zones.add_to(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_taken_from_resolv_conf_by_name_or_index() {
        let (zones, text) = Zones::split_off(
            "search svc.example\nnameserver fe80::1%lo\nnameserver\tfe80::2%7 # the router\nnameserver fe80::3%br-no.such\n\
             nameserver ::1\n# nameserver fe80::4%1\nnameserver fe80::2%8\n",
        );
        let expected = [("fe80::1", 1), ("fe80::2", 7)].map(|(address, zone)| (address.parse().unwrap(), zone));
        assert_eq!(zones, Zones(Arc::new(expected.into())));
        assert_eq!(
            text,
            "search svc.example\nnameserver fe80::1\nnameserver fe80::2\nnameserver fe80::3\nnameserver ::1\n\
             # nameserver fe80::4%1\nnameserver fe80::2\n"
        );
    }

    #[test]
    fn a_server_that_is_named_with_its_zone_is_asked_there() {
        let servers = ["[fe80::1%3]:53", "[::1]:53", "10.0.0.1:53"].map(|server| server.parse().unwrap());
        let zones = Zones::of(&servers);
        let added = |text: &str| zones.add_to(text.parse().unwrap()).to_string();
        assert_eq!(added("[fe80::1]:5353"), "[fe80::1%3]:5353");
        for other in ["[::1]:53", "10.0.0.1:53"] {
            assert_eq!(added(other), other);
        }
    }
}
