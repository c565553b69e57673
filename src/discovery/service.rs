//! The public listeners of a set, for commands that are given `srv://SERVICE`.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use hickory_resolver::proto::rr::{Name, RData};

use super::Nameservers;
use super::resolver::{ADDRESS_LOOKUPS, NoAnswer, Resolver};

/// A public listener of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicListener {
    /// ADDRESS:PORT of its first address, or HOST:PORT if DNS gave none: then asking it shows that it can't be reached.
    pub authority: String,
    /// IPv4 before IPv6: it may be reachable at some of them only.
    pub addresses: Vec<SocketAddr>,
}

/// Looks up `_http._tcp.SERVICE`: its targets by ascending name; empty when nobody is published. The name is absolute with or without a dot at the end. The whole look-up is abandoned after three
/// times `timeout`.
///
/// # Errors
/// DNS gave no answer; the text says why.
pub async fn public_listeners(
    service: &str,
    nameservers: &Nameservers,
    timeout: Duration,
) -> Result<Vec<PublicListener>, String> {
    let name = format!("_http._tcp.{}.", service.trim_end_matches('.'));
    let look_up = async {
        let mut resolver = Resolver::new(nameservers.clone(), timeout);
        let absolute = Name::from_ascii(&name).map_err(|error| format!("{service:?} is not a DNS name: {error}"))?;
        let answer = match resolver.srv(absolute).await {
            Ok(answer) => answer,
            Err(NoAnswer::Dns(error)) if error.is_nx_domain() || error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(format!("the DNS query for {name} failed: {error}")),
        };
        let mut targets: Vec<(String, u16)> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some((srv.target.to_ascii().trim_end_matches('.').to_owned(), srv.port)),
                _ => None,
            })
            .collect();
        targets.sort();
        let resolver = &resolver;
        let listeners = futures_util::stream::iter(targets).map(async |(host, port)| {
            let found = resolver.addresses(&host).await.unwrap_or_default();
            let addresses: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            let authority = addresses
                .first()
                .map_or_else(|| format!("{host}:{port}"), SocketAddr::to_string);
            PublicListener { authority, addresses }
        });
        Ok(listeners.buffered(ADDRESS_LOOKUPS).collect().await)
    };
    match tokio::time::timeout(timeout * 3, look_up).await {
        Ok(found) => found,
        Err(_) => Err(format!(
            "no answer from DNS for {name} within {} s",
            (timeout * 3).as_secs()
        )),
    }
}
