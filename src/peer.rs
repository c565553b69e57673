//! The peers' port: the messages between members, their signature, the listener and the client.

pub mod client;
pub mod listener;
pub mod message;
pub mod metrics;
pub mod signature;
