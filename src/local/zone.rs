//! The names of one headless Service with `publishNotReadyAddresses`, as CoreDNS's kubernetes plugin answers for them
//! (<https://coredns.io/plugins/kubernetes/>). The records are in hickory's in-memory zone.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{A, AAAA, SOA, SRV};
use hickory_server::proto::rr::{
    DNSClass, LowerName, Name, RData, Record, RecordSet, RecordType, RrKey, TSigResponseContext,
};
use hickory_server::server::{Request, RequestInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{
    AuthLookup, AxfrPolicy, LookupControlFlow, LookupError, LookupOptions, LookupRecords, ZoneHandler, ZoneType,
};

/// The plugin's default, in seconds, also for negative answers.
const TTL: u32 = 5;

/// A member as the Service publishes it, ready or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// `rg-1`: a label.
    pub name: String,
    /// Of either family, or of both.
    pub addresses: Vec<IpAddr>,
    /// The Service's port `http`. On one machine each member has its own.
    pub http_port: u16,
    /// The Service's port `peer`.
    pub peer_port: u16,
}

/// The zone that the Service is in. Nobody is published until [`publish`](Zone::publish).
pub struct Zone {
    /// `rg.default.svc.cluster.local.`
    service: Name,
    peer: Name,
    http: Name,
    records: InMemoryZoneHandler,
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
        let nameserver = below("ns", &below("dns", &apex)?)?;
        let soa = SOA::new(nameserver, below("hostmaster", &apex)?, 1, 7200, 1800, 86400, TTL);
        let mut records = InMemoryZoneHandler::empty(apex.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        records.upsert_mut(Record::from_rdata(apex, TTL, RData::SOA(soa)), 1);
        Ok(Zone {
            peer: below("_peer", &tcp)?,
            http: below("_http", &tcp)?,
            service: name,
            records,
        })
    }

    /// Replaces the members that are published. A Service without members has no names at all.
    pub async fn publish(&self, members: &[Published]) {
        let target = |member: &Published| self.service.prepend_label(member.name.as_str()).ok();
        let targets: Vec<_> = members.iter().filter_map(|m| Some((target(m)?, m))).collect();
        let weight = 100 / u16::try_from(targets.len()).unwrap_or(u16::MAX).max(1);
        let srv = |port: fn(&Published) -> u16| {
            let of = |(target, member): &(Name, &Published)| SRV::new(0, weight, port(member), target.clone());
            targets.iter().map(|place| RData::SRV(of(place))).collect()
        };
        let of_family = |member: &Published, ipv4| -> Vec<RData> {
            let addresses = member.addresses.iter().filter(|address| address.is_ipv4() == ipv4);
            addresses.map(|address| record_of(*address)).collect()
        };
        let mut sets: Vec<(Name, Vec<RData>)> = vec![
            (self.peer.clone(), srv(|member| member.peer_port)),
            (self.http.clone(), srv(|member| member.http_port)),
        ];
        for ipv4 in [true, false] {
            let all = targets.iter().flat_map(|(_, member)| of_family(member, ipv4));
            sets.push((self.service.clone(), all.collect()));
            let each = targets
                .iter()
                .map(|(name, member)| (name.clone(), of_family(member, ipv4)));
            sets.extend(each);
        }

        let mut records = self.records.records_mut().await;
        records.retain(|key, _| key.record_type == RecordType::SOA);
        for (name, data) in sets {
            let Some(kind) = data.first().map(RData::record_type) else {
                continue;
            };
            let mut set = RecordSet::with_ttl(name.clone(), kind, TTL);
            let record = |data| Record::from_rdata(name.clone(), TTL, data);
            // Inserting them one by one would drop equal ones: on one machine, all members have the same address.
            set.set_records(data.into_iter().map(record).collect());
            records.insert(RrKey::new(name.into(), kind), Arc::new(set));
        }
    }
}

fn record_of(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

#[async_trait::async_trait]
impl ZoneHandler for Zone {
    fn zone_type(&self) -> ZoneType {
        self.records.zone_type()
    }

    fn axfr_policy(&self) -> AxfrPolicy {
        self.records.axfr_policy()
    }

    fn origin(&self) -> &LowerName {
        self.records.origin()
    }

    /// As hickory's zone, with the address of every SRV target in the additional section: hickory adds the first one's only.
    async fn lookup(
        &self,
        name: &LowerName,
        kind: RecordType,
        request: Option<&RequestInfo<'_>>,
        options: LookupOptions,
    ) -> LookupControlFlow<AuthLookup> {
        let found = self.records.lookup(name, kind, request, options).await;
        let LookupControlFlow::Continue(Ok(found)) = found else {
            return found;
        };
        if kind != RecordType::SRV {
            return LookupControlFlow::Continue(Ok(found));
        }
        let records = self.records.records().await;
        let targets = found.iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(&srv.target),
            _ => None,
        });
        let targets =
            targets.flat_map(|target| [RecordType::A, RecordType::AAAA].map(|kind| RrKey::new(target.into(), kind)));
        let addresses = targets.filter_map(|key| records.get(&key).cloned()).collect();
        let additional = LookupRecords::many(options, addresses);
        LookupControlFlow::Continue(Ok(AuthLookup::answers(found.unwrap_records(), Some(additional))))
    }

    async fn search(
        &self,
        request: &Request,
        options: LookupOptions,
    ) -> (LookupControlFlow<AuthLookup>, Option<TSigResponseContext>) {
        let found = match request.request_info() {
            // hickory doesn't look at the class.
            Ok(info) if info.query.query_class() != DNSClass::IN => {
                LookupControlFlow::Break(Err(LookupError::from(ResponseCode::Refused)))
            }
            Ok(info) => {
                let (name, kind) = (info.query.name(), info.query.query_type());
                self.lookup(name, kind, Some(&info), options).await
            }
            Err(error) => LookupControlFlow::Break(Err(error)),
        };
        (found, None)
    }

    async fn nsec_records(&self, name: &LowerName, options: LookupOptions) -> LookupControlFlow<AuthLookup> {
        self.records.nsec_records(name, options).await
    }
}
