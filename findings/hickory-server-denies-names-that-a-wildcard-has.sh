#!/usr/bin/env bash
# hickory-server 0.26.3: NXDOMAIN for a name that a wildcard has with another type, and the wildcard's data for names below others.
#
# RFC 4592, 2.2.1 has both as examples: host3.example. of type A below `*.example.` with other types is "no error, but no data",
# and for a name below host1.example., which exists, the wildcard gives nothing: "name error". NXDOMAIN denies the
# name for all types (RFC 8020), so one question for AAAA makes a resolver forget that the name has an A record.
#
# Seen, of a zone with `*.wild.example. A` and `host.wild.example. A`:
#   A any.wild.example.: NoError, 1 answers
#   AAAA any.wild.example.: NXDomain, 0 answers
#   AAAA host.wild.example.: NoError, 0 answers
#   A below.host.wild.example.: NoError, 1 answers
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "hickory-wildcard"
version = "0.0.0"
edition = "2024"

[dependencies]
hickory-server = { version = "=0.26.3", default-features = false }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::op::{Message, Query};
use hickory_server::proto::rr::rdata::{A, SOA};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::UdpSocket;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn ask(server: &UdpSocket, owner: &str, kind: RecordType) {
    let mut question = Message::query();
    question.add_query(Query::query(name(owner), kind));
    server.send(&question.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 4096];
    let size = server.recv(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..size]).unwrap();
    println!("{kind} {owner}: {:?}, {} answers", answer.metadata.response_code, answer.answers.len());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut zone =
        InMemoryZoneHandler::<TokioRuntimeProvider>::empty(name("example."), ZoneType::Primary, AxfrPolicy::Deny);
    let mut add = |owner: &str, data| zone.upsert_mut(Record::from_rdata(name(owner), 60, data), 1);
    add("example.", RData::SOA(SOA::new(name("example."), name("root.example."), 1, 60, 60, 60, 60)));
    add("*.wild.example.", RData::A(A(Ipv4Addr::new(192, 0, 2, 1))));
    add("host.wild.example.", RData::A(A(Ipv4Addr::new(192, 0, 2, 2))));
    let mut catalog = Catalog::new();
    catalog.upsert(name("example.").into(), vec![Arc::new(zone)]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    let mut server = Server::new(catalog);
    server.register_socket(socket);
    ask(&client, "any.wild.example.", RecordType::A).await;
    ask(&client, "any.wild.example.", RecordType::AAAA).await;
    ask(&client, "host.wild.example.", RecordType::AAAA).await;
    ask(&client, "below.host.wild.example.", RecordType::A).await;
}
RUST
nice -n 10 cargo run --quiet >seen
diff seen - <<'SEEN'
A any.wild.example.: NoError, 1 answers
AAAA any.wild.example.: NXDomain, 0 answers
AAAA host.wild.example.: NoError, 0 answers
A below.host.wild.example.: NoError, 1 answers
SEEN
echo "still so"
