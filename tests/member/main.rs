//! Bad input and bad luck, shown on real member processes: what they say, how they end, and what mends them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by panicking

#[path = "../kubernetes_lease/server.rs"]
#[allow(dead_code)] // what only its own tests ask of it
mod api_server;
#[path = "../families/mod.rs"]
mod families;
#[path = "../grown/mod.rs"]
#[allow(dead_code)] // what the figures need
mod grown;
mod harness;
mod set;
#[path = "../small_disk/mod.rs"]
mod small_disk;
#[path = "../standing/mod.rs"]
mod standing;
#[path = "../waiting/mod.rs"]
mod waiting;

mod addresses;
mod damage;
mod ending;
mod exits;
mod full_disk;
mod history;
mod kubernetes;
mod lease_shell;
mod ledger_shell;
mod origins;
mod other_sets;
mod outages;
mod peer_messages;
mod set_view;
mod start_ordinals;
mod streams;
mod unread;
