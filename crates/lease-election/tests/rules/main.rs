//! What each rule of `docs/protocol.md`, 2.3, demands of an elector, event by event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod bench;
mod terms;
mod views;
mod writes;
