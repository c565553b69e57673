#!/usr/bin/env bash
# kube 5.0.0: a credential plugin of a kubeconfig runs three times when a client is built, before any request.
#
# The plugin's credential says that it is valid until 2099, so one run would do. A run may take seconds, ask a cloud, or open a
# browser for a login. Each further client of the same configuration runs it three times more. Building a client is not
# asynchronous, so the runs hold up the thread that builds it.
#
# Seen:
#   runs after the configuration is read: 0
#   and the client is built: 3
#   and a request is sent: 3
#   and another: 3
#   and a second client is built: 6
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CARGO_TARGET_DIR="${FINDINGS_TARGET:-$folder/target}"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "kube-exec-plugin"
version = "0.0.0"
edition = "2024"

[dependencies]
k8s-openapi = { version = "=0.29.0", default-features = false, features = ["v1_35"] }
kube = { version = "=5.0.0", default-features = false, features = ["client", "ring", "rustls-tls"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt"] }
TOML
cat >plugin <<'SH'
#!/bin/sh
echo run >>"$(dirname "$0")/runs"
cat <<'JSON'
{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
 "status": {"token": "secret", "expirationTimestamp": "2099-01-01T00:00:00Z"}}
JSON
SH
chmod +x plugin
cat >src/main.rs <<'RUST'
use std::fs;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn show(what: &str) {
    let runs = fs::read_to_string("runs").unwrap_or_default().lines().count();
    println!("{what}: {runs}");
}

/// An API server that knows its version.
async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|size| size > 0) {
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
    let plugin = std::env::current_dir().unwrap().join("plugin");
    let text = format!(
        r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{{"name": "c", "context": {{"cluster": "c", "user": "u"}}}}],
            "clusters": [{{"name": "c", "cluster": {{"server": "http://{address}"}}}}],
            "users": [{{"name": "u", "user": {{"exec": {{"apiVersion": "client.authentication.k8s.io/v1",
                "command": {plugin:?}, "interactiveMode": "Never"}}}}}}]}}"#
    );
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    show("runs after the configuration is read");
    let client = Client::try_from(config.clone()).unwrap();
    show("and the client is built");
    client.apiserver_version().await.unwrap();
    show("and a request is sent");
    client.apiserver_version().await.unwrap();
    show("and another");
    let _second = Client::try_from(config).unwrap();
    show("and a second client is built");
}
RUST
nice -n 10 cargo run --quiet >seen
diff seen - <<'SEEN'
runs after the configuration is read: 0
and the client is built: 3
and a request is sent: 3
and another: 3
and a second client is built: 6
SEEN
echo "still so"
