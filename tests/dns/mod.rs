//! A DNS server on UDP and TCP that misbehaves as told. It shares no code with the one of `cluster`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    Silence,
    ServFail,
    Refused,
    NxDomain,
    /// NOERROR without records.
    Empty,
    /// SRV records only.
    NoAdditional,
    /// TC and nothing else on UDP, whatever the size.
    AlwaysTruncateUdp,
    AlwaysTruncate,
    /// As AlwaysTruncateUdp, and TCP connections end at once.
    NoTcp,
    /// SRV records only, and SERVFAIL for the addresses of member 1.
    NoAddressOfOne,
    /// SRV records only, and SERVFAIL for IPv6 addresses.
    NoIpv6,
    /// SRV records only, and silence when asked for IPv6 addresses.
    SilentIpv6,
    /// The SRV name is an alias, a CNAME, of the real one.
    Alias,
}

#[derive(Default)]
struct State {
    fault: Fault,
    srv: Vec<(Name, u16)>,
    ordinals: Vec<u16>,
    /// Instead of 10.0.0.n.
    addresses: HashMap<u16, Vec<IpAddr>>,
    asked_for_srv: Vec<String>,
    without_edns: usize,
    tcp_queries: usize,
}

pub struct TestDns {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

const SERVICE: &str = "rg.default.svc.cluster.local";

/// An address where nothing listens on UDP or TCP.
pub async fn unused_address() -> SocketAddr {
    let (udp, _tcp) = bind("127.0.0.1:0").await;
    udp.local_addr().unwrap()
}

async fn bind(address: &str) -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind(address).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

impl TestDns {
    pub async fn start() -> TestDns {
        TestDns::start_at("127.0.0.1:0").await
    }

    pub async fn start_at(address: &str) -> TestDns {
        let (udp, tcp) = bind(address).await;
        let address = udp.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, state.clone()));
        tasks.spawn(serve_tcp(tcp, state.clone()));
        TestDns {
            address,
            state,
            _tasks: tasks,
        }
    }

    pub fn set(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// Members at 10.0.0.n, peer port 8081 + 10 n.
    pub fn publish(&self, ordinals: impl Iterator<Item = u16>) {
        let mut state = self.state.lock().unwrap();
        state.ordinals = ordinals.collect();
        state.srv = state
            .ordinals
            .iter()
            .map(|n| (Name::from_ascii(format!("rg-{n}.{SERVICE}.")).unwrap(), 8081 + 10 * n))
            .collect();
    }

    /// Addresses of one member, instead of 10.0.0.n.
    pub fn place(&self, ordinal: u16, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        let mut state = self.state.lock().unwrap();
        state.addresses.insert(ordinal, addresses.collect());
    }

    pub fn also_srv(&self, target: &str, port: u16) {
        self.state
            .lock()
            .unwrap()
            .srv
            .push((Name::from_ascii(target).unwrap(), port));
    }

    pub fn asked_for_srv(&self) -> Vec<String> {
        self.state.lock().unwrap().asked_for_srv.clone()
    }

    pub fn every_query_had_edns(&self) -> bool {
        self.state.lock().unwrap().without_edns == 0
    }

    pub fn tcp_queries(&self) -> usize {
        self.state.lock().unwrap().tcp_queries
    }
}

async fn serve_udp(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let Some((answer, payload)) = answer(&buffer[..length], &state, false) else {
            continue;
        };
        let mut bytes = encoded(&answer);
        if bytes.len() > usize::from(payload) {
            bytes = encoded(&truncated(answer));
        }
        socket.send_to(&bytes, from).await.unwrap();
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve_stream(stream, state.clone()));
    }
}

async fn serve_stream(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut bytes = vec![0; usize::from(length)];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        if state.lock().unwrap().fault == Fault::NoTcp {
            return;
        }
        if let Some((answer, _)) = answer(&bytes, &state, true) {
            let bytes = encoded(&answer);
            let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
            framed.extend(bytes);
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

/// On the wire as CoreDNS writes it: owner names compressed, SRV targets not (RFC 2782). hickory's own encoder stops to
/// compress after a few names, and 500 members with their addresses would not fit.
fn encoded(message: &Message) -> Vec<u8> {
    let mut bare = message.clone();
    let (answers, additionals) = (std::mem::take(&mut bare.answers), std::mem::take(&mut bare.additionals));
    let mut bytes = bare.to_vec().unwrap();
    bytes[6..8].copy_from_slice(&u16::try_from(answers.len()).unwrap().to_be_bytes());
    bytes[10..12].copy_from_slice(&u16::try_from(additionals.len()).unwrap().to_be_bytes());
    let label = |bytes: &mut Vec<u8>, label: &[u8]| {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label);
    };
    for (record, additional) in answers
        .iter()
        .map(|r| (r, false))
        .chain(additionals.iter().map(|r| (r, true)))
    {
        if additional {
            // The Service's name stands in the question, after `_peer` and `_tcp`.
            label(&mut bytes, record.name.iter().next().unwrap());
            bytes.extend([0xC0, 12 + 6 + 5]);
        } else if record.name == message.queries[0].name {
            bytes.extend([0xC0, 12]);
        } else {
            record.name.iter().for_each(|part| label(&mut bytes, part));
            bytes.push(0);
        }
        bytes.extend(u16::from(record.record_type()).to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(record.ttl.to_be_bytes());
        let mut data = Vec::new();
        match &record.data {
            RData::A(a) => data.extend(a.0.octets()),
            RData::AAAA(aaaa) => data.extend(aaaa.0.octets()),
            RData::SRV(srv) => {
                for number in [srv.priority, srv.weight, srv.port] {
                    data.extend(number.to_be_bytes());
                }
                srv.target.iter().for_each(|part| label(&mut data, part));
                data.push(0);
            }
            RData::CNAME(target) => {
                target.0.iter().for_each(|part| label(&mut data, part));
                data.push(0);
            }
            other => panic!("{other:?}"),
        }
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

fn truncated(mut message: Message) -> Message {
    message.metadata.truncation = true;
    message.answers.clear();
    message.additionals.clear();
    message
}

/// The answer, and the payload size that the client takes on UDP.
fn answer(bytes: &[u8], state: &Mutex<State>, tcp: bool) -> Option<(Message, u16)> {
    let question = Message::from_vec(bytes).unwrap();
    let query = question.queries[0].clone();
    let mut state = state.lock().unwrap();
    if query.query_type() == RecordType::SRV {
        state.asked_for_srv.push(query.name().to_ascii());
    }
    state.without_edns += usize::from(question.edns.is_none());
    state.tcp_queries += usize::from(tcp);

    let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    message.add_query(query.clone());
    let code = match state.fault {
        Fault::Silence => return None,
        Fault::SilentIpv6 if query.query_type() == RecordType::AAAA => return None,
        Fault::NoIpv6 if query.query_type() == RecordType::AAAA => ResponseCode::ServFail,
        Fault::ServFail => ResponseCode::ServFail,
        Fault::Refused => ResponseCode::Refused,
        Fault::NxDomain => ResponseCode::NXDomain,
        Fault::NoAddressOfOne if query.name().to_ascii().starts_with("rg-1.") => ResponseCode::ServFail,
        _ => ResponseCode::NoError,
    };
    message.metadata.response_code = code;
    if code == ResponseCode::NoError && state.fault != Fault::Empty {
        let addresses = |n: u16| {
            let [high, low] = n.to_be_bytes();
            let usual = || vec![Ipv4Addr::new(10, 0, high, low).into()];
            let placed = state.addresses.get(&n).cloned().unwrap_or_else(usual);
            placed.into_iter().map(|address| match address {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            })
        };
        let host = |n: u16| Name::from_ascii(format!("rg-{n}.{SERVICE}.")).unwrap();
        let mut owner = query.name().clone();
        let real = Name::from_ascii(format!("_peer._tcp.real.{SERVICE}.")).unwrap();
        if state.fault == Fault::Alias
            && owner != real
            && ![RecordType::A, RecordType::AAAA].contains(&query.query_type())
        {
            message.add_answer(Record::from_rdata(owner, 300, RData::CNAME(CNAME(real.clone()))));
            owner = real;
        }
        match query.query_type() {
            RecordType::SRV => {
                for (target, port) in &state.srv {
                    let srv = RData::SRV(SRV::new(0, 100, *port, target.clone()));
                    message.add_answer(Record::from_rdata(owner.clone(), 300, srv));
                }
                let bare = [
                    Fault::NoAdditional,
                    Fault::NoAddressOfOne,
                    Fault::NoIpv6,
                    Fault::SilentIpv6,
                    Fault::Alias,
                ];
                if !bare.contains(&state.fault) {
                    for n in &state.ordinals {
                        for address in addresses(*n) {
                            message.additionals.push(Record::from_rdata(host(*n), 300, address));
                        }
                    }
                }
            }
            kind @ (RecordType::A | RecordType::AAAA) => {
                let name = query.name().to_ascii();
                let ordinal = name
                    .strip_prefix("rg-")
                    .and_then(|rest| rest.strip_suffix(&format!(".{SERVICE}.")));
                let ordinal = ordinal.and_then(|ordinal| ordinal.parse().ok());
                if let Some(n) = ordinal.filter(|ordinal| state.ordinals.contains(ordinal)) {
                    for address in addresses(n).filter(|address| address.record_type() == kind) {
                        message.add_answer(Record::from_rdata(query.name().clone(), 300, address));
                    }
                }
            }
            _ => {}
        }
    }
    let cut = state.fault == Fault::AlwaysTruncate
        || ([Fault::AlwaysTruncateUdp, Fault::NoTcp].contains(&state.fault) && !tcp);
    let message = if cut { truncated(message) } else { message };
    let payload = question.edns.as_ref().map_or(512, |edns| edns.max_payload());
    Some((message, payload))
}
