//! The commands as people and scripts run them: processes of the built program against real members.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(clippy::disallowed_methods)] // make docs

mod admin;
mod cluster;
mod docs;
mod families;
mod follow;
mod get;
#[path = "../grown/mod.rs"]
#[allow(dead_code)] // what other tests ask of it
mod grown;
#[path = "../member/harness.rs"]
#[allow(dead_code)] // what only its own tests ask of it
mod harness;
mod help;
mod https;
mod journal;
mod ledger;
#[path = "../linked/mod.rs"]
mod linked;
mod listener;
mod members;
#[path = "../memory/mod.rs"]
mod memory;
mod nameserver;
#[path = "../pseudo_terminal/mod.rs"]
mod pseudo_terminal;
#[path = "../member/set.rs"]
#[allow(dead_code)] // what only its own tests ask of it
mod set;
mod terminal;
#[path = "../tls/mod.rs"]
mod tls;
#[path = "../waiting/mod.rs"]
mod waiting;
