//! The service as a client, a probe and a manifest meet it: real processes, each row of docs/reference.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by panicking

#[path = "../../../tests/families/mod.rs"]
mod families;
#[path = "../../../tests/member/harness.rs"]
#[allow(dead_code)] // what only its own tests ask of it
mod harness;
#[path = "../../../tests/pseudo_terminal/mod.rs"]
mod pseudo_terminal;
mod service;
#[path = "../../../tests/tls/mod.rs"]
mod tls;
#[path = "../../../tests/waiting/mod.rs"]
mod waiting;

mod actuator;
mod batch;
mod document;
mod errors;
mod image;
mod info;
mod logs;
mod memory;
mod numbers;
mod sink;
mod starting;
mod surroundings;
mod toggles;
