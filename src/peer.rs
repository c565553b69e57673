//! The peers' port: the messages between members, what a member reports of itself, signature, listener and client.

pub mod client;
pub mod listener;
pub mod message;
pub mod metrics;
pub mod report;
pub mod signature;
