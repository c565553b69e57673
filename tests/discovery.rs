//! Discovery against a DNS server that misbehaves in each way that real ones do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod dns;
mod families;
mod waiting;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use dns::{Fault, TestDns};
use random_generator::clock::Clock;
use random_generator::discovery::service::public_listeners;
use random_generator::discovery::{Discovery, DiscoveryConfig, DiscoveryMetrics, Nameservers, Peer, PeerList};
use random_generator::identity::MemberName;
use random_generator::shutdown;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use waiting::{PATIENCE, eventually};

const SERVICE: &str = "rg.default.svc.cluster.local";

struct Running {
    dns: TestDns,
    discovery: Mutex<Discovery>,
    peers: watch::Receiver<Arc<PeerList>>,
    registry: prometheus_client::registry::Registry,
    clock: Clock,
}

fn config(nameservers: Nameservers) -> DiscoveryConfig {
    DiscoveryConfig {
        governing: Some(SERVICE.to_owned()),
        nameservers,
        member: MemberName {
            set: "rg".to_owned(),
            ordinal: Some(0),
        },
        peer_port: 8081,
        interval: Duration::from_secs(3600),
        timeout: Duration::from_millis(400),
    }
}

async fn running(change: impl FnOnce(&mut DiscoveryConfig)) -> Running {
    let dns = TestDns::start().await;
    let mut config = config(Nameservers::At(vec![dns.address]));
    change(&mut config);
    start(config, dns)
}

fn start(config: DiscoveryConfig, dns: TestDns) -> Running {
    let clock = Clock::system();
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = DiscoveryMetrics::register(&mut registry);
    let (discovery, peers) = Discovery::new(config, clock.clone(), metrics).unwrap();
    Running {
        dns,
        discovery: Mutex::new(discovery),
        peers,
        registry,
        clock,
    }
}

impl Running {
    async fn refresh(&self) -> Arc<PeerList> {
        let mut discovery = self.discovery.lock().await;
        timeout(PATIENCE, discovery.tick()).await.expect("a look-up is bounded");
        self.peers.borrow().clone()
    }

    fn metric(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().any(|l| l == line)
    }
}

fn names(list: &PeerList) -> Vec<&str> {
    list.peers.iter().map(|peer| peer.name.as_str()).collect()
}

#[tokio::test]
async fn srv_records_become_peers_by_ordinal_with_ports_addresses_and_self_marked() {
    let r = running(|_| {}).await;
    r.dns.publish((0..3).rev());
    let before = r.clock.now();
    let list = r.refresh().await;
    assert_eq!(names(&list), ["rg-0", "rg-1", "rg-2"]);
    assert_eq!(
        list.peers[1],
        Peer {
            name: "rg-1".into(),
            ordinal: 1,
            host: format!("rg-1.{SERVICE}"),
            peer_port: 8091,
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))],
            is_self: false,
        }
    );
    assert!(list.peers[0].is_self && !list.stale && list.trouble.is_none());
    assert!(list.resolved_at.unwrap().0 >= before.boot);
    assert!(
        r.dns
            .asked_for_srv()
            .iter()
            .all(|name| name == &format!("_peer._tcp.{SERVICE}.")),
        "no search domain"
    );
    assert!(r.dns.every_query_had_edns());
}

#[tokio::test]
async fn addresses_are_looked_up_when_the_server_sends_none_along() {
    let r = running(|_| {}).await;
    r.dns.publish(0..40);
    r.dns.set(Fault::NoAdditional);
    let list = r.refresh().await;
    assert_eq!(list.peers.len(), 40);
    assert_eq!(list.peers[39].addresses, [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 39))]);
}

#[tokio::test]
async fn a_timeout_keeps_the_list_and_says_that_it_is_old_until_an_answer_comes() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    let good = r.refresh().await;
    r.dns.set(Fault::Silence);
    let list = r.refresh().await;
    assert_eq!(names(&list), ["rg-0", "rg-1", "rg-2"]);
    assert!(list.stale);
    assert_eq!(list.resolved_at, good.resolved_at, "only an answer renews the time");
    assert!(
        list.trouble.as_ref().unwrap().contains("did not answer"),
        "{:?}",
        list.trouble
    );
    assert!(r.metric(r#"discovery_lookups_total{outcome="timeout"} 1"#));
    assert!(r.metric("discovery_stale 1"));

    r.dns.set(Fault::None);
    r.dns.publish(0..2);
    let list = r.refresh().await;
    assert_eq!(names(&list), ["rg-0", "rg-1"]);
    assert!(!list.stale && list.trouble.is_none());
    assert!(list.resolved_at > good.resolved_at);
}

#[tokio::test]
async fn servfail_and_refused_keep_the_list_but_nxdomain_empties_it() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    let good = r.refresh().await;
    for (fault, word) in [(Fault::ServFail, "SERVFAIL"), (Fault::Refused, "REFUSED")] {
        r.dns.set(fault);
        let list = r.refresh().await;
        assert_eq!((list.peers.len(), list.stale), (3, true), "{word}");
        assert_eq!(list.resolved_at, good.resolved_at);
        assert!(list.trouble.as_ref().unwrap().contains(word), "{:?}", list.trouble);
    }
    r.dns.set(Fault::NxDomain);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale, &list.trouble), (0, false, &None));
    assert!(list.resolved_at > good.resolved_at, "NXDOMAIN is an answer");
    assert!(r.metric(r#"discovery_lookups_total{outcome="nxdomain"} 1"#));
}

#[tokio::test]
async fn an_empty_answer_means_that_nobody_is_published() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    r.refresh().await;
    r.dns.set(Fault::Empty);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale), (0, false));
    assert!(r.metric(r#"discovery_lookups_total{outcome="empty"} 1"#));
    assert!(r.metric("discovery_peers 0"));
}

#[tokio::test]
async fn before_the_first_answer_a_failure_is_reported_and_nobody_is_listed() {
    let r = running(|_| {}).await;
    r.dns.set(Fault::ServFail);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale, list.resolved_at), (0, true, None));
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp_each_time() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    r.dns.set(Fault::AlwaysTruncateUdp);
    for _ in 0..3 {
        let list = r.refresh().await;
        assert_eq!((list.peers.len(), list.stale), (3, false), "{:?}", list.trouble);
    }
    assert!(r.dns.tcp_queries() >= 3);
}

#[tokio::test]
async fn an_answer_cut_off_even_over_tcp_keeps_the_list_and_says_why() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    r.refresh().await;
    r.dns.set(Fault::AlwaysTruncate);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale), (3, true));
    assert!(
        list.trouble.as_ref().unwrap().contains("more members"),
        "{:?}",
        list.trouble
    );
}

#[tokio::test]
async fn commands_get_the_name_of_a_member_whose_address_is_not_to_be_had_and_the_addresses_of_the_others() {
    let dns = TestDns::start().await;
    dns.publish(0..3);
    dns.set(Fault::NoAddressOfOne);
    let nameservers = Nameservers::At(vec![dns.address]);
    let found = public_listeners(SERVICE, &nameservers, Duration::from_millis(400))
        .await
        .unwrap();
    let named: Vec<&str> = found.iter().map(|listener| listener.authority.as_str()).collect();
    assert_eq!(
        named,
        ["10.0.0.0:8081", &format!("rg-1.{SERVICE}:8091"), "10.0.0.2:8101"]
    );
    assert!(found[1].addresses.is_empty());
}

#[tokio::test]
async fn where_tcp_cannot_be_used_the_list_stays_and_says_so() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    r.refresh().await;
    r.dns.set(Fault::NoTcp);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale), (3, true));
    let trouble = list.trouble.as_ref().unwrap();
    assert!(
        trouble.contains("longer than UDP carries, and TCP to the nameserver failed"),
        "{trouble}"
    );
}

#[tokio::test]
async fn an_alias_of_the_service_lists_the_members_behind_it() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    r.dns.set(Fault::Alias);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale), (3, false), "{:?}", list.trouble);
}

#[tokio::test]
async fn five_hundred_members_are_listed() {
    let r = running(|_| {}).await;
    r.dns.publish(0..500);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale), (500, false), "{:?}", list.trouble);
    assert!(list.peers.windows(2).all(|pair| pair[0].ordinal + 1 == pair[1].ordinal));
}

#[tokio::test]
async fn five_hundred_members_without_addresses_along_are_listed() {
    let r = running(|config| config.timeout = Duration::from_secs(3)).await;
    r.dns.publish(0..500);
    r.dns.set(Fault::NoAdditional);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale), (500, false), "{:?}", list.trouble);
}

#[tokio::test]
async fn names_that_do_not_fit_are_left_out_and_reported() {
    let r = running(|_| {}).await;
    r.dns.publish(0..2);
    r.dns.also_srv("web-0.example.", 1);
    r.dns.also_srv(&format!("rg-1024.{SERVICE}."), 1);
    let list = r.refresh().await;
    assert_eq!(names(&list), ["rg-0", "rg-1"]);
    let trouble = list.trouble.as_ref().unwrap();
    assert!(
        !list.stale && trouble.contains("web-0.example") && trouble.contains("rg-1024"),
        "{trouble}"
    );
}

#[tokio::test]
async fn a_target_without_address_is_left_out_and_reported() {
    let r = running(|_| {}).await;
    r.dns.publish(0..2);
    r.dns.also_srv("rg-7.elsewhere.example.", 1);
    let list = r.refresh().await;
    assert_eq!(names(&list), ["rg-0", "rg-1"]);
    assert!(
        list.trouble.as_ref().unwrap().contains("rg-7.elsewhere.example"),
        "{:?}",
        list.trouble
    );
}

#[tokio::test]
async fn a_member_that_is_not_published_does_not_add_itself() {
    let r = running(|_| {}).await;
    r.dns.publish(1..3);
    let list = r.refresh().await;
    assert_eq!(names(&list), ["rg-1", "rg-2"]);
    assert!(list.peers.iter().all(|peer| !peer.is_self));
}

#[tokio::test]
async fn readers_are_woken_only_by_changes_and_always_read_the_newest_time() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    r.refresh().await;
    let mut peers = r.peers.clone();
    let first = peers.borrow_and_update().resolved_at;
    r.refresh().await;
    assert!(!peers.has_changed().unwrap(), "the same answer wakes nobody");
    assert!(peers.borrow().resolved_at > first, "and yet its time is there");
    r.dns.publish(0..4);
    r.refresh().await;
    assert!(peers.has_changed().unwrap());
}

#[tokio::test]
async fn it_looks_up_again_by_itself() {
    let r = running(|config| config.interval = Duration::from_millis(150)).await;
    r.dns.publish(0..1);
    let mut peers = r.peers.clone();
    let (_stop, signal) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(r.discovery.into_inner().run(signal));
    timeout(PATIENCE, peers.wait_for(|list| list.peers.len() == 1))
        .await
        .unwrap()
        .unwrap();
    r.dns.publish(0..3);
    timeout(PATIENCE, peers.wait_for(|list| list.peers.len() == 3))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn one_dead_nameserver_of_two_does_not_matter() {
    let dns = TestDns::start().await;
    dns.publish(0..3);
    let dead = dns::unused_address().await;
    let r = start(config(Nameservers::At(vec![dead, dns.address])), dns);
    let list = r.refresh().await;
    assert_eq!((list.peers.len(), list.stale), (3, false), "{:?}", list.trouble);
}

#[tokio::test]
async fn a_stop_ends_it_at_once_even_in_a_look_up() {
    let r = running(|config| config.timeout = Duration::from_secs(60)).await;
    r.dns.set(Fault::Silence);
    let (stop, signal) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(r.discovery.into_inner().run(signal));
    eventually("a look-up", async || (!r.dns.asked_for_srv().is_empty()).then_some(())).await;
    stop.pull();
    timeout(Duration::from_secs(2), tasks.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn alone_it_lists_itself_and_is_never_stale() {
    let alone = |config: &mut DiscoveryConfig| config.governing = None;
    let r = running(alone).await;
    let list = r.peers.borrow().clone();
    assert_eq!(names(&list), ["rg-0"]);
    assert_eq!(
        (list.peers[0].host.as_str(), list.peers[0].peer_port),
        ("127.0.0.1", 8081)
    );
    let later = r.refresh().await;
    assert!(later.peers[0].is_self && !later.stale && later.resolved_at > list.resolved_at);
    assert!(r.dns.asked_for_srv().is_empty());

    let r = running(|config| {
        alone(config);
        config.member.ordinal = None;
    })
    .await;
    assert!(
        r.refresh().await.peers.is_empty(),
        "a name without ordinal is in no list"
    );
}

#[test]
fn a_wrong_name_and_no_nameserver_are_refused_with_the_reason() {
    let refused = |config| {
        Discovery::new(config, Clock::system(), DiscoveryMetrics::default())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let here: SocketAddr = "127.0.0.1:53".parse().unwrap();
    let mut wrong = config(Nameservers::At(vec![here]));
    wrong.governing = Some("rg..local".to_owned());
    assert!(refused(wrong).contains("\"rg..local\" is not a DNS name"));
    assert!(refused(config(Nameservers::At(Vec::new()))).contains("no nameserver"));
}

fn addresses(list: &PeerList, at: usize) -> Vec<String> {
    list.peers[at].addresses.iter().map(IpAddr::to_string).collect()
}

#[tokio::test]
async fn a_member_may_have_addresses_of_either_family_or_of_both() {
    for fault in [Fault::None, Fault::NoAdditional] {
        let r = running(|_| {}).await;
        r.dns.publish(0..4);
        r.dns.place(0, &["2001:db8::1"]);
        r.dns.place(2, &["2001:db8::2", "10.0.0.2"]);
        r.dns.place(3, &["::ffff:10.0.0.3"]);
        r.dns.set(fault);
        let list = r.refresh().await;
        assert_eq!(addresses(&list, 0), ["2001:db8::1"], "{fault:?}");
        assert_eq!(addresses(&list, 1), ["10.0.0.1"], "{fault:?}");
        assert_eq!(addresses(&list, 2), ["10.0.0.2", "2001:db8::2"], "{fault:?}");
        assert_eq!(addresses(&list, 3), ["10.0.0.3"], "{fault:?}: IPv4 as such");
        assert_eq!(list.trouble, None);
    }
}

#[tokio::test]
async fn a_query_for_one_family_that_fails_does_not_take_the_member_for_one_without_address() {
    let r = running(|_| {}).await;
    r.dns.publish(0..3);
    r.dns.place(1, &["2001:db8::1"]);
    r.dns.place(2, &["10.0.0.2", "2001:db8::2"]);
    r.dns.set(Fault::NoIpv6);
    let list = r.refresh().await;
    assert_eq!(names(&list), ["rg-0", "rg-2"]);
    assert_eq!(addresses(&list, 1), ["10.0.0.2"]);
    let trouble = list.trouble.clone().unwrap();
    assert!(trouble.contains("rg-1") && trouble.contains("servfail"), "{trouble}");
    r.dns.set(Fault::None);
    assert_eq!(names(&*r.refresh().await), ["rg-0", "rg-1", "rg-2"]);
    r.dns.set(Fault::NoIpv6);
    let list = r.refresh().await;
    assert_eq!(addresses(&list, 1), ["2001:db8::1"], "the previous one");
}

#[tokio::test]
async fn silence_about_one_family_holds_the_other_up_only_briefly() {
    let long = Duration::from_secs(20);
    let r = running(|config| config.timeout = long).await;
    r.dns.publish(0..3);
    r.dns.set(Fault::SilentIpv6);
    let began = r.clock.boot();
    assert_eq!(names(&*r.refresh().await), ["rg-0", "rg-1", "rg-2"]);
    assert!(r.clock.boot().since(began) < long / 2, "it waited for the silent one");
}

#[tokio::test]
async fn a_nameserver_may_have_an_ipv6_address() {
    let dns = TestDns::start_at("[::1]:0").await;
    dns.publish(0..3);
    let config = config(Nameservers::At(vec![dns.address]));
    let r = start(config, dns);
    assert_eq!(names(&*r.refresh().await), ["rg-0", "rg-1", "rg-2"]);
    r.dns.set(Fault::AlwaysTruncateUdp);
    assert_eq!(names(&*r.refresh().await), ["rg-0", "rg-1", "rg-2"], "over TCP");
    assert!(r.dns.tcp_queries() > 0);
}

#[tokio::test]
async fn a_service_lists_every_address_of_its_listeners() {
    let dns = TestDns::start().await;
    dns.publish(0..2);
    dns.place(0, &["2001:db8::1"]);
    dns.place(1, &["2001:db8::2", "10.0.0.2"]);
    let servers = Nameservers::At(vec![dns.address]);
    let found = public_listeners(SERVICE, &servers, DiscoveryConfig::TIMEOUT)
        .await
        .unwrap();
    assert_eq!(found[0].authority, "[2001:db8::1]:8081");
    assert_eq!(found[1].authority, "10.0.0.2:8091");
    let all: Vec<String> = found[1].addresses.iter().map(SocketAddr::to_string).collect();
    assert_eq!(all, ["10.0.0.2:8091", "[2001:db8::2]:8091"]);
}

#[tokio::test]
async fn every_trouble_names_the_name_that_was_asked() {
    for fault in [
        Fault::Silence,
        Fault::ServFail,
        Fault::Refused,
        Fault::AlwaysTruncate,
        Fault::NoTcp,
        Fault::NoAddressOfOne,
    ] {
        let r = running(|_| {}).await;
        r.dns.publish(0..3);
        r.dns.set(fault);
        let trouble = r.refresh().await.trouble.clone().unwrap();
        assert!(
            trouble.contains(&format!("_peer._tcp.{SERVICE}.")),
            "{fault:?}: {trouble}"
        );
        let servers = Nameservers::At(vec![r.dns.address]);
        if let Err(trouble) = public_listeners(SERVICE, &servers, Duration::from_millis(400)).await {
            assert!(
                trouble.contains(&format!("_http._tcp.{SERVICE}.")),
                "{fault:?}: {trouble}"
            );
        }
    }
}

/// Starts itself again where this server is configured and has its address.
#[tokio::test]
async fn a_nameserver_may_be_link_local_with_its_zone() {
    const RESOLV_CONF: &str = "nameserver fe80::1%lo\n";
    if std::fs::read_to_string("/etc/resolv.conf").is_ok_and(|text| text == RESOLV_CONF) {
        return ask_a_link_local_nameserver().await;
    }
    let dir = tempfile::tempdir().unwrap();
    let resolv_conf = dir.path().join("resolv.conf");
    std::fs::write(&resolv_conf, RESOLV_CONF).unwrap();
    let script = format!(
        "{}mount --bind {} /etc/resolv.conf\n\
         exec {} --exact a_nameserver_may_be_link_local_with_its_zone\n",
        families::LINK_LOCAL,
        resolv_conf.display(),
        std::env::current_exe().unwrap().display()
    );
    let ended = families::in_own_network(&[], &script).output().unwrap();
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success() && stdout.contains("1 passed"), "{stdout}");
}

async fn ask_a_link_local_nameserver() {
    let dns = TestDns::start_at("[fe80::1%1]:53").await;
    dns.publish(0..3);
    let named = Nameservers::At(vec![dns.address]);
    let mut r = start(config(Nameservers::ResolvConf), dns);
    for servers in [Nameservers::ResolvConf, named] {
        r = start(config(servers), r.dns);
        for fault in [Fault::None, Fault::NoAdditional, Fault::AlwaysTruncateUdp] {
            r.dns.set(fault);
            let list = r.refresh().await;
            assert_eq!(names(&list), ["rg-0", "rg-1", "rg-2"], "{fault:?}: {:?}", list.trouble);
            // Its own addresses the kernel finds without a zone by UDP, but not by TCP.
            assert!(!list.stale, "{fault:?}: {:?}", list.trouble);
        }
    }
}
