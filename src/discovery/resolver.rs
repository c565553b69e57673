//! The resolver, and what a look-up of SRV records needs beyond hickory's own. [`super::lookup`] and [`super::service`] use it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::timeout;

use super::Nameservers;
use super::zone::{Network, Zones};

/// The payload size that fits an Ethernet frame on every path (DNS flag day 2020); longer answers come over TCP.
const EDNS_PAYLOAD: u16 = 1232;
/// Concurrent address look-ups, for servers that send no additional section.
pub(super) const ADDRESS_LOOKUPS: usize = 16;
/// Once a host has addresses of one family, a query for the other gets this part of its time.
const SECOND_FAMILY: u32 = 4;
/// Aliases that are followed one after the other; a loop ends here.
const MOST_ALIASES: usize = 4;

type DnsResolver = hickory_resolver::Resolver<Network>;

/// Asks the nameservers. It reads /etc/resolv.conf for each look-up, because it may be corrected while a member runs.
#[derive(Debug)]
pub(super) struct Resolver {
    nameservers: Nameservers,
    resolv_conf: PathBuf,
    timeout: Duration,
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    /// What was in resolv.conf.
    text: Vec<u8>,
    config: ResolverConfig,
    zones: Zones,
    resolver: DnsResolver,
}

/// Why there are no SRV records.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("no resolver: {0}")]
    Configuration(NetError),
    #[error("its answer is longer than UDP carries, and TCP to the nameserver failed: {0}; let TCP through as well")]
    Tcp(NetError),
    #[error(transparent)]
    Dns(NetError),
}

impl Resolver {
    pub fn new(nameservers: Nameservers, timeout: Duration) -> Resolver {
        Resolver {
            nameservers,
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            timeout,
            made: None,
        }
    }

    /// The SRV records of a name, with the addresses that came along. The caller bounds the time. Cancel-safe.
    pub async fn srv(&mut self, name: Name) -> Result<Lookup, NoAnswer> {
        self.prepare().await.map_err(NoAnswer::Configuration)?;
        let Some(Made {
            config,
            zones,
            resolver,
            ..
        }) = &self.made
        else {
            return Err(NoAnswer::Configuration(NetError::NoConnections));
        };
        match srv_of(resolver, name.clone()).await {
            // hickory says the same whether TCP failed or its answer is cut off as well.
            Err(NetError::Truncated) => {
                let by_tcp =
                    build(only_tcp(config.clone()), zones.clone(), self.timeout).map_err(NoAnswer::Configuration)?;
                match srv_of(&by_tcp, name).await {
                    Ok(answer) => Ok(answer),
                    Err(error @ (NetError::Io(_) | NetError::NoConnections | NetError::Timeout)) => {
                        Err(NoAnswer::Tcp(error))
                    }
                    Err(error) => Err(NoAnswer::Dns(error)),
                }
            }
            answer => answer.map_err(NoAnswer::Dns),
        }
    }

    /// The addresses of a host, IPv4 before IPv6; empty when none is published. hickory's own look-up of both families takes a
    /// failure of one for "none" if the other is empty, and waits for both to the end.
    ///
    /// # Errors
    /// What kept DNS from answering, in a word.
    pub async fn addresses(&self, host: &str) -> Result<BTreeSet<IpAddr>, &'static str> {
        let Some(Made { resolver, .. }) = &self.made else {
            return Err("failed");
        };
        // The dot makes it absolute: no search domain is tried.
        let name = &Name::from_ascii(format!("{host}.")).map_err(|_| "failed")?;
        let ask = |kind| async move {
            match resolver.lookup(name.clone(), kind).await {
                Ok(found) => Ok(found.answers().iter().filter_map(address_of).collect()),
                Err(error) if error.is_no_records_found() => Ok(BTreeSet::new()),
                Err(error) => Err(outcome(&error)),
            }
        };
        let (ipv4, ipv6) = (pin!(ask(RecordType::A)), pin!(ask(RecordType::AAAA)));
        let (first, rest) = select(ipv4, ipv6).await.factor_first();
        let second = match &first {
            // Some servers never answer for a family that they don't have.
            Ok(found) if !found.is_empty() => timeout(self.timeout / SECOND_FAMILY, rest)
                .await
                .unwrap_or_else(|_| Ok(BTreeSet::new())),
            _ => rest.await,
        };
        match (first, second) {
            (Ok(first), Ok(second)) => Ok(&first | &second),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Makes a resolver when there is none, or when other nameservers are configured than before.
    async fn prepare(&mut self) -> Result<(), NetError> {
        let (text, config, zones) = match &self.nameservers {
            Nameservers::ResolvConf => {
                let text = tokio::fs::read(&self.resolv_conf).await.map_err(NetError::from)?;
                if self.made.as_ref().is_some_and(|made| made.text == text) {
                    return Ok(());
                }
                let (zones, without) = Zones::split_off(&String::from_utf8_lossy(&text));
                let (config, _) = parse_resolv_conf(without)?;
                (text, config, zones)
            }
            Nameservers::At(_) if self.made.is_some() => return Ok(()),
            Nameservers::At(named) => {
                let servers = named.iter().map(|server| {
                    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                        connection.port = server.port();
                        connection
                    });
                    NameServerConfig::new(server.ip(), true, connections.into())
                });
                let config = ResolverConfig::from_name_servers(servers.collect());
                (Vec::new(), config, Zones::of(named))
            }
        };
        let resolver = build(config.clone(), zones.clone(), self.timeout)?;
        self.made = Some(Made {
            text,
            config,
            zones,
            resolver,
        });
        Ok(())
    }
}

fn build(config: ResolverConfig, zones: Zones, timeout: Duration) -> Result<DnsResolver, NetError> {
    let tokio = TokioRuntimeProvider::default();
    let mut builder = DnsResolver::builder_with_config(config, Network { tokio, zones });
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = timeout;
    // Two attempts: hickory counts only those after the first.
    options.attempts = 1;
    options.edns0 = true;
    options.edns_payload_len = EDNS_PAYLOAD;
    options.use_hosts_file = ResolveHosts::Never;
    // No cache: every look-up queries a server. The caller's interval limits how often.
    options.cache_size = 0;
    builder.build()
}

fn only_tcp(config: ResolverConfig) -> ResolverConfig {
    let mut servers = config.name_servers().to_vec();
    for server in &mut servers {
        server
            .connections
            .retain(|connection| matches!(connection.protocol, ProtocolConfig::Tcp));
    }
    ResolverConfig::from_name_servers(servers)
}

/// hickory 0.26 doesn't return SRV records that come behind a CNAME: it takes their targets for the alias.
async fn srv_of(resolver: &DnsResolver, mut name: Name) -> Result<Lookup, NetError> {
    for _ in 0..MOST_ALIASES {
        match resolver.lookup(name.clone(), RecordType::SRV).await {
            Err(error) if error.is_no_records_found() && !error.is_nx_domain() => {
                match alias_of(resolver, &name).await {
                    Some(target) => name = target,
                    None => return Err(error),
                }
            }
            answer => return answer,
        }
    }
    resolver.lookup(name, RecordType::SRV).await
}

async fn alias_of(resolver: &DnsResolver, name: &Name) -> Option<Name> {
    let answer = resolver.lookup(name.clone(), RecordType::CNAME).await.ok()?;
    answer.answers().iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some(target.0.clone()),
        _ => None,
    })
}

/// IPv4 as such, also where an AAAA record has it as `::ffff:192.0.2.1`.
pub(super) fn address_of(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0).to_canonical()),
        _ => None,
    }
}

/// Why DNS gave no answer, as the metric says it.
pub(super) fn outcome(error: &NetError) -> &'static str {
    match error {
        NetError::Timeout => "timeout",
        NetError::Truncated => "truncated",
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => "servfail",
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => "refused",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn resolv_conf_is_read_again_when_it_changes_and_is_missed_only_while_it_is_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let mut resolver = Resolver::new(Nameservers::ResolvConf, Duration::from_secs(1));
        resolver.resolv_conf = path.clone();
        let servers = |resolver: &Resolver| -> Vec<String> {
            let made = resolver.made.as_ref().unwrap();
            let servers = made.config.name_servers();
            servers.iter().map(|server| server.ip.to_string()).collect()
        };
        resolver.prepare().await.unwrap_err();
        std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        resolver.prepare().await.unwrap();
        assert_eq!(servers(&resolver), ["192.0.2.1"]);
        std::fs::write(
            &path,
            "search svc.example\nnameserver 192.0.2.2\nnameserver 2001:db8::1\n",
        )
        .unwrap();
        resolver.prepare().await.unwrap();
        assert_eq!(servers(&resolver), ["192.0.2.2", "2001:db8::1"]);
    }
}
