#!/usr/bin/env bash
# hickory-server 0.26.3: a question of any class is answered from the zone of class IN.
#
# The class is part of what is asked (RFC 1034, 3.6): a server without data of that class has none to give. `dig CH TXT
# version.bind` and the like ask the class CH. hickory's Catalog finds the zone by name alone, and answers NoError with records
# of class IN, which the question didn't ask for.
#
# Seen:
#   asked IN: NoError, answers of [IN]
#   asked CH: NoError, answers of [IN]
#   asked HS: NoError, answers of [IN]
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "hickory-class"
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
use hickory_server::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::UdpSocket;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn ask(server: &UdpSocket, class: DNSClass) {
    let mut question = Message::query();
    let mut query = Query::query(name("www.example."), RecordType::A);
    query.set_query_class(class);
    question.add_query(query);
    server.send(&question.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 4096];
    let size = server.recv(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..size]).unwrap();
    let classes: Vec<DNSClass> = answer.answers.iter().map(|record| record.dns_class).collect();
    println!("asked {class}: {:?}, answers of {classes:?}", answer.metadata.response_code);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut zone =
        InMemoryZoneHandler::<TokioRuntimeProvider>::empty(name("example."), ZoneType::Primary, AxfrPolicy::Deny);
    let mut add = |owner: &str, data| zone.upsert_mut(Record::from_rdata(name(owner), 60, data), 1);
    add("example.", RData::SOA(SOA::new(name("example."), name("root.example."), 1, 60, 60, 60, 60)));
    add("www.example.", RData::A(A(Ipv4Addr::new(192, 0, 2, 1))));
    let mut catalog = Catalog::new();
    catalog.upsert(name("example.").into(), vec![Arc::new(zone)]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    let mut server = Server::new(catalog);
    server.register_socket(socket);
    for class in [DNSClass::IN, DNSClass::CH, DNSClass::HS] {
        ask(&client, class).await;
    }
}
RUST
nice -n 10 cargo run --quiet >seen
diff seen - <<'SEEN'
asked IN: NoError, answers of [IN]
asked CH: NoError, answers of [IN]
asked HS: NoError, answers of [IN]
SEEN
echo "still so"
