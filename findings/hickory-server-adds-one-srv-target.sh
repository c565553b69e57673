#!/usr/bin/env bash
# hickory-server 0.26.3: the additional section of an SRV answer has the address of one target only.
#
# RFC 2782 lets a server add the addresses of all targets, and clients use them to spare themselves a question per target. For
# three SRV records hickory's in-memory zone adds the address of the first alone, so a client that looks no further knows one
# server of three. MX answers are alike.
#
# Seen:
#   SRV: 3 answers, addresses of ["a.example."]
#   MX: 3 answers, addresses of ["a.example."]
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "hickory-additional"
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
use hickory_server::proto::rr::rdata::{A, MX, SOA, SRV};
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
    let added: Vec<String> = answer.additionals.iter().map(|record| record.name.to_string()).collect();
    println!("{kind}: {} answers, addresses of {added:?}", answer.answers.len());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut zone =
        InMemoryZoneHandler::<TokioRuntimeProvider>::empty(name("example."), ZoneType::Primary, AxfrPolicy::Deny);
    let mut add = |owner: &str, data| zone.upsert_mut(Record::from_rdata(name(owner), 60, data), 1);
    add("example.", RData::SOA(SOA::new(name("example."), name("root.example."), 1, 60, 60, 60, 60)));
    for (number, target) in ["a.example.", "b.example.", "c.example."].into_iter().enumerate() {
        let number = number as u8;
        add("_http._tcp.example.", RData::SRV(SRV::new(0, 1, 80, name(target))));
        add("example.", RData::MX(MX::new(1, name(target))));
        add(target, RData::A(A(Ipv4Addr::new(192, 0, 2, number))));
    }
    let mut catalog = Catalog::new();
    catalog.upsert(name("example.").into(), vec![Arc::new(zone)]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    let mut server = Server::new(catalog);
    server.register_socket(socket);
    ask(&client, "_http._tcp.example.", RecordType::SRV).await;
    ask(&client, "example.", RecordType::MX).await;
}
RUST
nice -n 10 cargo run --quiet >seen
diff seen - <<'SEEN'
SRV: 3 answers, addresses of ["a.example."]
MX: 3 answers, addresses of ["a.example."]
SEEN
echo "still so"
