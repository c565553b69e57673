//! Trials of whole sets: real processes, signals and files, as a user would try them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(clippy::disallowed_methods)] // tests/soak/run asks for more by the environment
#![allow(clippy::print_stderr)] // what was measured, for --nocapture

mod chain;
mod disk;
mod handover;
mod harness;
mod load;
mod loss;
mod run;
#[allow(dead_code)] // it is filled by load alone
#[path = "../small_disk/mod.rs"]
mod small_disk;
#[path = "../waiting/mod.rs"]
mod waiting;
