//! With a ledger on a volume, and peers on sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Mutex;

use futures_util::poll;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::client::Client;
use crate::clock::Clock;
use crate::draw::contributor::Contributor;
use crate::draw::ledger::LedgerSnapshot;
use crate::draw::ledger::storage::StorageConfig;
use crate::draw::ledger::task::tests::view;
use crate::draw::ledger::task::{LedgerConfig, LedgerMetrics, start};
use crate::lease::{Head, LeaseSnapshot};
use crate::peer::client::LIMITS;
use crate::record::{Contribution, Draft, Hex};
use crate::shutdown::{self, Trigger};

/// Within it everything is done that doesn't wait for an hour.
const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);

fn chain(rounds: u64) -> Vec<Arc<Record>> {
    let mut records: Vec<Arc<Record>> = Vec::new();
    for _ in 0..rounds {
        let draft = Draft {
            contributions: vec![Contribution {
                member: "rg-0".to_owned(),
                next_commitment: Hex([9; 32]),
                ordinal: 0,
                reveal: None,
            }],
            ..Draft::after(records.last().map(|record| &**record), 1)
        };
        records.push(Arc::new(draft.seal()));
    }
    records
}

fn listed(peers: &[&Server]) -> Arc<PeerList> {
    let peers = peers.iter().zip(0..).map(|(peer, ordinal)| Peer {
        name: format!("rg-{ordinal}"),
        ordinal,
        host: "localhost".into(),
        peer_port: peer.address.port(),
        addresses: vec![peer.address.ip()],
        is_self: false,
    });
    Arc::new(PeerList {
        peers: peers.collect(),
        resolved_at: None,
        stale: false,
        trouble: None,
    })
}

/// A peer with these records; it doesn't answer the first `silent` requests.
struct Server {
    address: SocketAddr,
    asked: watch::Receiver<u32>,
    records: Arc<Mutex<BTreeMap<Hash, Arc<Record>>>>,
    _task: JoinSet<()>,
}

impl Server {
    async fn start(silent: u32) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, asked) = watch::channel(0);
        let records: Arc<Mutex<BTreeMap<Hash, Arc<Record>>>> = Arc::default();
        let known = records.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let hash = head.split(['/', '?']).nth(3).unwrap().parse().unwrap();
                let mut found = Vec::new();
                let mut next = Some(hash);
                while let Some(record) = next.and_then(|hash| known.lock().unwrap().get(&hash).cloned()) {
                    next = record.previous;
                    found.push(record.canonical());
                }
                let body = format!("[{}]", found.join(","));
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                count.send_modify(|count| *count += 1);
                if *count.borrow() > silent {
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            }
        });
        Server {
            address,
            asked,
            records,
            _task: task,
        }
    }

    fn add(&self, records: &[Arc<Record>]) {
        let records = records.iter().map(|record| (record.hash, record.clone()));
        self.records.lock().unwrap().extend(records);
    }

    async fn until_asked(&self, times: u32) {
        let mut asked = self.asked.clone();
        let reached = asked.wait_for(|count| *count >= times);
        timeout(PATIENCE, reached).await.expect("it is asked").unwrap();
    }
}

/// A member that has seen the newest of some records.
struct Member {
    _dir: tempfile::TempDir,
    ledger: LedgerHandle,
    lease: watch::Sender<Arc<LeaseSnapshot>>,
    peers: watch::Sender<Arc<PeerList>>,
    stop: Trigger,
    tasks: JoinSet<()>,
}

impl Member {
    fn start(waits: Waits, peers: &[&Server], head: &Arc<Record>) -> Member {
        let dir = tempfile::tempdir().unwrap();
        let config = LedgerConfig {
            path: dir.path().join("ledger.db"),
            storage: StorageConfig::default(),
            keep: None,
            contributor: Contributor {
                set: "rg".into(),
                ordinal: 7,
            },
        };
        let metrics = LedgerMetrics::register(&mut Registry::default());
        let (task, ledger) = start(config, Clock::system(), metrics).unwrap();
        let (lease, views) = watch::channel(view(Head::Valid(head.clone())));
        let (peers, list) = watch::channel(listed(peers));
        let (stop, stopped) = shutdown::stage();
        let client = PeerClient::new(Client::new(LIMITS), None, Clock::system());
        let mut tasks = JoinSet::new();
        let ends = stopped.clone();
        tasks.spawn(async move { task.run(views, ends).await.unwrap() });
        tasks.spawn(fetch(ledger.clone(), list, Arc::new(client), waits, stopped));
        Member {
            _dir: dir,
            ledger,
            lease,
            peers,
            stop,
            tasks,
        }
    }

    async fn until(&self, condition: impl FnMut(&Arc<LedgerSnapshot>) -> bool) {
        let mut snapshots = self.ledger.snapshots();
        let reached = timeout(PATIENCE, snapshots.wait_for(condition)).await;
        reached.expect("it is fetched").unwrap();
    }

    async fn stop(self) {
        self.stop.pull();
        timeout(PATIENCE, self.tasks.join_all()).await.unwrap();
    }
}

/// After which nothing happens within a test unless something else begins it.
const SLOW: Waits = Waits {
    first: HOUR,
    longest: HOUR,
    unanswered: HOUR,
};

#[tokio::test]
async fn a_peer_that_is_new_or_back_is_asked_at_once_however_long_the_wait_is() {
    let records = chain(9);
    let (without, with) = (Server::start(0).await, Server::start(0).await);
    let member = Member::start(SLOW, &[&without], &records[8]);
    without.until_asked(1).await;
    with.add(&records[4..8]);
    member.peers.send_replace(listed(&[&without, &with]));
    member.until(|snapshot| snapshot.oldest() == Some(5)).await;
    // Nobody has the others, until one comes back at another address.
    with.until_asked(2).await;
    let back = Server::start(0).await;
    back.add(&records[..4]);
    member.peers.send_replace(listed(&[&without, &back]));
    member.until(|snapshot| snapshot.oldest() == Some(1)).await;
    member.stop().await;
}

#[tokio::test]
async fn a_peer_that_was_gone_is_new_when_it_is_listed_again() {
    let (stays, goes) = (Server::start(0).await, Server::start(0).await);
    let both = listed(&[&stays, &goes]);
    let (list, mut peers) = watch::channel(both.clone());
    let mut waits = pin!(newcomer(&mut peers, both.peers.clone()));
    for present in [both.clone(), listed(&[&stays]), listed(&[&stays])] {
        list.send_replace(present);
        assert!(poll!(&mut waits).is_pending());
    }
    list.send_replace(both);
    assert!(poll!(&mut waits).is_ready());
}

#[tokio::test]
async fn another_record_that_is_wanted_is_asked_for_at_once() {
    let records = chain(9);
    let peer = Server::start(0).await;
    let member = Member::start(SLOW, &[&peer], &records[2]);
    peer.until_asked(1).await;
    peer.add(&records[4..8]);
    member.lease.send_replace(view(Head::Valid(records[8].clone())));
    member.until(|snapshot| snapshot.oldest() == Some(5)).await;
    member.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_asked_again_soon() {
    let records = chain(4);
    let peer = Server::start(40).await;
    peer.add(&records);
    let waits = Waits {
        first: Duration::from_millis(10),
        longest: HOUR,
        unanswered: Duration::from_millis(40),
    };
    let member = Member::start(waits, &[&peer], &records[3]);
    member.until(|snapshot| snapshot.oldest() == Some(1)).await;
    member.stop().await;
}
