#!/usr/bin/env bash
# hickory-resolver 0.26.3: SRV records that stand behind a CNAME in one answer are not returned; A records are.
#
# A server answers a question for an alias with the CNAME and the records of its target (RFC 1034, 4.3.2, 3a). For A the resolver
# gives the address. For SRV it takes the target of the service for the next alias, and asks for the SRV records of that host,
# which has none: "no records found", and no word of those that were in the answer.
#
# Seen:
#   A of an alias: 1 records
#   SRV of an alias: no records found
#   asked: A alias.example., SRV alias.example., SRV host.example.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "hickory-alias"
version = "0.0.0"
edition = "2024"

[dependencies]
hickory-resolver = { version = "=0.26.3", default-features = false, features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Knows an alias, the A and SRV records of its target, and a host without any.
async fn serve(socket: UdpSocket, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = [0; 4096];
    loop {
        let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..size]).unwrap();
        let query = question.queries[0].clone();
        asked.lock().unwrap().push(format!("{} {}", query.query_type(), query.name()));
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_query(query.clone());
        if *query.name() == name("alias.example.") {
            let target = name("target.example.");
            answer.add_answer(Record::from_rdata(name("alias.example."), 60, RData::CNAME(CNAME(target.clone()))));
            let data = match query.query_type() {
                RecordType::A => RData::A(A(Ipv4Addr::new(192, 0, 2, 1))),
                _ => RData::SRV(SRV::new(0, 1, 80, name("host.example."))),
            };
            answer.add_answer(Record::from_rdata(target, 60, data));
        }
        socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(serve(socket, asked.clone()));
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let server = NameServerConfig::new(address.ip(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap();
    for kind in [RecordType::A, RecordType::SRV] {
        match resolver.lookup(name("alias.example."), kind).await {
            Ok(found) => {
                let records = found.answers().iter().filter(|record| record.record_type() == kind);
                println!("{kind} of an alias: {} records", records.count());
            }
            Err(error) if error.is_no_records_found() => println!("{kind} of an alias: no records found"),
            Err(error) => println!("{kind} of an alias: {error}"),
        }
    }
    println!("asked: {}", asked.lock().unwrap().join(", "));
}
RUST
nice -n 10 cargo run --quiet >seen
diff seen - <<'SEEN'
A of an alias: 1 records
SRV of an alias: no records found
asked: A alias.example., SRV alias.example., SRV host.example.
SEEN
echo "still so"
