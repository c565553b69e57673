//! `srv://SERVICE`: the public listeners that a Service publishes, asked of the DNS server of `cluster`.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use random_generator::discovery::Nameservers;
use random_generator::discovery::service::public_listeners;
use random_generator::local::dns::DnsServer;
use random_generator::local::zone::{Published, Zone};
use random_generator::shutdown;
use tokio::task::JoinSet;

const SERVICE: &str = "rg.default.svc.cluster.local";

#[tokio::test]
async fn a_service_gives_the_public_listeners_of_its_members_and_nobody_when_it_has_none() {
    let member = |n: u16| Published {
        name: format!("rg-{n}"),
        addresses: vec![Ipv4Addr::new(127, 0, 0, n as u8 + 1).into()],
        http_port: 8080 + 10 * n,
        peer_port: 8081 + 10 * n,
    };
    let zone = Arc::new(Zone::new(SERVICE).unwrap());
    zone.publish(&(0..3).map(member).collect::<Vec<_>>()).await;
    let server = DnsServer::bind("127.0.0.1:0".parse().unwrap(), zone.clone())
        .await
        .unwrap();
    let nameservers = Nameservers::At(vec![server.address()]);
    let (stop, signal) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(signal));

    let ask = async |service: &str| {
        let found = public_listeners(service, &nameservers, Duration::from_secs(5)).await;
        found.map(|found| found.into_iter().map(|listener| listener.authority).collect::<Vec<_>>())
    };
    let expected = ["127.0.0.1:8080", "127.0.0.2:8090", "127.0.0.3:8100"];
    let expected = expected.map(str::to_owned).to_vec();
    assert_eq!(ask(SERVICE).await, Ok(expected.clone()));
    assert_eq!(ask(&format!("{SERVICE}.")).await, Ok(expected));
    assert_eq!(ask("other.default.svc.cluster.local").await, Ok(Vec::new()));
    zone.publish(&[]).await;
    assert_eq!(ask(SERVICE).await, Ok(Vec::new()));

    stop.pull();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_nameserver_that_keeps_silent_is_reported_within_a_bounded_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nameservers = Nameservers::At(vec![silent.local_addr().unwrap()]);
    let told = public_listeners(SERVICE, &nameservers, Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(told.contains("_http._tcp.rg.default.svc.cluster.local"), "{told}");
}
