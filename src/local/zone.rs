//! What CoreDNS's kubernetes plugin answers for a headless Service with `publishNotReadyAddresses`
//! (<https://coredns.io/plugins/kubernetes/>): answers without I/O.

use std::net::Ipv4Addr;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{A, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

/// The plugin's default, in seconds, also for negative answers.
const TTL: u32 = 5;

/// A member as the Service publishes it, ready or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// `rg-1`: a label.
    pub name: String,
    pub address: Ipv4Addr,
    /// The Service's port `http`. On one machine each member has its own.
    pub http_port: u16,
    /// The Service's port `peer`.
    pub peer_port: u16,
}

/// The names of one headless Service.
#[derive(Clone, Debug)]
pub struct Zone {
    /// `cluster.local.`
    apex: Name,
    /// `rg.default.svc.cluster.local.`
    service: Name,
    peer: Name,
    http: Name,
    soa: Record,
}

/// One answer; `soa` stands in the authority section when there are no answers.
#[derive(Debug, Default)]
pub struct Answer {
    pub code: ResponseCode,
    pub answers: Vec<Record>,
    pub soa: Option<Record>,
    pub additionals: Vec<Record>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the name of a Service: give SERVICE.NAMESPACE.svc.ZONE")]
pub struct NotAService(String);

impl Zone {
    /// For a Service named `SERVICE.NAMESPACE.svc.ZONE`, with or without trailing dot.
    pub fn new(service: &str) -> Result<Zone, NotAService> {
        let wrong = || NotAService(service.to_owned());
        let mut name = Name::from_ascii(service).map_err(|_| wrong())?.to_lowercase();
        name.set_fqdn(true);
        if name.num_labels() < 4 || name.iter().nth(2) != Some(b"svc") {
            return Err(wrong());
        }
        let below = |label: &str, name: &Name| name.prepend_label(label).map_err(|_| wrong());
        let apex = name.base_name().base_name().base_name();
        let tcp = below("_tcp", &name)?;
        let soa = SOA::new(
            below("ns", &below("dns", &apex)?)?,
            below("hostmaster", &apex)?,
            1,
            7200,
            1800,
            86400,
            TTL,
        );
        Ok(Zone {
            peer: below("_peer", &tcp)?,
            http: below("_http", &tcp)?,
            soa: Record::from_rdata(apex.clone(), TTL, RData::SOA(soa)),
            apex,
            service: name,
        })
    }

    /// The answer while `members` are published. Names compare without case (RFC 4343).
    pub fn answer(&self, name: &Name, record_type: RecordType, members: &[Published]) -> Answer {
        if !self.apex.zone_of(name) {
            return Answer {
                code: ResponseCode::Refused,
                ..Answer::default()
            };
        }
        if *name == self.apex && record_type == RecordType::SOA {
            return Answer {
                answers: vec![self.soa.clone()],
                ..Answer::default()
            };
        }
        // Above the Service there are names without records: cluster.local, svc, the namespace.
        if *name != self.service && name.zone_of(&self.service) {
            return self.nothing(ResponseCode::NoError);
        }
        let targets = || members.iter().filter_map(|member| Some((member, self.target(member)?)));
        let srv = |port: fn(&Published) -> u16| {
            let weight = 100 / u16::try_from(members.len()).unwrap_or(u16::MAX).max(1);
            let answers = targets().map(|(member, target)| {
                let srv = SRV::new(0, weight, port(member), target);
                Record::from_rdata(name.clone(), TTL, RData::SRV(srv))
            });
            let additionals = targets().map(|(member, target)| address(target, member));
            (answers.collect::<Vec<_>>(), additionals.collect::<Vec<_>>())
        };
        let (known, (answers, additionals)) = if *name == self.peer || *name == self.http {
            let port: fn(&Published) -> u16 = if *name == self.peer {
                |m| m.peer_port
            } else {
                |m| m.http_port
            };
            (
                true,
                if record_type == RecordType::SRV {
                    srv(port)
                } else {
                    Default::default()
                },
            )
        } else {
            let here: Vec<&Published> = targets()
                .filter(|(_, target)| *name == self.service || target == name)
                .map(|(m, _)| m)
                .collect();
            let known = !here.is_empty();
            let addresses = here.into_iter().map(|member| address(name.clone(), member)).collect();
            (
                known,
                if record_type == RecordType::A {
                    (addresses, Vec::new())
                } else {
                    Default::default()
                },
            )
        };
        // A headless Service without endpoints is as if it weren't there.
        if !known || members.is_empty() {
            return self.nothing(ResponseCode::NXDomain);
        }
        if answers.is_empty() {
            return self.nothing(ResponseCode::NoError);
        }
        Answer {
            answers,
            additionals,
            ..Answer::default()
        }
    }

    fn target(&self, member: &Published) -> Option<Name> {
        self.service.prepend_label(member.name.as_str()).ok()
    }

    /// No such name, or none of this type; both with the SOA that says how long that may be believed (RFC 2308).
    fn nothing(&self, code: ResponseCode) -> Answer {
        Answer {
            code,
            soa: Some(self.soa.clone()),
            ..Answer::default()
        }
    }
}

fn address(name: Name, member: &Published) -> Record {
    Record::from_rdata(name, TTL, RData::A(A(member.address)))
}
