//! Trials of whole sets: real processes, signals and files, as a user would try them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(clippy::disallowed_methods)] // tests/soak/run asks for more by the environment

mod chain;
mod handover;
mod harness;
mod load;
mod loss;
mod run;
