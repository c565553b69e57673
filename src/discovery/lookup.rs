//! Looks up the published members by DNS: SRV records first, then their addresses. [`super`] calls it and bounds its time.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hickory_resolver::proto::rr::{Name, RData};

use super::answer::{self, Record};
use super::resolver::{ADDRESS_LOOKUPS, NoAnswer, Resolver, address_of, outcome};
use super::{Nameservers, Peer, PeerList};
use crate::identity::MemberName;

/// Looks up one SRV name.
#[derive(Debug)]
pub struct Lookup {
    name: Name,
    resolver: Resolver,
}

/// The result of one look-up.
#[derive(Debug)]
pub struct Found {
    /// For the metric.
    pub outcome: &'static str,
    /// None: no answer, so keep the previous list.
    pub peers: Option<Vec<Peer>>,
    pub trouble: Option<Arc<str>>,
}

impl Found {
    fn failed(outcome: &'static str, trouble: String) -> Found {
        Found {
            outcome,
            peers: None,
            trouble: Some(trouble.into()),
        }
    }

    fn nobody(outcome: &'static str) -> Found {
        Found {
            outcome,
            peers: Some(Vec::new()),
            trouble: None,
        }
    }
}

impl Lookup {
    pub fn new(name: Name, nameservers: Nameservers, timeout: Duration) -> Lookup {
        Lookup {
            name,
            resolver: Resolver::new(nameservers, timeout),
        }
    }

    /// The result of a look-up that the caller gave up after `limit`.
    pub fn abandoned(&self, limit: Duration) -> Found {
        let limit = limit.as_secs_f64();
        Found::failed(
            "timeout",
            format!("no answer from DNS for {} within {limit:.1} s", self.name),
        )
    }

    /// Looks up the published members of `member`'s set. The caller bounds the time. Cancel-safe. `before` gives the addresses
    /// of members whose address query fails.
    pub async fn members(&mut self, member: &MemberName, before: &PeerList) -> Found {
        let answer = match self.resolver.srv(self.name.clone()).await {
            Ok(answer) => answer,
            Err(error) => return no_answer(&self.name, &error),
        };
        let resolver = &self.resolver;

        let mut addresses: HashMap<String, BTreeSet<IpAddr>> = HashMap::new();
        let mut records = Vec::new();
        for record in answer.answers().iter().chain(answer.additionals()) {
            match &record.data {
                RData::SRV(srv) => records.push(Record {
                    priority: srv.priority,
                    weight: Reverse(srv.weight),
                    host: host_of(&srv.target),
                    port: srv.port,
                }),
                _ => {
                    if let Some(address) = address_of(record) {
                        addresses.entry(host_of(&record.name)).or_default().insert(address);
                    }
                }
            }
        }
        if records.is_empty() {
            return Found::nobody("empty");
        }

        let answer::Members {
            by_ordinal,
            mut trouble,
        } = answer::members(records, &member.set);
        let addressed = futures_util::stream::iter(by_ordinal)
            .map(|(ordinal, record)| {
                let known = addresses.remove(&record.host);
                async move {
                    let addresses = match known {
                        Some(known) => Ok(known),
                        None => resolver.addresses(&record.host).await,
                    };
                    (ordinal, record, addresses)
                }
            })
            // Preserves the order, so neither the list nor the log text depends on which answer arrives first.
            .buffered(ADDRESS_LOOKUPS)
            .collect::<Vec<_>>()
            .await;

        let mut peers = Vec::with_capacity(addressed.len());
        for (ordinal, record, addresses) in addressed {
            let addresses = match addresses {
                Ok(addresses) if addresses.is_empty() => {
                    trouble.no_address(&record.host, "none is published: left out");
                    continue;
                }
                Ok(addresses) => addresses.into_iter().collect(),
                // The member is published, but its address query failed. Use its previous addresses, if any.
                Err(error) => match before.peers.iter().find(|peer| peer.host == record.host) {
                    Some(peer) => {
                        trouble.no_address(&record.host, &format!("{error}: the previous one is used"));
                        peer.addresses.clone()
                    }
                    None => {
                        trouble.no_address(&record.host, &format!("{error}: left out"));
                        continue;
                    }
                },
            };
            let name = MemberName {
                set: member.set.clone(),
                ordinal: Some(ordinal),
            };
            peers.push(Peer {
                name: name.to_string(),
                ordinal,
                host: record.host,
                peer_port: record.port,
                addresses,
                is_self: name == *member,
            });
        }
        Found {
            outcome: "found",
            peers: Some(peers),
            trouble: trouble
                .line(&member.set)
                .map(|line| format!("in the answer for {}: {line}", self.name).into()),
        }
    }
}

fn host_of(name: &Name) -> String {
    let mut host = name.to_lowercase().to_ascii();
    if host.len() > 1 && host.ends_with('.') {
        host.pop();
    }
    host
}

/// NXDOMAIN and an empty answer mean that no member is published. Any other error says nothing about the members.
fn no_answer(name: &Name, error: &NoAnswer) -> Found {
    let error = match error {
        NoAnswer::Dns(error) if error.is_nx_domain() => return Found::nobody("nxdomain"),
        NoAnswer::Dns(error) if error.is_no_records_found() => return Found::nobody("empty"),
        NoAnswer::Dns(error) => error,
        NoAnswer::Tcp(_) => return Found::failed("truncated", format!("DNS for {name}: {error}")),
        NoAnswer::Configuration(_) => return Found::failed("failed", format!("DNS for {name}: {error}")),
    };
    let outcome = outcome(error);
    let trouble = match outcome {
        "timeout" => format!("DNS did not answer for {name} in time"),
        "truncated" => format!(
            "the answer for {name} is cut off even over TCP: more members are published than one DNS message of 64 KiB holds"
        ),
        "servfail" => format!("DNS failed to answer for {name} (SERVFAIL)"),
        "refused" => format!("DNS refused to answer for {name} (REFUSED)"),
        _ => format!("the DNS query for {name} failed: {error}"),
    };
    Found::failed(outcome, trouble)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::net::NetError;

    use super::*;

    #[test]
    fn trouble_before_any_question_names_what_was_to_be_asked() {
        let name = Name::from_ascii("_peer._tcp.rg.example.").unwrap();
        let no_resolver = no_answer(&name, &NoAnswer::Configuration(NetError::NoConnections));
        let lookup = Lookup::new(name, Nameservers::ResolvConf, Duration::from_secs(1));
        let abandoned = lookup.abandoned(Duration::from_secs(3));
        for found in [no_resolver, abandoned] {
            let trouble = found.trouble.unwrap();
            assert!(trouble.contains("DNS for _peer._tcp.rg.example."), "{trouble}");
        }
    }
}
