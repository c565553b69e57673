//! What members are compared with: handlers of axum and nothing else. Serves on a port that it prints, until it is ended.
//! `benches/compare` and `benches/quick` start it.
#![allow(clippy::unwrap_used)] // it ends by panicking
#![allow(clippy::print_stdout)] // its port

use std::convert::Infallible;
use std::fmt::Write;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The parameters of `/integers` that clients here give; the range is the member's default.
#[derive(Deserialize)]
struct Count {
    count: u64,
}

#[derive(Serialize)]
struct Values {
    values: Vec<i64>,
}

fn main() {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(serve());
}

async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let router = Router::new()
        .route("/", get(number))
        .route("/integers", get(integers))
        .route("/integers.txt", get(integers_as_text))
        .route("/bytes", get(zeros));
    axum::serve(listener, router).await.unwrap();
}

async fn number() -> Json<Value> {
    let id = "0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11";
    Json(json!({"random": rand::random::<i32>(), "id": id, "version": env!("CARGO_PKG_VERSION")}))
}

fn values(count: u64) -> impl Iterator<Item = i64> {
    let mut rng = rand::rng();
    (0..count).map(move |_| rng.random_range(1..=100))
}

async fn integers(Query(Count { count }): Query<Count>) -> Json<Values> {
    let values = values(count).collect();
    Json(Values { values })
}

async fn integers_as_text(Query(Count { count }): Query<Count>) -> String {
    let mut text = String::new();
    for value in values(count) {
        text.write_str(&format!("{value}\n")).unwrap();
    }
    text
}

/// The same 64 KiB again and again.
async fn zeros(Query(Count { count }): Query<Count>) -> Body {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let parts = (0..count / ZEROS.len() as u64).map(|_| Ok::<_, Infallible>(Bytes::from_static(&ZEROS)));
    Body::from_stream(futures_util::stream::iter(parts))
}
