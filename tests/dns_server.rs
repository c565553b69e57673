//! The DNS server of `cluster`, asked by raw messages over UDP and TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, RData, RecordType};
use random_generator::clock::Clock;
use random_generator::discovery::{Discovery, DiscoveryConfig, DiscoveryMetrics, Nameservers};
use random_generator::identity::MemberName;
use random_generator::local::dns::{DnsError, DnsServer};
use random_generator::local::zone::{Published, Zone};
use random_generator::shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

const SERVICE: &str = "rg.default.svc.cluster.local";
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    zone: Arc<Zone>,
    stop: shutdown::Trigger,
    tasks: JoinSet<Result<(), DnsError>>,
}

fn published(count: u16) -> Vec<Published> {
    let member = |n| Published {
        name: format!("rg-{n}"),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        http_port: 8080 + 10 * n,
        peer_port: 8081 + 10 * n,
    };
    (0..count).map(member).collect()
}

async fn running(count: u16) -> Running {
    let zone = Arc::new(Zone::new(SERVICE).unwrap());
    zone.publish(&published(count)).await;
    let server = DnsServer::bind("127.0.0.1:0".parse().unwrap(), zone.clone())
        .await
        .unwrap();
    let address = server.address();
    let (stop, signal) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(signal));
    Running {
        address,
        zone,
        stop,
        tasks,
    }
}

fn question(name: &str, record_type: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message.edns = payload.map(|payload| {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        edns
    });
    message
}

/// The answer and its size on the wire.
async fn udp(address: SocketAddr, question: &Message) -> (Message, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question.to_vec().unwrap(), address).await.unwrap();
    let mut buffer = vec![0; 65536];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    (Message::from_vec(&buffer[..length]).unwrap(), length)
}

async fn tcp(address: SocketAddr, question: &Message) -> Message {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let bytes = question.to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let length = timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap();
    let mut bytes = vec![0; usize::from(length)];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    Message::from_vec(&bytes).unwrap()
}

impl Running {
    async fn ask(&self, name: &str, record_type: RecordType) -> Message {
        udp(self.address, &question(name, record_type, Some(4096))).await.0
    }
}

fn ports(message: &Message) -> Vec<(String, u16)> {
    let port = |record: &hickory_server::proto::rr::Record| match &record.data {
        RData::SRV(srv) => (srv.target.to_ascii(), srv.port),
        other => panic!("not an SRV record: {other:?}"),
    };
    message.answers.iter().map(port).collect()
}

fn nothing(message: &Message, code: ResponseCode) {
    assert_eq!(message.metadata.response_code, code);
    assert!(message.answers.is_empty() && message.metadata.authoritative);
    assert_eq!(message.authorities.len(), 1);
    assert!(matches!(&message.authorities[0].data, RData::SOA(soa) if soa.minimum == 5));
}

#[tokio::test]
async fn srv_gives_each_member_with_its_own_port_and_its_address_along() {
    let server = running(3).await;
    for (service, first) in [("_peer", 8081), ("_http", 8080)] {
        let answer = server.ask(&format!("{service}._tcp.{SERVICE}."), RecordType::SRV).await;
        assert!(answer.metadata.authoritative && !answer.metadata.truncation);
        let expected: Vec<_> = (0..3).map(|n| (format!("rg-{n}.{SERVICE}."), first + 10 * n)).collect();
        assert_eq!(ports(&answer), expected);
        assert!(answer.answers.iter().all(|record| record.ttl == 5));
        let names: Vec<_> = answer.additionals.iter().map(|record| record.name.to_ascii()).collect();
        assert_eq!(names, expected.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert!(
            answer
                .additionals
                .iter()
                .all(|r| matches!(&r.data, RData::A(a) if a.0 == Ipv4Addr::LOCALHOST))
        );
    }
}

#[tokio::test]
async fn the_service_and_each_target_have_addresses_in_any_case_of_letters() {
    let server = running(3).await;
    assert_eq!(server.ask(&format!("{SERVICE}."), RecordType::A).await.answers.len(), 3);
    assert_eq!(
        server
            .ask("RG-1.rg.Default.svc.cluster.LOCAL.", RecordType::A)
            .await
            .answers
            .len(),
        1
    );
}

#[tokio::test]
async fn an_unknown_name_is_nxdomain_and_a_known_one_of_another_type_is_nodata() {
    let server = running(3).await;
    for unknown in ["rg-3", "_web._tcp", "rg-1.x", "_peer._udp"] {
        nothing(
            &server.ask(&format!("{unknown}.{SERVICE}."), RecordType::A).await,
            ResponseCode::NXDomain,
        );
    }
    nothing(
        &server.ask("other.default.svc.cluster.local.", RecordType::A).await,
        ResponseCode::NXDomain,
    );
    for (known, record_type) in [
        (SERVICE.to_owned(), RecordType::AAAA),
        (format!("rg-1.{SERVICE}"), RecordType::AAAA),
        (format!("_peer._tcp.{SERVICE}"), RecordType::A),
        ("default.svc.cluster.local".to_owned(), RecordType::A),
    ] {
        nothing(
            &server.ask(&format!("{known}."), record_type).await,
            ResponseCode::NoError,
        );
    }
    let elsewhere = server.ask("example.com.", RecordType::A).await;
    assert_eq!(elsewhere.metadata.response_code, ResponseCode::Refused);
    let mut chaos = question(&format!("{SERVICE}."), RecordType::A, None);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let refused = udp(server.address, &chaos).await.0;
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn an_empty_set_is_nxdomain_and_a_member_scaled_away_is_gone_at_once() {
    let server = running(3).await;
    server.zone.publish(&published(1)).await;
    let name = format!("_peer._tcp.{SERVICE}.");
    assert_eq!(server.ask(&name, RecordType::SRV).await.answers.len(), 1);
    server.zone.publish(&published(0)).await;
    nothing(&server.ask(&name, RecordType::SRV).await, ResponseCode::NXDomain);
    nothing(
        &server.ask(&format!("{SERVICE}."), RecordType::A).await,
        ResponseCode::NXDomain,
    );
}

#[tokio::test]
async fn an_answer_too_long_for_the_clients_payload_is_cut_with_tc_and_whole_over_tcp() {
    let server = running(32).await;
    let name = format!("_peer._tcp.{SERVICE}.");
    for payload in [None, Some(512), Some(1232)] {
        let question = question(&name, RecordType::SRV, payload);
        let (answer, length) = udp(server.address, &question).await;
        assert!(answer.metadata.truncation, "{payload:?}");
        assert!(length <= usize::from(payload.unwrap_or(512)), "{payload:?}: {length}");
        let whole = tcp(server.address, &question).await;
        assert!(!whole.metadata.truncation);
        assert_eq!((whole.answers.len(), whole.additionals.len()), (32, 32));
    }
    let (whole, _) = udp(server.address, &question(&name, RecordType::SRV, Some(8192))).await;
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 32));
}

#[tokio::test]
async fn a_message_that_is_no_question_is_refused_and_the_server_goes_on() {
    let server = running(1).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for noise in [&b""[..], b"x", &[0xff; 64]] {
        socket.send_to(noise, server.address).await.unwrap();
    }
    let mut update = question(&format!("{SERVICE}."), RecordType::A, None);
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(
        udp(server.address, &update).await.0.metadata.response_code,
        ResponseCode::NotImp
    );
    assert_eq!(server.ask(&format!("{SERVICE}."), RecordType::A).await.answers.len(), 1);
}

#[tokio::test]
async fn discovery_finds_the_set_also_over_tcp_and_sees_it_shrink() {
    let server = running(32).await;
    let config = DiscoveryConfig {
        governing: Some(SERVICE.to_owned()),
        nameservers: Nameservers::At(vec![server.address]),
        member: MemberName {
            set: "rg".to_owned(),
            ordinal: Some(2),
        },
        peer_port: 8101,
        interval: Duration::from_secs(3600),
        timeout: DiscoveryConfig::TIMEOUT,
    };
    let (mut discovery, peers) = Discovery::new(config, Clock::system(), DiscoveryMetrics::default()).unwrap();
    timeout(PATIENCE, discovery.tick()).await.unwrap();
    let list = peers.borrow().clone();
    assert_eq!((list.peers.len(), &list.trouble), (32, &None));
    assert_eq!((list.peers[31].peer_port, list.peers[2].is_self), (8391, true));
    server.zone.publish(&published(0)).await;
    timeout(PATIENCE, discovery.tick()).await.unwrap();
    let list = peers.borrow().clone();
    assert_eq!((list.peers.len(), list.stale), (0, false));
}

#[tokio::test]
async fn it_stops_within_its_drain_even_with_a_connection_open() {
    let mut server = running(1).await;
    let _idle = TcpStream::connect(server.address).await.unwrap();
    server.ask(&format!("{SERVICE}."), RecordType::A).await;
    server.stop.pull();
    timeout(Duration::from_secs(2), server.tasks.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_and_a_name_that_is_no_service_are_reported() {
    let server = running(1).await;
    let zone = Arc::new(Zone::new(SERVICE).unwrap());
    let error = DnsServer::bind(server.address, zone).await.err().unwrap();
    assert!(
        error
            .to_string()
            .contains(&format!("cannot listen on {}", server.address)),
        "{error}"
    );
    for wrong in ["", "rg", "rg.local", "rg.default.cluster.local", "a..svc.x"] {
        assert!(Zone::new(wrong).is_err(), "{wrong}");
    }
}
