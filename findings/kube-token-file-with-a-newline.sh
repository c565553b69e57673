#!/usr/bin/env bash
# kube 5.0.0: a kubeconfig whose `tokenFile` ends in a newline fails at each request.
#
# Editors, `echo` and `kubectl create token NAME > file` end a file with a newline, and client-go trims what it reads. kube takes
# the newline as part of the token, which no header may hold. The client is built all the same, so a program learns of it late.
#
# Seen:
#   without a newline
#     the server got Some("authorization: bearer secret")
#     Ok("v1.35.0")
#   with a newline
#     Err(Service(InvalidBearerToken(InvalidHeaderValue)))
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "kube-token-file"
version = "0.0.0"
edition = "2024"

[dependencies]
k8s-openapi = { version = "=0.29.0", default-features = false, features = ["v1_35"] }
kube = { version = "=5.0.0", default-features = false, features = ["client", "ring", "rustls-tls"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt"] }
TOML
cat >src/main.rs <<'RUST'
use std::fs;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An API server that knows its version.
async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            while let Ok(size @ 1..) = stream.read(&mut request).await {
                let request = String::from_utf8_lossy(&request[..size]).to_lowercase();
                let token = request.lines().find(|line| line.starts_with("authorization:"));
                println!("  the server got {token:?}");
                let body = r#"{"major": "1", "minor": "35", "gitVersion": "v1.35.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).await.unwrap();
            }
        });
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    for (what, token) in [("without a newline", "secret"), ("with a newline", "secret\n")] {
        fs::write("token", token).unwrap();
        let file = std::env::current_dir().unwrap().join("token");
        let text = format!(
            r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "c",
                "contexts": [{{"name": "c", "context": {{"cluster": "c", "user": "u"}}}}],
                "clusters": [{{"name": "c", "cluster": {{"server": "http://{address}"}}}}],
                "users": [{{"name": "u", "user": {{"tokenFile": {file:?}}}}}]}}"#
        );
        println!("{what}");
        let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        match Client::try_from(config) {
            Ok(client) => println!("  {:?}", client.apiserver_version().await.map(|version| version.git_version)),
            Err(error) => println!("  no client: {error}"),
        }
    }
}
RUST
nice -n 10 cargo run --quiet >seen
diff seen - <<'SEEN'
without a newline
  the server got Some("authorization: bearer secret")
  Ok("v1.35.0")
with a newline
  Err(Service(InvalidBearerToken(InvalidHeaderValue)))
SEEN
echo "still so"
