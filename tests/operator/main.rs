//! What an operator sees of real members: metrics, also through a real Prometheus, log lines, and the documents about them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by panicking

#[path = "../kubernetes_lease/server.rs"]
#[allow(dead_code)] // what only its own tests ask of it
mod api_server;
#[path = "../member/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../member/set.rs"]
#[allow(dead_code)]
mod set;
#[path = "../small_disk/mod.rs"]
mod small_disk;
#[path = "../waiting/mod.rs"]
mod waiting;

mod configuration;
mod counted;
mod dashboard;
mod exposition;
mod filter;
mod metrics;
mod on_kubernetes;
mod page;
mod pod;
mod prometheus;
mod secrets;
mod stopped;
mod tracing;
