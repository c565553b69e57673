//! Members that find each other: a DNS server in this process, and member processes that a test starts and ends one by one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use random_generator::local::dns::DnsServer;
use random_generator::local::zone::{Published, Zone};
use random_generator::shutdown::{self, Trigger};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::harness::{Member, free_base, until};

pub const SERVICE: &str = "rg.default.svc.cluster.local";

/// A DNS server that can fall silent.
pub struct Dns {
    runtime: Runtime,
    pub address: SocketAddr,
    zone: Arc<Zone>,
    running: Option<(Trigger, JoinHandle<()>)>,
    silent: Option<std::net::UdpSocket>,
}

impl Dns {
    pub fn start() -> Dns {
        Dns::start_at("127.0.0.1:0")
    }

    pub fn start_at(address: &str) -> Dns {
        let mut dns = Dns {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            address: address.parse().unwrap(),
            zone: Arc::new(Zone::new(SERVICE).unwrap()),
            running: None,
            silent: None,
        };
        dns.answers();
        dns
    }

    /// (Re)starts the server at the same address.
    pub fn answers(&mut self) {
        self.silent = None;
        let server = DnsServer::bind(self.address, self.zone.clone());
        let server = self.runtime.block_on(server).unwrap();
        self.address = server.address();
        let (stop, stopped) = shutdown::stage();
        let _guard = self.runtime.enter();
        let task = self.runtime.spawn(async move { server.run(stopped).await.unwrap() });
        self.running = Some((stop, task));
    }

    /// Takes questions and never answers.
    pub fn falls_silent(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.pull();
            self.runtime.block_on(task).unwrap();
        }
        self.silent = Some(std::net::UdpSocket::bind(self.address).unwrap());
    }

    pub fn publish(&self, members: &[(u16, u16)]) {
        self.publish_at(members, &["127.0.0.1"]);
    }

    /// Ordinals and base ports; all at these addresses.
    pub fn publish_at(&self, members: &[(u16, u16)], addresses: &[&str]) {
        let published = members.iter().map(|&(ordinal, base)| Published {
            name: format!("rg-{ordinal}"),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            http_port: base,
            peer_port: base + 1,
        });
        let published: Vec<Published> = published.collect();
        self.runtime.block_on(self.zone.publish(&published));
    }
}

/// Three members by ordinal, of which any may be away.
pub struct Set {
    pub dir: TempDir,
    pub dns: Dns,
    bases: Vec<u16>,
    arguments: Vec<String>,
    pub members: Vec<Option<Member>>,
}

impl Set {
    /// Members that draw once a second, published and not started.
    pub fn prepared(count: u16, more: &[&str]) -> Set {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("shared")).unwrap();
        let dns = Dns::start();
        let bases: Vec<u16> = (0..count).map(|_| free_base()).collect();
        let published: Vec<_> = (0..count).zip(bases.iter().copied()).collect();
        dns.publish(&published);
        let text = [
            ("--discovery-name", SERVICE.to_owned()),
            ("--discovery-nameserver", dns.address.to_string()),
            ("--discovery-interval", "500ms".to_owned()),
            (
                "--lease-directory",
                dir.path().join("shared/lease").to_str().unwrap().to_owned(),
            ),
            ("--lease-duration", "2s".to_owned()),
            ("--draw-schedule", "@every 1s".to_owned()),
            ("--voters", count.to_string()),
        ];
        let mut arguments: Vec<String> = text
            .into_iter()
            .flat_map(|(key, value)| [key.to_owned(), value])
            .collect();
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        Set {
            members: (0..count).map(|_| None).collect(),
            dir,
            dns,
            bases,
            arguments,
        }
    }

    /// All of them, with draws under way.
    pub fn start(count: u16, more: &[&str]) -> Set {
        let mut set = Set::prepared(count, more);
        for ordinal in 0..count {
            set.start_member(ordinal, &[]);
        }
        set.member(0).until_round(2);
        set
    }

    pub fn volume(&self, ordinal: u16) -> PathBuf {
        self.dir.path().join(format!("rg-{ordinal}"))
    }

    pub fn lease_directory(&self) -> PathBuf {
        self.dir.path().join("shared/lease")
    }

    pub fn start_member(&mut self, ordinal: u16, more: &[&str]) {
        let name = format!("rg-{ordinal}");
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.extend(["--pod-name", name.as_str()]);
        arguments.extend(more);
        let member = Member::start_at(self.bases[usize::from(ordinal)], &self.volume(ordinal), &arguments);
        self.members[usize::from(ordinal)] = Some(member);
    }

    pub fn member(&self, ordinal: u16) -> &Member {
        self.members[usize::from(ordinal)].as_ref().unwrap()
    }

    pub fn take(&mut self, ordinal: u16) -> Member {
        self.members[usize::from(ordinal)].take().unwrap()
    }

    /// The ordinal that leads, by its own word.
    pub fn holder(&self) -> u16 {
        until("a holder", || {
            let mut running = (0..).zip(&self.members);
            running.find_map(|(ordinal, member)| {
                let leader = member.as_ref()?.json("/leader");
                (leader["self"] == true).then_some(ordinal)
            })
        })
    }

    /// A member that isn't the holder.
    pub fn follower(&self) -> u16 {
        let holder = self.holder();
        let mut others = (0..)
            .zip(&self.members)
            .filter(|(ordinal, member)| member.is_some() && *ordinal != holder);
        others.next().unwrap().0
    }
}
